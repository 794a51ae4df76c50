#include "tokenizer/charsmap.h"

#include "base/memory.h"
#include "base/utf8.h"
#include "tokenizer/unicode.h"

#include <stdint.h>
#include <string.h>

struct charsmap {
    struct buffer all;
    const unsigned char *units;
    size_t n_units;
    const char *replacements; /* ends in a zero, as `all` does */
    size_t n_replacements;
};

int charsmap_parse(const void *bytes, size_t n, struct charsmap **out, struct error *e)
{
    *out = NULL;
    const unsigned char *p = bytes;
    size_t trie = n < 4 ? 0 : p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
    if (n < 4 || trie == 0 || trie % 4 || trie > n - 4)
        return error_set(e, ERR_FORMAT,
                         "the normalisation rules (%zu bytes) say their trie has %zu bytes", n,
                         trie);
    struct charsmap *map = mem_zero(1, sizeof *map);
    buffer_append(&map->all, bytes, n);
    map->units = (const unsigned char *)map->all.data + 4;
    map->n_units = trie / 4;
    map->replacements = map->all.data + 4 + trie;
    map->n_replacements = n - 4 - trie;
    *out = map;
    return OK;
}

void charsmap_free(struct charsmap *map)
{
    if (map)
        buffer_free(&map->all);
    mem_free(map);
}

const void *charsmap_bytes(const struct charsmap *map, size_t *n)
{
    *n = map->all.size;
    return map->all.data;
}

static uint32_t unit_at(const struct charsmap *map, size_t i)
{
    if (i >= map->n_units)
        return 0; /* no label matches it: a broken file finds nothing */
    const unsigned char *p = map->units + 4 * i;
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static size_t offset_of(uint32_t unit)
{
    return (size_t)(unit >> 10) << ((unit & (1u << 9)) >> 6);
}

const char *charsmap_find(const struct charsmap *map, const char *text, size_t n, bool shortest,
                          size_t *size)
{
    const char *found = NULL;
    size_t at = offset_of(unit_at(map, 0));
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        at ^= c;
        uint32_t unit = unit_at(map, at);
        if (c == 0 || (unit & 0x800000FFu) != c)
            break;
        at ^= offset_of(unit);
        if (!(unit >> 8 & 1))
            continue;
        size_t value = unit_at(map, at) & 0x7FFFFFFFu;
        if (value < map->n_replacements) {
            found = map->replacements + value;
            *size = i + 1;
            if (shortest)
                break;
        }
    }
    return found;
}

void charsmap_apply(const struct charsmap *map, const char *text, size_t n, struct buffer *out)
{
    size_t used, size;
    for (size_t i = 0; i < n; i += size) {
        uint32_t code;
        if (!utf8_decode(text + i, n - i, &code)) { /* not UTF-8: as it is */
            buffer_byte(out, text[i]);
            size = 1;
            continue;
        }
        size = unicode_grapheme(text + i, n - i);
        const char *whole = size < 6 ? charsmap_find(map, text + i, size, true, &used) : NULL;
        if (whole) {
            buffer_string(out, whole);
            continue;
        }
        for (size_t k = 0, one; k < size; k += one) {
            one = utf8_decode(text + i + k, size - k, &code);
            const char *part = charsmap_find(map, text + i + k, one, true, &used);
            if (part)
                buffer_string(out, part);
            else
                buffer_append(out, text + i + k, one);
        }
    }
}
