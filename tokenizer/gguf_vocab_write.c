/* Writing the vocabulary as GGUF metadata, tokenizer.ggml.*. */
#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "formats/gguf.h"
#include "tokenizer/gguf_pre.h"
#include "tokenizer/pipeline.h"
#include "tokenizer/sentencepiece.h"

#include <string.h>

#define KEY "tokenizer.ggml."

/* Tokens beyond the vocabulary are "[PADi]", as llama.cpp's converters call them; where that is a
 * token already, an underscore more. */
static void name_padding(const struct tokenizer *t, size_t i, struct buffer *all)
{
    size_t start = all->size;
    buffer_printf(all, "[PAD%zu]", i);
    while (tokenizer_find(t, all->data + start, all->size - start) != TOKEN_NONE)
        buffer_byte(all, '_');
}

static void put_tokens(const struct tokenizer *t, size_t n_tokens, struct gguf_writer *w)
{
    struct gguf_string *texts = mem_alloc(n_tokens, sizeof *texts);
    int32_t *kinds = mem_alloc(n_tokens, sizeof *kinds);
    struct buffer names = {0};
    size_t start = 0;
    for (size_t i = 0; i < t->n_tokens; i++) {
        texts[i] = (struct gguf_string){t->text.data + t->tokens[i].text, t->tokens[i].n_text};
        kinds[i] = t->tokens[i].kind;
    }
    for (size_t i = t->n_tokens; i < n_tokens; i++) {
        name_padding(t, i, &names);
        texts[i].size = names.size - start;
        kinds[i] = TOKEN_UNUSED;
        start = names.size;
    }
    start = 0;
    for (size_t i = t->n_tokens; i < n_tokens; start += texts[i++].size)
        texts[i].data = names.data + start;
    gguf_put_strings(w, KEY "tokens", texts, n_tokens);
    gguf_put_i32s(w, KEY "token_type", kinds, n_tokens);
    mem_free(texts);
    mem_free(kinds);
    buffer_free(&names);
}

static void put_merges(const struct tokenizer *t, struct gguf_writer *w)
{
    struct buffer all = {0};
    struct gguf_string *strings = mem_alloc(t->n_merges, sizeof *strings);
    size_t *ends = mem_alloc(t->n_merges, sizeof *ends);
    for (size_t i = 0; i < t->n_merges; i++) {
        const struct token *left = &t->tokens[t->merges[i].left],
                           *right = &t->tokens[t->merges[i].right];
        buffer_append(&all, t->text.data + left->text, left->n_text);
        buffer_byte(&all, ' ');
        buffer_append(&all, t->text.data + right->text, right->n_text);
        ends[i] = all.size;
    }
    for (size_t i = 0; i < t->n_merges; i++) {
        size_t start = i ? ends[i - 1] : 0;
        strings[i] = (struct gguf_string){all.data + start, ends[i] - start};
    }
    gguf_put_strings(w, KEY "merges", strings, t->n_merges);
    mem_free(strings);
    mem_free(ends);
    buffer_free(&all);
}

/* From merges (read from a tokenizer.json) scores follow: the earlier the merge, the higher. What
 * no merge makes is below all of them. */
static double *make_scores(const struct tokenizer *t)
{
    double *scores = mem_alloc(t->n_tokens, sizeof *scores);
    for (size_t i = 0; i < t->n_tokens; i++)
        scores[i] = t->scores                           ? t->scores[i]
                    : t->tokens[i].kind == TOKEN_NORMAL ? -(double)(t->n_merges + 1)
                                                        : 0;
    if (!t->scores)
        for (size_t i = t->n_merges; i-- > 0;)
            scores[t->merges[i].id] = -(double)i;
    return scores;
}

static void put_scores(const double *scores, size_t n, size_t n_tokens, struct gguf_writer *w)
{
    float *all = mem_alloc(n_tokens, sizeof *all);
    for (size_t i = 0; i < n_tokens;
         i++) /* -1000: as llama.cpp's converters give to what no text has */
        all[i] = i < n ? (float)scores[i] : -1000;
    gguf_put_f32s(w, KEY "scores", all, n_tokens);
    mem_free(all);
}

/* llama.cpp merges any two pieces that make a third, by the third's score alone. Vocabularies that
 * were SentencePiece's have just those merges; others lose a few. */
static void check_merges(const struct tokenizer *t, double *scores)
{
    struct tokenizer *other = tokenizer_new(SPLITTER_NONE);
    for (size_t i = 0; i < t->n_tokens; i++)
        tokenizer_add(other, t->text.data + t->tokens[i].text, t->tokens[i].n_text,
                      (enum token_kind)t->tokens[i].kind);
    other->scores = scores;
    sp_merges_from_scores(other);
    other->scores = NULL;
    bool same = true;
    for (size_t i = 0; same && i < other->n_merges; i++) {
        const struct merge *m = &other->merges[i];
        bool hidden = (size_t)m->left >= t->n_tokens || (size_t)m->right >= t->n_tokens;
        const struct pair_slot *pair = hidden ? NULL : tokenizer_pair(t, m->left, m->right);
        same = hidden || (pair && pair->id == m->id);
    }
    tokenizer_free(other);
    if (!same)
        log_warn("GGUF has no place for this vocabulary's list of merges, only for a score of each "
                 "token: a few words will be encoded differently there");
}

static void put_id(struct gguf_writer *w, const char *key, int32_t id)
{
    if (id != TOKEN_NONE)
        gguf_put_u32(w, key, (uint32_t)id);
}

/* ---- what GGUF can say of a splitter ---- */

/* What normalisation there is beside U+2581 for a space is lost. Of NFC, which Qwen's files ask
 * for, nobody speaks: text is composed as a rule. */
static void check_normalizers(const struct pipeline *p)
{
    bool more = false;
    for (size_t i = 0; p && i < p->normalizers.count; i++) {
        const struct step *s = &p->normalizers.items[i];
        if (s->kind == STEP_SENTENCEPIECE)
            more |= s->map || s->collapse;
        else if (s->kind != STEP_FORM || s->form != FORM_NFC)
            more |= s->kind != STEP_PREPEND && s->kind != STEP_REPLACE;
    }
    if (more)
        log_warn(
            "GGUF has no place for this tokenizer's normalisation: text that it would change is "
            "encoded differently there");
}

/* Whether a token has U+2581 behind its first character. */
static bool crosses_spaces(const struct tokenizer *t)
{
    for (size_t i = 0; i < t->n_merges; i++) {
        const struct token *token = &t->tokens[t->merges[i].id];
        if (token->n_text > 1 &&
            memmem(t->text.data + token->text + 1, token->n_text - 1, "\xE2\x96\x81", 3))
            return true;
    }
    return false;
}

/* Whether llama.cpp's SentencePiece code does what the steps do; *prefix: with a space in front. */
static bool is_sentencepiece(const struct tokenizer *t, bool *prefix)
{
    const struct pipeline *p = t->pipeline;
    *prefix = t->space_prefix;
    if (t->model != MODEL_BPE || !t->char_level || !t->byte_fallback || t->ignore_merges)
        return false;
    if (!p)
        return true;
    bool escapes = false;
    for (size_t i = 0; i < p->normalizers.count; i++) {
        const struct step *s = &p->normalizers.items[i];
        escapes |= s->kind == STEP_SENTENCEPIECE ||
                   (s->kind == STEP_REPLACE && s->literal && !strcmp(s->pattern, " ") &&
                    !strcmp(s->content, "\xE2\x96\x81"));
        *prefix |= s->kind == STEP_PREPEND || (s->kind == STEP_SENTENCEPIECE && s->prefix);
    }
    for (size_t i = 0; i < p->splitters.count; i++) {
        const struct step *s = &p->splitters.items[i];
        if (s->kind != STEP_METASPACE || strcmp(s->content, "\xE2\x96\x81") ||
            (s->split && crosses_spaces(t)))
            return false;
        escapes = true;
        *prefix |= s->prepend != PREPEND_NEVER;
    }
    return escapes;
}

static int put_kind(const struct tokenizer *t, struct gguf_writer *w, bool *prefix, struct error *e)
{
    if (is_sentencepiece(t, prefix)) {
        gguf_put_string(w, KEY "model", "llama");
        check_normalizers(t->pipeline);
        return OK;
    }
    const char *pre = t->char_level ? NULL : gguf_pre_name(t);
    if (!pre)
        return error_set(
            e, ERR_FORMAT,
            "no pre-tokenizer that llama.cpp knows splits text as this tokenizer does: "
            "it cannot be written to GGUF; the Hugging Face format has it all");
    check_normalizers(t->pipeline);
    gguf_put_string(w, KEY "model", "gpt2");
    gguf_put_string(w, KEY "pre", pre);
    if (t->ignore_merges && strcmp(pre, "llama-bpe") != 0 && strcmp(pre, "tekken") != 0)
        log_warn(
            "GGUF cannot say \"ignore_merges\" for this vocabulary: a few words will be encoded "
            "differently there");
    return OK;
}

/* Ends that llama.cpp does not know by name, in the two places there are. */
static void put_ends(const struct tokenizer *t, struct gguf_writer *w)
{
    static const char *const keys[] = {KEY "eot_token_id", KEY "eom_token_id"};
    size_t n = t->ends.count < 2 ? t->ends.count : 2;
    for (size_t i = 0; i < n; i++)
        put_id(w, keys[i], t->ends.ids[i]);
    if (t->ends.count > n)
        log_warn(
            "GGUF has a place for two tokens that end a text besides EOS; this tokenizer has %zu",
            t->ends.count);
}

int tokenizer_to_gguf(const struct tokenizer *t, size_t n_tokens, struct gguf_writer *w,
                      struct error *e)
{
    bool prefix = false;
    CHECK(n_tokens >= t->n_tokens);
    int code = put_kind(t, w, &prefix, e);
    if (code)
        return code;
    put_tokens(t, n_tokens, w);
    if (t->char_level) {
        double *scores = make_scores(t);
        if (!t->scores)
            check_merges(t, scores);
        put_scores(scores, t->n_tokens, n_tokens, w);
        gguf_put_bool(w, KEY "add_space_prefix", prefix);
        mem_free(scores);
    } else {
        put_merges(t, w);
    }
    /* llama.cpp takes id 11 for a missing BOS or EOS of a byte-level vocabulary. */
    put_id(w, KEY "bos_token_id", t->bos);
    put_id(w, KEY "eos_token_id", t->eos);
    put_id(w, KEY "unknown_token_id", t->unknown);
    put_id(w, KEY "padding_token_id", t->pad);
    put_ends(t, w);
    gguf_put_bool(w, KEY "add_bos_token", t->adds_bos);
    gguf_put_bool(w, KEY "add_eos_token", t->adds_eos);
    if (t->chat_template)
        gguf_put_string(w, "tokenizer.chat_template", t->chat_template);
    return OK;
}
