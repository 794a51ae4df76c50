#include "align/stored_reference.h"

#include "base/check.h"
#include "base/memory.h"

/* What could not be found. */
struct lack {
    size_t missing, different;
    const struct examples *examples; /* the first one, of either */
    size_t first, targets, targets_there;
};

/* Those of one dataset into logps. */
static void look_up(const struct examples *x, const struct reference_table *t, double *logps, struct lack *lack)
{
    for (size_t i = 0; i < x->count; i++) {
        size_t at = reference_table_find(t, example_key(x, i)), targets = example_targets(x, i);
        bool missing = at == SIZE_MAX, different = !missing && t->n_targets[at] != targets;
        if ((missing || different) && !lack->examples) {
            lack->examples = x;
            lack->first = i;
            lack->targets = targets;
            lack->targets_there = missing ? 0 : t->n_targets[at];
        }
        lack->missing += missing;
        lack->different += different;
        logps[i] = missing ? 0 : t->logps[at];
    }
}

static int report(const struct lack *lack, size_t count, const char *path, struct error *e)
{
    const struct example_origin *o = &lack->examples->origins[lack->first];
    const char *file = lack->examples->files[o->file];
    unsigned long long line = o->line;
    if (lack->targets_there)
        return error_set(e, ERR_FORMAT, "%s: has another number of targets for %zu of %zu answers (the first: %s:%llu, which "
                                        "has %zu, and there %zu); make the file anew with linnet reference",
                         path, lack->different, count, file, line, lack->targets, lack->targets_there);
    return error_set(e, ERR_FORMAT, "%zu of %zu answers are not in %s (the first: %s:%llu); make a file of these data, with the "
                                    "same chat template and length, with linnet reference",
                     lack->missing, count, path, file, line);
}

int stored_reference_init(struct stored_reference *s, const struct reference_table *t, const char *path,
                          const struct examples *train, const struct examples *held_out, struct error *e)
{
    size_t n_train = train ? train->count : 0, n_held_out = held_out ? held_out->count : 0;
    struct lack lack = {0};
    *s = (struct stored_reference){mem_alloc(n_train + n_held_out, sizeof *s->logps), n_train + n_held_out};
    if (n_train)
        look_up(train, t, s->logps, &lack);
    if (n_held_out)
        look_up(held_out, t, s->logps + n_train, &lack);
    if (!lack.examples)
        return OK;
    int code = report(&lack, s->count, path, e);
    stored_reference_free(s);
    return code;
}

void stored_reference_free(struct stored_reference *s)
{
    mem_free(s->logps);
    *s = (struct stored_reference){0};
}

static int stored_logps(void *context, struct activations *a, const struct batch *b, float *scratch, double *logps,
                        struct error *e)
{
    (void)a, (void)scratch;
    const struct stored_reference *s = context;
    (void)e;
    for (size_t i = 0; i < b->n_examples; i++) {
        CHECK(b->examples[i].number < s->count);
        logps[i] = s->logps[b->examples[i].number];
    }
    return OK;
}

struct reference stored_reference(struct stored_reference *s)
{
    return (struct reference){.context = s, .logps = stored_logps};
}
