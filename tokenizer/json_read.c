/* tokenizer.json: the vocabulary. Which components around it are understood is in
 * json_components.c. Sizes, ids and references are checked before anything is built. */
#include "base/file.h"
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
    FILE_LIMIT = 1 << 30,
};

struct draft {        /* a token before its id's turn has come */
    const char *text; /* NULL: no token has this id */
    size_t n;
    uint8_t kind, strip;
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
        d->items[id] = (struct draft){text, strlen(text), TOKEN_NORMAL, 0};
        if (id >= d->count)
            d->count = id + 1;
    }
    return OK;
}

static int read_added_token(const json_t *a, size_t index, struct drafts *d, struct error *e)
{
    const char *content = NULL;
    bool special = false, left = false, right = false, single = false;
    size_t id = 0;
    if (!json_is_object(a))
        return error_set(e, ERR_FORMAT, "added_tokens[%zu]: must be an object", index);
    int code = json_get_string(a, "content", &content, e);
    if (!code && (!content || !*content))
        code = error_set(e, ERR_FORMAT, "\"content\" is missing or empty");
    code = code ? code : json_get_bool(a, "special", &special, e);
    code = code ? code : json_get_bool(a, "lstrip", &left, e);
    code = code ? code : json_get_bool(a, "rstrip", &right, e);
    code = code ? code : json_get_bool(a, "single_word", &single, e);
    if (!code && single)
        code = error_set(e, ERR_FORMAT, "\"single_word\": true is not supported");
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
    d->items[id] =
        (struct draft){content, strlen(content), special ? TOKEN_CONTROL : TOKEN_USER_DEFINED,
                       (uint8_t)((left ? STRIP_LEFT : 0) | (right ? STRIP_RIGHT : 0))};
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
            x = (struct draft){gap, (size_t)n, TOKEN_UNUSED, 0};
        }
        if (t->splitter == SPLITTER_NONE && x.kind == TOKEN_NORMAL && is_byte_token(x.text, x.n))
            x.kind = TOKEN_BYTE;
        bool is_unknown = t->splitter == SPLITTER_NONE && unknown && strcmp(unknown, x.text) == 0;
        if (is_unknown)
            x.kind = TOKEN_UNKNOWN;
        int32_t added = tokenizer_add(t, x.text, x.n, (enum token_kind)x.kind);
        if (added == TOKEN_NONE)
            return error_set(e, ERR_FORMAT, "token \"%s\" has two ids, %d and %zu", x.text,
                             tokenizer_find(t, x.text, x.n), id);
        t->tokens[added].strip = x.strip;
        if (is_unknown)
            t->unknown = added;
    }
    if (t->splitter == SPLITTER_NONE && unknown && t->unknown == TOKEN_NONE)
        return error_set(e, ERR_FORMAT, "model.unk_token: \"%s\" is not in the vocabulary",
                         unknown);
    return OK;
}

static int read_tokens(const json_t *root, const json_t *model, struct tokenizer *t,
                       struct error *e)
{
    const json_t *vocab = json_object_get(model, "vocab"),
                 *added = json_object_get(root, "added_tokens");
    if (!json_is_object(vocab))
        return error_set(e, ERR_FORMAT, "model.vocab: must be an object of tokens and ids");
    if (added && !json_is_null(added) && !json_is_array(added))
        return error_set(e, ERR_FORMAT, "added_tokens: must be an array");
    size_t n = json_object_size(vocab) + json_array_size(added);
    if (n > MOST_TOKENS)
        return error_set(e, ERR_FORMAT, "%zu tokens: more than the %d this program takes", n,
                         MOST_TOKENS);
    struct drafts d = {.limit = n + MOST_GAPS};
    d.items = mem_zero(d.limit, sizeof *d.items);
    const char *unknown = NULL;
    int code = read_vocab(vocab, &d, e);
    for (size_t i = 0; !code && i < json_array_size(added); i++)
        code = read_added_token(json_array_get(added, i), i, &d, e);
    code = code ? code : json_get_string(model, "unk_token", &unknown, e);
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

/* The first of the names that is a special token, else the first special token there is. */
static int32_t special_named(const struct tokenizer *t, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int32_t id = tokenizer_find(t, names[i], strlen(names[i]));
        if (id != TOKEN_NONE && t->tokens[id].kind == TOKEN_CONTROL)
            return id;
    }
    for (size_t i = 0; i < t->n_tokens; i++)
        if (t->tokens[i].kind == TOKEN_CONTROL)
            return (int32_t)i;
    return TOKEN_NONE;
}

/* For want of tokenizer_config.json. */
static void guess_ends(struct tokenizer *t)
{
    static const char *const begin[] = {"<|begin_of_text|>", "<s>", "<bos>"}, *const end[] = {
                                                                                  "<|end_of_text|>",
                                                                                  "</s>", "<eos>",
                                                                                  "<|endoftext|>"};
    if (t->bos == TOKEN_NONE)
        t->bos = special_named(t, begin, sizeof begin / sizeof *begin);
    t->eos = special_named(t, end, sizeof end / sizeof *end);
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
    code = read_tokens(root, model, t, e);
    code = code ? code : read_merges(model, t, e);
    if (!code && c.bos) {
        t->adds_bos = true;
        t->bos = tokenizer_find(t, c.bos, strlen(c.bos));
        if (t->bos == TOKEN_NONE)
            code =
                error_set(e, ERR_FORMAT, "post_processor: \"%s\" is not in the vocabulary", c.bos);
    }
    code = code ? code : tokenizer_ready(t, e);
    if (code) {
        tokenizer_free(t);
        return code;
    }
    guess_ends(t);
    *out = t;
    return OK;
}

int tokenizer_parse_json(const char *text, size_t n, struct tokenizer **t, struct error *e)
{
    *t = NULL;
    json_t *root;
    int code = json_parse(text, n, &root, e);
    if (code)
        return tokenizer_error_line(e, code);
    code = parse_root(root, t, e);
    json_decref(root);
    return tokenizer_error_line(e, code);
}

/* A special token of tokenizer_config.json: a string, or an object with its content. */
static int config_token(const struct tokenizer *t, const json_t *config, const char *key,
                        int32_t *id, struct error *e)
{
    const json_t *v = json_object_get(config, key);
    if (json_is_object(v))
        v = json_object_get(v, "content");
    if (!v || json_is_null(v))
        return OK;
    if (!json_is_string(v))
        return error_set(e, ERR_FORMAT, "\"%s\" must be a string or an object with \"content\"",
                         key);
    *id = tokenizer_find(t, json_string_value(v), json_string_length(v));
    if (*id == TOKEN_NONE)
        return error_set(e, ERR_FORMAT, "\"%s\": \"%s\" is not in the vocabulary of tokenizer.json",
                         key, json_string_value(v));
    return OK;
}

static int read_config(struct tokenizer *t, const char *path, struct error *e)
{
    json_t *config;
    int code = json_read(path, &config, e);
    if (code)
        return code;
    code = config_token(t, config, "bos_token", &t->bos, e);
    code = code ? code : config_token(t, config, "eos_token", &t->eos, e);
    code = code ? code : config_token(t, config, "pad_token", &t->pad, e);
    code = code ? code : json_get_bool(config, "add_bos_token", &t->adds_bos, e);
    if (!code && t->adds_bos && t->bos == TOKEN_NONE)
        code = error_set(e, ERR_FORMAT, "\"add_bos_token\" is true but there is no \"bos_token\"");
    if (code)
        error_prefix(e, "%s", path);
    json_decref(config);
    return tokenizer_error_line(e, code);
}

int tokenizer_read_json(const char *path, struct tokenizer **out, struct error *e)
{
    *out = NULL;
    struct buffer text = {0};
    struct tokenizer *t = NULL;
    int code = file_read(path, &text, FILE_LIMIT, e);
    if (!code) {
        code = tokenizer_parse_json(text.data, text.size, &t, e);
        if (code)
            error_prefix(e, "%s", path);
    }
    buffer_free(&text);
    if (code)
        return code;
    size_t folder = (size_t)(path_basename(path) - path);
    char *config = mem_printf("%.*stokenizer_config.json", (int)folder, path);
    if (file_exists(config))
        code = read_config(t, config, e);
    mem_free(config);
    if (code)
        tokenizer_free(t);
    else
        *out = t;
    return code;
}
