#include "kernels/linear_loss.h"

#include "base/check.h"
#include "kernels/activation.h"
#include "kernels/gemm.h"
#include "kernels/profile.h"

#include <string.h>

/* Every block packs w twice and reads dw once, so large blocks are faster (64 rows: 161 GFLOP/s on a
 * core, 128: 197, 256: 217, all: 225) and memory is their only cost: 32 MB of logits, but no fewer
 * than 256 rows. */
size_t linear_loss_rows(size_t n, size_t v)
{
    size_t rows = ((size_t)8 << 20) / (v ? v : 1) / 32 * 32;
    if (rows < 256)
        rows = 256;
    return rows < n ? rows : n;
}

/* A call's place in the caller's scratch, for blocks of `rows` rows. */
struct workspace {
    size_t rows;
    float *logits;   /* (rows, v) */
    float *gathered; /* (rows, c): hidden states put side by side, */
    float *gradient; /* (rows, c) and their gradients */
    float *losses;   /* (rows) */
    uint32_t *index; /* (rows) */
};

size_t linear_loss_scratch(size_t n, size_t c, size_t v)
{
    return linear_loss_rows(n, v) * (v + 2 * c + 2);
}

static struct workspace lay_out(size_t n, size_t c, size_t v, float *base)
{
    struct workspace s = {.rows = linear_loss_rows(n, v), .logits = base};
    s.gathered = s.logits + s.rows * v;
    s.gradient = s.gathered + s.rows * c;
    s.losses = s.gradient + s.rows * c;
    s.index = (uint32_t *)(s.losses + s.rows);
    return s;
}

/* Rows without a target (prompts in fine-tuning, often most of a batch) cost nothing: the products
 * run over the others alone. */

/* The rows of one block that have a target: row i of the block is row index[i] of the batch. */
struct kept_rows {
    size_t n, from, to; /* how many, among rows [from, to) of the batch */
    uint32_t *index;
};

static void find_kept_rows(struct kept_rows *k, const int32_t *targets, size_t n, size_t most)
{
    k->n = 0;
    k->from = k->to;
    for (; k->to < n && k->n < most; k->to++) {
        if (targets[k->to] >= 0)
            k->index[k->n++] = (uint32_t)k->to;
    }
}

/* Nothing lies between them, so they need not be put side by side. */
static bool kept_are_adjacent(const struct kept_rows *k)
{
    return k->n == k->to - k->from;
}

static const void *gather_hidden(const struct kept_rows *k, const void *hidden, size_t row_bytes,
                                 void *gathered)
{
    const char *from = hidden;
    if (kept_are_adjacent(k))
        return from + k->from * row_bytes;
    for (size_t i = 0; i < k->n; i++)
        memcpy((char *)gathered + i * row_bytes, from + k->index[i] * row_bytes, row_bytes);
    return gathered;
}

/* Gradients of the kept rows to their places, 0 to the others. */
static void scatter_dhidden(const struct kept_rows *k, float *dhidden, const float *gathered,
                            size_t c)
{
    memset(dhidden + k->from * c, 0, (k->to - k->from) * c * sizeof *dhidden);
    for (size_t i = 0; i < k->n; i++)
        memcpy(dhidden + k->index[i] * c, gathered + i * c, c * sizeof *dhidden);
}

/* The sum of the losses of a block, each put where the caller wants it. */
static double add_losses(const struct kept_rows *k, const float *losses, float *row_loss)
{
    double total = 0;
    if (row_loss)
        memset(row_loss + k->from, 0, (k->to - k->from) * sizeof *row_loss);
    for (size_t i = 0; i < k->n; i++) {
        total += losses[i];
        if (row_loss)
            row_loss[k->index[i]] = losses[i];
    }
    return total;
}

/* Rows of bf16, which begin 2 v apart, side by side. */
static void close_up(uint16_t *x, size_t n, size_t v)
{
    for (size_t i = 1; i < n; i++)
        memmove(x + i * v, x + i * 2 * v, v * sizeof *x);
}

/* From the gradient of a block's logits to that of its hidden states h. */
static void add_dhidden(const struct output_layer *layer, enum dtype type, const struct kept_rows *k,
                        const struct workspace *s, const void *h, float *dhidden)
{
    size_t v = layer->v, c = layer->c, ld = type == DTYPE_BF16 ? 2 * v : v;
    bool adjacent = kept_are_adjacent(k);
    float *to = adjacent ? dhidden + k->from * c : s->gradient;
    gemm(false, false, k->n, c, v, type, s->logits, ld, layer->w_type, layer->w, layer->ld, 0, DTYPE_F32, to, c);
    if (layer->add) {
        if (type == DTYPE_BF16)
            close_up((uint16_t *)s->logits, k->n, v);
        layer->add_backward(layer->add_context, to, s->logits, type, h, k->n);
    }
    if (!adjacent)
        scatter_dhidden(k, dhidden, to, c);
}

/* The losses of a block's rows, whose logits become their gradients. */
static void run_rows(const struct output_layer *layer, enum dtype type, const struct row_loss *loss,
                     const struct kept_rows *k, const struct workspace *s, float scale, bool backward)
{
    size_t v = layer->v;
    float logit_scale = layer->logit_scale == 0 ? 1 : layer->logit_scale;
    if (loss->begin_block)
        loss->begin_block(loss->context, k->index, k->n);
#pragma omp parallel for schedule(static) if (k->n * v > 4096)
    for (size_t i = 0; i < k->n; i++)
        s->losses[i] = loss->row(loss->context, &(struct logit_row){
                                     .logits = s->logits + i * v, .v = v, .softcap = layer->softcap,
                                     .row = k->index[i], .i = i, .backward = backward, .type = type,
                                     .scale = scale * logit_scale});
}

double linear_loss(const struct output_layer *layer, enum dtype type, const void *hidden, const int32_t *targets,
                   const struct row_loss *loss, float scale, float *row_losses, float *dhidden, size_t n,
                   float *scratch)
{
    enum profile_kind outer = profile_enter(PROFILE_LOSS);
    CHECK(n <= UINT32_MAX && !(layer->add && dhidden && !layer->add_backward));
    size_t v = layer->v, c = layer->c;
    struct workspace s = lay_out(n, c, v, scratch);
    struct kept_rows k = {.index = s.index};
    size_t row_bytes = c * dtype_info(type)->block_bytes, ld = type == DTYPE_BF16 ? 2 * v : v;
    float beta = layer->dw_beta;
    double total = 0;
    while (k.to < n) {
        find_kept_rows(&k, targets, n, s.rows);
        const void *h = gather_hidden(&k, hidden, row_bytes, s.gathered);
        output_logits(layer, type, h, s.logits, k.n);
        run_rows(layer, type, loss, &k, &s, scale, dhidden != NULL);
        total += add_losses(&k, s.losses, row_losses);
        if (!dhidden)
            continue;
        if (layer->dw)
            gemm(true, false, v, c, k.n, type, s.logits, ld, type, h, c, beta, DTYPE_F32, layer->dw,
                 c);
        if (layer->dbias)
            bias_backward_strided(layer->dbias, beta, s.logits, type, ld, k.n, v);
        beta = 1;
        add_dhidden(layer, type, &k, &s, h, dhidden);
    }
    profile_leave(outer);
    return total;
}
