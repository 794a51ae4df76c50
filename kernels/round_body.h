/* Activations to 8 bits, and strips of weights, for every kernel level. */
#include "kernels/unpack_body.h"

#include <math.h>

/* The largest magnitude, or something that is no finite number where one is not. */
static inline float largest_of_32(const float *x)
{
    uint32_t most = 0;
    for (int j = 0; j < 32; j++) {
        uint32_t bits = bits_from_float(x[j]) & 0x7fffffff;
        most = bits > most ? bits : most;
    }
    return float_from_bits(most);
}

/* 32 numbers to bytes, to nearest; returns their scale. */
static inline float round_32(const float *x, int8_t *q)
{
    const float most = largest_of_32(x);
    if (!(most > 1e-30f && most <= 3.4e38f)) { /* nothing worth keeping, or nothing that can be kept */
        memset(q, 0, 32);
        return most <= 1e-30f ? 0 : NAN;
    }
    const float inverse = 127 / most;
    for (int j = 0; j < 32; j++) { /* adding 1.5 * 2^23 leaves the whole number in the lowest bits */
        const float shifted = x[j] * inverse + 12582912.0f;
        q[j] = (int8_t)bits_from_float(shifted);
    }
    return most / 127;
}

static void round_row(const struct activation_rows *a, size_t r, const float *x, size_t k)
{
    const size_t padded = a->n_strips * STRIP, groups = padded / (size_t)a->group;
    int8_t *q = a->q + r * padded;
    float *scale = a->scale + r * a->n_strips * STRIP_SCALES, *sum = a->sum + r * groups;
    int32_t *shift = a->shift + r * groups;
    for (size_t i = 0; i < padded; i += 32) {
        float tail[32] = {0};
        const float *from = x + i;
        if (i + 32 > k) {
            if (i < k)
                memcpy(tail, from, (k - i) * sizeof *tail);
            from = tail;
        }
        scale[i / 32] = round_32(from, q + i);
    }
    for (size_t g = 0; g < groups; g++) {
        int32_t total = 0;
        for (int j = 0; j < a->group; j++)
            total += q[g * (size_t)a->group + (size_t)j];
        sum[g] = (float)total * scale[g * (size_t)a->group / 32];
        shift[g] = -a->bias * total;
    }
}

/* Strip s of row j. `unpack` is the form's, or, to have it inlined, known where this is compiled. */
static inline __attribute__((always_inline)) void
load_strip(void (*unpack)(const void *, struct weight_strip *), const struct weight_rows *w, size_t j, size_t s,
           struct weight_strip *strip)
{
    enum { LARGEST = 34 * 16 }; /* bytes: q8_0 */
    const unsigned char *from = w->data + j * w->row_bytes + s * w->strip_bytes;
    if (s + 1 < w->n_strips || w->tail_bytes == w->strip_bytes) {
        unpack(from, strip);
        return;
    }
    _Alignas(2) unsigned char rest[LARGEST] = {0};
    memcpy(rest, from, w->tail_bytes);
    w->form->unpack(rest, strip);
}
