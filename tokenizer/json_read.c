/* tokenizer.json: the vocabulary. Which components around it are understood is in
 * json_components.c. Sizes, ids and references are checked before anything is built. */
#include "base/json.h"
#include "base/memory.h"
#include "tokenizer/json_components.h"
#include "tokenizer/sentencepiece.h"
#include "tokenizer/tokenizer_internal.h"

#include <stdio.h>
#include <string.h>

enum {
    MOST_GAPS = 4096, /* ids that no token has; conversions of real models leave some */
    MOST_TOKENS = 1 << 24,
};

struct draft {        /* a token before its id's turn has come */
    const char *text; /* NULL: no token has this id */
    size_t n;
    uint8_t kind, flags;
    double score; /* Unigram */
};

struct drafts {
    struct draft *items;
    size_t limit; /* ids are below */
    size_t count; /* highest id + 1 */
};

static int check_id(const struct drafts *d, const json_t *value, const char *what,
                    const char *token, size_t *id, struct error *e)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        (uint64_t)json_integer_value(value) >= d->limit)
        return error_set(e, ERR_FORMAT,
                         "%s: the id of \"%s\" must be a whole number below %zu (the number of "
                         "tokens and a few)",
                         what, token, d->limit);
    *id = (size_t)json_integer_value(value);
    if (*id >= d->count)
        d->items[*id].text = NULL;
    return OK;
}

static int read_vocab(const json_t *vocab, struct drafts *d, struct error *e)
{
    const char *text;
    json_t *value;
    json_object_foreach((json_t *)vocab, text, value)
    {
        size_t id = 0;
        int code = check_id(d, value, "model.vocab", text, &id, e);
        if (code)
            return code;
        if (d->items[id].text)
            return error_set(e, ERR_FORMAT, "model.vocab: \"%s\" and \"%s\" have the same id %zu",
                             d->items[id].text, text, id);
        d->items[id] = (struct draft){text, strlen(text), TOKEN_NORMAL, 0, 0};
        if (id >= d->count)
            d->count = id + 1;
    }
    return OK;
}

/* Unigram: [["piece", score], ...], a piece's id its place. */
static int read_pieces(const json_t *vocab, struct drafts *d, struct error *e)
{
    for (size_t id = 0; id < json_array_size(vocab); id++) {
        const json_t *pair = json_array_get(vocab, id), *piece = json_array_get(pair, 0),
                     *score = json_array_get(pair, 1);
        const char *text = json_string_value(piece);
        if (!text || !*text || !json_is_number(score) || strlen(text) != json_string_length(piece))
            return error_set(e, ERR_FORMAT, "model.vocab[%zu]: must be [\"piece\", score]", id);
        d->items[id] =
            (struct draft){text, strlen(text), TOKEN_NORMAL, 0, json_number_value(score)};
        d->count = id + 1;
    }
    return OK;
}

/* The flags' names and what they are here. "special" decides the kind. */
static int read_flags(const json_t *a, uint8_t *flags, bool *special, struct error *e)
{
    static const struct {
        const char *name;
        enum token_flag flag;
    } names[] = {{"lstrip", STRIP_LEFT},
                 {"rstrip", STRIP_RIGHT},
                 {"single_word", SINGLE_WORD},
                 {"normalized", NORMALIZED}};
    int code = json_get_bool(a, "special", special, e);
    *flags = 0;
    for (size_t i = 0; !code && i < sizeof names / sizeof *names; i++) {
        bool on = names[i].flag == NORMALIZED && !*special; /* the library's default */
        code = json_get_bool(a, names[i].name, &on, e);
        *flags |= on ? (uint8_t)names[i].flag : 0;
    }
    return code;
}

static int read_added_token(const json_t *a, size_t index, struct drafts *d, struct error *e)
{
    const char *content = NULL;
    bool special = false;
    uint8_t flags = 0;
    size_t id = 0;
    if (!json_is_object(a))
        return error_set(e, ERR_FORMAT, "added_tokens[%zu]: must be an object", index);
    int code = json_get_string(a, "content", &content, e);
    if (!code && (!content || !*content))
        code = error_set(e, ERR_FORMAT, "\"content\" is missing or empty");
    code = code ? code : read_flags(a, &flags, &special, e);
    if (!code && strlen(content) != json_string_length(json_object_get(a, "content")))
        code = error_set(e, ERR_FORMAT, "\"content\" holds a NUL character");
    code = code ? code : check_id(d, json_object_get(a, "id"), "\"id\"", content, &id, e);
    if (!code && d->items[id].text && strcmp(d->items[id].text, content) != 0)
        code = error_set(e, ERR_FORMAT, "\"%s\" has the id %zu of \"%s\"", content, id,
                         d->items[id].text);
    if (code) {
        error_prefix(e, "added_tokens[%zu]", index);
        return code;
    }
    struct draft *x = &d->items[id];
    uint8_t outside = x->text ? x->flags & OUTSIDE : OUTSIDE;
    *x = (struct draft){content, strlen(content), special ? TOKEN_CONTROL : TOKEN_USER_DEFINED,
                        flags | outside, x->text ? x->score : 0};
    if (id >= d->count)
        d->count = id + 1;
    return OK;
}

static bool is_byte_token(const char *text, size_t n)
{
    return n == 6 && memcmp(text, "<0x", 3) == 0 && text[5] == '>' &&
           strspn(text + 3, "0123456789ABCDEF") == 2;
}

static int add_drafts(struct tokenizer *t, const struct drafts *d, const char *unknown,
                      struct error *e)
{
    for (size_t id = 0; id < d->count; id++) {
        struct draft x = d->items[id];
        char gap[32];
        if (!x.text) {
            int n = snprintf(gap, sizeof gap, "[PAD%zu]", id);
            x = (struct draft){gap, (size_t)n, TOKEN_UNUSED, OUTSIDE, 0};
        }
        if (t->byte_fallback && x.kind == TOKEN_NORMAL && is_byte_token(x.text, x.n))
            x.kind = TOKEN_BYTE;
        bool is_unknown = t->char_level && unknown && strcmp(unknown, x.text) == 0;
        if (is_unknown && (x.kind != TOKEN_NORMAL || t->splitter == SPLITTER_NONE))
            x.kind = TOKEN_UNKNOWN;
        int32_t added = tokenizer_add(t, x.text, x.n, (enum token_kind)x.kind);
        if (added == TOKEN_NONE)
            return error_set(e, ERR_FORMAT, "token \"%s\" has two ids, %d and %zu", x.text,
                             tokenizer_find(t, x.text, x.n), id);
        t->tokens[added].flags = x.flags;
        if (t->scores)
            t->scores[id] = x.score;
        if (is_unknown)
            t->unknown = added;
    }
    if (t->char_level && unknown && t->unknown == TOKEN_NONE)
        return error_set(e, ERR_FORMAT, "model.unk_token: \"%s\" is not in the vocabulary",
                         unknown);
    return OK;
}

/* The unknown token: a string in BPE, a place in Unigram. */
static int read_unknown(const json_t *model, const struct drafts *d, const char **unknown,
                        struct error *e)
{
    if (!json_is_array(json_object_get(model, "vocab")))
        return json_get_string(model, "unk_token", unknown, e);
    size_t id = SIZE_MAX;
    int code = json_get_size(model, "unk_id", &id, e);
    if (code)
        return code;
    if (id >= d->count || !d->items[id].text)
        return error_set(e, ERR_FORMAT, "model.unk_id: must be the id of a piece");
    *unknown = d->items[id].text;
    return OK;
}

static int read_tokens(const json_t *root, const json_t *model, struct tokenizer *t,
                       struct error *e)
{
    const json_t *vocab = json_object_get(model, "vocab"),
                 *added = json_object_get(root, "added_tokens");
    bool unigram = t->model == MODEL_UNIGRAM;
    if (unigram ? !json_is_array(vocab) : !json_is_object(vocab))
        return error_set(e, ERR_FORMAT, "model.vocab: must be %s",
                         unigram ? "an array of pieces and scores" : "an object of tokens and ids");
    if (added && !json_is_null(added) && !json_is_array(added))
        return error_set(e, ERR_FORMAT, "added_tokens: must be an array");
    size_t n =
        (unigram ? json_array_size(vocab) : json_object_size(vocab)) + json_array_size(added);
    if (n > MOST_TOKENS)
        return error_set(e, ERR_FORMAT, "%zu tokens: more than the %d this program takes", n,
                         MOST_TOKENS);
    struct drafts d = {.limit = n + MOST_GAPS};
    d.items = mem_zero(d.limit, sizeof *d.items);
    const char *unknown = NULL;
    int code = unigram ? read_pieces(vocab, &d, e) : read_vocab(vocab, &d, e);
    for (size_t i = 0; !code && i < json_array_size(added); i++)
        code = read_added_token(json_array_get(added, i), i, &d, e);
    code = code ? code : read_unknown(model, &d, &unknown, e);
    if (!code && unigram)
        t->scores = mem_zero(d.count + 1, sizeof *t->scores);
    code = code ? code : add_drafts(t, &d, unknown, e);
    mem_free(d.items);
    return code;
}

/* One merge as its two halves: ["a", "b"], or in older files "a b". */
static bool merge_halves(const json_t *m, const char *half[2], size_t n[2])
{
    if (json_is_array(m) && json_array_size(m) == 2) {
        for (size_t i = 0; i < 2; i++) {
            half[i] = json_string_value(json_array_get(m, i));
            n[i] = json_string_length(json_array_get(m, i));
        }
        return half[0] && half[1] && n[0] && n[1];
    }
    const char *text = json_string_value(m), *space = text ? strchr(text, ' ') : NULL;
    if (!space || strlen(text) != json_string_length(m) || space == text || !space[1] ||
        strchr(space + 1, ' '))
        return false;
    half[0] = text;
    n[0] = (size_t)(space - text);
    half[1] = space + 1;
    n[1] = strlen(space + 1);
    return true;
}

static int read_merge(struct tokenizer *t, const json_t *m, size_t index, struct buffer *whole,
                      struct error *e)
{
    const char *half[2];
    size_t n[2];
    int32_t id[2];
    if (!merge_halves(m, half, n))
        return error_set(e, ERR_FORMAT,
                         "model.merges[%zu]: must be two tokens, [\"a\", \"b\"] or "
                         "\"a b\"",
                         index);
    buffer_clear(whole);
    for (int i = 0; i < 2; i++) {
        id[i] = tokenizer_find(t, half[i], n[i]);
        if (id[i] == TOKEN_NONE)
            return error_set(e, ERR_FORMAT, "model.merges[%zu]: \"%.*s\" is not in the vocabulary",
                             index, (int)(n[i] < 200 ? n[i] : 200), half[i]);
        buffer_append(whole, half[i], n[i]);
    }
    int32_t merged = tokenizer_find(t, whole->data, whole->size);
    if (merged == TOKEN_NONE)
        return error_set(e, ERR_FORMAT, "model.merges[%zu]: \"%.*s\" is not in the vocabulary",
                         index, (int)(whole->size < 200 ? whole->size : 200), whole->data);
    tokenizer_add_merge(t, id[0], id[1], merged, (uint32_t)index);
    return OK;
}

static int read_merges(const json_t *model, struct tokenizer *t, struct error *e)
{
    const json_t *merges = json_object_get(model, "merges");
    if (!json_is_array(merges))
        return error_set(e, ERR_FORMAT, "model.merges: must be an array");
    struct buffer whole = {0};
    int code = OK;
    for (size_t i = 0; !code && i < json_array_size(merges); i++)
        code = read_merge(t, json_array_get(merges, i), i, &whole, e);
    buffer_free(&whole);
    return code;
}

/* A token that the post-processor puts beside each text. */
static int template_token(const struct tokenizer *t, const char *text, int32_t *id, bool *adds,
                          struct error *e)
{
    if (!text)
        return OK;
    *adds = true;
    *id = tokenizer_find(t, text, strlen(text));
    return *id == TOKEN_NONE
               ? error_set(e, ERR_FORMAT, "post_processor: \"%s\" is not in the vocabulary", text)
               : OK;
}

static int parse_root(const json_t *root, struct tokenizer **out, struct error *e)
{
    struct components c = {0};
    const json_t *model = json_object_get(root, "model");
    int code = json_components_read(root, &c, e);
    if (code)
        return code;
    struct tokenizer *t = tokenizer_new(c.splitter);
    t->nfc = c.nfc;
    t->space_prefix = c.space_prefix;
    t->fuse_unknown = c.fuse_unknown;
    t->ignore_merges = c.ignore_merges;
    t->byte_fallback = c.byte_fallback;
    t->char_level = c.char_level;
    t->model = c.model;
    t->pipeline = c.pipeline;
    code = read_tokens(root, model, t, e);
    if (!code && t->model == MODEL_BPE)
        code = read_merges(model, t, e);
    code = code ? code : template_token(t, c.bos, &t->bos, &t->adds_bos, e);
    code = code ? code : template_token(t, c.eos, &t->eos, &t->adds_eos, e);
    code = code ? code : tokenizer_ready(t, e);
    if (code) {
        tokenizer_free(t);
        return code;
    }
    tokenizer_guess_ends(t);
    *out = t;
    return OK;
}

int tokenizer_parse_json(const char *text, size_t n, struct tokenizer **t, struct error *e)
{
    *t = NULL;
    json_t *root;
    int code = json_parse(text, n, &root, e);
    if (code)
        return code;
    code = parse_root(root, t, e);
    json_decref(root);
    return code;
}
