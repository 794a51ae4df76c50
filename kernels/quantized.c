#include "kernels/quantized.h"

#include "base/check.h"
#include "base/cpu.h"
#include "kernels/interleave.h"
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

/* What a product is of. */
struct product {
    const struct quantized_kernels *kernels;
    struct weight_rows w;
    struct activation_rows a;
    size_t m, work; /* multiply-adds */
    float *c;
    size_t ldc;
};

static void few(const struct product *p, size_t begin, size_t n)
{
#pragma omp parallel for schedule(static) if (p->work > WORTH_THREADS)
    for (size_t from = begin; from < n; from += PIECE)
        for (size_t j = from; j < from + PIECE && j < n; j++)
            if (p->m == 1)
                p->c[j] = p->w.form->row_dot(&p->w, j, &p->a, 0);
            else
                p->kernels->dot(&p->w, j, &p->a, p->m, p->c + j, p->ldc);
}

static void few_interleaved(const struct product *p, size_t n)
{
#pragma omp parallel for schedule(static) if (p->work > WORTH_THREADS)
    for (size_t j = 0; j < n; j += INTERLEAVED_ROWS)
        p->kernels->few_panels(&p->w, j, &p->a, p->m, p->c + j, p->ldc);
}

static void many(const struct product *p, size_t begin, size_t n)
{
    const size_t width = p->kernels->panel_columns;
#pragma omp parallel for schedule(dynamic) if (p->work > WORTH_THREADS)
    for (size_t j = begin; j < n; j += width)
        p->kernels->panel(&p->w, j, n - j < width ? n - j : width, &p->a, p->m, p->c + j, p->ldc,
                          scratch_floats(p->m * width));
}

static struct weight_rows weight_rows(const struct level_form *form, enum dtype type, size_t k, const void *b,
                                      size_t ldb)
{
    const struct dtype_info *info = dtype_info(type);
    const size_t n_strips = (k + STRIP - 1) / STRIP, strip_bytes = STRIP / info->block * info->block_bytes,
                 bytes = (k + info->block - 1) / info->block * info->block_bytes;
    CHECK(ldb % info->block == 0);
    return (struct weight_rows){
        .type = type, .form = form, .data = b, .row_bytes = ldb / info->block * info->block_bytes,
        .strip_bytes = strip_bytes, .n_strips = n_strips, .tail_bytes = bytes - (n_strips - 1) * strip_bytes,
    };
}

/* A row of activations as f32. */
static const float *wide_row(enum dtype type, const void *a, size_t lda, size_t r, size_t k)
{
    if (type == DTYPE_F32)
        return (const float *)a + r * lda;
    float *wide = scratch_floats(k);
    f32_from_bf16((const uint16_t *)a + r * lda, wide, k);
    return wide;
}

/* Everything up to the activations in 8 bits. With c NULL the sums go to scratch memory. */
static struct product prepare(size_t m, size_t n, size_t k, enum dtype a_type, const void *a, size_t lda,
                              enum dtype b_type, const void *b, size_t ldb, float *c, size_t ldc)
{
    const struct quantized_kernels *kernels = quantized_kernels();
    const struct level_form *form = kernels->form(b_type);
    CHECK(form && k > 0);
    struct product p = {.kernels = kernels, .w = weight_rows(form, b_type, k, b, ldb), .m = m, .work = m * n * k,
                        .c = c, .ldc = ldc};
    p.a = (struct activation_rows){.n_strips = p.w.n_strips, .group = form->group, .bias = form->bias};
    size_t rows = lay_out(&p.a, m, NULL);
    char *scratch = scratch_shared(rows + (c ? 0 : m * n * sizeof *c));
    lay_out(&p.a, m, scratch);
    if (!c)
        p.c = (float *)(scratch + rows), p.ldc = n;
#pragma omp parallel for schedule(static) if (m * k > WORTH_THREADS)
    for (size_t r = 0; r < m; r++)
        kernels->round_row(&p.a, r, wide_row(a_type, a, lda, r, k), k);
    return p;
}

size_t quantized_product_bytes(size_t m, size_t n, size_t k, enum dtype b_type, enum dtype c_type)
{
    struct activation_rows a = {.n_strips = (k + STRIP - 1) / STRIP, .group = quantized_kernels()->form(b_type)->group};
    return lay_out(&a, m, NULL) + (c_type == DTYPE_F32 ? 0 : m * n * sizeof(float));
}

void quantized_product(size_t m, size_t n, size_t k, enum dtype a_type, const void *a, size_t lda, enum dtype b_type,
                       const void *b, size_t ldb, enum dtype c_type, void *c, size_t ldc)
{
    if (m == 0 || n == 0)
        return;
    enum profile_kind outer = profile_enter(PROFILE_PRODUCTS);
    struct product p = prepare(m, n, k, a_type, a, lda, b_type, b, ldb, c_type == DTYPE_F32 ? c : NULL, ldc);
    if (m <= p.kernels->few_rows)
        few(&p, 0, n);
    else
        many(&p, 0, n);
    if (c_type == DTYPE_BF16)
#pragma omp parallel for schedule(static) if (m * n > WORTH_THREADS)
        for (size_t r = 0; r < m; r++)
            bf16_from_f32(p.c + r * n, (uint16_t *)c + r * ldc, n);
    profile_leave(outer);
}

void quantized_product_interleaved(size_t m, size_t n, size_t k, const float *a, size_t lda, enum dtype b_type,
                                   const void *b, float *c, size_t ldc)
{
    const size_t whole = n / INTERLEAVED_ROWS * INTERLEAVED_ROWS;
    if (m == 0 || n == 0)
        return;
    enum profile_kind outer = profile_enter(PROFILE_PRODUCTS);
    struct product p = prepare(m, n, k, DTYPE_F32, a, lda, b_type, b, k, c, ldc);
    CHECK(p.kernels->few_panels);
    p.w.interleaved = true;
    if (m <= p.kernels->few_panel_rows)
        few_interleaved(&p, whole);
    else
        many(&p, 0, whole);
    p.w.interleaved = false; /* the rows left over */
    if (m <= p.kernels->few_rows)
        few(&p, whole, n);
    else
        many(&p, whole, n);
    profile_leave(outer);
}
