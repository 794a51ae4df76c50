/* The feed-forward of a block, forward and backward: dense, or experts with or without one that all tokens
 * share. */
#include "base/check.h"
#include "kernels/routing.h"
#include "model/pass.h"

#include <string.h>

/* --- rows through one gated feed-forward --- */

static size_t gated_size(const struct gated_rows *g)
{
    return g->n * g->ffn->gate.weight->rows;
}

static enum activation activation(const struct pass *p)
{
    return model_architecture(&p->m->config)->activation;
}

void gated_inputs(const struct pass *p, const struct gated_rows *g, const void *x)
{
    linear_forward(&g->ffn->gate, g->gate, p->type, x, p->type, g->n);
    linear_forward(&g->ffn->up, g->up, p->type, x, p->type, g->n);
}

/* The rows that `down` reads: weighted before it, which for a linear layer is the same as after it, and
 * makes its gradient one product. */
static void gate_rows(const struct pass *p, const struct gated_rows *g)
{
    glu_forward(activation(p), g->gated, g->gate, g->up, p->type, gated_size(g));
    if (g->weight)
        rows_scale(g->gated, p->type, g->weight, g->n, g->ffn->gate.weight->rows);
}

void gated_output(const struct pass *p, const struct gated_rows *g, void *y)
{
    gate_rows(p, g);
    linear_forward(&g->ffn->down, y, p->type, g->gated, p->type, g->n);
}

void gated_output_backward(const struct pass *p, const struct gated_rows *g, const void *dy,
                           float *dweight)
{
    size_t width = g->ffn->gate.weight->rows;
    gate_rows(p, g);
    linear_backward(&g->ffn->down, g->dup, p->type, false, dy, g->gated, p->type, g->n);
    if (g->weight) {
        glu_forward(activation(p), g->gated, g->gate, g->up, p->type, gated_size(g));
        rows_dot(dweight, g->dup, g->gated, p->type, g->n, width);
        rows_scale(g->dup, p->type, g->weight, g->n, width);
    }
    /* dup holds the gradient of the gated product until it is split in two */
    glu_backward(activation(p), g->dgate, g->dup, g->dup, g->gate, g->up, p->type, gated_size(g));
}

void gated_inputs_backward(const struct pass *p, const struct gated_rows *g,
                           struct branch_gradient dx, const void *x)
{
    linear_backward(&g->ffn->gate, dx.to, DTYPE_F32, dx.accumulate, g->dgate, x, p->type, g->n);
    linear_backward(&g->ffn->up, dx.to, DTYPE_F32, true, g->dup, x, p->type, g->n);
}

/* --- a block's --- */

/* Side by side with attention, the feed-forward reads what attention does. */
struct site {
    const struct layer_norm *norm;
    const struct norm_activations *kept;
    const float *x;
    bool computed; /* the norm's sums are there already */
};

static struct site ffn_site(const struct pass *p, size_t i)
{
    const struct layer *l = &p->m->layers[i];
    struct layer_activations *s = &p->a->layers[i];
    if (p->m->config.use_parallel_residual)
        return (struct site){&l->attn_norm, &s->attn_norm, s->input, true};
    return (struct site){&l->ffn_norm, &s->ffn_norm, s->middle, false};
}

static struct gated_rows dense_rows(const struct pass *p, size_t i)
{
    const struct layer *l = &p->m->layers[i];
    struct layer_activations *s = &p->a->layers[i];
    return (struct gated_rows){.ffn = &l->ffn, .n = p->n, .gate = s->gate, .up = s->up,
                               .gated = p->a->gated, .dgate = p->a->dgate, .dup = p->a->dup,
                               .weight = s->shared_weight};
}

/* The shared expert's output is added to what the others gave in a->branch. */
static void shared_forward(const struct pass *p, size_t i, const void *x)
{
    const struct layer *l = &p->m->layers[i];
    struct layer_activations *s = &p->a->layers[i];
    struct gated_rows rows = dense_rows(p, i);
    linear_forward(&l->moe.shared_router, s->shared_weight, DTYPE_F32, x, p->type, p->n);
    sigmoid_forward(s->shared_weight, s->shared_weight, p->n);
    gated_inputs(p, &rows, x);
    gated_output(p, &rows, p->a->expert_out);
    rows_add(p->a->branch, p->a->expert_out, p->type, p->n * p->m->config.hidden_size);
}

static void shared_backward(const struct pass *p, size_t i, const void *x, float *dx)
{
    const struct layer *l = &p->m->layers[i];
    struct layer_activations *s = &p->a->layers[i];
    struct activations *a = p->a;
    struct gated_rows rows = dense_rows(p, i);
    gated_output_backward(p, &rows, a->branch, a->dweight);
    gated_inputs_backward(p, &rows, (struct branch_gradient){dx, true}, x);
    sigmoid_backward(a->dweight, a->dweight, s->shared_weight, p->n);
    const void *dlogits = a->dweight;
    if (p->type == DTYPE_BF16) {
        bf16_from_f32(a->dweight, a->drouter_rounded, p->n);
        dlogits = a->drouter_rounded;
    }
    linear_backward(&l->moe.shared_router, dx, DTYPE_F32, true, dlogits, x, p->type, p->n);
}

void ffn_branch(const struct pass *p, size_t i)
{
    const struct layer *l = &p->m->layers[i];
    struct layer_activations *s = &p->a->layers[i];
    struct site site = ffn_site(p, i);
    const void *x = branch_input(p, site.norm, site.computed ? NULL : site.kept, site.x);
    void *out = l->ffn_post_norm.weight ? s->ffn_out : p->a->branch;
    if (l->moe.router.weight) {
        CHECK(out == p->a->branch); /* no family has a norm behind its experts */
        experts_forward(p, i, x);
        if (l->moe.shared_router.weight)
            shared_forward(p, i, x);
    } else {
        struct gated_rows rows = dense_rows(p, i);
        gated_inputs(p, &rows, x);
        gated_output(p, &rows, out);
    }
    if (l->ffn_post_norm.weight)
        pass_norm(p, &l->ffn_post_norm, p->a->branch, p->type, &s->ffn_post_norm, out, p->type, p->n);
}

void ffn_branch_again(const struct pass *p, size_t i)
{
    const struct layer *l = &p->m->layers[i];
    if (l->moe.router.weight || l->ffn_post_norm.weight) {
        ffn_branch(p, i);
        return;
    }
    struct site site = ffn_site(p, i);
    struct gated_rows rows = dense_rows(p, i);
    gated_inputs(p, &rows, branch_input(p, site.norm, site.computed ? NULL : site.kept, site.x));
}

void ffn_branch_backward(const struct pass *p, size_t i)
{
    const struct layer *l = &p->m->layers[i];
    struct site site = ffn_site(p, i);
    struct branch_gradient dx = branch_gradient(p, site.norm);
    if (l->moe.router.weight) {
        const void *x = branch_input(p, site.norm, NULL, site.x);
        if (!dx.accumulate)
            memset(dx.to, 0, p->n * p->m->config.hidden_size * sizeof *dx.to);
        experts_backward(p, i, x, dx.to);
        if (l->moe.shared_router.weight)
            shared_backward(p, i, x, dx.to);
    } else {
        struct gated_rows rows = dense_rows(p, i);
        gated_output_backward(p, &rows, p->a->branch, NULL);
        gated_inputs_backward(p, &rows, dx, branch_input(p, site.norm, NULL, site.x));
    }
    branch_input_backward(p, site.norm, site.kept, site.x);
}
