#include "tokenizer/sentencepiece.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

static const char space[] = "\xE2\x96\x81"; /* U+2581 */
enum { SPACE_SIZE = 3 };

struct sp_chars { /* open addressing from a character's bytes to its symbol */
    struct {
        uint32_t bytes; /* little-endian, with zeros after its end; 0 is free */
        int32_t symbol;
    } * slots;
    size_t size, count;
    int32_t nul; /* the symbol of the NUL character, whose bytes would look free */
    int32_t next_hidden;
};

void sp_chars_free(struct sp_chars *c)
{
    if (c)
        mem_free(c->slots);
    mem_free(c);
}

size_t sp_char_size(const char *p, size_t n)
{
    static const uint8_t by_high_nibble[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4};
    size_t size = by_high_nibble[(unsigned char)p[0] >> 4];
    return size < n ? size : n;
}

static uint32_t pack(const char *p, size_t size)
{
    uint32_t bytes = 0;
    for (size_t i = 0; i < size; i++)
        bytes |= (uint32_t)(unsigned char)p[i] << 8 * i;
    return bytes;
}

static size_t slot_of(const struct sp_chars *c, uint32_t bytes)
{
    size_t mask = c->size - 1, i = pair_mix(bytes) & mask;
    while (c->slots[i].bytes && c->slots[i].bytes != bytes)
        i = (i + 1) & mask;
    return i;
}

int32_t sp_symbol(const struct tokenizer *t, const char *p, size_t size)
{
    const struct sp_chars *c = t->chars;
    uint32_t bytes = pack(p, size);
    if (!bytes)
        return c->nul;
    size_t i = slot_of(c, bytes);
    return c->slots[i].bytes ? c->slots[i].symbol : SYMBOL_UNKNOWN;
}

static void grow(struct sp_chars *c)
{
    if (c->count * 2 < c->size)
        return;
    struct sp_chars old = *c;
    c->size = old.size ? old.size * 2 : 256;
    c->slots = mem_zero(c->size, sizeof *c->slots);
    for (size_t i = 0; i < old.size; i++)
        if (old.slots[i].bytes)
            c->slots[slot_of(c, old.slots[i].bytes)] = old.slots[i];
    mem_free(old.slots);
}

static void add_char(struct tokenizer *t, const char *p, size_t size)
{
    struct sp_chars *c = t->chars;
    if (sp_symbol(t, p, size) != SYMBOL_UNKNOWN)
        return;
    int32_t symbol = tokenizer_find(t, p, size);
    if (symbol == TOKEN_NONE || t->tokens[symbol].flags & OUTSIDE)
        symbol = c->next_hidden++;
    uint32_t bytes = pack(p, size);
    if (!bytes) {
        c->nul = symbol;
        return;
    }
    size_t i = slot_of(c, bytes);
    c->slots[i].bytes = bytes;
    c->slots[i].symbol = symbol;
    c->count++;
    grow(c);
}

static bool is_space(const char *p, size_t n)
{
    return n >= SPACE_SIZE && memcmp(p, space, SPACE_SIZE) == 0;
}

void sp_prepare(struct tokenizer *t)
{
    if (t->chars)
        return;
    t->chars = mem_zero(1, sizeof *t->chars);
    t->chars->next_hidden = (int32_t)t->n_tokens;
    t->chars->nul = SYMBOL_UNKNOWN;
    t->splits_at_spaces = true;
    grow(t->chars);
    for (size_t k = 0; k < t->n_tokens; k++) {
        const char *text = t->text.data + t->tokens[k].text;
        size_t n = t->tokens[k].n_text;
        bool other = false;
        for (size_t i = 0, size; i < n; i += size) {
            size = sp_char_size(text + i, n - i);
            add_char(t, text + i, size);
            bool blank = size == SPACE_SIZE && is_space(text + i, n - i);
            if (blank && other)
                t->splits_at_spaces = false;
            other = !blank;
        }
    }
}

/* The symbol of a whole piece: a token, or a single character. */
static int32_t piece(const struct tokenizer *t, const char *p, size_t n)
{
    int32_t id = tokenizer_find(t, p, n);
    if (id == TOKEN_NONE && sp_char_size(p, n) == n)
        return sp_symbol(t, p, n);
    return id == TOKEN_NONE ? SYMBOL_UNKNOWN : id;
}

static int descending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

static int by_rank(const void *a, const void *b)
{
    const struct merge *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    uint64_t i = pair_key(x->left, x->right), j = pair_key(y->left, y->right);
    return (i > j) - (i < j);
}

static uint32_t rank_of(double score, const double *sorted, size_t n)
{
    size_t low = 0, high = n;
    while (low < high) { /* the first entry that is not above score */
        size_t middle = (low + high) / 2;
        if (sorted[middle] > score)
            low = middle + 1;
        else
            high = middle;
    }
    return (uint32_t)low;
}

void sp_merges_from_scores(struct tokenizer *t)
{
    sp_prepare(t);
    double *sorted = mem_alloc(t->n_tokens, sizeof *sorted);
    memcpy(sorted, t->scores, t->n_tokens * sizeof *sorted);
    qsort(sorted, t->n_tokens, sizeof *sorted, descending);
    for (size_t k = 0; k < t->n_tokens; k++) {
        const char *text = t->text.data + t->tokens[k].text;
        size_t n = t->tokens[k].n_text;
        int kind = t->tokens[k].kind;
        uint32_t rank = rank_of(t->scores[k], sorted, t->n_tokens);
        if (t->tokens[k].flags & OUTSIDE ||
            (t->splitter == SPLITTER_GENERAL && kind != TOKEN_NORMAL))
            continue; /* SentencePiece never merges to these: user-defined ones are found before */
        for (size_t i = n ? sp_char_size(text, n) : 0; i < n; i += sp_char_size(text + i, n - i)) {
            int32_t left = piece(t, text, i), right = piece(t, text + i, n - i);
            if (left != SYMBOL_UNKNOWN && right != SYMBOL_UNKNOWN)
                tokenizer_add_merge(t, left, right, (int32_t)k, rank);
        }
    }
    if (t->n_merges)
        qsort(t->merges, t->n_merges, sizeof *t->merges, by_rank);
    mem_free(sorted);
}

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

void sp_token_bytes(const char *text, size_t n, enum token_kind kind, struct buffer *out)
{
    if (kind == TOKEN_BYTE && n == 6 && memcmp(text, "<0x", 3) == 0 && text[5] == '>' &&
        hex(text[3]) >= 0 && hex(text[4]) >= 0) {
        buffer_byte(out, (char)(hex(text[3]) << 4 | hex(text[4])));
        return;
    }
    if (kind == TOKEN_CONTROL || kind == TOKEN_UNKNOWN || kind == TOKEN_BYTE) {
        buffer_append(out, text, n);
        return;
    }
    for (size_t i = 0; i < n;) {
        if (is_space(text + i, n - i)) {
            buffer_byte(out, ' ');
            i += SPACE_SIZE;
        } else {
            buffer_byte(out, text[i++]);
        }
    }
}

void sp_escape(const char *text, size_t n, struct buffer *out)
{
    while (n > 0) {
        const char *blank = memchr(text, ' ', n);
        size_t run = blank ? (size_t)(blank - text) : n;
        buffer_append(out, text, run);
        text += run;
        n -= run;
        if (n) {
            buffer_append(out, space, SPACE_SIZE);
            text++;
            n--;
        }
    }
}

size_t sp_next(const struct tokenizer *t, const char *p, size_t n)
{
    if (!t->splits_at_spaces)
        return n;
    size_t i = 0;
    while (i < n && is_space(p + i, n - i))
        i += SPACE_SIZE;
    while (i < n) {
        const char *blank = memchr(p + i, space[0], n - i);
        if (!blank)
            return n;
        i = (size_t)(blank - p);
        if (is_space(blank, n - i))
            return i;
        i++;
    }
    return n;
}
