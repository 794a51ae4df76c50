#include "model/activations.h"

#include "base/check.h"

/* Sizes of one token's activations, and the arena they come from. */
struct taker {
    struct arena *arena;
    const struct model *m;
    size_t n, width, element; /* tokens; hidden size; bytes of one element of the type */
    struct model_widths most;
    size_t experts, chosen, expert_width; /* E, k, X */
};

static float *floats(const struct taker *t, size_t width)
{
    return width ? arena_alloc(t->arena, t->n * width, sizeof(float)) : NULL;
}

static void *elements(const struct taker *t, size_t width)
{
    return width ? arena_alloc(t->arena, t->n * width, t->element) : NULL;
}

static int32_t *integers(const struct taker *t, size_t width)
{
    return width ? arena_alloc(t->arena, t->n * width, sizeof(int32_t)) : NULL;
}

/* Of a norm with `groups` rows a token. */
static struct norm_activations norm_floats(const struct taker *t, const struct layer_norm *n,
                                           size_t groups)
{
    bool layer_norm = model_architecture(&t->m->config)->norm == NORM_LAYER;
    if (!n->weight)
        return (struct norm_activations){0};
    return (struct norm_activations){.mean = layer_norm ? floats(t, groups) : NULL,
                                     .rstd = floats(t, groups)};
}

static void take_attention(struct layer_activations *s, const struct taker *t, const struct layer *l,
                           bool shared)
{
    size_t query = shared ? t->most.query : layer_query_width(t->m, l);
    size_t key = shared ? t->most.key : layer_key_width(t->m, l);
    size_t heads = shared ? t->most.heads : l->shape.n_heads;
    s->attn_norm = norm_floats(t, &l->attn_norm, 1);
    if (l->q_norm.weight) {
        s->q_raw = elements(t, query);
        s->k_raw = elements(t, key);
        s->q_norm = norm_floats(t, &l->q_norm, heads);
        s->k_norm = norm_floats(t, &l->k_norm, heads);
    }
    s->q = elements(t, query);
    s->k = elements(t, key);
    s->v = elements(t, key);
    s->attn = elements(t, query);
    s->lse = floats(t, heads);
    if (l->attn_post_norm.weight)
        s->attn_out = elements(t, t->width);
    s->attn_post_norm = norm_floats(t, &l->attn_post_norm, 1);
}

static void take_feed_forward(struct layer_activations *s, const struct taker *t,
                              const struct layer *l, bool shared)
{
    size_t ffn = shared ? t->most.ffn : l->shape.intermediate_size;
    s->ffn_norm = norm_floats(t, &l->ffn_norm, 1);
    s->gate = elements(t, ffn);
    s->up = elements(t, ffn);
    if (l->moe.router.weight) {
        s->router = floats(t, t->experts);
        s->chosen = integers(t, t->chosen);
        s->chosen_weight = floats(t, t->chosen);
        s->expert_gate = elements(t, t->chosen * t->expert_width);
        s->expert_up = elements(t, t->chosen * t->expert_width);
        s->shared_weight = floats(t, ffn ? 1 : 0);
    }
    if (l->ffn_post_norm.weight)
        s->ffn_out = elements(t, t->width);
    s->ffn_post_norm = norm_floats(t, &l->ffn_post_norm, 1);
}

static void take_layer(struct layer_activations *s, const struct taker *t, const struct layer *l,
                       bool shared)
{
    s->input = floats(t, t->width);
    take_attention(s, t, l, shared);
    s->middle = floats(t, t->width);
    take_feed_forward(s, t, l, shared);
}

static void take_routing(struct activations *a, const struct taker *t)
{
    a->routing.begin = arena_alloc(t->arena, t->experts + 1, sizeof *a->routing.begin);
    a->routing.row_token = integers(t, t->chosen);
    a->routing.token_row = integers(t, t->chosen);
    a->routed = elements(t, t->chosen * t->width);
    a->expert_out = elements(t, t->chosen * t->width);
    a->row_weight = floats(t, t->chosen);
    a->balance = arena_alloc(t->arena, 2 * t->experts, sizeof *a->balance);
}

static void take_backward(struct activations *a, const struct taker *t, size_t gated)
{
    bool rounded = a->type != DTYPE_F32;
    a->dx = floats(t, t->width);
    a->dnormed = floats(t, t->width);
    if (t->m->config.use_parallel_residual)
        a->dblock = floats(t, t->width);
    a->dq = floats(t, t->most.query);
    a->dk = floats(t, t->most.key);
    a->delta = floats(t, t->most.heads);
    a->dq_rotated = rounded ? elements(t, t->most.query) : a->dq;
    a->dk_rotated = rounded ? elements(t, t->most.key) : a->dk;
    a->dv = elements(t, t->most.key);
    a->dattn = elements(t, t->most.query);
    a->dgate = elements(t, gated);
    a->dup = elements(t, gated);
    if (t->experts) {
        a->drouted = elements(t, t->chosen * t->width);
        a->dexperts = floats(t, t->chosen * t->width);
        a->dweight = floats(t, t->chosen);
        a->drouter = floats(t, t->experts);
        a->drouter_rounded = rounded ? elements(t, t->experts) : a->drouter;
    }
}

void activations_init(struct activations *a, const struct model *m, enum dtype type, size_t n_rows,
                      size_t seq_len, enum kept kept, struct arena *arena)
{
    CHECK(type == DTYPE_F32 || type == DTYPE_BF16);
    const struct model_config *c = &m->config;
    *a = (struct activations){.type = type, .n_rows = n_rows, .seq_len = seq_len, .kept = kept};
    struct taker t = {
        .arena = arena, .m = m, .n = n_rows * seq_len, .width = c->hidden_size,
        .element = dtype_info(type)->block_bytes, .most = model_widths(m),
    };
    if (c->num_experts) {
        t.experts = c->num_experts;
        t.chosen = c->num_experts_per_tok;
        t.expert_width = model_expert_size(c);
    }
    a->layers = mem_zero(c->num_hidden_layers, sizeof *a->layers);
    for (size_t i = 0; i < c->num_hidden_layers; i++) {
        if (kept == KEEP_ALL || i == 0)
            take_layer(&a->layers[i], &t, &m->layers[i], kept != KEEP_ALL);
        else
            a->layers[i] = a->layers[0];
        if (kept == KEEP_INPUTS && i > 0)
            a->layers[i].input = floats(&t, t.width);
    }
    /* Without a backward pass the residual stream may live in one place. */
    a->last = kept ? floats(&t, t.width) : a->layers[0].input;
    a->last_norm = norm_floats(&t, &m->output_norm, 1);
    a->hidden = elements(&t, t.width);
    size_t gated = size_larger(t.most.ffn, t.chosen * t.expert_width);
    a->normed = elements(&t, t.experts ? t.width : size_larger(t.width, t.most.ffn));
    a->gated = t.experts ? elements(&t, gated) : a->normed;
    a->branch = elements(&t, t.width);
    if (c->sliding_window)
        a->window_start = integers(&t, 1);
    if (t.experts)
        take_routing(a, &t);
    if (kept)
        take_backward(a, &t, gated);
}

void activations_free(struct activations *a)
{
    mem_free(a->layers);
    *a = (struct activations){0};
}

float *activations_stream(const struct activations *a, size_t layer, size_t n_layers)
{
    return layer + 1 == n_layers ? a->last : a->layers[layer + 1].input;
}
