/* The merge loop of BPE training.
 *
 * A pair's count and the words that hold it change only where a merge touched them, so each merge
 * costs as much as the words it changes. The order of merges is Hugging Face's, including two
 * habits that decide ranks when different merges spell the same token: a pair keeps the count of
 * its merged occurrences, and occurrences found at different steps wait in the queue as entries of
 * their own. A pair that is merged twice keeps its last rank. */
#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "tokenizer/train_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry { /* a pair in the queue, and words where it was found */
    uint64_t pair;
    int64_t count;
    uint32_t born; /* the step that found it */
    uint32_t n;
    union {
        uint32_t one; /* n == 1 */
        uint32_t *many;
    } words;
};

struct pair_count {
    uint64_t key;
    int64_t count;
};

struct neighbour { /* what one merge did beside one symbol */
    int64_t count; /* occurrences lost with the old symbol and won with the new one */
    uint32_t n;    /* words; 0 when not touched */
    union {
        uint32_t last;   /* the last word noted */
        uint32_t offset; /* once sorted: where its words are in `sorted` */
    };
};

struct side {             /* left or right of the merged pair */
    struct neighbour *of; /* by symbol */
    int32_t *touched;
    size_t n_touched;
    struct note {
        int32_t symbol;
        uint32_t word;
    } * notes;
    size_t n_notes, notes_capacity;
    uint32_t *sorted; /* the notes' words, by symbol */
    size_t sorted_capacity;
};

struct pair_table { /* open addressing */
    struct pair_count *slots;
    size_t size, used;
};

/* Counts are spread over so many tables: while one grows, only its own counts are there twice. */
enum { PAIR_TABLES = 64 };

struct merger {
    struct tokenizer *t;
    struct counted_word *words; /* offset and size are in `symbols` */
    size_t n_words;
    int32_t *symbols; /* of all words, in their order */
    size_t n_symbols, symbols_size;
    struct pair_table pairs[PAIR_TABLES];
    struct entry *queue;
    size_t n_queue, queue_capacity;
    struct side left, right;
};

/* Where `key` is, or the free slot where it belongs. A table has any size: its slot is the hash as
 * a fraction of 2^32. */
static struct pair_count *pair_slot(const struct pair_table *t, uint64_t key)
{
    size_t i = (pair_mix(key) >> 32) * t->size >> 32;
    while (t->slots[i].key != key && t->slots[i].key != PAIR_EMPTY)
        if (++i == t->size)
            i = 0;
    return &t->slots[i];
}

static size_t table_of(uint64_t key)
{
    return pair_mix(key) % PAIR_TABLES;
}

/* Makes room. Pairs that are gone, often a third, are left behind: without a slot they still count
 * as 0. Two thirds full then, and four fifths before the next time: half full was no faster. */
static void pairs_grow(struct pair_table *t)
{
    struct pair_table old = *t;
    t->used = 0;
    for (size_t i = 0; i < old.size; i++)
        t->used += old.slots[i].count != 0;
    t->size = t->used < 256 ? 512 : t->used * 3 / 2;
    t->slots = mem_alloc(t->size, sizeof *t->slots);
    for (size_t i = 0; i < t->size; i++)
        t->slots[i] = (struct pair_count){PAIR_EMPTY, 0};
    for (size_t i = 0; i < old.size; i++)
        if (old.slots[i].count != 0)
            *pair_slot(t, old.slots[i].key) = old.slots[i];
    mem_free(old.slots);
}

static void pair_add(struct merger *m, uint64_t key, int64_t change)
{
    struct pair_table *t = &m->pairs[table_of(key)];
    if (t->used * 5 >= t->size * 4)
        pairs_grow(t);
    struct pair_count *p = pair_slot(t, key);
    if (p->key != key) {
        *p = (struct pair_count){key, 0};
        t->used++;
    }
    p->count += change;
}

static int64_t pair_count(const struct merger *m, uint64_t key)
{
    const struct pair_count *p = pair_slot(&m->pairs[table_of(key)], key);
    return p->key == key ? p->count : 0;
}

/* The most frequent pair first; of equals the one with the smaller ids, then the oldest entry. */
static bool comes_before(const struct entry *a, const struct entry *b)
{
    if (a->count != b->count)
        return a->count > b->count;
    if (a->pair != b->pair)
        return a->pair < b->pair;
    return a->born < b->born;
}

static void queue_sink(struct merger *m, size_t i, struct entry x)
{
    for (size_t child; (child = 2 * i + 1) < m->n_queue; i = child) {
        if (child + 1 < m->n_queue && comes_before(&m->queue[child + 1], &m->queue[child]))
            child++;
        if (!comes_before(&m->queue[child], &x))
            break;
        m->queue[i] = m->queue[child];
    }
    m->queue[i] = x;
}

static void queue_push(struct merger *m, struct entry x)
{
    void *queue = m->queue;
    mem_grow(&queue, &m->queue_capacity, m->n_queue, sizeof *m->queue);
    m->queue = queue;
    size_t i = m->n_queue++;
    for (; i > 0 && comes_before(&x, &m->queue[(i - 1) / 2]); i = (i - 1) / 2)
        m->queue[i] = m->queue[(i - 1) / 2];
    m->queue[i] = x;
}

static void queue_pop(struct merger *m)
{
    struct entry last = m->queue[--m->n_queue];
    if (m->n_queue)
        queue_sink(m, 0, last);
}

/* Copies the words. */
static struct entry new_entry(const struct merger *m, uint64_t pair, const uint32_t *words,
                              uint32_t n)
{
    struct entry x = {
        .pair = pair, .count = pair_count(m, pair), .born = (uint32_t)m->t->n_merges, .n = n};
    if (n == 1) {
        x.words.one = words[0];
    } else {
        x.words.many = mem_alloc(n, sizeof *x.words.many);
        memcpy(x.words.many, words, n * sizeof *words);
    }
    return x;
}

/* Takes the words over; their bytes become symbols. */
static void load_words(struct merger *m, struct word_table *w)
{
    CHECK(w->n_words < UINT32_MAX);
    m->n_words = w->n_words;
    m->words = mem_resize(w->words, w->n_words, sizeof *w->words);
    w->words = NULL;
    mem_free(w->slots);
    w->slots = NULL;
    m->n_symbols = m->symbols_size = w->bytes.size;
    m->symbols = mem_alloc(m->n_symbols, sizeof *m->symbols);
    for (size_t i = 0; i < m->n_symbols; i++)
        m->symbols[i] = m->t->byte_id[(unsigned char)w->bytes.data[i]];
    word_table_free(w);
}

/* Gives memory back once merges have halved what it holds, before others need it. */
static void pack_words(struct merger *m)
{
    size_t to = 0;
    if (m->n_symbols * 2 > m->symbols_size)
        return;
    for (size_t i = 0; i < m->n_words; i++) {
        struct counted_word *w = &m->words[i];
        memmove(m->symbols + to, m->symbols + w->offset, w->size * sizeof *m->symbols);
        w->offset = to;
        to += w->size;
    }
    m->symbols_size = m->n_symbols;
    m->symbols = mem_resize(m->symbols, m->symbols_size, sizeof *m->symbols);
}

/* All pairs are pairs of bytes at first: a square table, indexed by symbol less the first one. */
struct first_pair {
    int64_t count;
    uint32_t n, last; /* words that hold it, and the last of them, + 1 */
    uint32_t *words;
};

enum { SQUARE = 256 * 256 };

/* The first pass counts, the second (with `words` allocated) lists. */
static void visit_first_pairs(struct merger *m, struct first_pair *table, int32_t base, bool list)
{
    for (uint32_t w = 0; w < m->n_words; w++) {
        const struct counted_word *word = &m->words[w];
        const int32_t *s = m->symbols + word->offset;
        for (uint32_t i = 0; i + 1 < word->size; i++) {
            struct first_pair *p = &table[(s[i] - base) * 256 + s[i + 1] - base];
            if (!list)
                p->count += (int64_t)word->count;
            if (p->last == w + 1)
                continue;
            p->last = w + 1;
            if (list)
                p->words[p->n] = w;
            p->n++;
        }
    }
}

static void first_entries(struct merger *m)
{
    int32_t base = m->t->byte_id[0];
    for (int i = 0; i < 256; i++)
        base = m->t->byte_id[i] < base ? m->t->byte_id[i] : base;
    struct first_pair *table = mem_zero(SQUARE, sizeof *table);
    visit_first_pairs(m, table, base, false);
    for (size_t k = 0; k < SQUARE; k++) {
        if (table[k].n)
            table[k].words = mem_alloc(table[k].n, sizeof *table[k].words);
        table[k].n = table[k].last = 0;
    }
    visit_first_pairs(m, table, base, true);
    for (int32_t k = 0; k < SQUARE; k++) {
        struct first_pair *p = &table[k];
        if (!p->n)
            continue;
        struct entry x = {
            .pair = pair_key(base + k / 256, base + k % 256), .count = p->count, .n = p->n};
        pair_add(m, x.pair, p->count);
        if (p->n == 1) {
            x.words.one = p->words[0];
            mem_free(p->words);
        } else {
            x.words.many = p->words;
        }
        queue_push(m, x);
    }
    mem_free(table);
}

static void note(struct side *side, int32_t symbol, uint32_t word, int64_t count)
{
    struct neighbour *s = &side->of[symbol];
    if (!s->n)
        side->touched[side->n_touched++] = symbol;
    s->count += count;
    if (s->n && s->last == word)
        return;
    s->last = word;
    s->n++;
    void *notes = side->notes;
    mem_grow(&notes, &side->notes_capacity, side->n_notes, sizeof *side->notes);
    side->notes = notes;
    side->notes[side->n_notes++] = (struct note){symbol, word};
}

static void merge_word(struct merger *m, uint32_t w, int32_t a, int32_t b, int32_t merged)
{
    struct counted_word *word = &m->words[w];
    int32_t *s = m->symbols + word->offset;
    uint32_t n = word->size, j = 0, i = 0;
    while (i < n) {
        if (s[i] != a || i + 1 == n || s[i + 1] != b) {
            s[j++] = s[i++];
            continue;
        }
        if (j > 0)
            note(&m->left, s[j - 1], w, (int64_t)word->count);
        s[j++] = merged;
        i += 2;
        if (i < n)
            note(&m->right, s[i], w, (int64_t)word->count);
    }
    m->n_symbols -= n - j;
    word->size = j;
}

/* Groups the notes by symbol, keeping their order (counting sort). */
static void sort_notes(struct side *side)
{
    if (side->n_notes > side->sorted_capacity) {
        side->sorted_capacity = side->n_notes * 2;
        side->sorted = mem_resize(side->sorted, side->sorted_capacity, sizeof *side->sorted);
    }
    CHECK(side->n_notes <= UINT32_MAX);
    uint32_t offset = 0;
    for (size_t i = 0; i < side->n_touched; i++) {
        struct neighbour *s = &side->of[side->touched[i]];
        s->offset = offset;
        offset += s->n;
        s->n = 0;
    }
    for (size_t i = 0; i < side->n_notes; i++) {
        struct neighbour *s = &side->of[side->notes[i].symbol];
        side->sorted[s->offset + s->n++] = side->notes[i].word;
    }
}

static void forget_notes(struct side *side)
{
    for (size_t i = 0; i < side->n_touched; i++)
        side->of[side->touched[i]] = (struct neighbour){0};
    side->n_touched = side->n_notes = 0;
}

static void push_if_seen(struct merger *m, uint64_t pair, const uint32_t *words, uint32_t n)
{
    if (pair_count(m, pair) > 0)
        queue_push(m, new_entry(m, pair, words, n));
}

/* The pairs with the new symbol. When it also existed before, it may find itself on both sides;
 * that pair is one entry with the words of both. */
static void push_new_pairs(struct merger *m, int32_t merged)
{
    struct side *l = &m->left, *r = &m->right;
    bool both = l->of[merged].n && r->of[merged].n;
    for (size_t i = 0; i < l->n_touched; i++) {
        int32_t symbol = l->touched[i];
        const struct neighbour *s = &l->of[symbol];
        if (!(both && symbol == merged))
            push_if_seen(m, pair_key(symbol, merged), l->sorted + s->offset, s->n);
    }
    for (size_t i = 0; i < r->n_touched; i++) {
        int32_t symbol = r->touched[i];
        const struct neighbour *s = &r->of[symbol];
        if (!(both && symbol == merged))
            push_if_seen(m, pair_key(merged, symbol), r->sorted + s->offset, s->n);
    }
    if (!both)
        return;
    const struct neighbour *x = &l->of[merged], *y = &r->of[merged];
    uint32_t *words = mem_alloc((size_t)x->n + y->n, sizeof *words);
    memcpy(words, l->sorted + x->offset, x->n * sizeof *words);
    memcpy(words + x->n, r->sorted + y->offset, y->n * sizeof *words);
    push_if_seen(m, pair_key(merged, merged), words, x->n + y->n);
    mem_free(words);
}

static void apply_merge(struct merger *m, const struct entry *x, int32_t merged)
{
    int32_t a = (int32_t)(x->pair >> 32), b = (int32_t)x->pair;
    const uint32_t *words = x->n == 1 ? &x->words.one : x->words.many;
    for (uint32_t i = 0; i < x->n; i++)
        merge_word(m, words[i], a, b, merged);
    for (size_t i = 0; i < m->left.n_touched; i++) {
        int32_t s = m->left.touched[i];
        pair_add(m, pair_key(s, a), -m->left.of[s].count);
        pair_add(m, pair_key(s, merged), m->left.of[s].count);
    }
    for (size_t i = 0; i < m->right.n_touched; i++) {
        int32_t s = m->right.touched[i];
        pair_add(m, pair_key(b, s), -m->right.of[s].count);
        pair_add(m, pair_key(merged, s), m->right.of[s].count);
    }
    sort_notes(&m->left);
    sort_notes(&m->right);
    push_new_pairs(m, merged);
    forget_notes(&m->left);
    forget_notes(&m->right);
}

/* The token that a pair spells: a new one unless other merges spelt it already. */
static int32_t spell(struct tokenizer *t, uint64_t pair)
{
    struct token left = t->tokens[pair >> 32], right = t->tokens[(uint32_t)pair];
    size_t n = (size_t)left.n_text + right.n_text;
    char *text = mem_alloc(n, 1);
    memcpy(text, t->text.data + left.text, left.n_text);
    memcpy(text + left.n_text, t->text.data + right.text, right.n_text);
    int32_t id = tokenizer_add(t, text, n, TOKEN_NORMAL);
    if (id == TOKEN_NONE)
        id = tokenizer_find(t, text, n);
    mem_free(text);
    return id;
}

static void merge_loop(struct merger *m, size_t vocab_size, size_t min_frequency, bool show)
{
    struct progress progress;
    if (show)
        progress_start(&progress, "merge", (double)vocab_size);
    while (m->t->n_tokens < vocab_size && m->n_queue) {
        struct entry x = m->queue[0];
        int64_t now = pair_count(m, x.pair);
        if (x.count != now) {
            x.count = now;
            queue_sink(m, 0, x);
            continue;
        }
        if (x.count < 1 || (uint64_t)x.count < min_frequency)
            break;
        queue_pop(m);
        int32_t merged = spell(m->t, x.pair);
        tokenizer_add_merge(m->t, (int32_t)(x.pair >> 32), (int32_t)x.pair, merged, 0);
        apply_merge(m, &x, merged);
        if (x.n > 1)
            mem_free(x.words.many);
        pack_words(m);
        if (show)
            progress_update(&progress, (double)m->t->n_tokens, "");
    }
    if (show)
        progress_finish(&progress, "");
}

/* Leaves each pair's last merge and numbers them. The table of counts serves as the set of pairs
 * seen: what a merge merged stays in its pair's count, so that is never 0. */
static void rank_merges(struct merger *m)
{
    struct merge *merges = m->t->merges;
    size_t n = m->t->n_merges, kept = 0;
    for (size_t i = n; i-- > 0;) {
        uint64_t key = pair_key(merges[i].left, merges[i].right);
        struct pair_count *p = pair_slot(&m->pairs[table_of(key)], key);
        CHECK(p->key == key);
        merges[i].rank = p->count != INT64_MIN;
        p->count = INT64_MIN;
    }
    for (size_t i = 0; i < n; i++)
        if (merges[i].rank) {
            merges[kept] = merges[i];
            merges[kept].rank = (uint32_t)kept;
            kept++;
        }
    m->t->n_merges = kept;
}

static void side_init(struct side *side, size_t n_symbols)
{
    side->of = mem_zero(n_symbols, sizeof *side->of);
    side->touched = mem_alloc(n_symbols, sizeof *side->touched);
}

static void side_free(struct side *side)
{
    mem_free(side->of);
    mem_free(side->touched);
    mem_free(side->notes);
    mem_free(side->sorted);
}

void train_merges(struct tokenizer *t, struct word_table *words, size_t vocab_size,
                  size_t min_frequency, bool progress)
{
    struct merger m = {.t = t};
    for (size_t i = 0; i < PAIR_TABLES; i++)
        pairs_grow(&m.pairs[i]);
    load_words(&m, words);
    side_init(&m.left, vocab_size);
    side_init(&m.right, vocab_size);
    first_entries(&m);
    merge_loop(&m, vocab_size, min_frequency, progress);
    rank_merges(&m);
    for (size_t i = 0; i < m.n_queue; i++)
        if (m.queue[i].n > 1)
            mem_free(m.queue[i].words.many);
    side_free(&m.left);
    side_free(&m.right);
    mem_free(m.queue);
    for (size_t i = 0; i < PAIR_TABLES; i++)
        mem_free(m.pairs[i].slots);
    mem_free(m.symbols);
    mem_free(m.words);
}
