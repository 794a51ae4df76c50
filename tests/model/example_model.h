/* Models of the families in architectures.h, for tests that compare their logits. */
#ifndef LINNET_TESTS_MODEL_EXAMPLE_MODEL_H
#define LINNET_TESTS_MODEL_EXAMPLE_MODEL_H

#include "tests/model/architectures.h"
#include "tests/test.h"

#include <math.h>

/* With random weights; model_free. */
static inline struct model example_model(const struct example *x, size_t vocab_size)
{
    struct model_config c;
    struct model m;
    struct error e;
    assert_ok(example_config(x, vocab_size, &c, &e), e);
    assert_ok(model_init(&m, &c, &e), e);
    assert_ok(model_allocate(&m, &e), e);
    example_weights(&m, 7);
    return m;
}

static inline const struct example *example_named(const char *name)
{
    for (size_t i = 0; i < N_EXAMPLES; i++)
        if (strcmp(examples[i].name, name) == 0)
            return &examples[i];
    fail_msg("no family %s", name);
    return NULL;
}

/* The largest difference of n numbers, as a share of the largest of b. */
static inline double logit_distance(const float *a, const float *b, size_t n)
{
    double worst = 0, largest = 0;
    for (size_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs((double)a[i] - b[i]));
        largest = fmax(largest, fabs((double)b[i]));
    }
    return worst / largest;
}

#endif
