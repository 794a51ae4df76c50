/* One vocabulary in another's tokens, and distributions with it. */
#include "base/check.h"
#include "base/memory.h"
#include "distill/align.h"
#include "grammar/token_trie.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- the vocabulary --- */

static size_t bytes_of(const struct token_trie *t, int32_t id, const char **bytes)
{
    *bytes = t->bytes + t->offsets[id];
    return t->offsets[id + 1] - t->offsets[id];
}

/* The student's token of these bytes, or TOKEN_NONE. Of several (SentencePiece's letter and its byte) the one that
 * encoding prefers. `n_ids`: how many the trie has in byte order. */
static int32_t find_token(const struct token_trie *trie, size_t n_ids, const struct tokenizer *t, const char *bytes, size_t n)
{
    size_t low = 0, high = n_ids;
    while (low < high) {
        const char *other;
        size_t middle = low + (high - low) / 2, m = bytes_of(trie, trie->ids[middle], &other);
        int order = memcmp(other, bytes, m < n ? m : n);
        if (order < 0 || (order == 0 && m < n))
            low = middle + 1;
        else
            high = middle;
    }
    int32_t found = TOKEN_NONE;
    for (; low < n_ids; low++) {
        const char *other;
        size_t m = bytes_of(trie, trie->ids[low], &other);
        if (m != n || memcmp(other, bytes, n) != 0)
            break;
        const char *kind = tokenizer_kind(t, trie->ids[low]);
        if (strcmp(kind, "byte") != 0 && strcmp(kind, "unused") != 0)
            return trie->ids[low];
        if (found == TOKEN_NONE && strcmp(kind, "byte") == 0)
            found = trie->ids[low];
    }
    return found;
}

/* The first token of what the tokenizer makes of the bytes, or where that is no beginning of them (a space was put in
 * front, or they were normalised) the longest that is. */
static int32_t find_first(const struct token_trie *trie, size_t n_ids, const struct tokenizer *t, const char *bytes, size_t n,
                          struct tokens *ids)
{
    ids->count = 0;
    tokenizer_encode(t, bytes, n, false, ids);
    if (ids->count > 0 && (size_t)ids->ids[0] < trie->n_tokens) {
        const char *first;
        size_t m = bytes_of(trie, ids->ids[0], &first);
        if (m > 0 && m <= n && memcmp(first, bytes, m) == 0)
            return ids->ids[0];
    }
    int32_t found = TOKEN_NONE;
    for (size_t m = n; m > 0 && found == TOKEN_NONE; m--)
        found = find_token(trie, n_ids, t, bytes, m);
    return found;
}

static int32_t find_special(const struct tokenizer *teacher, const struct tokenizer *student, int32_t id)
{
    size_t n;
    const char *name = tokenizer_token(teacher, id, &n);
    int32_t same = tokenizer_find(student, name, n);
    if (same != TOKEN_NONE && (tokenizer_is_special(student, same) || tokenizer_is_end(student, same)))
        return same;
    if (tokenizer_is_end(teacher, id))
        return tokenizer_eos(student);
    return id == tokenizer_bos(teacher) ? tokenizer_bos(student) : TOKEN_NONE;
}

static size_t *lengths(const struct token_trie *trie, size_t n)
{
    size_t *l = mem_zero(n, sizeof *l);
    for (size_t i = 0; i < n && i < trie->n_tokens; i++)
        l[i] = trie->offsets[i + 1] - trie->offsets[i];
    return l;
}

/* Tokens in byte order; those that are longer than the trie is deep are not among them, but have bytes. */
static size_t count_ids(const struct token_trie *trie)
{
    return trie->nodes[trie->n_nodes].first;
}

static void map_token(struct token_map *m, const struct token_trie *from, const struct token_trie *to,
                      const struct tokenizer *teacher, const struct tokenizer *student, int32_t id, struct tokens *ids)
{
    const char *bytes;
    size_t n = bytes_of(from, id, &bytes), n_ids = count_ids(to);
    int32_t found = TOKEN_NONE;
    m->match[id] = MATCH_EXACT;
    if (tokenizer_is_special(teacher, id) || tokenizer_is_end(teacher, id))
        found = find_special(teacher, student, id);
    else if (n > 0 && strcmp(tokenizer_kind(teacher, id), "unused") != 0)
        found = find_token(to, n_ids, student, bytes, n);
    if (found == TOKEN_NONE && n > 0) {
        found = find_first(to, n_ids, student, bytes, n, ids);
        m->match[id] = MATCH_FIRST;
    }
    if (found == TOKEN_NONE || (size_t)found >= m->v) {
        found = TOKEN_NONE;
        m->match[id] = MATCH_NONE;
    }
    m->ids[id] = found;
}

void token_map_init(struct token_map *m, const struct tokenizer *teacher, size_t n, const struct tokenizer *student,
                    size_t v)
{
    struct token_trie *from = token_trie_new(teacher, n), *to = token_trie_new(student, v);
    struct tokens ids = {0};
    *m = (struct token_map){.n = n, .v = v, .ids = mem_alloc(n, sizeof *m->ids), .match = mem_zero(n, sizeof *m->match),
                            .teacher_bytes = lengths(from, n), .student_bytes = lengths(to, v),
                            .sums = mem_zero(v, sizeof *m->sums), .found = mem_alloc(v, sizeof *m->found)};
    for (size_t i = 0; i < n; i++)
        m->ids[i] = TOKEN_NONE;
    for (size_t i = 0; i < from->n_tokens; i++)
        map_token(m, from, to, teacher, student, (int32_t)i, &ids);
    tokens_free(&ids);
    token_trie_free(from);
    token_trie_free(to);
}

void token_map_free(struct token_map *m)
{
    mem_free(m->ids);
    mem_free(m->match);
    mem_free(m->teacher_bytes);
    mem_free(m->student_bytes);
    mem_free(m->sums);
    mem_free(m->found);
    *m = (struct token_map){0};
}

/* --- distributions --- */

#define LEAST 1e-300 /* of an entry: what a sum must be to tell that it is there */

/* Adds probability p of a teacher's token to the student's; what has no place is returned. */
static double add(struct token_map *m, size_t id, double p, size_t *n_found)
{
    int32_t to = m->ids[id];
    if (to == TOKEN_NONE)
        return p;
    if (m->sums[to] == 0)
        m->found[(*n_found)++] = to;
    m->sums[to] += fmax(p, LEAST);
    return 0;
}

static int ascending(const void *a, const void *b)
{
    int32_t i = *(const int32_t *)a, j = *(const int32_t *)b;
    return i < j ? -1 : i > j;
}

static void sort_found(struct token_map *m, size_t n)
{
    if (n < m->v / 16) {
        qsort(m->found, n, sizeof *m->found, ascending);
        return;
    }
    size_t k = 0;
    for (size_t i = 0; i < m->v; i++)
        if (m->sums[i] > 0)
            m->found[k++] = (int32_t)i;
}

static float log_of(double p)
{
    return p < 1 ? (float)log(p) : 0; /* what is in f16 may sum to a little more */
}

/* Writes what was found behind the entries that are there, which are not more than were read. */
static size_t write_row(struct token_map *m, size_t n_found, int32_t target, struct dump_rows *rows, size_t row, size_t at)
{
    if (n_found == 0) {
        rows->ids[at] = target;
        rows->log_probs[at] = 0;
        rows->log_tail[row] = -INFINITY;
        return at + 1;
    }
    sort_found(m, n_found);
    for (size_t i = 0; i < n_found; i++, at++) {
        rows->ids[at] = m->found[i];
        rows->log_probs[at] = log_of(m->sums[m->found[i]]);
        m->sums[m->found[i]] = 0;
    }
    return at;
}

static double add_dense(struct token_map *m, const float *logits, double temperature, size_t *n_found)
{
    double lost = 0;
    for (size_t j = 0; j < m->n; j++)
        if (!isinf(logits[j]))
            lost += add(m, j, exp((double)logits[j] / temperature), n_found);
    return lost;
}

void token_map_rows(struct token_map *m, const int32_t *targets, size_t n, struct dump_rows *rows, struct soft_targets *t)
{
    bool dense = t->logits != NULL;
    size_t at = 0, from = 0;
    CHECK(t->v == m->n && !t->sampled);
    for (size_t i = 0; i < n; i++) {
        size_t n_found = 0;
        double lost = 0;
        if (dense) {
            rows->begin[i] = at;
            rows->log_tail[i] = -INFINITY;
            lost = add_dense(m, rows->log_probs + i * t->v, (double)t->source_temperature, &n_found);
        } else {
            size_t end = rows->begin[i + 1];
            for (; from < end; from++)
                lost += add(m, (size_t)rows->ids[from], exp((double)rows->log_probs[from]), &n_found);
        }
        if (lost > 0)
            rows->log_tail[i] = log_of(exp((double)rows->log_tail[i]) + lost);
        at = write_row(m, n_found, targets[i], rows, i, at);
        rows->begin[i + 1] = at;
    }
    *t = (struct soft_targets){.v = m->v, .begin = rows->begin, .ids = rows->ids, .log_probs = rows->log_probs,
                               .log_tail = rows->log_tail, .source_temperature = t->source_temperature};
}
