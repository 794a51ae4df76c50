#include "infer/draft.h"

#include "base/check.h"
#include "infer/generate.h"
#include "kernels/table.h"

#include <string.h>

void drafter_init(struct drafter *d, struct generator *model, size_t most)
{
    CHECK(most >= 1 && most <= DRAFT_MOST);
    *d = (struct drafter){.model = model, .most = most, .length = (most + 1) / 2};
}

void drafter_reset(struct drafter *d)
{
    if (d->model)
        generator_reset(d->model);
    drafter_init(d, d->model, d->most);
}

void drafter_learn(struct drafter *d, size_t n, size_t accepted)
{
    d->n_drafted += n;
    d->n_accepted += accepted;
    if (n == 0)
        return;
    size_t length = accepted == n ? d->length + 2 : accepted + 1;
    d->length = length < d->most ? length : d->most;
}

/* The latest place before its end where the text's last n tokens stand, as the index of what follows; 0: none. */
static size_t find_earlier(const struct tokens *text, size_t n)
{
    const int32_t *last = text->ids + text->count - n;
    for (size_t end = text->count - 1; end >= n; end--)
        if (text->ids[end - 1] == last[n - 1] && memcmp(text->ids + end - n, last, n * sizeof *last) == 0)
            return end;
    return 0;
}

static size_t look_up(const struct tokens *text, size_t room, int32_t *out)
{
    enum { LONGEST = 4, SHORTEST = 2 }; /* tokens that must be the same */
    for (size_t n = LONGEST; n >= SHORTEST; n--) {
        size_t from = text->count > n ? find_earlier(text, n) : 0;
        if (from == 0)
            continue;
        size_t left = text->count - from, found = left < room ? left : room;
        memcpy(out, text->ids + from, found * sizeof *out);
        return found;
    }
    return 0;
}

/* The likeliest token and its probability. */
static int32_t likeliest(const float *logits, size_t n, double *p)
{
    const struct kernel_table *table = kernel_table();
    const float most = table->max(logits, n);
    size_t best = 0;
    while (best + 1 < n && logits[best] != most)
        best++;
    *p = 1 / table->exp_sum(NULL, logits, most, n);
    return (int32_t)best;
}

static size_t common_length(const struct tokens *a, const struct tokens *b)
{
    size_t n = 0;
    while (n < a->count && n < b->count && a->ids[n] == b->ids[n])
        n++;
    return n;
}

/* The draft's model reads what it has not read of the text, then its own likeliest tokens, as long as it is sure of
 * them. It may fail to, for want of room: then there is no guess. */
static size_t ask_model(struct generator *g, const struct tokens *text, size_t room, int32_t *out)
{
    const double sure = 0.4;
    struct error e;
    size_t known = common_length(&g->text, text), n = 0;
    if (known == text->count)
        known--; /* its logits are wanted */
    known = generator_rewind(g, known);
    if (text->count + room > g->capacity ||
        generator_feed(g, text->ids + known, text->count - known, NULL, &e) != OK)
        return 0;
    for (;;) {
        double p;
        out[n] = likeliest(g->logits, g->n_choices, &p);
        if (!(p >= sure))
            return n;
        if (++n == room || generator_feed(g, &out[n - 1], 1, NULL, &e) != OK)
            return n;
    }
}

size_t drafter_propose(struct drafter *d, const struct tokens *text, size_t room, int32_t *out)
{
    if (room > d->length)
        room = d->length;
    if (room == 0 || text->count == 0)
        return 0;
    return d->model ? ask_model(d->model, text, room, out) : look_up(text, room, out);
}
