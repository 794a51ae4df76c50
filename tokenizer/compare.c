#include "tokenizer/compare.h"

#include <string.h>

struct tokenizer_difference tokenizer_compare(const struct tokenizer *a, const struct tokenizer *b)
{
    struct tokenizer_difference d = {.same = tokenizer_hash(a) == tokenizer_hash(b),
                                     .sizes = {tokenizer_vocab_size(a), tokenizer_vocab_size(b)},
                                     .first = TOKEN_NONE};
    size_t both = d.sizes[0] < d.sizes[1] ? d.sizes[0] : d.sizes[1];
    for (size_t i = 0; i < both; i++) {
        size_t n_a, n_b;
        const char *text_a = tokenizer_token(a, (int32_t)i, &n_a), *text_b = tokenizer_token(b, (int32_t)i, &n_b);
        if (n_a == n_b && memcmp(text_a, text_b, n_a) == 0)
            continue;
        if (!d.n_different++)
            d.first = (int32_t)i;
    }
    return d;
}

static void append_token(const struct tokenizer *t, int32_t id, struct buffer *out)
{
    size_t n;
    const char *text = tokenizer_token(t, id, &n);
    buffer_printf(out, "\"%.*s\"", (int)(n < 40 ? n : 40), text);
}

void tokenizer_describe_difference(const struct tokenizer_difference *d, const struct tokenizer *a,
                                   const struct tokenizer *b, struct buffer *out)
{
    if (d->same) {
        buffer_string(out, "the same");
        return;
    }
    buffer_printf(out, "%zu tokens against %zu", d->sizes[0], d->sizes[1]);
    if (!d->n_different) {
        buffer_string(out, ", those of both are the same");
        return;
    }
    buffer_printf(out, ", %zu of them other strings; the first is %d: ", d->n_different, (int)d->first);
    append_token(a, d->first, out);
    buffer_string(out, " against ");
    append_token(b, d->first, out);
}
