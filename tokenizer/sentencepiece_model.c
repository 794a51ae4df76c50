/* tokenizer.model: SentencePiece's own file, a ModelProto
 * (https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto). */
#include "base/memory.h"
#include "tokenizer/base64.h"
#include "tokenizer/pipeline.h"
#include "tokenizer/protobuf.h"
#include "tokenizer/sentencepiece.h"

#include <stdio.h>
#include <string.h>

#define SPACE "\xE2\x96\x81"
enum { MOST_TOKENS = 1 << 24, LONGEST_PIECE = 4096, MOST_GAPS = 4096 };
enum model_type { TYPE_UNIGRAM = 1, TYPE_BPE = 2, TYPE_WORD = 3, TYPE_CHAR = 4 };

struct model {
    struct protobuf_field *pieces; /* still packed */
    size_t n_pieces, capacity;
    uint64_t type; /* of the trainer's specification, with its defaults */
    bool byte_fallback, suffix;
    int32_t unknown, bos, eos, pad;
    const unsigned char *map; /* of the normalizer's */
    size_t n_map;
    bool prefix, collapse, escape;
};

static int32_t as_id(const struct protobuf_field *f)
{
    return f->value < INT32_MAX ? (int32_t)f->value : TOKEN_NONE; /* -1 is "none" */
}

static bool read_trainer(const struct protobuf_field *spec, struct model *m)
{
    struct protobuf p = {.bytes = spec->bytes, .n = spec->n_bytes};
    struct protobuf_field f;
    while (protobuf_next(&p, &f))
        switch (f.number) {
        case 3:
            m->type = f.value;
            break;
        case 24:
            m->suffix = f.value;
            break;
        case 35:
            m->byte_fallback = f.value;
            break;
        case 40:
            m->unknown = as_id(&f);
            break;
        case 41:
            m->bos = as_id(&f);
            break;
        case 42:
            m->eos = as_id(&f);
            break;
        case 43:
            m->pad = as_id(&f);
            break;
        default:
            break;
        }
    return !p.broken;
}

static bool read_normalizer(const struct protobuf_field *spec, struct model *m)
{
    struct protobuf p = {.bytes = spec->bytes, .n = spec->n_bytes};
    struct protobuf_field f;
    while (protobuf_next(&p, &f))
        switch (f.number) {
        case 2:
            m->map = f.bytes;
            m->n_map = f.n_bytes;
            break;
        case 3:
            m->prefix = f.value;
            break;
        case 4:
            m->collapse = f.value;
            break;
        case 5:
            m->escape = f.value;
            break;
        default:
            break;
        }
    return !p.broken;
}

static int read_model(const unsigned char *bytes, size_t n, struct model *m, struct error *e)
{
    struct protobuf p = {.bytes = bytes, .n = n};
    struct protobuf_field f;
    bool whole = true;
    *m = (struct model){.type = TYPE_UNIGRAM,
                        .bos = 1,
                        .eos = 2,
                        .pad = TOKEN_NONE,
                        .prefix = true,
                        .collapse = true,
                        .escape = true};
    while (whole && protobuf_next(&p, &f)) {
        bool message = f.wire == 2;
        if (f.number <= 3 && !message)
            whole = false;
        else if (f.number == 1) {
            void *pieces = m->pieces;
            mem_grow(&pieces, &m->capacity, m->n_pieces, sizeof *m->pieces);
            m->pieces = pieces;
            m->pieces[m->n_pieces++] = f;
        } else if (f.number == 2) {
            whole = read_trainer(&f, m);
        } else if (f.number == 3) {
            whole = read_normalizer(&f, m);
        }
    }
    if (!whole || p.broken)
        return error_set(e, ERR_FORMAT, "no SentencePiece model: broken at byte %zu of %zu", p.at,
                         n);
    if (m->n_pieces == 0 || m->n_pieces > MOST_TOKENS)
        return error_set(e, ERR_FORMAT, "%zu pieces: 1 to %d are taken", m->n_pieces, MOST_TOKENS);
    if (m->type != TYPE_UNIGRAM && m->type != TYPE_BPE)
        return error_set(e, ERR_FORMAT,
                         "the model type \"%s\" is not supported, unigram and bpe are",
                         m->type == TYPE_WORD   ? "word"
                         : m->type == TYPE_CHAR ? "char"
                                                : "?");
    if (m->suffix)
        return error_set(e, ERR_FORMAT, "treat_whitespace_as_suffix is not supported");
    if (!m->escape)
        return error_set(e, ERR_FORMAT, "escape_whitespaces: false is not supported");
    return OK;
}

static int add_piece(struct tokenizer *t, const struct model *m, size_t i, struct error *e)
{
    struct protobuf p = {.bytes = m->pieces[i].bytes, .n = m->pieces[i].n_bytes};
    struct protobuf_field f;
    const char *text = NULL;
    size_t n = 0;
    uint64_t kind = TOKEN_NORMAL;
    double score = 0;
    while (protobuf_next(&p, &f)) {
        if (f.number == 1 && f.wire == 2) {
            text = (const char *)f.bytes;
            n = f.n_bytes;
        } else if (f.number == 2) {
            score = (double)protobuf_float(&f);
        } else if (f.number == 3) {
            kind = f.value;
        }
    }
    if (p.broken || !n || n > LONGEST_PIECE || !utf8_valid(text, n) || memchr(text, 0, n))
        return error_set(e, ERR_FORMAT, "piece %zu is not 1 to %d bytes of text", i, LONGEST_PIECE);
    if (kind < TOKEN_NORMAL || kind > TOKEN_BYTE || score != score)
        return error_set(e, ERR_FORMAT, "piece %zu, \"%.*s\", has no valid type or score", i,
                         (int)n, text);
    int32_t id = tokenizer_add(t, text, n, (enum token_kind)kind);
    if (id == TOKEN_NONE)
        return error_set(e, ERR_FORMAT, "pieces %d and %zu are both \"%.*s\"",
                         tokenizer_find(t, text, n), i, (int)n, text);
    t->scores[id] = score;
    if (kind == TOKEN_USER_DEFINED)
        t->tokens[id].flags = NORMALIZED;
    if (kind == TOKEN_UNKNOWN && t->unknown == TOKEN_NONE)
        t->unknown = id;
    return OK;
}

/* The same as components of a tokenizer.json. */
static json_t *components(const struct model *m)
{
    json_t *steps = json_array();
    if (m->n_map) {
        struct buffer map = {0};
        base64_encode(m->map, m->n_map, &map);
        json_array_append_new(steps, json_pack("{s:s, s:s}", "type", "Precompiled",
                                               "precompiled_charsmap", map.data));
        buffer_free(&map);
    }
    static const char *const blanks[][2] = {{"\\A +| +\\z", ""}, {" {2,}", " "}};
    for (size_t i = 0; m->collapse && i < 2; i++)
        json_array_append_new(steps, json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern",
                                               "Regex", blanks[i][0], "content", blanks[i][1]));
    if (m->prefix)
        json_array_append_new(steps, json_pack("{s:s, s:s}", "type", "Prepend", "prepend", SPACE));
    json_array_append_new(steps, json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern",
                                           "String", " ", "content", SPACE));
    json_t *decoders =
        json_pack("[{s:s, s:{s:s}, s:s}, {s:s}, {s:s}]", "type", "Replace", "pattern", "String",
                  SPACE, "content", " ", "type", "ByteFallback", "type", "Fuse");
    if (m->prefix)
        json_array_append_new(decoders, json_pack("{s:s, s:s, s:i, s:i}", "type", "Strip",
                                                  "content", " ", "start", 1, "stop", 0));
    return json_pack("{s:{s:s, s:o}, s:n, s:n, s:{s:s, s:o}}", "normalizer", "type", "Sequence",
                     "normalizers", steps, "pre_tokenizer", "post_processor", "decoder", "type",
                     "Sequence", "decoders", decoders);
}

/* The pipeline of those components, but with SentencePiece's own normalisation for the written one.
 */
static int make_pipeline(struct tokenizer *t, const struct model *m, struct error *e)
{
    json_t *root = components(m);
    struct charsmap *map = NULL;
    int code = m->n_map ? charsmap_parse(m->map, m->n_map, &map, e) : OK;
    code = code ? code : pipeline_read(root, &t->pipeline, e);
    json_decref(root);
    if (code) {
        charsmap_free(map);
        return code;
    }
    struct steps *n = &t->pipeline->normalizers;
    steps_clear(n);
    struct step *s = steps_add(n);
    s->kind = STEP_SENTENCEPIECE;
    s->map = map;
    s->prefix = m->prefix;
    s->collapse = m->collapse;
    s->escape = m->escape;
    return OK;
}

static int32_t control(const struct tokenizer *t, int32_t id)
{
    return id >= 0 && (size_t)id < t->n_tokens && t->tokens[id].kind == TOKEN_CONTROL ? id
                                                                                      : TOKEN_NONE;
}

static int build(struct tokenizer *t, const struct model *m, struct error *e)
{
    t->scores = mem_zero(m->n_pieces, sizeof *t->scores);
    int code = OK;
    for (size_t i = 0; !code && i < m->n_pieces; i++)
        code = add_piece(t, m, i, e);
    if (!code && t->unknown == TOKEN_NONE)
        code = error_set(e, ERR_FORMAT, "no piece stands for what is unknown");
    if (code)
        return code;
    t->bos = control(t, m->bos);
    t->eos = control(t, m->eos);
    t->pad = control(t, m->pad);
    t->model = m->type == TYPE_BPE ? MODEL_BPE : MODEL_UNIGRAM;
    t->byte_fallback = m->byte_fallback;
    t->fuse_unknown = t->model == MODEL_BPE && !m->byte_fallback;
    t->one_precision = t->model == MODEL_UNIGRAM;
    t->adds_bos = t->model == MODEL_BPE && t->bos != TOKEN_NONE; /* Llama, Mistral, Gemma; not T5 */
    /* The common case is done by hand, as the tokenizer.json of such a model is. */
    bool plain = t->model == MODEL_BPE && m->byte_fallback && !m->n_map && !m->collapse;
    for (size_t i = 0; i < t->n_tokens; i++)
        plain &= t->tokens[i].kind != TOKEN_USER_DEFINED;
    if (!plain)
        return make_pipeline(t, m, e);
    t->splitter = SPLITTER_NONE;
    t->space_prefix = m->prefix;
    return OK;
}

int tokenizer_draft_sentencepiece(const unsigned char *bytes, size_t n, struct tokenizer **out,
                                  struct error *e)
{
    struct model m;
    *out = NULL;
    int code = read_model(bytes, n, &m, e);
    struct tokenizer *t = tokenizer_new(SPLITTER_GENERAL);
    t->char_level = true;
    code = code ? code : build(t, &m, e);
    mem_free(m.pieces);
    if (code)
        tokenizer_free(t);
    else
        *out = t;
    return code;
}

int tokenizer_finish_sentencepiece(struct tokenizer *t, struct error *e)
{
    if (t->model == MODEL_BPE)
        sp_merges_from_scores(t);
    return tokenizer_ready(t, e);
}

int tokenizer_parse_sentencepiece(const unsigned char *bytes, size_t n, struct tokenizer **out,
                                  struct error *e)
{
    int code = tokenizer_draft_sentencepiece(bytes, n, out, e);
    if (!code && (code = tokenizer_finish_sentencepiece(*out, e))) {
        tokenizer_free(*out);
        *out = NULL;
    }
    return code;
}

int tokenizer_add_outside(struct tokenizer *t, long long id, const char *text, enum token_kind kind,
                          int flags, struct error *e)
{
    int32_t there = tokenizer_find(t, text, strlen(text));
    if (there != TOKEN_NONE && there != id)
        return error_set(e, ERR_FORMAT, "\"%s\" has the ids %d and %lld", text, there, id);
    if (there == TOKEN_NONE &&
        (id < (long long)t->n_tokens || id - (long long)t->n_tokens > MOST_GAPS))
        return error_set(e, ERR_FORMAT,
                         "\"%s\" has the id %lld, which is not the vocabulary's next", text, id);
    t->scores = mem_resize(t->scores, (size_t)id + 1 > t->n_tokens ? (size_t)id + 1 : t->n_tokens,
                           sizeof *t->scores);
    while (there == TOKEN_NONE && (long long)t->n_tokens < id) {
        char gap[32];
        int n = snprintf(gap, sizeof gap, "[PAD%zu]", t->n_tokens);
        t->scores[t->n_tokens] = 0;
        if (tokenizer_add(t, gap, (size_t)n, TOKEN_UNUSED) == TOKEN_NONE)
            return error_set(e, ERR_FORMAT, "\"%s\" is a token already", gap);
    }
    if (there == TOKEN_NONE) {
        t->scores[id] = 0;
        there = tokenizer_add(t, text, strlen(text), kind);
        t->tokens[there].flags = OUTSIDE;
    }
    struct token *token = &t->tokens[there];
    if (token->kind == TOKEN_NORMAL || token->kind == TOKEN_USER_DEFINED)
        token->kind = (uint8_t)kind;
    token->flags = (uint8_t)(flags | (token->flags & OUTSIDE));
    return OK;
}
