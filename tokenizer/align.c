/* Tokens beside the text that they were made of. Encoding is not followed step by step: each token must spell what
 * stands at its place, and all of them the whole text, so that a wrong place cannot go unnoticed. */
#include "base/utf8.h"
#include "tokenizer/tokenizer_internal.h"
#include "tokenizer/unicode.h"

#include <string.h>

static size_t skip_spaces(const char *text, size_t n, size_t at)
{
    uint32_t code;
    for (size_t size; at < n && (size = utf8_decode(text + at, n - at, &code)) && unicode_is_space(code); at += size)
        ;
    return at;
}

static bool spells(const char *text, size_t n, size_t at, const char *bytes, size_t size)
{
    return size <= n - at && memcmp(text + at, bytes, size) == 0;
}

static bool is_added(const struct tokenizer *t, int32_t id)
{
    const struct token *token = &t->tokens[id];
    return token->kind == TOKEN_CONTROL || token->kind == TOKEN_USER_DEFINED || token->flags & OUTSIDE;
}

/* How much of the text at `at` the token is; SIZE_MAX when it is not there. Decoding drops a first space, which the text
 * may have had; encoding puts one before each stretch, which it may not have had. */
static size_t match(const struct tokenizer *t, const char *text, size_t n, size_t at, int32_t id, bool anew,
                    struct decode_stream *s)
{
    size_t size;
    const struct token *token = &t->tokens[id];
    const char *bytes = token_bytes(t, id, true, s, &size), *whole = t->bytes.data + token->bytes;
    if (spells(text, n, at, bytes, size))
        return size;
    if (spells(text, n, at, whole, token->n_bytes))
        return token->n_bytes;
    if (anew && token->n_bytes && whole[0] == ' ' && spells(text, n, at, whole + 1, token->n_bytes - 1))
        return token->n_bytes - 1;
    return SIZE_MAX;
}

bool tokenizer_align(const struct tokenizer *t, const char *text, size_t n, const int32_t *ids, size_t n_ids,
                     size_t *begins)
{
    struct decode_stream s = {0};
    size_t at = 0;
    bool anew = true; /* a stretch of text begins here */
    for (size_t i = 0; i < n_ids; i++) {
        if (ids[i] < 0 || (size_t)ids[i] >= t->n_tokens || t->tokens[ids[i]].kind == TOKEN_UNKNOWN)
            return false;
        int flags = is_added(t, ids[i]) ? t->tokens[ids[i]].flags : 0;
        size_t from = flags & STRIP_LEFT ? skip_spaces(text, n, at) : at;
        size_t size = match(t, text, n, from, ids[i], anew, &s);
        if (size == SIZE_MAX)
            return false;
        begins[i] = at;
        at = from + size;
        if (flags & STRIP_RIGHT)
            at = skip_spaces(text, n, at);
        anew = is_added(t, ids[i]);
    }
    return at == n;
}
