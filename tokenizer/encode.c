/* Text to ids. Words are short and few: most are found in a direct-mapped cache of the encoder,
 * the rest are merged by repeated search of the best pair (short) or with a heap (long), so that
 * a word of a million letters costs n log n. */
#include "tokenizer/encode.h"

#include "base/memory.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/sentencepiece.h"
#include "tokenizer/split.h"

#include <string.h>

enum {
    CACHE_BITS = 13,    /* entries of one cache line each: half a megabyte, within a core's L2 */
    SHORT_WORD = 40,    /* symbols up to which searching beats the heap */
    WORD_MAX = 1 << 30, /* positions are 32 bits wide; longer words are cut here */
};

static struct encoder *encoder_new(void)
{
    struct encoder *c = mem_zero(1, sizeof *c);
    c->cache = mem_zero((size_t)1 << CACHE_BITS, sizeof *c->cache);
    return c;
}

static void encoder_free(struct encoder *c)
{
    mem_free(c->cache);
    tokens_free(&c->word);
    mem_free(c->symbols);
    mem_free(c->start);
    mem_free(c->before);
    mem_free(c->after);
    mem_free(c->heap);
    buffer_free(&c->normal);
    buffer_free(&c->spelled);
    mem_free(c->lattice.nodes);
    pipeline_scratch_free(&c->pipeline);
    mem_free(c);
}

void encoder_pool_free(struct encoder_pool *p)
{
    while (p->idle) {
        struct encoder *c = p->idle;
        p->idle = c->next;
        encoder_free(c);
    }
    pthread_mutex_destroy(&p->lock);
    mem_free(p);
}

struct encoder *encoder_take(struct encoder_pool *p)
{
    pthread_mutex_lock(&p->lock);
    struct encoder *c = p->idle;
    if (c)
        p->idle = c->next;
    pthread_mutex_unlock(&p->lock);
    return c ? c : encoder_new();
}

void encoder_give_back(struct encoder_pool *p, struct encoder *c)
{
    pthread_mutex_lock(&p->lock);
    c->next = p->idle;
    p->idle = c;
    pthread_mutex_unlock(&p->lock);
}

static void reserve(struct encoder *c, size_t n)
{
    if (n <= c->capacity)
        return;
    c->capacity = n < 256 ? 256 : n;
    c->symbols = mem_resize(c->symbols, c->capacity, sizeof *c->symbols);
    c->start = mem_resize(c->start, c->capacity + 1, sizeof *c->start);
    c->before = mem_resize(c->before, c->capacity, sizeof *c->before);
    c->after = mem_resize(c->after, c->capacity, sizeof *c->after);
}

/* Hugging Face's BPE gives a character without a token its bytes' tokens, or the unknown token (one
 * for a row of such characters, where it fuses), before anything is merged; without either it is
 * left out. */
static size_t known_symbols(const struct tokenizer *t, struct encoder *c, const char *p, size_t n)
{
    size_t count = 0, size;
    bool fuses = false; /* the symbol before is an unknown one that may take in more */
    for (size_t i = 0; i < n; i += size) {
        size = sp_char_size(p + i, n - i);
        int32_t symbol = sp_symbol(t, p + i, size);
        bool known = symbol >= 0 && (size_t)symbol < t->n_tokens,
             bytes = !known && t->byte_fallback;
        for (size_t k = 0; bytes && k < size; k++)
            bytes = t->byte_id[(unsigned char)p[i + k]] != TOKEN_NONE;
        for (size_t k = 0; bytes && k < size; k++) {
            c->symbols[count] = t->byte_id[(unsigned char)p[i + k]];
            c->start[count++] = (uint32_t)(i + k);
        }
        if (!bytes && (known || (t->unknown != TOKEN_NONE && !fuses))) {
            c->symbols[count] = known ? symbol : t->unknown;
            c->start[count++] = (uint32_t)i;
        }
        fuses = !known && !bytes && t->fuse_unknown;
    }
    return count;
}

/* The word's initial symbols and where each starts; start[count] is the word's end. */
static size_t initial_symbols(const struct tokenizer *t, struct encoder *c, const char *p, size_t n)
{
    reserve(c, n);
    size_t count = 0;
    if (!t->char_level) {
        for (; count < n; count++) {
            c->symbols[count] = t->byte_id[(unsigned char)p[count]];
            c->start[count] = (uint32_t)count;
        }
    } else if (!t->scores) {
        count = known_symbols(t, c, p, n);
    } else {
        for (size_t i = 0, size; i < n; i += size, count++) {
            size = sp_char_size(p + i, n - i);
            c->symbols[count] = sp_symbol(t, p + i, size);
            c->start[count] = (uint32_t)i;
        }
    }
    c->start[count] = (uint32_t)n;
    return count;
}

/* An id, or the bytes of a piece that has none; where even those are missing, one unknown for it or
 * for all such pieces in a row. `from` is where the word's ids begin. */
static void emit(const struct tokenizer *t, int32_t symbol, const char *p, size_t n, size_t from,
                 struct tokens *out)
{
    if (symbol >= 0 && (size_t)symbol < t->n_tokens) {
        tokens_push(out, symbol);
        return;
    }
    bool known = t->byte_fallback;
    for (size_t i = 0; i < n; i++)
        known &= t->byte_id[(unsigned char)p[i]] != TOKEN_NONE;
    if (known)
        for (size_t i = 0; i < n; i++)
            tokens_push(out, t->byte_id[(unsigned char)p[i]]);
    else if (t->unknown != TOKEN_NONE &&
             !(t->fuse_unknown && out->count > from && out->ids[out->count - 1] == t->unknown))
        tokens_push(out, t->unknown);
}

/* Both mergers reduce symbols[0..n) in place, with start[] alongside, and return how many are left.
 */
static size_t merge_short(const struct tokenizer *t, struct encoder *c, size_t n)
{
    const struct pair_slot *pairs[SHORT_WORD]; /* of symbols i and i + 1 */
    for (size_t i = 0; i + 1 < n; i++)
        pairs[i] = tokenizer_pair(t, c->symbols[i], c->symbols[i + 1]);
    pairs[n - 1] = NULL;
    for (;;) {
        size_t best = n;
        uint32_t rank = UINT32_MAX;
        for (size_t i = 0; i < n; i++)
            if (pairs[i] && pairs[i]->rank < rank) {
                rank = pairs[i]->rank;
                best = i;
            }
        if (best == n)
            return n;
        c->symbols[best] = pairs[best]->id;
        n--;
        for (size_t i = best + 1; i < n; i++) {
            c->symbols[i] = c->symbols[i + 1];
            c->start[i] = c->start[i + 1];
            pairs[i] = pairs[i + 1];
        }
        c->start[n] = c->start[n + 1];
        pairs[best] =
            best + 1 < n ? tokenizer_pair(t, c->symbols[best], c->symbols[best + 1]) : NULL;
        if (best > 0)
            pairs[best - 1] = tokenizer_pair(t, c->symbols[best - 1], c->symbols[best]);
    }
}

static void heap_push(struct encoder *c, struct candidate x)
{
    void *heap = c->heap;
    mem_grow(&heap, &c->heap_capacity, c->n_heap, sizeof *c->heap);
    c->heap = heap;
    size_t i = c->n_heap++;
    for (; i > 0 && c->heap[(i - 1) / 2].order > x.order; i = (i - 1) / 2)
        c->heap[i] = c->heap[(i - 1) / 2];
    c->heap[i] = x;
}

static struct candidate heap_pop(struct encoder *c)
{
    struct candidate top = c->heap[0], last = c->heap[--c->n_heap];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < c->n_heap; i = child) {
        if (child + 1 < c->n_heap && c->heap[child + 1].order < c->heap[child].order)
            child++;
        if (c->heap[child].order >= last.order)
            break;
        c->heap[i] = c->heap[child];
    }
    c->heap[i] = last;
    return top;
}

static void consider(const struct tokenizer *t, struct encoder *c, uint32_t left, uint32_t right)
{
    const struct pair_slot *p = tokenizer_pair(t, c->symbols[left], c->symbols[right]);
    if (p)
        heap_push(c, (struct candidate){(uint64_t)p->rank << 32 | left, p->id});
}

/* A merged-away symbol is GONE; a candidate whose symbols have changed since is recognised by its
 * pair no longer giving the same merge. */
static size_t merge_long(const struct tokenizer *t, struct encoder *c, size_t n)
{
    enum { GONE = -3 };
    const uint32_t NONE = UINT32_MAX;
    c->n_heap = 0;
    for (uint32_t i = 0; i < n; i++) {
        c->before[i] = i ? i - 1 : NONE;
        c->after[i] = i + 1 < n ? i + 1 : NONE;
        if (i + 1 < n)
            consider(t, c, i, i + 1);
    }
    while (c->n_heap) {
        struct candidate top = heap_pop(c);
        uint32_t left = (uint32_t)top.order, right = c->after[left];
        if (c->symbols[left] == GONE || right == NONE)
            continue;
        const struct pair_slot *p = tokenizer_pair(t, c->symbols[left], c->symbols[right]);
        if (!p || p->id != top.id || p->rank != top.order >> 32)
            continue;
        c->symbols[left] = p->id;
        c->symbols[right] = GONE;
        uint32_t next = c->after[right];
        c->after[left] = next;
        if (next != NONE) {
            c->before[next] = left;
            consider(t, c, left, next);
        }
        if (c->before[left] != NONE)
            consider(t, c, c->before[left], left);
    }
    uint32_t end = c->start[n];
    size_t left = 0;
    for (uint32_t i = 0; i != NONE; i = c->after[i], left++) {
        c->symbols[left] = c->symbols[i];
        c->start[left] = c->start[i];
    }
    c->start[left] = end;
    return left;
}

/* The whole word as one token, for vocabularies that ask for it before merging. */
static int32_t whole_word(const struct tokenizer *t, struct encoder *c, const char *p, size_t n)
{
    if (n > t->longest_text)
        return TOKEN_NONE;
    int32_t id;
    if (t->char_level) {
        id = tokenizer_find(t, p, n);
    } else {
        buffer_clear(&c->spelled);
        for (size_t i = 0; i < n; i++) {
            char text[2];
            buffer_append(&c->spelled, text, byte_alphabet_encode((unsigned char)p[i], text));
        }
        id = tokenizer_find(t, c->spelled.data, c->spelled.size);
    }
    return id != TOKEN_NONE && t->tokens[id].flags & OUTSIDE ? TOKEN_NONE : id;
}

static void encode_word(const struct tokenizer *t, struct encoder *c, const char *p, size_t n,
                        struct tokens *out)
{
    if (t->model == MODEL_UNIGRAM) {
        for (size_t size; n > 0; n -= size, p += size) {
            size = n < WORD_MAX ? n : WORD_MAX;
            unigram_encode(t, &c->lattice, p, size, out);
        }
        return;
    }
    if (t->ignore_merges) {
        int32_t id = whole_word(t, c, p, n);
        if (id != TOKEN_NONE) {
            tokens_push(out, id);
            return;
        }
    }
    size_t from = out->count;
    for (size_t rest = n, size; rest > 0; rest -= size, p += size) {
        size = rest < WORD_MAX ? rest : WORD_MAX;
        size_t count = initial_symbols(t, c, p, size);
        if (count)
            count = count <= SHORT_WORD ? merge_short(t, c, count) : merge_long(t, c, count);
        for (size_t i = 0; i < count; i++)
            emit(t, c->symbols[i], p + c->start[i], c->start[i + 1] - c->start[i], from, out);
    }
}

/* The first KEY_SIZE bytes at p as two words, zero beyond n; `left` bytes may be read. */
static void load_key(const char *p, size_t n, size_t left, uint64_t key[2])
{
    if (left >= KEY_SIZE) {
        memcpy(key, p, KEY_SIZE);
        uint64_t keep = n & 7 ? ((uint64_t)1 << 8 * (n & 7)) - 1 : n ? UINT64_MAX : 0;
        key[0] &= n < 8 ? keep : UINT64_MAX;
        key[1] &= n <= 8 ? 0 : keep;
    } else {
        key[0] = key[1] = 0;
        memcpy(key, p, n);
    }
}

static void encode_cached(const struct tokenizer *t, struct encoder *c, const char *p, size_t n,
                          size_t left, struct tokens *out)
{
    uint64_t key[2];
    load_key(p, n, left, key);
    uint64_t hash = (key[0] ^ (key[1] + n) * 0xC2B2AE3D27D4EB4Full) * 0x9E3779B97F4A7C15ull;
    struct cached_word *w = &c->cache[hash >> (64 - CACHE_BITS)];
    if (w->key[0] != key[0] || w->key[1] != key[1] || w->size != n) {
        c->word.count = 0;
        encode_word(t, c, p, n, &c->word);
        if (c->word.count > CACHED_IDS) {
            for (size_t i = 0; i < c->word.count; i++)
                tokens_push(out, c->word.ids[i]);
            return;
        }
        memcpy(w->key, key, sizeof key);
        w->size = (uint8_t)n;
        w->n_ids = (uint8_t)c->word.count;
        if (w->n_ids)
            memcpy(w->ids, c->word.ids, w->n_ids * sizeof *w->ids);
    }
    void *ids = out->ids;
    mem_grow(&ids, &out->capacity, out->count + CACHED_IDS, sizeof *out->ids);
    out->ids = ids;
    memcpy(out->ids + out->count, w->ids, sizeof w->ids); /* a fixed size copies fastest */
    out->count += w->n_ids;
}

/* How far the next word goes. Merges of characters never cross a space that no token has inside. */
static size_t next_word(const struct tokenizer *t, const char *p, size_t n)
{
    if (t->char_level && t->model == MODEL_BPE && !t->ignore_merges)
        return sp_next(t, p, n);
    return t->splitter == SPLITTER_GENERAL ? n
                                           : split_next(t->splitter, (const unsigned char *)p, n);
}

void encode_words(const struct tokenizer *t, struct encoder *c, const char *p, size_t n,
                  struct tokens *out)
{
    while (n > 0) {
        size_t size = next_word(t, p, n);
        if (size <= KEY_SIZE)
            encode_cached(t, c, p, size, n, out);
        else
            encode_word(t, c, p, size, out);
        p += size;
        n -= size;
    }
}

bool tokenizer_merges_suffice(const struct tokenizer *t)
{
    struct tokenizer plain = *t;
    plain.ignore_merges = false;
    struct encoder *c = encoder_take(t->pool);
    bool all = true;
    for (size_t i = 0; all && i < t->n_tokens; i++) {
        const struct token *token = &t->tokens[i];
        if (token->kind != TOKEN_NORMAL)
            continue;
        c->word.count = 0;
        if (t->char_level)
            encode_word(&plain, c, t->text.data + token->text, token->n_text, &c->word);
        else
            encode_word(&plain, c, t->bytes.data + token->bytes, token->n_bytes, &c->word);
        all = c->word.count == 1 && c->word.ids[0] == (int32_t)i;
    }
    encoder_give_back(t->pool, c);
    return all;
}
