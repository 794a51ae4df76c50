#include "lora/pair.h"

#include "base/check.h"
#include "base/rng.h"
#include "kernels/activation.h"
#include "kernels/linear_loss.h"
#include "kernels/gemm.h"
#include "kernels/scratch.h"

#include <math.h>
#include <string.h>

/* One call of a hook. Memory that grows to the largest batch and stays. */
struct call {
    struct lora_pair *p;
    const struct linear *l;
    size_t n, in, out, r;
    float factor;     /* of B A: scale and strength */
    const void *x;    /* (n, in) what A reads, of x_type: the layer's input, or with dropout what is left of it, in f32 */
    enum dtype x_type;
    float drop;       /* the probability; 0: none */
    uint64_t mask;    /* the seed of it */
    float *low;       /* (n, r) and room for as much again */
    float *b;         /* (out, r) B, each row times what DoRA multiplies it by; B itself without */
    float *masked;    /* (n, in) with dropout */
    float *dmasked;   /* (n, in) with dropout, going back */
    float *wide;      /* (n, out) with a magnitude */
    float *db;        /* (out, r) with a magnitude, going back */
};

/* Elements of each kind of memory that a call wants. */
struct call_sizes {
    size_t low, work, tile;
};
enum { TILE = 64 }; /* rows of the weight at a time */

static struct call_sizes sizes_of(const struct lora_pair *p, size_t n, bool drops)
{
    size_t in = p->linear->weight->cols, out = p->linear->weight->rows, r = p->rank;
    bool dora = p->magnitude;
    return (struct call_sizes){.low = 2 * n * r, .work = (drops ? 2 * n * in : 0) + (dora ? n * out + 2 * out * r : 0),
                               .tile = dora ? TILE * (in + r) : 0};
}

size_t lora_scratch_bytes(const struct lora_adapter *a, size_t n)
{
    struct call_sizes most = {0};
    for (size_t i = 0; i < a->n_pairs; i++) {
        const struct lora_pair *p = &a->pairs[i];
        bool head = p->linear == &a->model->head; /* sees some rows at a time */
        size_t rows = head ? linear_loss_rows(n, p->linear->weight->rows) : n;
        struct call_sizes s = sizes_of(p, rows, a->dropout > 0);
        most = (struct call_sizes){size_larger(s.low, most.low), size_larger(s.work, most.work), size_larger(s.tile, most.tile)};
    }
    return (most.low + most.work + most.tile) * sizeof(float);
}

static float *grown(float **memory, size_t *size, size_t n)
{
    if (n > *size) {
        *memory = mem_resize(*memory, n, sizeof **memory);
        *size = n;
    }
    return *memory;
}

static void lay_out(struct call *c)
{
    struct lora_adapter *a = c->p->adapter;
    bool dora = c->p->magnitude;
    struct call_sizes sizes = sizes_of(c->p, c->n, c->drop > 0);
    size_t masked = c->drop > 0 ? c->n * c->in : 0, wide = dora ? c->n * c->out : 0, b = dora ? c->out * c->r : 0;
    c->low = grown(&a->low, &a->low_size, sizes.low);
    if (sizes.work == 0)
        return;
    c->masked = grown(&a->work, &a->work_size, sizes.work);
    c->dmasked = c->masked + masked;
    if (!dora)
        return;
    c->wide = c->dmasked + masked;
    c->b = c->wide + wide;
    c->db = c->b + b;
}

/* Pairs that share A share what it reads. */
static uint64_t mask_seed(const struct lora_pair *p)
{
    const struct lora_adapter *a = p->adapter;
    size_t i = (size_t)(p - a->pairs);
    while (i > 0 && a->pairs[i - 1].a == p->a)
        i--;
    return rng_at(a->model->dropout_seed, i);
}

static struct call begin(struct lora_pair *p, const struct linear *l, const void *x, enum dtype type, size_t n)
{
    const struct lora_adapter *a = p->adapter;
    struct call c = {.p = p, .l = l, .n = n, .in = l->weight->cols, .out = l->weight->rows, .r = p->rank,
                     .factor = p->scale * a->strength, .x = x, .x_type = type, .b = p->b->value,
                     .drop = a->model->dropout_seed ? (float)a->dropout : 0};
    lay_out(&c);
    if (c.drop > 0) {
        c.mask = mask_seed(p);
        memset(c.masked, 0, n * c.in * sizeof *c.masked);
        residual_add(c.masked, c.masked, x, type, 1, c.drop, c.mask, n * c.in);
        c.x = c.masked;
        c.x_type = DTYPE_F32;
    }
    return c;
}

/* --- products --- */

/* low (n, r) = factor x A^T, or with `backward` factor x B, x being of the layer's output. */
static void to_low_rank(const struct call *c, const float *matrix, float factor, const void *x, enum dtype type,
                        bool backward)
{
    size_t from = backward ? c->out : c->in, r = c->r;
    gemm(false, !backward, c->n, r, from, type, x, from, DTYPE_F32, matrix, backward ? r : from, 0, DTYPE_F32, c->low, r);
    for (size_t i = 0; i < c->n * r; i++)
        c->low[i] *= factor;
}

/* What a product that ends in `type` begins with: low, or it rounded into the half as much room behind it. */
static const void *rounded_low(const struct call *c, enum dtype type)
{
    size_t n = c->n * c->r;
    if (type == DTYPE_F32)
        return c->low;
    bf16_from_f32(c->low, (uint16_t *)(c->low + n), n);
    return c->low + n;
}

/* to (n, width) += low times a matrix: B^T, or with `backward` A. */
static void from_low_rank(const struct call *c, const float *matrix, float beta, void *to, enum dtype type, bool backward)
{
    size_t width = backward ? c->in : c->out;
    gemm(false, !backward, c->n, width, c->r, type, rounded_low(c, type), c->r, DTYPE_F32, matrix,
         backward ? width : c->r, beta, type, to, width);
}

/* --- rows of the weight --- */

/* scaled: (n, rank) of scratch */
static void add_rows(const struct lora_pair *p, const float *a, const float *b, const size_t *which, size_t first,
                     size_t n, float factor, float *rows, float *scaled)
{
    const struct param *w = p->linear->weight;
    size_t r = p->rank;
    for (size_t i = 0; i < n; i++) {
        size_t row = which ? which[i] : first + i;
        CHECK(row < w->rows);
        for (size_t k = 0; k < r; k++)
            scaled[i * r + k] = factor * b[row * r + k];
    }
    gemm_f32(false, false, n, w->cols, r, scaled, r, a, w->cols, 1, rows, w->cols);
}

static void add_product(const struct lora_pair *p, const size_t *which, size_t first, size_t n, float factor, float *rows,
                        float *scaled)
{
    add_rows(p, p->a->value, p->b->value, which, first, n, factor, rows, scaled);
    if (p->start_a)
        add_rows(p, p->start_a, p->start_b, which, first, n, -factor, rows, scaled);
}

void lora_pair_product(const struct lora_pair *p, const size_t *which, size_t first, size_t n, float factor, float *rows)
{
    float *scaled = mem_alloc(n * p->rank + 1, sizeof *scaled);
    add_product(p, which, first, n, factor, rows, scaled);
    mem_free(scaled);
}

/* --- DoRA --- */

/* row (n) of f32 or bf16 as f32, in place or in `room`; and back. */
static float *open_row(void *row, enum dtype type, float *room, size_t n)
{
    if (type == DTYPE_F32)
        return row;
    f32_from_bf16(row, room, n);
    return room;
}

static void close_row(void *row, enum dtype type, const float *values, size_t n)
{
    if (type != DTYPE_F32)
        bf16_from_f32(values, row, n);
}

static size_t row_bytes(enum dtype type, size_t n)
{
    return n * (type == DTYPE_F32 ? sizeof(float) : sizeof(uint16_t));
}

/* What row i of the product is multiplied by, less 1: g - 1. */
static float gain(const struct lora_pair *p, size_t i)
{
    return p->magnitude->value[i] / p->norm[i] - 1;
}

/* y += strength (g - 1) u by columns; u (n, out), f32, or NULL: y itself. */
static void add_gain(const struct call *c, void *y, enum dtype type, const float *u)
{
    float strength = c->p->adapter->strength;
#pragma omp parallel for schedule(static) if (c->n * c->out > 4096)
    for (size_t i = 0; i < c->n; i++) {
        void *at = (char *)y + i * row_bytes(type, c->out);
        float *row = open_row(at, type, type == DTYPE_F32 ? NULL : scratch_floats(c->out), c->out);
        const float *from = u ? u + i * c->out : row;
        for (size_t j = 0; j < c->out; j++)
            row[j] += strength * gain(c->p, j) * from[j];
        close_row(at, type, row, c->out);
    }
}

/* c->b = g B */
static void scale_b(const struct call *c)
{
    for (size_t i = 0; i < c->out; i++)
        for (size_t k = 0; k < c->r; k++)
            c->b[i * c->r + k] = (1 + gain(c->p, i)) * c->p->b->value[i * c->r + k];
}

void lora_pair_norm(struct lora_pair *p, struct matrix w)
{
    struct lora_adapter *a = p->adapter;
    size_t in = p->linear->weight->cols, out = p->linear->weight->rows;
    if (p->norm_is_known)
        return;
    float *tile = grown(&a->tile, &a->tile_size, sizes_of(p, 0, false).tile);
    for (size_t at = 0; at < out; at += TILE) {
        size_t n = out - at < TILE ? out - at : TILE;
#pragma omp parallel for schedule(static)
        for (size_t i = 0; i < n; i++)
            matrix_row(&w, p->linear->weight, at + i, tile + i * in);
        add_product(p, NULL, at, n, p->scale, tile, tile + TILE * in);
#pragma omp parallel for schedule(static)
        for (size_t i = 0; i < n; i++) {
            double sum = 0;
            for (size_t j = 0; j < in; j++)
                sum += (double)tile[i * in + j] * tile[i * in + j];
            p->norm[at + i] = (float)sqrt(sum);
        }
    }
    p->norm_is_known = true;
}

/* dm_i += (strength sum_n dy_ni (W x)_ni + sum_k B_ik (dy^T low)_ik) / norm_i, each column by one thread and in order. */
static void magnitude_backward(const struct call *c, const void *dy, enum dtype type)
{
    enum { COLUMNS = 64 };
    const struct lora_pair *p = c->p;
    float *to = p->magnitude->grad, strength = p->adapter->strength;
    linear_product(c->l, c->wide, DTYPE_F32, c->x, c->x_type, c->n);
#pragma omp parallel for schedule(static)
    for (size_t at = 0; at < c->out; at += COLUMNS) {
        size_t n = c->out - at < COLUMNS ? c->out - at : COLUMNS;
        double sum[COLUMNS] = {0};
        float room[COLUMNS];
        for (size_t i = 0; i < c->n; i++) {
            const char *row = (const char *)dy + row_bytes(type, i * c->out + at);
            CHECK(dtype_to_f32(type, row, room, n));
            for (size_t j = 0; j < n; j++)
                sum[j] += (double)room[j] * c->wide[i * c->out + at + j];
        }
        for (size_t j = 0; j < n; j++) {
            double total = strength * sum[j];
            for (size_t k = 0; k < c->r; k++)
                total += (double)p->b->value[(at + j) * c->r + k] * c->db[(at + j) * c->r + k];
            to[at + j] += (float)(total / p->norm[at + j]);
        }
    }
}

/* The wide scratch as strength (g - 1) dy, of dy's type. */
static const void *gained(const struct call *c, const void *dy, enum dtype type)
{
    float strength = c->p->adapter->strength;
#pragma omp parallel for schedule(static) if (c->n * c->out > 4096)
    for (size_t i = 0; i < c->n; i++) {
        char *to = (char *)c->wide + i * row_bytes(type, c->out);
        float *row = type == DTYPE_F32 ? (float *)to : scratch_floats(c->out);
        CHECK(dtype_to_f32(type, (const char *)dy + i * row_bytes(type, c->out), row, c->out));
        for (size_t j = 0; j < c->out; j++)
            row[j] *= strength * gain(c->p, j);
        close_row(to, type, row, c->out);
    }
    return c->wide;
}

/* --- the hook --- */

/* y += low B^T: two thin products, so that B A never exists. */
void lora_pair_forward(void *context, const struct linear *l, void *y, enum dtype y_type, const void *x, enum dtype type,
                       size_t n)
{
    struct lora_pair *p = context;
    const struct linear_hook *before = p->before;
    if (n > 0 && p->adapter->strength != 0 && !p->in_weight) {
        struct call c = begin(p, l, x, type, n);
        bool product_alone = l->hook == &p->hook && c.drop == 0; /* in y */
        if (p->magnitude) {
            lora_pair_norm(p, param_computed(l->weight));
            if (!product_alone)
                linear_product(l, c.wide, DTYPE_F32, c.x, c.x_type, n);
            add_gain(&c, y, y_type, product_alone ? NULL : c.wide);
            scale_b(&c);
        }
        to_low_rank(&c, p->a->value, c.factor, c.x, c.x_type, false);
        from_low_rank(&c, c.b, 1, y, y_type, false);
        if (p->start_a) {
            to_low_rank(&c, p->start_a, -c.factor, x, type, false);
            from_low_rank(&c, p->start_b, 1, y, y_type, false);
        }
    }
    if (before && before->forward)
        before->forward(before->context, l, y, y_type, x, type, n);
}

/* dB += dy^T low, by rows times g. */
static void b_backward(const struct call *c, const void *dy, enum dtype type)
{
    struct param *b = c->p->b;
    size_t out = c->out, r = c->r;
    if (!c->p->magnitude) {
        if (b->grad)
            gemm(true, false, out, r, c->n, type, dy, out, DTYPE_F32, c->low, r, param_grad_beta(b), DTYPE_F32, b->grad, r);
        return;
    }
    gemm(true, false, out, r, c->n, type, dy, out, DTYPE_F32, c->low, r, 0, DTYPE_F32, c->db, r);
    if (c->p->magnitude->grad)
        magnitude_backward(c, dy, type);
    if (!b->grad)
        return;
    float *to = b->grad, beta = param_grad_beta(b);
    for (size_t i = 0; i < out; i++)
        for (size_t k = 0; k < r; k++) {
            float g = (1 + gain(c->p, i)) * c->db[i * r + k];
            to[i * r + k] = beta == 0 ? g : to[i * r + k] + g;
        }
}

/* dx += what went into the masked input, through the mask again. */
static void add_masked(const struct call *c, void *dx, enum dtype type)
{
    size_t n = c->n * c->in;
    if (type == DTYPE_F32) {
        residual_add(dx, dx, c->dmasked, DTYPE_F32, 1, c->drop, c->mask, n);
        return;
    }
    f32_from_bf16(dx, c->masked, n);
    residual_add(c->masked, c->masked, c->dmasked, DTYPE_F32, 1, c->drop, c->mask, n);
    bf16_from_f32(c->masked, dx, n);
}

/* dx += dlow A + strength (g - 1) dy W, which is behind the mask where there is one. Frees c->masked. */
static void input_backward(const struct call *c, void *dx, enum dtype dx_type, const void *dy, enum dtype type)
{
    bool masked = c->drop > 0;
    void *to = masked ? c->dmasked : dx;
    enum dtype to_type = masked ? DTYPE_F32 : dx_type;
    from_low_rank(c, c->p->a->value, masked ? 0 : 1, to, to_type, true);
    if (c->p->magnitude)
        linear_product_backward(c->l, to, to_type, true, gained(c, dy, type), type, c->n);
    if (masked)
        add_masked(c, dx, dx_type);
}

/* dlow = factor dy B, dA += dlow^T x. The pass's low was not kept: it is computed again. */
static void pair_backward(const struct call *c, void *dx, enum dtype dx_type, const void *dy, enum dtype type)
{
    struct lora_pair *p = c->p;
    size_t in = c->in, r = c->r;
    if (p->b->grad || (p->magnitude && p->magnitude->grad)) {
        to_low_rank(c, p->a->value, c->factor, c->x, c->x_type, false);
        b_backward(c, dy, type);
    }
    to_low_rank(c, c->b, c->factor, dy, type, true);
    if (p->a->grad)
        gemm(true, false, r, in, c->n, DTYPE_F32, c->low, r, c->x_type, c->x, in, param_grad_beta(p->a), DTYPE_F32,
             p->a->grad, in);
    if (!dx)
        return;
    input_backward(c, dx, dx_type, dy, type);
    if (p->start_a) {
        to_low_rank(c, p->start_b, -c->factor, dy, type, true);
        from_low_rank(c, p->start_a, 1, dx, dx_type, true);
    }
}

/* The gradient of no rows (an expert that nothing was sent to): 0, where a step's first product would have written. */
static void add_nothing(struct param *p)
{
    if (p->grad && param_grad_beta(p) == 0)
        memset(p->grad, 0, p->count * sizeof(float));
}

void lora_pair_backward(void *context, const struct linear *l, void *dx, enum dtype dx_type, const void *dy,
                        const void *x, enum dtype type, size_t n)
{
    struct lora_pair *p = context;
    const struct linear_hook *before = p->before;
    if (n > 0) {
        struct call c = begin(p, l, x, type, n);
        if (p->magnitude) {
            lora_pair_norm(p, param_computed(l->weight));
            scale_b(&c);
        }
        pair_backward(&c, p->in_weight ? NULL : dx, dx_type, dy, type);
    } else {
        add_nothing(p->a);
        add_nothing(p->b);
    }
    if (p->a->grad || p->b->grad)
        p->norm_is_known = false; /* they are about to change, without a gradient too: by momentum */
    if (before && before->backward)
        before->backward(before->context, l, dx, dx_type, dy, x, type, n);
}

/* --- merging --- */

void lora_pair_merge(const struct lora_pair *p, const size_t *which, size_t n, const float *base, float *rows)
{
    size_t in = p->linear->weight->cols;
    float strength = p->adapter->strength;
    if (!p->magnitude) {
        lora_pair_product(p, which, 0, n, p->scale * strength, rows);
        return;
    }
    float *merged = mem_alloc(n * in + 1, sizeof *merged);
    memcpy(merged, base, n * in * sizeof *merged);
    lora_pair_product(p, which, 0, n, p->scale, merged);
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) {
        float *row = merged + i * in;
        double sum = 0;
        for (size_t j = 0; j < in; j++)
            sum += (double)row[j] * row[j];
        float g = p->magnitude->value[which[i]] / (float)sqrt(sum);
        for (size_t j = 0; j < in; j++)
            row[j] = strength * (g * row[j] - base[i * in + j]);
        for (size_t j = 0; j < in; j++)
            rows[i * in + j] += row[j];
    }
    mem_free(merged);
}
