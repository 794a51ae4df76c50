/* Shared by the tests of soft targets: names, and how far numbers are apart. */
#ifndef LINNET_TESTS_KERNELS_SOFT_H
#define LINNET_TESTS_KERNELS_SOFT_H

#include "kernels/soft_targets.h"
#include "tests/kernels/util.h"

static const char *const divergence_names[DIVERGENCES] = {"forward", "reverse", "symmetric", "jensen-shannon",
                                                          "variation"};
static const char *const tail_names[TAILS] = {"bucket", "renormalised", "zero"};

static inline double largest_of(const float *x, size_t n)
{
    double largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs((double)x[i]));
    return largest;
}

/* The largest |x - scale y|. */
static inline double difference(const float *x, const float *y, double scale, size_t n)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)x[i] - scale * (double)y[i]);
        if (isnan(d))
            return d;
        worst = fmax(worst, d);
    }
    return worst;
}

/* Relative to the larger of the value and 0.1. */
static inline double relative(double x, double want)
{
    return fabs(x - want) / fmax(fabs(want), 0.1);
}

#endif
