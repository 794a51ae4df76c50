/* A layer's mixture of experts: tokens are sent to the few experts that a router chooses (Shazeer et al., 2017;
 * Fedus et al., 2021), and what these give is summed with the router's weights. */
#include "kernels/routing.h"
#include "model/pass.h"

#include <string.h>

/* Rows for experts in the order of experts, then of tokens. */
static void sort_rows(const struct pass *p, const int32_t *chosen)
{
    const struct model_config *c = &p->m->config;
    struct routing *r = &p->a->routing;
    size_t k = c->num_experts_per_tok, e = c->num_experts, n_rows = p->n * k;
    memset(r->begin, 0, (e + 1) * sizeof *r->begin);
    for (size_t i = 0; i < n_rows; i++)
        r->begin[chosen[i] + 1]++;
    for (size_t i = 0; i < e; i++)
        r->begin[i + 1] += r->begin[i];
    for (size_t i = 0; i < n_rows; i++) {
        size_t row = r->begin[chosen[i]]++;
        r->row_token[row] = (int32_t)(i / k);
        r->token_row[i] = (int32_t)row;
    }
    memmove(r->begin + 1, r->begin, e * sizeof *r->begin); /* each had moved to the next one's */
    r->begin[0] = 0;
}

/* The tokens that are no padding: those that see themselves. */
static bool is_token(const struct batch *b, size_t i)
{
    return !b->first_key || (size_t)b->first_key[i] <= i % b->seq_len;
}

/* The share of the tokens that each expert gets, times E / tokens: what the balancing loss multiplies the
 * probabilities of every token with. Returns the number of tokens. */
static double load_factors(const struct pass *p, const struct layer_activations *s, float *factor)
{
    const struct model_config *c = &p->m->config;
    size_t k = c->num_experts_per_tok, e = c->num_experts, n_tokens = 0;
    memset(factor, 0, e * sizeof *factor);
    for (size_t i = 0; i < p->n; i++) {
        if (!is_token(p->b, i))
            continue;
        n_tokens++;
        for (size_t j = 0; j < k; j++)
            factor[s->chosen[i * k + j]] += 1;
    }
    double n = n_tokens ? (double)n_tokens : 1;
    for (size_t j = 0; j < e; j++)
        factor[j] = (float)(factor[j] * (double)e / (n * n));
    return n;
}

static double balancing_loss(const struct pass *p, const struct layer_activations *s)
{
    size_t e = p->m->config.num_experts;
    float *factor = p->a->balance, *sum = p->a->balance + e;
    double loss = 0, n = load_factors(p, s, factor);
    memset(sum, 0, e * sizeof *sum);
    for (size_t i = 0; i < p->n; i++)
        if (is_token(p->b, i))
            route_probabilities(sum, (float)(1 / n), s->router + i * e, e);
    for (size_t j = 0; j < e; j++)
        loss += factor[j] * sum[j] * n;
    return loss;
}

static enum router router_kind(const struct pass *p)
{
    const struct model_config *c = &p->m->config;
    if (model_architecture(c)->sparsemixer)
        return ROUTER_SPARSEMIXER;
    return model_renormalises(c) ? ROUTER_RENORMALISED : ROUTER_SOFTMAX;
}

static struct gated_rows expert_rows(const struct pass *p, size_t i, size_t expert)
{
    const struct layer *l = &p->m->layers[i];
    struct layer_activations *s = &p->a->layers[i];
    struct activations *a = p->a;
    size_t from = a->routing.begin[expert], element = dtype_info(p->type)->block_bytes;
    size_t at = from * model_expert_size(&p->m->config) * element;
    return (struct gated_rows){
        .ffn = &l->moe.experts[expert], .n = a->routing.begin[expert + 1] - from,
        .gate = (char *)s->expert_gate + at, .up = (char *)s->expert_up + at, .gated = a->gated,
        .dgate = a->dgate, .dup = a->dup, .weight = a->row_weight + from,
    };
}

static void *expert_part(const struct pass *p, void *rows, size_t expert)
{
    size_t row_bytes = p->m->config.hidden_size * dtype_info(p->type)->block_bytes;
    return (char *)rows + p->a->routing.begin[expert] * row_bytes;
}

/* The rows' weights and inputs, in the experts' order. */
static void send_rows(const struct pass *p, const struct layer_activations *s, const void *x)
{
    const struct model_config *c = &p->m->config;
    struct activations *a = p->a;
    size_t k = c->num_experts_per_tok;
    sort_rows(p, s->chosen);
    for (size_t i = 0; i < p->n * k; i++)
        a->row_weight[a->routing.token_row[i]] = s->chosen_weight[i];
    rows_gather(a->routed, x, p->type, a->routing.row_token, p->n * k, c->hidden_size);
}

void experts_forward(const struct pass *p, size_t i, const void *x)
{
    const struct model_config *c = &p->m->config;
    struct layer_activations *s = &p->a->layers[i];
    struct activations *a = p->a;
    size_t k = c->num_experts_per_tok;
    linear_forward(&p->m->layers[i].moe.router, s->router, DTYPE_F32, x, p->type, p->n);
    route_forward(router_kind(p), s->router, s->chosen, s->chosen_weight, p->n, c->num_experts, k);
    send_rows(p, s, x);
    for (size_t e = 0; e < c->num_experts; e++) {
        struct gated_rows rows = expert_rows(p, i, e);
        if (rows.n == 0)
            continue;
        gated_inputs(p, &rows, expert_part(p, a->routed, e));
        gated_output(p, &rows, expert_part(p, a->expert_out, e));
    }
    rows_collect(a->branch, p->type, false, a->expert_out, p->type, a->routing.token_row, p->n, k,
                 c->hidden_size);
    if (a->kept)
        a->router_loss += balancing_loss(p, s) / (double)c->num_hidden_layers;
}

/* From the gradients of the rows' weights to those of the router's logits. */
static void router_backward(const struct pass *p, size_t i, const void *x, float *dx)
{
    const struct model_config *c = &p->m->config;
    struct layer_activations *s = &p->a->layers[i];
    struct activations *a = p->a;
    size_t k = c->num_experts_per_tok, e = c->num_experts;
    float *dweight = a->row_weight; /* of the tokens; the rows' weights are used up */
    for (size_t j = 0; j < p->n * k; j++)
        dweight[j] = a->dweight[a->routing.token_row[j]];
    float *extra = a->balance, *none = a->balance + e;
    load_factors(p, s, extra);
    memset(none, 0, e * sizeof *none);
    for (size_t j = 0; j < e; j++)
        extra[j] *= a->router_loss_scale;
    for (size_t t = 0; t < p->n; t++)
        route_backward(router_kind(p), a->drouter + t * e, dweight + t * k, s->router + t * e,
                       s->chosen + t * k, s->chosen_weight + t * k, is_token(p->b, t) ? extra : none,
                       1, e, k);
    if (p->type == DTYPE_BF16)
        bf16_from_f32(a->drouter, a->drouter_rounded, p->n * e);
    linear_backward(&p->m->layers[i].moe.router, dx, DTYPE_F32, true, a->drouter_rounded, x, p->type,
                    p->n);
}

void experts_backward(const struct pass *p, size_t i, const void *x, float *dx)
{
    const struct model_config *c = &p->m->config;
    struct layer_activations *s = &p->a->layers[i];
    struct activations *a = p->a;
    size_t k = c->num_experts_per_tok;
    send_rows(p, s, x);
    rows_gather(a->drouted, a->branch, p->type, a->routing.row_token, p->n * k, c->hidden_size);
    for (size_t e = 0; e < c->num_experts; e++) {
        struct gated_rows rows = expert_rows(p, i, e);
        float *to = a->dexperts + a->routing.begin[e] * c->hidden_size;
        /* also without a row: a gradient of nothing is 0 */
        gated_output_backward(p, &rows, expert_part(p, a->drouted, e),
                              a->dweight + a->routing.begin[e]);
        gated_inputs_backward(p, &rows, (struct branch_gradient){to, false},
                              expert_part(p, a->routed, e));
    }
    rows_collect(dx, DTYPE_F32, true, a->dexperts, DTYPE_F32, a->routing.token_row, p->n, k,
                 c->hidden_size);
    router_backward(p, i, x, dx);
}
