/* How fast this processor multiplies bf16, measured, since the name of an instruction does not tell: where
 * AMX is meant to do that work, VDPBF16PS may run at half the speed of f32. */
#if defined(__x86_64__)
#include "kernels/bf16_rate.h"

#include <immintrin.h>
#include <time.h>

enum { ROUNDS = 2000, TRIES = 9 };

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Independent sums, so that the adders never wait for each other; the empty assembly keeps them in registers
 * and the loop in place. */
#define TIME(SUM)                                                                                  \
    do {                                                                                           \
        __m512 s0 = x, s1 = x, s2 = x, s3 = x, s4 = x, s5 = x, s6 = x, s7 = x, s8 = x, s9 = x,     \
               s10 = x, s11 = x;                                                                   \
        double began = seconds();                                                                  \
        for (int r = 0; r < ROUNDS; r++) {                                                         \
            s0 = SUM(s0), s1 = SUM(s1), s2 = SUM(s2), s3 = SUM(s3), s4 = SUM(s4), s5 = SUM(s5);    \
            s6 = SUM(s6), s7 = SUM(s7), s8 = SUM(s8), s9 = SUM(s9), s10 = SUM(s10);                \
            s11 = SUM(s11);                                                                        \
            __asm__ volatile("" : "+v"(s0), "+v"(s1), "+v"(s2), "+v"(s3), "+v"(s4), "+v"(s5));      \
            __asm__ volatile("" : "+v"(s6), "+v"(s7), "+v"(s8), "+v"(s9), "+v"(s10), "+v"(s11));    \
        }                                                                                          \
        double took = seconds() - began;                                                           \
        best = took < best ? took : best;                                                          \
    } while (0)

#define SUM_F32(s)  _mm512_fmadd_ps(x, x, s)
#define SUM_BF16(s) _mm512_dpbf16_ps(s, y, y)

double bf16_rate(void)
{
    __m512 x = _mm512_setzero_ps();
    __m512bh y = (__m512bh)_mm512_setzero_si512();
    double best = 1, f32;
    for (int i = 0; i < TRIES; i++)
        TIME(SUM_F32);
    f32 = best;
    best = 1;
    for (int i = 0; i < TRIES; i++)
        TIME(SUM_BF16);
    return 2 * f32 / best; /* twice the terms an instruction */
}
#endif
