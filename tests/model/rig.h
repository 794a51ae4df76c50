/* A model with everything that a step of training needs, for the tests of this folder. */
#ifndef LINNET_TESTS_MODEL_RIG_H
#define LINNET_TESTS_MODEL_RIG_H

#include "base/rng.h"
#include "model/decoder.h"
#include "tests/test.h"
#include "train/objective.h"

#include <math.h>
#include <string.h>

/* A model with gradients, activations (of `type`, f32 unless set first) and one batch. */
struct rig {
    enum dtype type;
    bool checkpoint;    /* keep only the blocks' inputs */
    float router_loss;  /* weight of the experts' balancing loss beside the mean of the other */
    struct model model;
    struct activations activations;
    struct batch batch;
    struct arena arena;
    float *scratch;
    /* What is added to the loss after the forward pass, as an objective adds its own: the unscaled sum. NULL: nothing. */
    double (*beside)(void *context, const struct batch *b, float scale, bool backward);
    void *beside_context;
};

static void rig_take(struct rig *r, size_t n_rows, size_t seq_len, struct arena *arena)
{
    const struct objective *o = &language_model_objective;
    params_attach_gradients(&r->model.all, r->type, arena);
    activations_init(&r->activations, &r->model, r->type, n_rows, seq_len,
                     r->checkpoint ? KEEP_INPUTS : KEEP_ALL, arena);
    batch_init(&r->batch, n_rows, seq_len, arena);
    r->scratch = arena_alloc(arena, o->scratch(o, &r->model.config, n_rows * seq_len),
                             sizeof(float));
}

__attribute__((unused)) static void rig_init(struct rig *r, const struct model_config *config, size_t n_rows,
                     size_t seq_len)
{
    struct error e;
    struct arena plan = {0};
    assert_ok(model_init(&r->model, config, &e), e);
    assert_ok(model_allocate(&r->model, &e), e);
    model_reserve_positions(&r->model, seq_len);
    rig_take(r, n_rows, seq_len, &plan);
    activations_free(&r->activations);
    assert_ok(arena_init(&r->arena, plan.used, "test", &e), e);
    rig_take(r, n_rows, seq_len, &r->arena);
}

__attribute__((unused)) static void rig_free(struct rig *r)
{
    activations_free(&r->activations);
    arena_free(&r->arena);
    model_free(&r->model);
}

__attribute__((unused)) static double rig_loss(struct rig *r, uint64_t dropout_seed)
{
    const struct objective *o = &language_model_objective;
    if (r->type == DTYPE_BF16)
        model_split(&r->model);
    const void *hidden = decoder_forward(&r->model, &r->activations, &r->batch, NULL, dropout_seed);
    double more = r->beside ? r->beside(r->beside_context, &r->batch, 0, false) : 0;
    return o->loss(o, &r->model, &r->batch, hidden, r->type, 0, NULL, r->scratch) + more +
           r->router_loss * r->activations.router_loss * (double)r->batch.n_targets;
}

/* Loss sum; gradients of the mean. */
__attribute__((unused)) static double rig_step(struct rig *r, uint64_t dropout_seed)
{
    const struct objective *o = &language_model_objective;
    params_clear_gradients(&r->model.all);
    if (r->type == DTYPE_BF16)
        model_split(&r->model);
    const void *hidden = decoder_forward(&r->model, &r->activations, &r->batch, NULL, dropout_seed);
    double sum = o->loss(o, &r->model, &r->batch, hidden, r->type, 1 / (float)r->batch.n_targets,
                         r->activations.dnormed, r->scratch);
    if (r->beside)
        sum += r->beside(r->beside_context, &r->batch, 1 / (float)r->batch.n_targets, true);
    r->activations.router_loss_scale = r->router_loss / (float)r->model.config.num_hidden_layers;
    decoder_backward(&r->model, &r->activations, &r->batch, r->activations.dnormed, dropout_seed);
    return sum;
}

__attribute__((unused)) static void random_batch(struct batch *b, size_t vocab_size, uint64_t seed)
{
    struct rng rng;
    rng_init(&rng, seed, 0);
    b->n_targets = 0;
    for (size_t i = 0; i < b->n_rows * b->seq_len; i++) {
        b->input_ids[i] = (int32_t)rng_below(&rng, vocab_size);
        b->targets[i] = i % 7 == 3 ? TARGET_IGNORED : (int32_t)rng_below(&rng, vocab_size);
        b->positions[i] = (int32_t)(i % b->seq_len);
        b->first_key[i] = i % b->seq_len > 5 ? 3 : 0;
        b->n_targets += b->targets[i] != TARGET_IGNORED;
    }
}

/* Directional derivatives: the slope of the loss along each parameter's own gradient, by Richardson's
 * central differences, equals the gradient's squared norm. */
__attribute__((unused)) static double slope_error(struct rig *r, struct param *p, uint64_t dropout_seed, double step_size)
{
    double norm = 0;
    for (size_t i = 0; i < p->count; i++)
        norm += pow((double)((float *)p->grad)[i], 2);
    norm = sqrt(norm);
    float *saved = mem_alloc(p->count, sizeof *saved);
    memcpy(saved, p->value, p->count * sizeof *saved);
    double slopes[2];
    for (int k = 0; k < 2; k++) {
        double h = step_size / (k + 1), loss[2];
        for (int side = 0; side < 2; side++) {
            double step = (side ? -h : h) / norm;
            for (size_t i = 0; i < p->count; i++)
                p->value[i] = (float)(saved[i] + step * ((float *)p->grad)[i]);
            loss[side] = rig_loss(r, dropout_seed) / (double)r->batch.n_targets;
        }
        slopes[k] = (loss[0] - loss[1]) / (2 * h);
    }
    memcpy(p->value, saved, p->count * sizeof *saved);
    mem_free(saved);
    return fabs((4 * slopes[1] - slopes[0]) / 3 / norm - 1);
}

#endif
