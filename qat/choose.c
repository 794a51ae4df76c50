#include "qat/choose.h"

#include "base/check.h"
#include "base/memory.h"

#include <stdlib.h>

/* From one point of an item's hull to the next. */
struct step {
    size_t item, from, to;
    size_t order;  /* among the item's */
    double rate;   /* what it gains for each byte */
};

static size_t smallest(const struct choice_item *x)
{
    size_t best = 0;
    CHECK(x->n_points > 0);
    for (size_t i = 1; i < x->n_points; i++) {
        const struct choice_point *p = &x->points[i], *b = &x->points[best];
        if (p->size < b->size || (p->size == b->size && p->loss < b->loss))
            best = i;
    }
    return best;
}

static double rate(const struct choice_item *x, size_t from, size_t to)
{
    const struct choice_point *a = &x->points[from], *b = &x->points[to];
    return (a->loss - b->loss) / (double)(b->size - a->size);
}

/* The next point of the hull: the steepest way down, of equals the longest. `from` itself at the end. */
static size_t next_of_hull(const struct choice_item *x, size_t from)
{
    const struct choice_point *a = &x->points[from];
    size_t best = from;
    for (size_t i = 0; i < x->n_points; i++) {
        const struct choice_point *p = &x->points[i];
        if (p->size <= a->size || p->loss >= a->loss)
            continue;
        const double gain = rate(x, from, i), most = best == from ? 0 : rate(x, from, best);
        if (gain > most || (best != from && gain == most && p->size > x->points[best].size))
            best = i;
    }
    return best;
}

static int by_rate(const void *left, const void *right)
{
    const struct step *a = left, *b = right;
    if (a->rate != b->rate)
        return a->rate > b->rate ? -1 : 1;
    if (a->item != b->item)
        return a->item < b->item ? -1 : 1;
    return a->order < b->order ? -1 : 1;
}

static size_t all_steps(const struct choice_item *items, size_t n, const size_t *first, struct step *steps)
{
    size_t n_steps = 0;
    for (size_t i = 0; i < n; i++) {
        size_t from = first[i], to, order = 0;
        for (; (to = next_of_hull(&items[i], from)) != from; from = to)
            steps[n_steps++] = (struct step){i, from, to, order++, rate(&items[i], from, to)};
    }
    qsort(steps, n_steps, sizeof *steps, by_rate);
    return n_steps;
}

bool choose_within(const struct choice_item *items, size_t n, size_t budget, size_t *chosen)
{
    size_t used = 0, n_points = 0;
    for (size_t i = 0; i < n; i++) {
        chosen[i] = smallest(&items[i]);
        used += items[i].points[chosen[i]].size;
        n_points += items[i].n_points;
    }
    if (used > budget)
        return false;
    struct step *steps = mem_alloc(n_points + 1, sizeof *steps);
    const size_t n_steps = all_steps(items, n, chosen, steps);
    for (size_t i = 0; i < n_steps; i++) {
        const struct step *s = &steps[i];
        const struct choice_point *points = items[s->item].points;
        const size_t more = points[s->to].size - points[s->from].size;
        if (chosen[s->item] != s->from || more > budget - used)
            continue; /* also what follows a step that did not fit */
        chosen[s->item] = s->to;
        used += more;
    }
    mem_free(steps);
    return true;
}
