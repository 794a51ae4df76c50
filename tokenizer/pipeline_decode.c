/* The decoders of tokenizer.json. They are lists over all tokens of a text; here each token is
 * decoded alone, so that text can be given out as it is generated. What looks at the whole text
 * behind Fuse is limited to a Strip at its front. */
#include "base/check.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/pipeline.h"

#include <string.h>

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void replace_marks(const struct step *step, const char *text, size_t n, bool first,
                          struct buffer *out)
{
    for (size_t i = 0; i < n;) {
        if (n - i >= step->n_content && memcmp(text + i, step->content, step->n_content) == 0) {
            if (!first || step->prepend == PREPEND_NEVER)
                buffer_byte(out, ' ');
            i += step->n_content;
        } else {
            buffer_byte(out, text[i++]);
        }
    }
}

static void strip_ends(const struct step *step, const char *text, size_t n, struct buffer *out)
{
    const char *c = step->content;
    size_t size = step->n_content, begin = 0;
    for (size_t k = 0; k < step->start && n - begin >= size && !memcmp(text + begin, c, size); k++)
        begin += size;
    for (size_t k = 0; k < step->stop && n - begin >= size && !memcmp(text + n - size, c, size);
         k++)
        n -= size;
    buffer_append(out, text + begin, n - begin);
}

/* A word that goes on has the prefix, all others follow a space. */
static void join_words(const struct step *step, const char *text, size_t n, bool first,
                       struct buffer *out)
{
    size_t size = step->n_content;
    bool goes_on = size && n >= size && memcmp(text, step->content, size) == 0;
    if (!first && !goes_on)
        buffer_byte(out, ' ');
    if (!first && goes_on)
        buffer_append(out, text + size, n - size);
    else
        buffer_append(out, text, n);
}

static void decode_one(const struct step *step, struct pipeline_scratch *s, const char *text,
                       size_t n, bool first, struct buffer *out)
{
    switch (step->kind) {
    case STEP_BYTE_LEVEL:
        if (!byte_alphabet_string(text, n, out))
            buffer_append(out, text, n);
        break;
    case STEP_BYTE_FALLBACK:
        if (n == 6 && memcmp(text, "<0x", 3) == 0 && text[5] == '>' && hex(text[3]) >= 0 &&
            hex(text[4]) >= 0)
            buffer_byte(out, (char)(hex(text[3]) << 4 | hex(text[4])));
        else
            buffer_append(out, text, n);
        break;
    case STEP_METASPACE:
        replace_marks(step, text, n, first, out);
        break;
    case STEP_REPLACE:
        step_replace(step, s, text, n, out);
        break;
    case STEP_STRIP:
        strip_ends(step, text, n, out);
        break;
    case STEP_WORDPIECE:
        join_words(step, text, n, first, out);
        break;
    default:
        CHECK(false);
    }
}

void pipeline_decode(const struct pipeline *p, struct pipeline_scratch *s, const char *token,
                     size_t n, bool first, struct buffer *out)
{
    struct buffer turn[2] = {{0}, {0}};
    size_t k = 0;
    bool is_byte = false; /* a byte is no text for the steps behind it */
    for (size_t i = 0; i < p->decoders.count && !is_byte; i++) {
        const struct step *step = &p->decoders.items[i];
        if (step->kind == STEP_FUSE)
            break;
        buffer_clear(&turn[k]);
        buffer_append(&turn[k], "", 0);
        decode_one(step, s, token, n, first, &turn[k]);
        is_byte = step->kind == STEP_BYTE_FALLBACK && n == 6 && turn[k].size == 1;
        token = turn[k].data;
        n = turn[k].size;
        k = 1 - k;
    }
    buffer_append(out, token, n);
    buffer_free(&turn[0]);
    buffer_free(&turn[1]);
}

bool pipeline_first_differs(const struct pipeline *p)
{
    for (size_t i = 0; i < p->decoders.count; i++) {
        const struct step *step = &p->decoders.items[i];
        if (step->kind == STEP_WORDPIECE ||
            (step->kind == STEP_METASPACE && step->prepend != PREPEND_NEVER))
            return true;
    }
    return false;
}

const char *pipeline_strips(const struct pipeline *p, size_t *most)
{
    for (size_t i = 0; i + 1 < p->decoders.count; i++)
        if (p->decoders.items[i].kind == STEP_FUSE) {
            *most = p->decoders.items[i + 1].start;
            return p->decoders.items[i + 1].content;
        }
    return NULL;
}
