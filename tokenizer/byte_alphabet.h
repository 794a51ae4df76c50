/* GPT-2's byte alphabet: every byte is written as one printable character, so that a vocabulary of
 * byte strings is readable text. Printable bytes (! to ~, U+00A1 to U+00AC, U+00AE to U+00FF) stand
 * for themselves; the other 68 become U+0100, U+0101, ... in order (a space is U+0120). */
#ifndef LINNET_TOKENIZER_BYTE_ALPHABET_H
#define LINNET_TOKENIZER_BYTE_ALPHABET_H

#include "base/buffer.h"

#include <stdbool.h>
#include <stddef.h>

/* The UTF-8 of a byte's character: 1 or 2 bytes into out, their number returned. */
size_t byte_alphabet_encode(unsigned char byte, char out[2]);

/* The byte of the character at text, or -1 if it is none of the alphabet; *size its length. */
int byte_alphabet_decode(const char *text, size_t n, size_t *size);

/* Appends the bytes that a string of the alphabet stands for; false, with nothing appended, when a
 * character is not of the alphabet. */
bool byte_alphabet_string(const char *text, size_t n, struct buffer *out);

/* The 256 bytes in the order of their characters' code points. */
void byte_alphabet_sorted(unsigned char bytes[256]);

#endif
