/* Is this text? Valid UTF-8 without NUL bytes. */
#ifndef LINNET_DATA_TEXT_CHECK_H
#define LINNET_DATA_TEXT_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Offset of the first byte that is NUL or does not begin a well-formed UTF-8 character (RFC 3629:
 * no overlong forms, no surrogates, nothing above U+10FFFF); n when there is none. */
size_t text_find_fault(const char *text, size_t n);

/* Unicode's White_Space property, and U+180E, which once had it. */
bool text_is_space(uint32_t c);

/* The last place in text[0 .. n) where cutting it in two changes no splitter's result (cutting a
 * long document into pieces that are tokenized apart): 0 when there is none. Two kinds of places
 * qualify:
 *
 *   - before a space between two ASCII letters ("a| b"). Every splitter ends a word at the space
 * and takes the space into the next word.
 *   - after a newline that is alone between two characters that are not white space ("a\n|b").
 * GPT-2's pattern makes the newline a token of its own either way (a longer run of white space
 * would be split before its last character, but only when something follows); the Llama 3 and Qwen
 * 2 patterns end a token with the newline, alone or after punctuation.
 *
 * "\r\n" is never cut: GPT-2 parts it when a word follows and not at the end of a text. Not meant
 * for SentencePiece vocabularies, which put a space before each text. */
size_t text_last_cut(const char *text, size_t n);

#endif
