#include "tokenizer/tokenizer_internal.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/memory.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/pipeline.h"
#include "tokenizer/sentencepiece.h"
#include "tokenizer/unigram.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tokens_push(struct tokens *t, int32_t id)
{
    void *ids = t->ids;
    mem_grow(&ids, &t->capacity, t->count, sizeof *t->ids);
    t->ids = ids;
    t->ids[t->count++] = id;
}

void tokens_free(struct tokens *t)
{
    mem_free(t->ids);
    *t = (struct tokens){0};
}

struct tokenizer *tokenizer_new(enum splitter splitter)
{
    struct tokenizer *t = mem_zero(1, sizeof *t);
    t->splitter = splitter;
    t->char_level = t->byte_fallback = splitter == SPLITTER_NONE;
    t->bos = t->eos = t->pad = t->unknown = TOKEN_NONE;
    t->pool = mem_zero(1, sizeof *t->pool);
    pthread_mutex_init(&t->pool->lock, NULL);
    return t;
}

void tokenizer_free(struct tokenizer *t)
{
    if (!t)
        return;
    encoder_pool_free(t->pool);
    sp_chars_free(t->chars);
    pipeline_free(t->pipeline);
    tokens_free(&t->ends);
    mem_free(t->chat_template);
    trie_free(&t->added);
    trie_free(&t->added_normal);
    trie_free(&t->pieces);
    buffer_free(&t->first_bytes);
    mem_free(t->first_ends);
    mem_free(t->pairs);
    mem_free(t->scores);
    mem_free(t->weights);
    mem_free(t->merges);
    mem_free(t->find);
    buffer_free(&t->text);
    buffer_free(&t->bytes);
    mem_free(t->tokens);
    mem_free(t);
}

size_t tokenizer_vocab_size(const struct tokenizer *t)
{
    return t->n_tokens;
}

enum splitter tokenizer_splitter(const struct tokenizer *t)
{
    return t->splitter;
}

int32_t tokenizer_bos(const struct tokenizer *t)
{
    return t->bos;
}

int32_t tokenizer_eos(const struct tokenizer *t)
{
    return t->eos;
}

int32_t tokenizer_pad(const struct tokenizer *t)
{
    return t->pad;
}

bool tokenizer_adds_bos(const struct tokenizer *t)
{
    return t->adds_bos;
}

bool tokenizer_adds_eos(const struct tokenizer *t)
{
    return t->adds_eos;
}

bool tokenizer_cuts_safely(const struct tokenizer *t)
{
    return t->splitter != SPLITTER_NONE && t->splitter != SPLITTER_GENERAL;
}

const char *tokenizer_chat_template(const struct tokenizer *t)
{
    return t->chat_template;
}

void tokenizer_set_chat_template(struct tokenizer *t, const char *text)
{
    char *copy = mem_string(text);
    mem_free(t->chat_template);
    t->chat_template = copy;
}

uint64_t tokenizer_hash(const struct tokenizer *t)
{
    return t->hash;
}

static bool is_id(const struct tokenizer *t, int32_t id)
{
    return id >= 0 && (size_t)id < t->n_tokens;
}

bool tokenizer_is_special(const struct tokenizer *t, int32_t id)
{
    return is_id(t, id) && (t->tokens[id].kind == TOKEN_CONTROL ||
                            t->tokens[id].kind == TOKEN_UNKNOWN || id == t->bos || id == t->eos);
}

/* The names by which models end a turn or a text when their own EOS is another. */
static const char *const end_names[] = {
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|eom_id|>", "<EOT>",
};

bool tokenizer_is_end(const struct tokenizer *t, int32_t id)
{
    if (!is_id(t, id))
        return false;
    if (id == t->eos)
        return true;
    for (size_t i = 0; i < t->ends.count; i++)
        if (t->ends.ids[i] == id)
            return true;
    const struct token *token = &t->tokens[id];
    if (token->kind == TOKEN_NORMAL)
        return false;
    for (size_t i = 0; i < sizeof end_names / sizeof *end_names; i++)
        if (token->n_text == strlen(end_names[i]) &&
            memcmp(t->text.data + token->text, end_names[i], token->n_text) == 0)
            return true;
    return false;
}

void tokenizer_add_end(struct tokenizer *t, int32_t id)
{
    if (!tokenizer_is_end(t, id))
        tokens_push(&t->ends, id);
}

const char *tokenizer_token(const struct tokenizer *t, int32_t id, size_t *n)
{
    CHECK(is_id(t, id));
    *n = t->tokens[id].n_text;
    return t->text.data + t->tokens[id].text;
}

const char *tokenizer_kind(const struct tokenizer *t, int32_t id)
{
    static const char *const names[] = {[TOKEN_NORMAL] = "normal",   [TOKEN_UNKNOWN] = "unknown",
                                        [TOKEN_CONTROL] = "control", [TOKEN_USER_DEFINED] = "user-defined",
                                        [TOKEN_UNUSED] = "unused",   [TOKEN_BYTE] = "byte"};
    CHECK(is_id(t, id));
    return names[t->tokens[id].kind];
}

static size_t find_slot(const struct tokenizer *t, const char *text, size_t n)
{
    size_t mask = t->find_size - 1, i = (size_t)hash64(text, n, 0) & mask;
    for (; t->find[i]; i = (i + 1) & mask) {
        const struct token *token = &t->tokens[t->find[i] - 1];
        if (token->n_text == n && memcmp(t->text.data + token->text, text, n) == 0)
            break;
    }
    return i;
}

int32_t tokenizer_find(const struct tokenizer *t, const char *text, size_t n)
{
    if (!t->find_size)
        return TOKEN_NONE;
    return (int32_t)t->find[find_slot(t, text, n)] - 1;
}

static void grow_find(struct tokenizer *t)
{
    if (t->n_tokens * 2 < t->find_size)
        return;
    mem_free(t->find);
    t->find_size = t->find_size ? t->find_size * 2 : 1024;
    t->find = mem_zero(t->find_size, sizeof *t->find);
    for (size_t i = 0; i < t->n_tokens; i++) {
        const struct token *token = &t->tokens[i];
        t->find[find_slot(t, t->text.data + token->text, token->n_text)] = (uint32_t)i + 1;
    }
}

int32_t tokenizer_add(struct tokenizer *t, const char *text, size_t n, enum token_kind kind)
{
    grow_find(t);
    size_t slot = find_slot(t, text, n);
    if (t->find[slot])
        return TOKEN_NONE;
    CHECK(n <= UINT32_MAX && t->n_tokens < INT32_MAX);
    void *tokens = t->tokens;
    mem_grow(&tokens, &t->tokens_capacity, t->n_tokens, sizeof *t->tokens);
    t->tokens = tokens;
    t->tokens[t->n_tokens] =
        (struct token){.text = t->text.size, .n_text = (uint32_t)n, .kind = (uint8_t)kind};
    buffer_append(&t->text, text, n);
    buffer_byte(&t->text, 0);
    t->find[slot] = (uint32_t)++t->n_tokens;
    return (int32_t)t->n_tokens - 1;
}

void tokenizer_add_merge(struct tokenizer *t, int32_t left, int32_t right, int32_t id,
                         uint32_t rank)
{
    void *merges = t->merges;
    mem_grow(&merges, &t->merges_capacity, t->n_merges, sizeof *t->merges);
    t->merges = merges;
    t->merges[t->n_merges++] = (struct merge){left, right, id, rank};
}

static int make_pairs(struct tokenizer *t, struct error *e)
{
    t->pairs_size = 1024;
    while (t->pairs_size < t->n_merges * 2)
        t->pairs_size *= 2;
    t->pairs = mem_alloc(t->pairs_size, sizeof *t->pairs);
    for (size_t i = 0; i < t->pairs_size; i++)
        t->pairs[i].key = PAIR_EMPTY;
    for (size_t k = 0; k < t->n_merges; k++) {
        const struct merge *m = &t->merges[k];
        uint64_t key = pair_key(m->left, m->right);
        size_t mask = t->pairs_size - 1, i = pair_mix(key) & mask;
        while (t->pairs[i].key != PAIR_EMPTY && t->pairs[i].key != key)
            i = (i + 1) & mask;
        if (t->pairs[i].key == key)
            return error_set(e, ERR_FORMAT, "the merge of \"%s\" and \"%s\" is given twice",
                             t->text.data + t->tokens[m->left].text,
                             t->text.data + t->tokens[m->right].text);
        t->pairs[i] = (struct pair_slot){key, m->rank, m->id};
    }
    return OK;
}

const struct pair_slot *tokenizer_pair(const struct tokenizer *t, int32_t left, int32_t right)
{
    uint64_t key = pair_key(left, right);
    size_t mask = t->pairs_size - 1, i = pair_mix(key) & mask;
    while (t->pairs[i].key != key) {
        if (t->pairs[i].key == PAIR_EMPTY)
            return NULL;
        i = (i + 1) & mask;
    }
    return &t->pairs[i];
}

/* What the general steps make of a token. What is hidden in text stands for itself. */
static void decode_token(struct tokenizer *t, struct pipeline_scratch *s, const struct token *token,
                         bool first, struct buffer *out)
{
    const char *text = t->text.data + token->text;
    if (token->kind == TOKEN_CONTROL || token->kind == TOKEN_UNKNOWN)
        buffer_append(out, text, token->n_text);
    else
        pipeline_decode(t->pipeline, s, text, token->n_text, first, out);
}

/* What each token is as bytes. Added tokens stand for their own text; so does, as in Hugging Face's
 * ByteLevel decoder, a token with a character outside the byte alphabet. */
static void make_bytes(struct tokenizer *t)
{
    struct pipeline_scratch s = {0};
    bool differs = t->pipeline && pipeline_first_differs(t->pipeline);
    if (differs)
        t->first_ends = mem_alloc(t->n_tokens, sizeof *t->first_ends);
    for (size_t i = 0; i < t->n_tokens; i++) {
        struct token *token = &t->tokens[i];
        const char *text = t->text.data + token->text;
        token->bytes = t->bytes.size;
        if (t->pipeline)
            decode_token(t, &s, token, false, &t->bytes);
        else if (t->splitter == SPLITTER_NONE)
            sp_token_bytes(text, token->n_text, (enum token_kind)token->kind, &t->bytes);
        else if (token->kind != TOKEN_NORMAL ||
                 !byte_alphabet_string(text, token->n_text, &t->bytes))
            buffer_append(&t->bytes, text, token->n_text);
        token->n_bytes = (uint32_t)(t->bytes.size - token->bytes);
        if (token->n_text > t->longest_text)
            t->longest_text = token->n_text;
        if (differs) {
            decode_token(t, &s, token, true, &t->first_bytes);
            t->first_ends[i] = t->first_bytes.size;
        }
    }
    pipeline_scratch_free(&s);
}

int tokenizer_byte_ids(struct tokenizer *t, struct error *e)
{
    for (int b = 0; b < 256; b++) {
        char text[8];
        size_t n;
        if (t->char_level)
            n = (size_t)snprintf(text, sizeof text, "<0x%02X>", b);
        else
            n = byte_alphabet_encode((unsigned char)b, text);
        t->byte_id[b] = tokenizer_find(t, text, n);
        if (t->byte_id[b] == TOKEN_NONE && !t->char_level)
            return error_set(e, ERR_FORMAT,
                             "the vocabulary has no token for byte 0x%02X (\"%.*s\"): a byte-level "
                             "vocabulary needs all 256",
                             b, (int)n, text);
    }
    return OK;
}

/* An added token's text as it stands in normalised text. */
static void normalized_text(const struct tokenizer *t, const struct token *token,
                            struct buffer *out)
{
    const char *text = t->text.data + token->text;
    struct pipeline_scratch s = {0};
    if (t->splitter == SPLITTER_NONE) {
        if (t->space_prefix)
            sp_escape(" ", 1, out);
        sp_escape(text, token->n_text, out);
    } else if (t->pipeline && !pipeline_step(t->pipeline, STEP_SENTENCEPIECE)) {
        pipeline_normalize(t->pipeline, &s, text, token->n_text, out);
    } else if (t->nfc) {
        unicode_normalize(text, token->n_text, FORM_NFC, out);
    } else {
        buffer_append(out, text, token->n_text);
    }
    pipeline_scratch_free(&s);
}

static void make_added(struct tokenizer *t)
{
    struct buffer normal = {0};
    trie_init(&t->added);
    trie_init(&t->added_normal);
    for (size_t i = 0; i < t->n_tokens; i++) {
        const struct token *token = &t->tokens[i];
        int kind = token->kind;
        if ((kind != TOKEN_CONTROL && kind != TOKEN_USER_DEFINED && kind != TOKEN_UNKNOWN) ||
            !token->n_text)
            continue;
        buffer_clear(&normal);
        if (token->flags & NORMALIZED)
            normalized_text(t, token, &normal);
        if (!(token->flags & NORMALIZED)) {
            trie_add(&t->added, t->text.data + token->text, token->n_text, (int32_t)i);
            t->has_user_defined |= kind == TOKEN_USER_DEFINED;
        } else if (normal.size) {
            trie_add(&t->added_normal, normal.data, normal.size, (int32_t)i);
        }
    }
    buffer_free(&normal);
    struct step *sp = t->pipeline ? pipeline_step(t->pipeline, STEP_SENTENCEPIECE) : NULL;
    if (sp)
        sp->protect = &t->added_normal;
}

/* The steps as text, so that equal ones have equal hashes. */
static uint64_t hash_components(const struct tokenizer *t, uint64_t h)
{
    static const char *const names[] = {"normalizer", "pre_tokenizer", "decoder"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *text = json_dumps(json_object_get(t->pipeline->components, names[i]),
                                JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY);
        h = hash64(text ? text : "", text ? strlen(text) : 0, h);
        free(text);
    }
    h = hash64_combine(h, (uint64_t)t->model << 1 | (uint64_t)t->byte_fallback);
    if (t->model == MODEL_UNIGRAM)
        h = hash64(t->scores, t->n_tokens * sizeof *t->scores, h);
    return h;
}

static uint64_t hash_tokens(const struct tokenizer *t, uint64_t h)
{
    const struct step *sp = t->pipeline ? pipeline_step(t->pipeline, STEP_SENTENCEPIECE) : NULL;
    int flags =
        sp && sp->prefix ? ENCODING_FLAGS & ~NORMALIZED : ENCODING_FLAGS; /* as is written */
    size_t n = t->n_tokens;
    while (n > 0 && t->tokens[n - 1].kind == TOKEN_UNUSED)
        n--;
    for (size_t i = 0; i < n; i++) {
        const struct token *token = &t->tokens[i];
        h = hash64(t->text.data + token->text, token->n_text, h);
        h = hash64_combine(h, (uint64_t)token->kind << 8 | (token->flags & flags));
    }
    return h;
}

/* Left out is what has no say in encoding: without merges every splitter gives the same ids, and
 * unused tokens at the end only fill up to a model's embedding. A merge's rank counts how often the
 * token changes before it: so scores, which rank all merges that make a token alike, and the list
 * of merges that is written from them have the same hash. */
static uint64_t make_hash(const struct tokenizer *t)
{
    bool plain = t->n_merges == 0 && tokenizer_cuts_safely(t) && !t->nfc && !t->ignore_merges;
    uint64_t h = hash64_combine(0, (uint64_t)(plain ? SPLITTER_BYTES : t->splitter));
    h = hash64_combine(h, (uint64_t)t->nfc | (uint64_t)t->ignore_merges << 1 |
                              (uint64_t)t->space_prefix << 2 | (uint64_t)t->fuse_unknown << 3);
    h = hash_tokens(t, h);
    int32_t rank = -1;
    for (size_t i = 0; i < t->n_merges; i++) {
        rank += i == 0 || t->merges[i].id != t->merges[i - 1].id;
        h = hash64_combine(h, pair_key(t->merges[i].left, t->merges[i].right));
        h = hash64_combine(h, pair_key(t->merges[i].id, rank));
    }
    if (t->pipeline)
        h = hash_components(t, h);
    return h;
}

int tokenizer_ready(struct tokenizer *t, struct error *e)
{
    unicode_init();
    int code = tokenizer_byte_ids(t, e);
    if (code)
        return code;
    make_bytes(t);
    code = make_pairs(t, e);
    if (code)
        return code;
    make_added(t);
    if (t->char_level && t->model == MODEL_BPE)
        sp_prepare(t);
    if (t->model == MODEL_UNIGRAM)
        unigram_prepare(t);
    if (t->ignore_merges && tokenizer_merges_suffice(t))
        t->ignore_merges = false;
    t->hash = make_hash(t);
    return OK;
}
