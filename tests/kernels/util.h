/* Shared by the kernel tests: random arrays, f64 copies, distances, and a loop over the variants.
 */
#ifndef LINNET_TESTS_KERNELS_UTIL_H
#define LINNET_TESTS_KERNELS_UTIL_H

#include "base/cpu.h"
#include "base/memory.h"
#include "base/rng.h"
#include "kernels/gemm.h"
#include "tests/gradcheck.h"
#include "tests/test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { GUARD = 64 }; /* canary floats after every array */

static inline float *floats(size_t n)
{
    float *x = mem_alloc(n + GUARD, sizeof *x);
    for (size_t i = 0; i < n + GUARD; i++)
        x[i] = NAN; /* so that what is never written shows */
    return x;
}

static inline float *zeros(size_t n)
{
    float *x = floats(n);
    for (size_t i = 0; i < n; i++)
        x[i] = 0;
    return x;
}

static inline float *normals(size_t n, float std, uint64_t seed)
{
    float *x = floats(n);
    struct rng r;
    rng_init(&r, seed, 7);
    rng_fill_normal(&r, x, n, std);
    return x;
}

/* Frees an array made above after checking that nothing wrote behind its end. */
static inline void done_with(float *x, size_t n)
{
    for (size_t i = n; i < n + GUARD; i++)
        assert_true(isnan(x[i]));
    mem_free(x);
}

static inline double *as_f64(const float *x, size_t n)
{
    double *y = mem_alloc(n, sizeof *y);
    for (size_t i = 0; i < n; i++)
        y[i] = x[i];
    return y;
}

/* Largest |x - y| over the larger of y's rms and |y|; a NaN is returned as such. */
static inline double distance_f64(const float *x, const double *y, size_t n)
{
    double squares = 0, worst = 0;
    for (size_t i = 0; i < n; i++)
        squares += y[i] * y[i];
    double rms = sqrt(squares / (double)n) + 1e-30;
    for (size_t i = 0; i < n; i++) {
        double d = fabs(x[i] - y[i]) / fmax(rms, fabs(y[i]));
        if (isnan(d))
            return d;
        worst = d > worst ? d : worst;
    }
    return worst;
}

static inline double distance(const float *x, const float *y, size_t n)
{
    double *y64 = as_f64(y, n), d = distance_f64(x, y64, n);
    mem_free(y64);
    return d;
}

/* Fails unless value <= bound (so a NaN fails); says what and at which kernel level. */
#define assert_within(value, bound, ...)                                                           \
    do {                                                                                           \
        double within_value = (value);                                                             \
        if (!(within_value <= (bound))) {                                                          \
            char within_what[256];                                                                 \
            snprintf(within_what, sizeof within_what, __VA_ARGS__);                                \
            fail_msg("%s (%s): %g is over %g", within_what, cpu_level_name(cpu_level()),           \
                     within_value, (double)(bound));                                               \
        }                                                                                          \
    } while (0)

/* Runs the body once per kernel level this processor has, and leaves the highest set. */
#define for_each_level(level)                                                                      \
    for (enum cpu_level level = CPU_REF; level <= CPU_AVX512; level++)                             \
        if (cpu_set_level(level), cpu_level() != level)                                            \
            break;                                                                                 \
        else

#endif
