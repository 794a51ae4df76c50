#include "train/trainer.h"

#include "kernels/gemm.h"
#include "kernels/quantized.h"
#include "train/trainer_private.h"

static size_t most(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* What is probed is next-token prediction, whatever the objective. */
size_t trainer_scratch_floats(const struct trainer *t, const struct model_config *c, size_t n)
{
    const struct objective *o = t->objective, *probe = &language_model_objective;
    return most(o->scratch(o, c, n), t->has_probe ? probe->scratch(probe, c, n) : 0);
}

/* Gradients in bf16 only where nothing is added to them: see params_attach_gradients. */
enum dtype trainer_gradient_type(const struct train_settings *s)
{
    return s->grad_accumulation == 1 ? train_product_type(s) : DTYPE_F32;
}

/* What the largest product of a step keeps, of every matrix: forward, backward to x and, where it trains, to w. */
static size_t products_bytes(const struct model *m, const struct param_list *params, enum dtype type,
                             const struct train_settings *s)
{
    size_t n = s->batch_size * s->max_seq_length, bytes = 0;
    for (size_t i = 0; i < m->n_params; i++) {
        const struct param *p = &m->params[i];
        if (!p->matrix)
            continue;
        enum dtype block_type = p->layer >= 0 ? type : DTYPE_F32;
        bytes = most(bytes, gemm_scratch_bytes(n, p->rows, p->cols, type, block_type));
        if (p->in_integers)
            bytes = most(bytes, quantized_product_bytes(n, p->rows, p->cols, p->type, block_type));
        bytes = most(bytes, gemm_scratch_bytes(n, p->cols, p->rows, type, DTYPE_F32));
    }
    for (size_t i = 0; i < params->count; i++) {
        const struct param *p = params->items[i];
        if (p->matrix)
            bytes = most(bytes, gemm_scratch_bytes(p->rows, p->cols, n, type, p->layer >= 0 ? type : DTYPE_F32));
    }
    return bytes;
}

/* Whether it is an entry of the model's table; else it is an adapter's. */
static bool is_of_model(const struct model *m, const struct param *p)
{
    for (size_t i = 0; i < m->n_params; i++)
        if (&m->params[i] == p)
            return true;
    return false;
}

/* As they are held: mapped, in own memory, or as they will be; and those of adapters. */
static size_t weight_bytes(const struct model *m, const struct param_list *params)
{
    size_t total = model_stored_bytes(m);
    for (size_t i = 0; i < params->count; i++)
        if (!is_of_model(m, params->items[i]))
            total += params->items[i]->count * sizeof(float);
    return total;
}

struct memory_plan trainer_plan(const struct trainer *t)
{
    const struct model *m = t->model;
    const struct param_list *params = t->params;
    const struct train_settings *s = t->settings;
    enum dtype type = train_product_type(s);
    struct memory_plan plan = {.weights = weight_bytes(m, params),
                               .gradients = params_gradient_bytes(params, trainer_gradient_type(s))};
    struct optimizer_settings settings = optim_optimizer(t->optim, type);
    plan.optimizer = optimizer_bytes(&settings, params);
    struct arena arena = {0};
    struct activations activations;
    activations_init(&activations, m, type, s->batch_size, s->max_seq_length,
                     s->grad_checkpoint ? KEEP_INPUTS : KEEP_ALL, &arena);
    activations_free(&activations);
    plan.activations = arena.used;
    plan.logits = sizeof(float) * trainer_scratch_floats(t, &m->config, s->batch_size * s->max_seq_length);
    arena.used = 0;
    struct batch batch;
    batch_init(&batch, s->batch_size, s->max_seq_length, &arena);
    if (!size_mul(arena.used, s->grad_accumulation, &plan.batches) || plan.batches > ARENA_MOST)
        plan.batches = ARENA_MOST;
    plan.products = products_bytes(m, params, type, s);
    if (t->objective->bytes)
        plan.objective = t->objective->bytes(t->objective, s->batch_size, s->max_seq_length);
    if (t->view)
        plan.weights += t->view->bytes(t->view->context);
    if (t->hook_bytes)
        plan.products += t->hook_bytes(t->hook_context, s->batch_size * s->max_seq_length);
    for (size_t i = 0; i < params->count; i++)
        plan.checkpoints += 2 * params->items[i]->count * sizeof(float);
    plan.checkpoints += plan.optimizer;
    if (t->view)
        plan.checkpoints += 2 * t->view->written_bytes(t->view->context);
    plan.total = plan.weights + plan.gradients + plan.optimizer + plan.activations + plan.logits +
                 plan.batches + plan.products + plan.objective;
    return plan;
}

/* The share of a block's tokens that a matrix multiplies: some experts each. */
static double token_share(const struct model_config *c, const struct param *p)
{
    return p->expert >= 0 ? (double)c->num_experts_per_tok / (double)c->num_experts : 1;
}

double trainer_step_flops(const struct trainer *t)
{
    const struct model *m = t->model;
    const struct param_list *params = t->params;
    const struct train_settings *s = t->settings;
    const struct model_config *c = &m->config;
    double products = 4 * (double)m->head.weight->count, query = 0;
    for (size_t i = 0; i < m->n_params; i++) {
        const struct param *p = &m->params[i];
        if (p->layer >= 0 && p->matrix)
            products += 4 * (double)p->count * token_share(c, p);
    }
    for (size_t i = 0; i < params->count; i++) {
        const struct param *p = params->items[i];
        bool table = p == m->token_embd && p != m->head.weight; /* looked up, not multiplied */
        if (p->matrix && !table)
            products += (is_of_model(m, p) ? 2 : 6) * (double)p->count * token_share(c, p);
    }
    for (size_t i = 0; i < c->num_hidden_layers; i++)
        query += (double)layer_query_width(m, &m->layers[i]);
    double attention = 6 * query * (double)s->max_seq_length;
    double tokens = (double)(s->batch_size * s->max_seq_length * s->grad_accumulation);
    return tokens * (products + attention);
}
