/* SentencePiece's compiled normalisation rules (precompiled_charsmap): a u32 size, a double-array
 * trie of that many bytes over the strings to replace, and the replacements, each ended by a zero.
 * The trie is Darts-clone's: units of 32 bits, bit 31 marks a value, bit 8 a child with one, bits
 * 10 to 30 the offset, counted in 256s where bit 9 is set (Aoe 1989;
 * https://github.com/s-yata/darts-clone). */
#ifndef LINNET_TOKENIZER_CHARSMAP_H
#define LINNET_TOKENIZER_CHARSMAP_H

#include "base/buffer.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct charsmap;

/* Copies the n bytes, n >= 1. */
int charsmap_parse(const void *bytes, size_t n, struct charsmap **map, struct error *e);
void charsmap_free(struct charsmap *map);
/* What was parsed. */
const void *charsmap_bytes(const struct charsmap *map, size_t *n);

/* The replacement of the longest rule that the n bytes begin with, NUL-terminated, and in *size how
 * many bytes it replaces; NULL when no rule does. With `shortest` it is the shortest rule's. */
const char *charsmap_find(const struct charsmap *map, const char *text, size_t n, bool shortest,
                          size_t *size);

/* Appends the n bytes as Hugging Face's Precompiled normalizer writes them: clusters of less than
 * six bytes by their shortest rule as a whole, else character by character. */
void charsmap_apply(const struct charsmap *map, const char *text, size_t n, struct buffer *out);

#endif
