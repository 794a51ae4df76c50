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

/* Appends the canonical composition (NFC) of n bytes; bytes that are not UTF-8 pass unchanged. */
void unicode_nfc(const char *text, size_t n, struct buffer *out);

/* The one lower or upper case character of a code point, itself where it has none. */
uint32_t unicode_lower(uint32_t code);
uint32_t unicode_upper(uint32_t code);

#endif
