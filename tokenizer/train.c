#include "tokenizer/train.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/memory.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/split.h"
#include "tokenizer/train_internal.h"
#include "tokenizer/unicode.h"

#include <omp.h>
#include <string.h>

enum {
    PIECE = 1 << 15,    /* bytes of one unit of parallel work */
    WORD_MAX = 1 << 30, /* longer words are cut */
};

struct tokenizer_trainer {
    struct tokenizer_settings settings; /* without the special tokens, which are in `vocabulary` */
    struct tokenizer *vocabulary;
    struct word_table *tables; /* one a thread */
};

void word_table_free(struct word_table *w)
{
    mem_free(w->words);
    mem_free(w->slots);
    buffer_free(&w->bytes);
    *w = (struct word_table){0};
}

static void table_grow(struct word_table *w)
{
    if (w->n_words * 2 < w->size)
        return;
    mem_free(w->slots);
    w->size = w->size ? w->size * 2 : 4096;
    CHECK(w->size <= (size_t)1 << 32);
    w->slots = mem_zero(w->size, sizeof *w->slots);
    for (size_t i = 0; i < w->n_words; i++) {
        size_t k = w->words[i].tag & (w->size - 1);
        while (w->slots[k])
            k = (k + 1) & (w->size - 1);
        w->slots[k] = (uint32_t)i + 1;
    }
}

static void table_add(struct word_table *w, const char *p, size_t n, uint64_t count)
{
    table_grow(w);
    uint32_t tag = (uint32_t)(hash64(p, n, 0) >> 32);
    size_t k = tag & (w->size - 1);
    for (; w->slots[k]; k = (k + 1) & (w->size - 1)) {
        struct counted_word *word = &w->words[w->slots[k] - 1];
        if (word->tag == tag && word->size == n &&
            memcmp(w->bytes.data + word->offset, p, n) == 0) {
            word->count += count;
            return;
        }
    }
    void *words = w->words;
    mem_grow(&words, &w->words_capacity, w->n_words, sizeof *w->words);
    w->words = words;
    w->words[w->n_words] = (struct counted_word){w->bytes.size, (uint32_t)n, tag, count};
    buffer_append(&w->bytes, p, n);
    w->slots[k] = (uint32_t)++w->n_words;
}

static int check_settings(const struct tokenizer_settings *s, struct error *e)
{
    size_t least = 256 + s->n_special_tokens;
    if (s->splitter == SPLITTER_NONE || s->splitter == SPLITTER_GENERAL)
        return error_set(e, ERR_USAGE,
                         "the splitter must be gpt2, llama3, qwen2, smollm or bytes: training "
                         "makes byte-level vocabularies");
    if (s->vocab_size < least && !(s->splitter == SPLITTER_BYTES && s->vocab_size == 0))
        return error_set(e, ERR_USAGE,
                         "vocab_size %zu is too small: 256 bytes and %zu special tokens need %zu",
                         s->vocab_size, s->n_special_tokens, least);
    if (s->vocab_size > INT32_MAX)
        return error_set(e, ERR_USAGE, "vocab_size %zu is too large: at most %d", s->vocab_size,
                         INT32_MAX);
    return OK;
}

static int add_specials(struct tokenizer *t, const char *const *texts, size_t n, struct error *e)
{
    for (size_t i = 0; i < n; i++) {
        size_t size = strlen(texts[i]), one;
        if (size == 0 || !utf8_valid(texts[i], size))
            return error_set(e, ERR_USAGE, "special token %zu is %s", i + 1,
                             size ? "not valid UTF-8" : "empty");
        if (byte_alphabet_decode(texts[i], size, &one) >= 0 && one == size)
            return error_set(e, ERR_USAGE,
                             "special token \"%s\" is a single character that stands for a byte; "
                             "use a longer one, such as \"<|endoftext|>\"",
                             texts[i]);
        if (tokenizer_add(t, texts[i], size, TOKEN_CONTROL) == TOKEN_NONE)
            return error_set(e, ERR_USAGE, "special token \"%s\" is given twice", texts[i]);
    }
    return OK;
}

static void add_alphabet(struct tokenizer *t)
{
    unsigned char order[256];
    byte_alphabet_sorted(order);
    for (int i = 0; i < 256; i++) {
        char text[2];
        size_t n =
            byte_alphabet_encode(t->splitter == SPLITTER_BYTES ? (unsigned char)i : order[i], text);
        CHECK(tokenizer_add(t, text, n, TOKEN_NORMAL) != TOKEN_NONE);
    }
}

/* Special tokens first, then the bytes by the code points of their characters, as Hugging Face
 * orders them; but in a bytes vocabulary the id is the byte, so the specials follow. */
static int start_vocabulary(struct tokenizer *t, const char *const *specials, size_t n,
                            struct error *e)
{
    if (t->splitter == SPLITTER_BYTES)
        add_alphabet(t);
    int code = add_specials(t, specials, n, e);
    if (code)
        return code;
    if (t->splitter != SPLITTER_BYTES)
        add_alphabet(t);
    if (n)
        t->bos = t->eos = tokenizer_find(t, specials[0], strlen(specials[0]));
    return OK;
}

int tokenizer_new_bytes(const char *const *special_tokens, size_t n_special_tokens,
                        struct tokenizer **out, struct error *e)
{
    struct tokenizer *t = tokenizer_new(SPLITTER_BYTES);
    int code = start_vocabulary(t, special_tokens, n_special_tokens, e);
    if (!code)
        code = tokenizer_ready(t, e);
    if (code) {
        tokenizer_free(t);
        t = NULL;
    }
    *out = t;
    return code;
}

int tokenizer_trainer_new(const struct tokenizer_settings *s, struct tokenizer_trainer **out,
                          struct error *e)
{
    *out = NULL;
    int code = check_settings(s, e);
    if (code)
        return code;
    unicode_init();
    struct tokenizer_trainer *t = mem_zero(1, sizeof *t);
    t->settings = *s;
    t->settings.special_tokens = NULL;
    if (t->settings.threads < 1)
        t->settings.threads = 1;
    t->tables = mem_zero((size_t)t->settings.threads, sizeof *t->tables);
    t->vocabulary = tokenizer_new(s->splitter);
    code = start_vocabulary(t->vocabulary, s->special_tokens, s->n_special_tokens, e);
    if (!code)
        code = tokenizer_byte_ids(t->vocabulary, e);
    if (code)
        tokenizer_trainer_free(t);
    else
        *out = t;
    return code;
}

void tokenizer_trainer_free(struct tokenizer_trainer *t)
{
    if (!t)
        return;
    for (int i = 0; i < t->settings.threads; i++)
        word_table_free(&t->tables[i]);
    mem_free(t->tables);
    tokenizer_free(t->vocabulary);
    mem_free(t);
}

struct piece { /* words that start in [start, stop) of a text that goes on to `end` */
    size_t start, stop, end;
};

static void count_piece(enum splitter splitter, struct word_table *table, const char *bytes,
                        const struct piece *p)
{
    for (size_t at = p->start; at < p->stop;) {
        size_t n = split_next(splitter, (const unsigned char *)bytes + at, p->end - at);
        if (n > WORD_MAX)
            n = WORD_MAX;
        table_add(table, bytes + at, n, 1);
        at += n;
    }
}

void tokenizer_trainer_feed(struct tokenizer_trainer *t, const char *bytes, const size_t *offsets,
                            size_t n_texts)
{
    if (t->settings.splitter == SPLITTER_BYTES)
        return;
    struct piece *pieces = NULL;
    size_t n = 0, capacity = 0;
    for (size_t i = 0; i < n_texts; i++) {
        const unsigned char *text = (const unsigned char *)bytes + offsets[i];
        size_t size = offsets[i + 1] - offsets[i];
        for (size_t start = 0, stop; start < size; start = stop) {
            stop = size - start <= PIECE ? size : split_safe_cut(text, size, start + PIECE);
            void *p = pieces;
            mem_grow(&p, &capacity, n, sizeof *pieces);
            pieces = p;
            pieces[n++] = (struct piece){offsets[i] + start, offsets[i] + stop, offsets[i + 1]};
        }
    }
#pragma omp parallel for schedule(dynamic, 4) num_threads(t->settings.threads)
    for (size_t i = 0; i < n; i++)
        count_piece(t->settings.splitter, &t->tables[omp_get_thread_num()], bytes, &pieces[i]);
    mem_free(pieces);
}

int tokenizer_trainer_finish(struct tokenizer_trainer *t, struct tokenizer **out, struct error *e)
{
    *out = NULL;
    struct word_table *all = &t->tables[0];
    const struct tokenizer_settings *s = &t->settings;
    for (int i = 1; i < s->threads; i++) {
        struct word_table *w = &t->tables[i];
        for (size_t k = 0; k < w->n_words; k++)
            table_add(all, w->bytes.data + w->words[k].offset, w->words[k].size, w->words[k].count);
        word_table_free(w);
    }
    if (s->splitter != SPLITTER_BYTES) {
        if (all->n_words == 0)
            return error_set(e, ERR_FORMAT, "there is no text to train a tokenizer on");
        train_merges(t->vocabulary, all, s->vocab_size, s->min_frequency, s->progress);
    }
    /* llama.cpp takes whole words first wherever it meets this splitter; say so, for the rare word
     * where it makes a difference, so that every client encodes alike. */
    t->vocabulary->ignore_merges = s->splitter == SPLITTER_LLAMA3;
    int code = tokenizer_ready(t->vocabulary, e);
    if (!code) {
        *out = t->vocabulary;
        t->vocabulary = NULL;
    }
    return code;
}
