#include "base/check.h"
#include "tokenizer/pipeline.h"
#include "tokenizer/tokenizer_internal.h"

#include <string.h>

/* What a text's front loses: SentencePiece put a space of its own there. NULL for nothing. */
static const char *stripped(const struct tokenizer *t, size_t *most)
{
    *most = 1;
    return t->pipeline ? pipeline_strips(t->pipeline, most) : t->space_prefix ? " " : NULL;
}

/* Whether such a space stands behind special tokens too. */
static bool begins_anew(const struct tokenizer *t)
{
    return !t->pipeline || pipeline_prefixes_all(t->pipeline);
}

const char *token_bytes(const struct tokenizer *t, int32_t id, bool with_special,
                        struct decode_stream *s, size_t *n)
{
    *n = 0;
    if (id < 0 || (size_t)id >= t->n_tokens)
        return "";
    const struct token *token = &t->tokens[id];
    const char *bytes = t->bytes.data + token->bytes;
    if (tokenizer_is_special(t, id)) {
        if (begins_anew(t)) {
            s->started = false;
            s->n_stripped = 0;
        }
        *n = with_special ? token->n_bytes : 0;
        return bytes;
    }
    *n = token->n_bytes;
    if (!s->started && t->first_ends) {
        size_t begin = id ? t->first_ends[id - 1] : 0;
        bytes = t->first_bytes.data + begin;
        *n = t->first_ends[id] - begin;
    }
    size_t most, size;
    const char *strip = s->started ? NULL : stripped(t, &most);
    if (strip) {
        size = strlen(strip);
        while (s->n_stripped < most && *n >= size && memcmp(bytes, strip, size) == 0) {
            bytes += size;
            *n -= size;
            s->n_stripped++;
        }
        s->started = *n > 0 || s->n_stripped == most;
    } else {
        s->started = true;
    }
    return bytes;
}

void tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t n, bool with_special,
                      struct buffer *out)
{
    struct decode_stream s = {0};
    for (size_t i = 0; i < n; i++) {
        size_t size;
        const char *bytes = token_bytes(t, ids[i], with_special, &s, &size);
        buffer_append(out, bytes, size);
    }
}

static const char replacement[] = "\xEF\xBF\xBD"; /* U+FFFD */

/* How many bytes the sequence that starts with `first` should have; 1 for what starts none. */
static size_t expected(unsigned char first)
{
    if (first < 0xC2 || first > 0xF4)
        return 1;
    return first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
}

/* Whether the n bytes at p may still become a character once more arrive. */
static bool may_grow(const unsigned char *p, size_t n)
{
    if (n >= expected(p[0]))
        return false;
    unsigned char tail[4] = {p[0], 0x80, 0x80, 0x80};
    memcpy(tail, p, n);
    uint32_t code;
    if (n == 1) /* the narrowest second bytes: E0 and F0 want high ones, ED and F4 low ones */
        tail[1] = p[0] == 0xE0 || p[0] == 0xF0 ? 0xBF : 0x80;
    return utf8_decode(tail, expected(p[0]), &code) > 0;
}

static void push_byte(struct decode_stream *s, unsigned char byte, struct buffer *out)
{
    CHECK(s->n_held < sizeof s->held);
    s->held[s->n_held++] = byte;
    while (s->n_held > 0) {
        uint32_t code;
        size_t size = utf8_decode(s->held, s->n_held, &code);
        if (size) {
            buffer_append(out, s->held, size);
        } else if (may_grow(s->held, s->n_held)) {
            return;
        } else { /* one U+FFFD for the longest prefix that began well, as Unicode 15 section 3.9 */
            size = 1;
            while (size + 1 < s->n_held && may_grow(s->held, size + 1))
                size++;
            buffer_append(out, replacement, 3);
        }
        s->n_held -= size;
        memmove(s->held, s->held + size, s->n_held);
    }
}

void decode_stream_push(struct decode_stream *s, const struct tokenizer *t, int32_t id,
                        bool with_special, struct buffer *out)
{
    size_t n;
    const char *bytes = token_bytes(t, id, with_special, s, &n);
    for (size_t i = 0; i < n; i++)
        push_byte(s, (unsigned char)bytes[i], out);
}

void decode_stream_flush(struct decode_stream *s, struct buffer *out)
{
    if (s->n_held)
        buffer_append(out, replacement, 3);
    s->n_held = 0;
    s->started = false;
    s->n_stripped = 0;
}
