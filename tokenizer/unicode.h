/* What the splitters need to know of Unicode: the classes \p{L}, \p{N} and \s. And, for chat
 * templates, case. */
#ifndef LINNET_TOKENIZER_UNICODE_H
#define LINNET_TOKENIZER_UNICODE_H

#include "base/buffer.h"
#include "base/utf8.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum char_class {
    CLASS_OTHER,     /* [^\s\p{L}\p{N}], and every byte that is not UTF-8 */
    CLASS_LETTER,    /* \p{L} */
    CLASS_NUMBER,    /* \p{N} */
    CLASS_SPACE,     /* \s, that is White_Space, without the next */
    CLASS_NEWLINE,   /* carriage return and line feed, which are also \s */
    CLASS_MULTIBYTE, /* only in class_of_byte: a byte from 0x80 up, decode to know */
};

/* The class of a code point's first byte where that byte alone decides, else CLASS_MULTIBYTE. */
extern const uint8_t class_of_byte[256];

/* Must have been called before the two functions below; cheap after the first time. */
void unicode_init(void);

/* The class of the character at p (n >= 1 bytes left) and in *size its length in bytes. A byte that
 * starts no well-formed UTF-8 sequence is one character of CLASS_OTHER. */
enum char_class unicode_class(const unsigned char *p, size_t n, size_t *size);

/* Appends a normalisation form (Unicode Standard Annex 15) of n bytes, in time n log n at worst;
 * bytes that are not UTF-8 pass unchanged. The edition is utf8proc's. */
enum normal_form { FORM_NFC, FORM_NFD, FORM_NFKC, FORM_NFKD };
void unicode_normalize(const char *text, size_t n, enum normal_form form, struct buffer *out);

/* Appends n bytes with every character in lower case (full mapping, without context: a capital
 * sigma is always U+03C3). */
void unicode_lower(const char *text, size_t n, struct buffer *out);

bool unicode_is_punctuation(
    uint32_t code);                   /* \p{P} and what ASCII has beside it: $ + < = > ^ ` | ~ */
bool unicode_is_word(uint32_t code);  /* \w: letters, marks, digits, connectors */
bool unicode_is_space(uint32_t code); /* White_Space */

/* The length of the grapheme cluster (Annex 29) that n >= 1 bytes of valid UTF-8 begin with. */
size_t unicode_grapheme(const char *text, size_t n);

/* The one lower or upper case character of a code point, itself where it has none. */
uint32_t unicode_to_lower(uint32_t code);
uint32_t unicode_to_upper(uint32_t code);

#endif
