/* Reading the vocabulary in GGUF metadata, tokenizer.ggml.*, as llama.cpp does. */
#include "base/memory.h"
#include "base/utf8.h"
#include "formats/gguf.h"
#include "tokenizer/gguf_pre.h"
#include "tokenizer/pipeline.h"
#include "tokenizer/sentencepiece.h"

#include <stdio.h>
#include <string.h>

#define KEY "tokenizer.ggml."
enum { MOST_TOKENS = 1 << 24, LONGEST_TOKEN = 4096 };

static int read_pre(const struct gguf *g, struct tokenizer *t, struct error *e)
{
    char *pre = NULL;
    int code = gguf_get_string(g, KEY "pre", &pre, e);
    if (code)
        return code;
    if (!pre)
        return error_set(e, ERR_FORMAT,
                         "key \"" KEY "pre\" is missing: it must name how text is "
                         "split (gpt-2, llama-bpe, qwen2, smollm, ...)");
    if (!gguf_pre_apply(pre, t))
        code = error_set(e, ERR_FORMAT,
                         "key \"" KEY "pre\": \"%.100s\" is not supported (gpt-2, llama-bpe, "
                         "qwen2, smollm, tekken, deepseek-v3 and some forty more are)",
                         pre);
    mem_free(pre);
    return code;
}

/* An array of the wanted type and length (0: any); NULL when absent and not required. */
static int find_array(const struct gguf *g, const char *key, enum gguf_type type, size_t count,
                      bool required, const struct gguf_kv **out, struct error *e)
{
    const struct gguf_kv *kv = gguf_find(g, key);
    *out = kv;
    if (!kv)
        return required ? error_set(e, ERR_FORMAT, "key \"%s\" is missing", key) : OK;
    bool whole = type == GGUF_I32 && kv->item_type == GGUF_U32;
    if (kv->type != GGUF_ARRAY || (kv->item_type != type && !whole))
        return error_set(e, ERR_FORMAT, "key \"%s\" must be an array of %s", key,
                         type == GGUF_STRING ? "strings"
                         : type == GGUF_F32  ? "32-bit floating-point numbers"
                                             : "32-bit whole numbers");
    if (count && kv->count != count)
        return error_set(e, ERR_FORMAT, "key \"%s\" has %zu items for %zu tokens", key, kv->count,
                         count);
    return OK;
}

static int read_kind(const struct gguf_kv *types, size_t i, enum token_kind *kind, struct error *e)
{
    *kind = TOKEN_NORMAL;
    int64_t v = types ? gguf_array_int(types, i) : TOKEN_NORMAL;
    if (v == 0) /* "undefined", which llama.cpp treats as normal */
        v = TOKEN_NORMAL;
    if (v < TOKEN_NORMAL || v > TOKEN_BYTE)
        return error_set(e, ERR_FORMAT, "key \"" KEY "token_type\": item %zu is %lld, not 0 to 6",
                         i, (long long)v);
    *kind = (enum token_kind)v;
    return OK;
}

static int read_tokens(const struct gguf *g, struct tokenizer *t, struct error *e)
{
    const struct gguf_kv *tokens, *types;
    int code = find_array(g, KEY "tokens", GGUF_STRING, 0, true, &tokens, e);
    if (!code && (tokens->count == 0 || tokens->count > MOST_TOKENS))
        code = error_set(e, ERR_FORMAT, "key \"" KEY "tokens\" has %zu items: 1 to %d are taken",
                         tokens->count, MOST_TOKENS);
    if (!code)
        code = find_array(g, KEY "token_type", GGUF_I32, tokens->count, false, &types, e);
    for (size_t i = 0; !code && i < tokens->count; i++) {
        struct gguf_string s = tokens->strings[i];
        char empty[32];
        enum token_kind kind;
        if (s.size == 0) /* llama.cpp's name for it */
            s = (struct gguf_string){empty,
                                     (size_t)snprintf(empty, sizeof empty, "[EMPTY_%zu]", i)};
        code = read_kind(types, i, &kind, e);
        if (!code && s.size > LONGEST_TOKEN)
            code = error_set(e, ERR_FORMAT,
                             "key \"" KEY "tokens\": item %zu has %zu bytes, more "
                             "than %d",
                             i, s.size, LONGEST_TOKEN);
        if (!code && (!utf8_valid(s.data, s.size) || memchr(s.data, 0, s.size)))
            code =
                error_set(e, ERR_FORMAT, "key \"" KEY "tokens\": item %zu is not valid UTF-8", i);
        if (!code && tokenizer_add(t, s.data, s.size, kind) == TOKEN_NONE)
            code = error_set(e, ERR_FORMAT,
                             "key \"" KEY "tokens\": items %d and %zu are both "
                             "\"%.*s\"",
                             tokenizer_find(t, s.data, s.size), i,
                             (int)(s.size < 100 ? s.size : 100), s.data);
        if (!code && kind == TOKEN_USER_DEFINED && tokenizer_is_end(t, (int32_t)i))
            t->tokens[i].kind = TOKEN_CONTROL; /* as llama.cpp: some models mislabel these */
        if (!code && kind == TOKEN_UNKNOWN && t->unknown == TOKEN_NONE)
            t->unknown = (int32_t)i;
    }
    return code;
}

static int read_scores(const struct gguf *g, struct tokenizer *t, struct error *e)
{
    const struct gguf_kv *scores;
    int code = find_array(g, KEY "scores", GGUF_F32, t->n_tokens, true, &scores, e);
    if (code)
        return code;
    t->scores = mem_alloc(t->n_tokens, sizeof *t->scores);
    for (size_t i = 0; i < t->n_tokens; i++) {
        t->scores[i] = (double)gguf_array_f32(scores, i);
        if (t->scores[i] != t->scores[i])
            return error_set(e, ERR_FORMAT, "key \"" KEY "scores\": item %zu is not a number", i);
    }
    sp_merges_from_scores(t);
    return OK;
}

/* "A B", split at the first space that is not the first character. */
static int read_merge(struct tokenizer *t, struct gguf_string s, size_t i, struct buffer *whole,
                      struct error *e)
{
    const char *space = s.size > 1 ? memchr(s.data + 1, ' ', s.size - 1) : NULL;
    size_t n = space ? (size_t)(space - s.data) : s.size;
    int32_t left = TOKEN_NONE, right = TOKEN_NONE, merged = TOKEN_NONE;
    if (space) {
        left = tokenizer_find(t, s.data, n);
        right = tokenizer_find(t, space + 1, s.size - n - 1);
        buffer_clear(whole);
        buffer_append(whole, s.data, n);
        buffer_append(whole, space + 1, s.size - n - 1);
        merged = tokenizer_find(t, whole->data, whole->size);
    }
    if (left == TOKEN_NONE || right == TOKEN_NONE || merged == TOKEN_NONE)
        return error_set(e, ERR_FORMAT,
                         "key \"" KEY "merges\": item %zu, \"%.*s\", is not two tokens that make a "
                         "third",
                         i, (int)(s.size < 200 ? s.size : 200), s.data);
    tokenizer_add_merge(t, left, right, merged, (uint32_t)i);
    return OK;
}

static int read_merges(const struct gguf *g, struct tokenizer *t, struct error *e)
{
    const struct gguf_kv *merges;
    int code = find_array(g, KEY "merges", GGUF_STRING, 0, true, &merges, e);
    struct buffer whole = {0};
    for (size_t i = 0; !code && i < merges->count; i++)
        code = read_merge(t, merges->strings[i], i, &whole, e);
    buffer_free(&whole);
    return code;
}

static int read_id(const struct gguf *g, const struct tokenizer *t, const char *key, int32_t *id,
                   struct error *e)
{
    size_t v = SIZE_MAX;
    int code = gguf_get_size(g, key, &v, e);
    if (code || v == SIZE_MAX)
        return code;
    if (v == UINT32_MAX) { /* how some writers say there is none */
        *id = TOKEN_NONE;
        return OK;
    }
    if (v >= t->n_tokens)
        return error_set(e, ERR_FORMAT, "key \"%s\" is %zu, beyond the %zu tokens", key, v,
                         t->n_tokens);
    *id = (int32_t)v;
    return OK;
}

static int read_ids(const struct gguf *g, struct tokenizer *t, struct error *e)
{
    int code = read_id(g, t, KEY "bos_token_id", &t->bos, e);
    code = code ? code : read_id(g, t, KEY "eos_token_id", &t->eos, e);
    code = code ? code : read_id(g, t, KEY "padding_token_id", &t->pad, e);
    code = code ? code : read_id(g, t, KEY "unknown_token_id", &t->unknown, e);
    int32_t ends[2] = {TOKEN_NONE, TOKEN_NONE};
    code = code ? code : read_id(g, t, KEY "eot_token_id", &ends[0], e);
    code = code ? code : read_id(g, t, KEY "eom_token_id", &ends[1], e);
    for (int i = 0; !code && i < 2; i++)
        if (ends[i] != TOKEN_NONE)
            tokenizer_add_end(t, ends[i]);
    code = code ? code : gguf_get_bool(g, KEY "add_bos_token", &t->adds_bos, e);
    code = code ? code : gguf_get_bool(g, KEY "add_eos_token", &t->adds_eos, e);
    code = code ? code : gguf_get_bool(g, KEY "add_space_prefix", &t->space_prefix, e);
    t->adds_bos &= t->bos != TOKEN_NONE;
    t->adds_eos &= t->eos != TOKEN_NONE;
    return code;
}

static int read_chat_template(const struct gguf *g, struct tokenizer *t, struct error *e)
{
    char *text = NULL;
    int code = gguf_get_string(g, "tokenizer.chat_template", &text, e);
    if (!code && text && !utf8_valid(text, strlen(text)))
        code = error_set(e, ERR_FORMAT, "key \"tokenizer.chat_template\" is not valid UTF-8");
    if (!code)
        tokenizer_set_chat_template(t, text);
    mem_free(text);
    return code;
}

static int read_sentencepiece(const struct gguf *g, struct tokenizer *t, struct error *e)
{
    t->splitter = SPLITTER_NONE;
    t->space_prefix = t->adds_bos = t->fuse_unknown = true;
    int code = read_tokens(g, t, e);
    if (code)
        return code;
    if (t->n_tokens > 2) { /* llama.cpp's defaults */
        t->unknown = t->unknown == TOKEN_NONE ? 0 : t->unknown;
        t->bos = 1;
        t->eos = 2;
    }
    return read_scores(g, t, e);
}

static int read_byte_level(const struct gguf *g, struct tokenizer *t, struct error *e)
{
    int code = read_pre(g, t, e);
    code = code ? code : read_tokens(g, t, e);
    code = code ? code : read_merges(g, t, e);
    size_t normal = 0;
    for (size_t i = 0; i < t->n_tokens; i++)
        normal += t->tokens[i].kind == TOKEN_NORMAL;
    if (!code && t->n_merges == 0 && normal == 256) {
        t->splitter = SPLITTER_BYTES; /* whatever `pre` says, nothing is merged */
        t->ignore_merges = false;
        pipeline_free(t->pipeline);
        t->pipeline = NULL;
    }
    return code;
}

int tokenizer_from_gguf(const struct gguf *g, struct tokenizer **out, struct error *e)
{
    *out = NULL;
    char *model = NULL;
    int code = gguf_get_string(g, KEY "model", &model, e);
    if (code)
        return code;
    struct tokenizer *t = tokenizer_new(SPLITTER_NONE);
    if (model && strcmp(model, "llama") == 0)
        code = read_sentencepiece(g, t, e);
    else if (model && strcmp(model, "gpt2") == 0)
        code = read_byte_level(g, t, e);
    else if (model)
        code = error_set(e, ERR_FORMAT,
                         "key \"" KEY "model\": \"%.100s\" is not supported (gpt2 and "
                         "llama are)",
                         model);
    else
        code = error_set(e, ERR_FORMAT,
                         "key \"" KEY "model\" is missing: the file has no "
                         "vocabulary");
    mem_free(model);
    code = code ? code : read_ids(g, t, e);
    code = code ? code : read_chat_template(g, t, e);
    code = code ? code : tokenizer_ready(t, e);
    if (code)
        tokenizer_free(t);
    else
        *out = t;
    return code;
}
