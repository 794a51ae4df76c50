#include "tokenizer/unigram.h"

#include "base/memory.h"
#include "tokenizer/sentencepiece.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint32_t NOWHERE = UINT32_MAX;

void unigram_score_text(double x, char text[64])
{
    for (int precision = 14; precision < 17; precision++) {
        snprintf(text, 64, "%.*e", precision, x);
        if (strtod(text, NULL) == x)
            break;
    }
}

/* A score as Hugging Face's library understands its decimal digits: as a whole number, rounded,
 * divided by a power of ten, rounded again. The last bit decides between two paths of the same
 * pieces in another order. The digits are the fewest that give the number, as every writer puts
 * them. */
static double as_theirs(double x)
{
    char text[64], digits[32];
    size_t n = 0;
    unigram_score_text(x < 0 ? -x : x, text);
    for (const char *p = text; *p && *p != 'e'; p++)
        if (*p != '.' && n < sizeof digits - 1)
            digits[n++] = *p;
    while (n > 1 && digits[n - 1] == '0')
        n--;
    digits[n] = 0;
    const char *e = strchr(text, 'e');
    long exponent = (e ? strtol(e + 1, NULL, 10) : 0) - (long)(n - 1);
    if (exponent >= 0 || exponent < -300)
        return x;
    snprintf(text, sizeof text, "1e%ld", -exponent);
    double y = (double)strtoull(digits, NULL, 10) / strtod(text, NULL);
    return x < 0 ? -y : y;
}

void unigram_prepare(struct tokenizer *t)
{
    double worst = 0;
    bool any = false;
    trie_init(&t->pieces);
    t->weights = mem_alloc(t->n_tokens, sizeof *t->weights);
    for (size_t i = 0; i < t->n_tokens; i++) {
        const struct token *token = &t->tokens[i];
        t->weights[i] = t->one_precision ? t->scores[i] : as_theirs(t->scores[i]);
        bool outside = token->flags & OUTSIDE;
        bool piece = t->one_precision
                         ? token->kind == TOKEN_NORMAL || token->kind == TOKEN_USER_DEFINED
                         : !outside && token->kind != TOKEN_UNUSED;
        if (!piece || !token->n_text)
            continue;
        trie_add(&t->pieces, t->text.data + token->text, token->n_text, (int32_t)i);
        bool counts = !t->one_precision || token->kind == TOKEN_NORMAL;
        if (counts && (!any || t->weights[i] < worst))
            worst = t->weights[i];
        any |= counts;
    }
    t->unknown_score = t->one_precision ? (float)worst - 10.0f : worst - 10.0;
}

/* SentencePiece keeps sums in f32 but compares a new one, of a piece, before it is rounded: where
 * two paths tie, that decides. */
static void offer(const struct tokenizer *t, struct lattice_node *node, double score, uint32_t from,
                  int32_t id)
{
    if (node->from != NOWHERE && score <= node->score)
        return;
    node->score = t->one_precision ? (double)(float)score : score;
    node->from = from;
    node->id = id;
}

static void fill(const struct tokenizer *t, struct lattice_node *nodes, const char *p, size_t n)
{
    for (size_t i = 0; i <= n; i++)
        nodes[i] = (struct lattice_node){0, NOWHERE, NOWHERE, TOKEN_NONE};
    for (size_t i = 0, size; i < n; i += size) {
        double here = nodes[i].score;
        bool single = false;
        size = sp_char_size(p + i, n - i);
        uint32_t at = TRIE_ROOT;
        for (size_t k = i; k < n && (at = trie_step(&t->pieces, at, (unsigned char)p[k]));) {
            int32_t id = t->pieces.values[at];
            k++;
            if (id == TRIE_NONE)
                continue;
            offer(t, &nodes[k], t->weights[id] + here, (uint32_t)i, id);
            single |= k == i + size;
        }
        double unknown = t->unknown_score + here;
        if (!single)
            offer(t, &nodes[i + size], t->one_precision ? (double)(float)unknown : unknown,
                  (uint32_t)i, t->unknown);
    }
}

static void put_unknown(const struct tokenizer *t, const char *p, size_t n, struct tokens *out)
{
    int32_t id = t->one_precision ? TOKEN_NONE : tokenizer_find(t, p, n);
    if (id != TOKEN_NONE && !(t->tokens[id].flags & OUTSIDE)) { /* "<unk>" written out, say */
        tokens_push(out, id);
        return;
    }
    bool known = t->byte_fallback;
    for (size_t i = 0; known && i < n; i++)
        known = t->byte_id[(unsigned char)p[i]] != TOKEN_NONE;
    if (!known)
        tokens_push(out, t->unknown);
    for (size_t i = 0; known && i < n; i++)
        tokens_push(out, t->byte_id[(unsigned char)p[i]]);
}

void unigram_encode(const struct tokenizer *t, struct lattice *l, const char *p, size_t n,
                    struct tokens *out)
{
    if (l->capacity <= n) {
        l->capacity = n < 1024 ? 1024 : n + 1;
        l->nodes = mem_resize(l->nodes, l->capacity, sizeof *l->nodes);
    }
    struct lattice_node *nodes = l->nodes;
    fill(t, nodes, p, n);
    for (size_t end = n; end > 0; end = nodes[end].from)
        nodes[nodes[end].from].to = (uint32_t)end;
    for (size_t i = 0; i < n;) {
        size_t end = nodes[i].to, start = i;
        int32_t id = nodes[end].id;
        for (i = end; id == t->unknown && i < n && nodes[nodes[i].to].id == id;)
            i = nodes[i].to;
        if (id == t->unknown)
            put_unknown(t, p + start, i - start, out);
        else
            tokens_push(out, id);
    }
}
