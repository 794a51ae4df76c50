#include "kernels/quantized.h"

#include "base/check.h"
#include "base/cpu.h"
#include "kernels/profile.h"
#include "kernels/quantized_kernels.h"
#include "kernels/scratch.h"

const struct quantized_kernels *quantized_kernels(void)
{
#if defined(__x86_64__)
    if (cpu_has_vnni())
        return &quantized_kernels_avx512vnni;
    if (cpu_level() >= CPU_AVX2)
        return &quantized_kernels_avx2;
#endif
    return &quantized_kernels_ref;
}

bool quantized_supports(enum dtype type)
{
    return quantized_kernels_ref.form(type) != NULL;
}

enum {
    WORTH_THREADS = 1 << 17, /* multiply-adds below which waking the others takes longer than they would save */
    PIECE = 32,              /* rows of weights at a time: two cache lines of a row of c */
};

static size_t whole_lines(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* Lays the rows out in memory; with base NULL only measures. */
static size_t lay_out(struct activation_rows *a, size_t m, char *base)
{
    const size_t strips = m * a->n_strips, groups = strips * (STRIP / (size_t)a->group);
    const size_t q = whole_lines(strips * STRIP), scale = whole_lines(strips * STRIP_SCALES * sizeof *a->scale),
                 sum = whole_lines(groups * sizeof *a->sum);
    if (base) {
        a->q = (int8_t *)base;
        a->scale = (float *)(base + q);
        a->sum = (float *)(base + q + scale);
        a->shift = (int32_t *)(base + q + scale + sum);
    }
    return q + scale + 2 * sum;
}

static void few(const struct quantized_kernels *kernels, const struct weight_rows *w,
                const struct activation_rows *a, size_t m, size_t n, size_t k, float *c, size_t ldc)
{
#pragma omp parallel for schedule(static) if (m * n * k > WORTH_THREADS)
    for (size_t from = 0; from < n; from += PIECE)
        for (size_t j = from; j < from + PIECE && j < n; j++)
            if (m == 1)
                c[j] = w->form->row_dot(w, j, a, 0);
            else
                kernels->dot(w, j, a, m, c + j, ldc);
}

static void many(const struct quantized_kernels *kernels, const struct weight_rows *w,
                 const struct activation_rows *a, size_t m, size_t n, size_t k, float *c, size_t ldc)
{
    const size_t width = kernels->panel_columns;
#pragma omp parallel for schedule(dynamic) if (m * n * k > WORTH_THREADS)
    for (size_t j = 0; j < n; j += width)
        kernels->panel(w, j, n - j < width ? n - j : width, a, m, c + j, ldc, scratch_floats(m * width));
}

void quantized_product(size_t m, size_t n, size_t k, const float *a, size_t lda, enum dtype b_type,
                       const void *b, size_t ldb, float *c, size_t ldc)
{
    const struct quantized_kernels *kernels = quantized_kernels();
    const struct dtype_info *info = dtype_info(b_type);
    const struct level_form *form = kernels->form(b_type);
    CHECK(form && ldb % info->block == 0);
    if (m == 0 || n == 0)
        return;
    enum profile_kind outer = profile_enter(PROFILE_PRODUCTS);
    const size_t strip_bytes = STRIP / info->block * info->block_bytes,
                 row_bytes = (k + info->block - 1) / info->block * info->block_bytes;
    const size_t n_strips = (k + STRIP - 1) / STRIP;
    struct weight_rows w = {
        .form = form, .data = b, .row_bytes = ldb / info->block * info->block_bytes,
        .strip_bytes = strip_bytes, .n_strips = n_strips,
        .tail_bytes = row_bytes - (n_strips - 1) * strip_bytes,
    };
    struct activation_rows rows = {.n_strips = n_strips, .group = form->group, .bias = form->bias};
    lay_out(&rows, m, scratch_shared(lay_out(&rows, m, NULL)));
#pragma omp parallel for schedule(static) if (m * k > WORTH_THREADS)
    for (size_t r = 0; r < m; r++)
        kernels->round_row(&rows, r, a + r * lda, k);
    if (m <= kernels->few_rows)
        few(kernels, &w, &rows, m, n, k, c, ldc);
    else
        many(kernels, &w, &rows, m, n, k, c, ldc);
    profile_leave(outer);
}
