#include "grammar/token_trie.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

/* A token with text of its own, so that what follows it is not the start of a text; TOKEN_NONE if there is
 * none. */
static int32_t find_visible(const struct tokenizer *t, struct buffer *out)
{
    for (size_t i = 0; i < tokenizer_vocab_size(t); i++) {
        int32_t id = (int32_t)i;
        buffer_clear(out);
        tokenizer_decode(t, &id, 1, false, out);
        if (out->size > 0)
            return id;
    }
    return TOKEN_NONE;
}

static void take_bytes(struct token_trie *trie, const struct tokenizer *t)
{
    struct buffer all = {0}, one = {0};
    int32_t pair[2] = {find_visible(t, &one), 0};
    size_t before = one.size, ends_capacity = 0;
    trie->offsets = mem_alloc(trie->n_tokens + 1, sizeof *trie->offsets);
    for (size_t i = 0; i < trie->n_tokens; i++) {
        trie->offsets[i] = all.size;
        pair[1] = (int32_t)i;
        if (tokenizer_is_end(t, pair[1])) {
            mem_grow((void **)&trie->ends, &ends_capacity, trie->n_ends, sizeof *trie->ends);
            trie->ends[trie->n_ends++] = pair[1];
        } else if (!tokenizer_is_special(t, pair[1]) && pair[0] != TOKEN_NONE) {
            buffer_clear(&one);
            tokenizer_decode(t, pair, 2, false, &one);
            buffer_append(&all, one.data + before, one.size - before);
        }
    }
    trie->offsets[trie->n_tokens] = all.size;
    trie->bytes = all.data;
    buffer_free(&one);
}

static size_t length_of(const struct token_trie *t, int32_t id)
{
    return t->offsets[id + 1] - t->offsets[id];
}

static int by_bytes(const void *a, const void *b, void *context)
{
    const struct token_trie *t = context;
    int32_t i = *(const int32_t *)a, j = *(const int32_t *)b;
    size_t n = length_of(t, i), m = length_of(t, j);
    int order = memcmp(t->bytes + t->offsets[i], t->bytes + t->offsets[j], n < m ? n : m);
    return order ? order : n != m ? (n < m ? -1 : 1) : i < j ? -1 : i > j;
}

/* One node for each byte that a string does not share with the one before it. */
static void make_nodes(struct token_trie *t, size_t n_ids)
{
    size_t capacity = 0, depth = 0;
    uint32_t open[TOKEN_TRIE_DEPTH + 1];
    const char *last = "";
    for (size_t i = 0; i <= n_ids; i++) {
        const char *bytes = i < n_ids ? t->bytes + t->offsets[t->ids[i]] : "";
        size_t n = i < n_ids ? length_of(t, t->ids[i]) : 0, shared = 0;
        while (shared < n && shared < depth && bytes[shared] == last[shared])
            shared++;
        for (; depth > shared; depth--)
            t->nodes[open[depth]].end = (uint32_t)t->n_nodes;
        while (depth < n) {
            mem_grow((void **)&t->nodes, &capacity, t->n_nodes, sizeof *t->nodes);
            t->nodes[t->n_nodes] = (struct trie_node){.first = (uint32_t)i, .depth = (uint16_t)(depth + 1),
                                                      .byte = (unsigned char)bytes[depth]};
            open[++depth] = (uint32_t)t->n_nodes++;
        }
        last = bytes;
    }
    /* A node opened together with a deeper one has no tokens: they belong to the deepest. */
    mem_grow((void **)&t->nodes, &capacity, t->n_nodes, sizeof *t->nodes);
    t->nodes[t->n_nodes] = (struct trie_node){.first = (uint32_t)n_ids};
}

struct token_trie *token_trie_new(const struct tokenizer *t, size_t n_tokens)
{
    struct token_trie *trie = mem_zero(1, sizeof *trie);
    size_t vocab = tokenizer_vocab_size(t), n_ids = 0;
    trie->n_tokens = n_tokens < vocab ? n_tokens : vocab;
    take_bytes(trie, t);
    trie->ids = mem_alloc(trie->n_tokens + 1, sizeof *trie->ids);
    for (size_t i = 0; i < trie->n_tokens; i++)
        if (length_of(trie, (int32_t)i) > 0 && length_of(trie, (int32_t)i) <= TOKEN_TRIE_DEPTH)
            trie->ids[n_ids++] = (int32_t)i;
    if (n_ids > 1)
        qsort_r(trie->ids, n_ids, sizeof *trie->ids, by_bytes, trie);
    make_nodes(trie, n_ids);
    return trie;
}

void token_trie_free(struct token_trie *t)
{
    if (!t)
        return;
    mem_free(t->nodes);
    mem_free(t->ids);
    mem_free(t->ends);
    mem_free(t->bytes);
    mem_free(t->offsets);
    mem_free(t);
}

size_t token_trie_words(const struct token_trie *t)
{
    return (t->n_tokens + 31) / 32;
}
