/* The portable way: what the others are measured against. */
#define SIGNED_SHIFT 0
#include "kernels/round_body.h"

/* Bytes of a group, of weights that may be signed, summed exactly. */
static int32_t group_dot(const struct level_form *f, const uint8_t *q, const int8_t *a)
{
    int32_t sum = 0;
    for (int j = 0; j < f->group; j++)
        sum += (f->is_signed ? (int8_t)q[j] : q[j]) * a[j];
    return sum;
}

static float strip_dot(const struct level_form *f, const struct weight_strip *w,
                       const struct activation_rows *a, size_t r, size_t s)
{
    const size_t n = STRIP / (size_t)f->group;
    const int8_t *q = a->q + (r * a->n_strips + s) * STRIP;
    const float *scale = a->scale + (r * a->n_strips + s) * STRIP_SCALES;
    const float *sum = a->sum + (r * a->n_strips + s) * n;
    const int32_t *shift = a->shift + (r * a->n_strips + s) * n;
    float total = 0;
    for (size_t g = 0; g < n; g++) {
        const size_t at = g * (size_t)f->group;
        const int32_t products = group_dot(f, w->q + at, q + at) + shift[g];
        total += w->scale[g] * scale[at / 32] * (float)products;
        if (f->has_offset)
            total += w->offset[g] * sum[g];
    }
    return total;
}

static void dot(const struct weight_rows *w, size_t j, const struct activation_rows *a, size_t m, float *out,
                size_t stride)
{
    struct weight_strip strip;
    for (size_t i = 0; i < m; i++)
        out[i * stride] = 0;
    for (size_t s = 0; s < w->n_strips; s++) {
        load_strip(w->form->unpack, w, j, s, &strip);
        for (size_t i = 0; i < m; i++)
            out[i * stride] += strip_dot(w->form, &strip, a, i, s);
    }
}

static float row_dot(const struct weight_rows *w, size_t j, const struct activation_rows *a, size_t r)
{
    struct weight_strip strip;
    float sum = 0;
    for (size_t s = 0; s < w->n_strips; s++) {
        load_strip(w->form->unpack, w, j, s, &strip);
        sum += strip_dot(w->form, &strip, a, r, s);
    }
    return sum;
}

#define ROW_DOT(name) row_dot
DEFINE_LEVEL_FORM

const struct quantized_kernels quantized_kernels_ref = {
    .form = level_form, .round_row = round_row, .few_rows = SIZE_MAX, .dot = dot,
};
