/* UTF-8, to the letter of Unicode 15, table 3-7: no overlong forms, no surrogates, nothing above
 * U+10FFFF. */
#ifndef LINNET_BASE_UTF8_H
#define LINNET_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The length of the well-formed sequence that begins the n bytes: 1 to 4, or 0 when there is none.
 * *code gets the code point, and stays as it was where there is none. */
size_t utf8_decode(const void *text, size_t n, uint32_t *code);
/* Writes the code point, which must be one, and returns its length. */
size_t utf8_encode(uint32_t code, char out[4]);
bool utf8_valid(const char *text, size_t n);

#endif
