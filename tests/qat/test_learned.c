/* Learned scales and clipped gradients: against direct formulas in f64, in runs that are interrupted, and where they cannot
 * be. */
#include "base/file.h"
#include "base/log.h"
#include "data/shard_rows.h"
#include "kernels/blocks.h"
#include "kernels/gemm.h"
#include "kernels/quantize.h"
#include "kernels/quantize_scaled.h"
#include "kernels/relevel.h"
#include "lora/options.h"
#include "model/load.h"
#include "qat/learned.h"
#include "tests/kernels/util.h"
#include "train/trainer.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { VOCABULARY = 64, HIDDEN = 64, LONGEST = 256 };

static const struct model_config small = {
    .vocab_size = VOCABULARY, .hidden_size = HIDDEN, .intermediate_size = 96, .num_hidden_layers = 2,
    .num_attention_heads = 4, .num_key_value_heads = 2, .head_dim = 16, .rms_norm_eps = 1e-5, .rope_theta = 10000,
    .initializer_range = 0.05, .tie_word_embeddings = true};

static struct qat_options options_of(const char *type, bool learned, bool clip)
{
    return (struct qat_options){.types = {.type = (char *)type, .pure = true}, .scale_interval = 1, .learned_scales = learned,
                                .scale_learning_rate = 2, .clip = clip};
}

/* --- one step's gradients --- */

/* A model under qat, with gradients drawn at random. */
struct bench {
    struct qat_options options;
    struct model model;
    struct qat qat;
    struct arena memory;
};

static void bench_open(struct bench *b, struct qat_options options, enum dtype gradients)
{
    struct error e;
    struct arena plan = {0};
    struct rng r;
    b->options = options;
    assert_ok(model_init(&b->model, &small, &e), e);
    assert_ok(model_allocate(&b->model, &e), e);
    model_initialize(&b->model, 5);
    assert_ok(qat_init(&b->qat, &b->options, &b->model, &b->model.all, NULL, &e), e);
    params_attach_gradients(b->qat.trains, gradients, &plan);
    assert_ok(arena_init(&b->memory, plan.used, "test", &e), e);
    params_attach_gradients(b->qat.trains, gradients, &b->memory);
    assert_ok(qat_attach(&b->qat, &e), e);
    rng_init(&r, 9, 1);
    for (size_t i = 0; i < b->model.n_params; i++) {
        const struct param *p = &b->model.params[i];
        float *g = normals(p->count, 0.1f, i);
        assert_true(dtype_from_f32(p->grad_type, g, p->grad, p->count));
        mem_free(g);
        for (size_t j = 0; j < p->count; j++) /* off what the scales were made for */
            p->value[j] *= 1.3f;
    }
    qat_changed(&b->qat);
    if (gradients == DTYPE_BF16)
        model_split(&b->model);
}

static void bench_close(struct bench *b)
{
    qat_free(&b->qat);
    arena_free(&b->memory);
    model_free(&b->model);
}

static const struct qat_matrix *matrix_of(const struct qat *q, const char *name)
{
    for (size_t i = 0; i < q->n_matrices; i++)
        if (strcmp(q->matrices[i].param->name, name) == 0)
            return &q->matrices[i];
    fail_msg("no matrix %s", name);
    return NULL;
}

static void gradient_of(const struct param *p, size_t row, float to[LONGEST])
{
    size_t before;
    assert_true(p->cols <= LONGEST && dtype_bytes(p->grad_type, row * p->cols, &before));
    assert_true(dtype_to_f32(p->grad_type, (const char *)p->grad + before, to, p->cols));
}

/* What a row's gradients became; `before` is what that of the weights was. q4_0. */
static void assert_row(const struct qat_matrix *x, size_t row, const float *before, bool clip, double share, size_t *beyond)
{
    const struct param *p = x->param;
    float w[LONGEST], g[LONGEST];
    param_row(p, row, w);
    gradient_of(p, row, g);
    for (size_t b = 0; b < p->cols / 32; b++) {
        const size_t at = row * x->scale->cols + b;
        const double d = (double)half_to_f32(half_from_f32(x->scale->value[at]));
        double sum = 0;
        for (size_t j = 32 * b; j < 32 * (b + 1); j++) {
            const double t = (double)w[j] / d, q = t >= 7 ? 7 : t <= -8 ? -8 : floor(t + 0.5) - t;
            const bool is_beyond = t < -8.5 || t > 7.5;
            sum += (double)before[j] * q;
            const double wanted = clip && is_beyond ? (double)before[j] * (1 - share) : (double)before[j];
            assert_true(fabs((double)g[j] - wanted) <= 0.004 * fabs(wanted));
            *beyond += is_beyond;
        }
        sum *= share / sqrt(32 * 7);
        assert_true(fabs(((const float *)x->scale->grad)[at] - sum) < 1e-4 * (1 + fabs(sum)));
    }
}

static void check_gradients(struct qat_options options, enum dtype type, uint64_t step, double share)
{
    static const char *const names[] = {"model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight",
                                        "model.layers.1.mlp.down_proj.weight"};
    struct bench b;
    size_t beyond = 0;
    bench_open(&b, options, type);
    qat_begin_step(&b.qat, step);
    float *before[3];
    for (int i = 0; i < 3; i++) {
        const struct param *p = matrix_of(&b.qat, names[i])->param;
        before[i] = floats(p->count);
        assert_true(dtype_to_f32(p->grad_type, p->grad, before[i], p->count));
        param_computed(p); /* as a step would: some blocks are kept */
    }
    qat_gradients(&b.qat);
    for (int i = 0; i < 3; i++) {
        const struct qat_matrix *x = matrix_of(&b.qat, names[i]);
        for (size_t row = 0; row < x->param->rows; row++)
            assert_row(x, row, before[i] + row * x->param->cols, options.clip, share, &beyond);
        done_with(before[i], x->param->count);
    }
    assert_true(beyond > 100 || options.start); /* at the start, scales are made anew */
    bench_close(&b);
}

static void gradients_are_the_formulas(void **state)
{
    (void)state;
    for (int bf16 = 0; bf16 < 2; bf16++)
        for (int clip = 0; clip < 2; clip++) {
            struct qat_options o = options_of("q4_0", true, clip);
            check_gradients(o, bf16 ? DTYPE_BF16 : DTYPE_F32, 0, 1);
            o.memory = 1; /* no blocks are kept */
            check_gradients(o, bf16 ? DTYPE_BF16 : DTYPE_F32, 0, 1);
            o.ramp = 3; /* shares of a quarter, a half, ... */
            check_gradients(o, bf16 ? DTYPE_BF16 : DTYPE_F32, 1, 0.5);
            o.start = 10;
            check_gradients(o, bf16 ? DTYPE_BF16 : DTYPE_F32, 10, 0.25);
            check_gradients(o, bf16 ? DTYPE_BF16 : DTYPE_F32, 9, 0);
        }
}

/* Whatever the type: gradients of weights beyond the spans of the blocks that the model computes with are 0, and no
 * others. 96 columns have no K blocks, but fallbacks. */
static void clipping_is_of_every_type(void **state)
{
    (void)state;
    static const char *const types[] = {"q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "iq4_nl", "mxfp4", "bf16", "q2_k"};
    size_t beyond = 0;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct bench b;
        bench_open(&b, options_of(types[i], false, true), DTYPE_F32);
        qat_begin_step(&b.qat, 0);
        qat_gradients(&b.qat);
        for (size_t k = 0; k < b.qat.n_matrices; k++) {
            const struct param *p = b.qat.matrices[k].param;
            const struct matrix m = param_computed(p);
            size_t row_bytes;
            assert_true(dtype_bytes(m.type, p->cols, &row_bytes));
            for (size_t row = 0; row < p->rows; row++) {
                float low[LONGEST / 16] = {0}, high[LONGEST / 16] = {0}, g[LONGEST];
                gradient_of(p, row, g);
                if (m.type != DTYPE_BF16)
                    relevel_spans(m.type, (const char *)m.data + row * row_bytes, p->cols, low, high);
                for (size_t j = 0; j < p->cols; j++) {
                    const float w = p->value[row * p->cols + j];
                    const bool is_beyond = m.type != DTYPE_BF16 && (w < low[j / 16] || w > high[j / 16]);
                    assert_true((g[j] == 0) == is_beyond);
                    beyond += is_beyond;
                }
            }
        }
        bench_close(&b);
    }
    assert_true(beyond > 20);
}

/* Whether the matrix's blocks are those of its type's own function, and its scales those in them. */
static void compare_with_own(const struct qat_matrix *x, bool *blocks_are, bool *scales_are)
{
    size_t bytes;
    assert_true(dtype_bytes(x->type, x->param->count, &bytes));
    char *own = mem_alloc(bytes, 1);
    float *scales = floats(x->scale->count);
    quantize_rows(x->type, x->param->value, own, x->param->rows, x->param->cols, NULL);
    quantized_scales(x->type, own, x->param->count / SCALED_BLOCK, scales);
    *blocks_are = memcmp(own, param_computed(x->param).data, bytes) == 0;
    *scales_are = memcmp(scales, x->scale->value, x->scale->count * sizeof *scales) == 0;
    done_with(scales, x->scale->count);
    mem_free(own);
}

/* Until rounding starts, evaluations and checkpoints have blocks of the type's own function; then scales begin at what it
 * chooses, once. */
static void scales_wait_for_the_start(void **state)
{
    (void)state;
    struct bench b;
    struct qat_options o = options_of("q5_1", true, false);
    bool blocks, scales;
    o.start = 3;
    bench_open(&b, o, DTYPE_F32);
    const struct qat_matrix *x = matrix_of(&b.qat, "model.layers.0.self_attn.q_proj.weight");
    qat_begin_step(&b.qat, 2);
    assert_ptr_equal(param_computed(x->param).data, x->param->value);
    qat_changed(&b.qat);
    compare_with_own(x, &blocks, &scales);
    assert_true(blocks && !scales);
    qat_begin_step(&b.qat, 3);
    compare_with_own(x, &blocks, &scales);
    assert_true(scales);
    for (size_t i = 0; i < x->param->count; i++)
        x->param->value[i] *= 1.5f;
    qat_changed(&b.qat);
    qat_begin_step(&b.qat, 4);
    compare_with_own(x, &blocks, &scales);
    assert_false(blocks || scales);
    bench_close(&b);
}

/* A gradient that is no number stays none, also beyond the levels: the step is to be skipped. */
static void clipping_hides_no_nan(void **state)
{
    (void)state;
    struct bench b;
    bench_open(&b, options_of("q4_0", true, true), DTYPE_F32);
    const struct qat_matrix *x = matrix_of(&b.qat, "model.layers.0.self_attn.q_proj.weight");
    x->param->value[5] = 1000;
    ((float *)x->param->grad)[5] = NAN;
    qat_changed(&b.qat);
    qat_begin_step(&b.qat, 0);
    qat_gradients(&b.qat);
    assert_true(isnan(((float *)x->param->grad)[5]) && isnan(((float *)x->scale->grad)[0]));
    bench_close(&b);
}

/* --- runs --- */

struct run {
    char directory[64];
    struct qat_options options;
    struct shard shard;
    struct shard_rows train, validation;
    struct model model;
    struct qat qat;
    struct weight_view view;
    struct train_settings settings;
    struct optim_settings optim;
    struct trainer trainer;
};


/* Text in which what comes next follows from the two tokens before, nearly always. */
static void run_prepare(struct run *r, struct qat_options options)
{
    enum { TOKENS = 6000 };
    static int32_t ids[TOKENS];
    struct error e;
    struct rng random;
    rng_init(&random, 3, 0);
    for (int i = 0; i < TOKENS; i++)
        ids[i] = i < 2 || rng_below(&random, 20) == 0 ? (int32_t)rng_below(&random, VOCABULARY)
                                                      : (3 * ids[i - 1] + ids[i - 2]) % VOCABULARY;
    *r = (struct run){.options = options};
    snprintf(r->directory, sizeof r->directory, "/tmp/linnet-test-XXXXXX");
    assert_non_null(mkdtemp(r->directory));
    char *checkpoints = run_file(r->directory, "checkpoints");
    assert_ok(dir_make(checkpoints, &e), e);
    mem_free(checkpoints);
    shard_of_tokens(&r->shard, ids, TOKENS, TOKENS - 600, VOCABULARY);
    r->settings = (struct train_settings){.iters = 12, .batch_size = 4, .grad_accumulation = 1, .max_seq_length = 32,
                                          .seed = 7, .eval_interval = 4, .eval_iters = 3, .checkpoint_interval = 5,
                                          .log_interval = 1, .max_bad_steps = 2, .dtype = TRAIN_F32};
    r->optim = (struct optim_settings){.learning_rate = 3e-3, .min_learning_rate_ratio = 0.1, .warmup_iters = 3,
                                       .beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .weight_decay = 0.1, .grad_clip = 1};
}

static void run_begin(struct run *r)
{
    struct error e;
    assert_ok(model_init(&r->model, &small, &e), e);
    assert_ok(model_allocate(&r->model, &e), e);
    model_initialize(&r->model, r->settings.seed);
    assert_ok(qat_init(&r->qat, &r->options, &r->model, &r->model.all, NULL, &e), e);
    r->view = qat_view(&r->qat);
    r->trainer = (struct trainer){.model = &r->model, .params = r->qat.trains, .objective = &language_model_objective,
                                  .settings = &r->settings, .optim = &r->optim, .run = r->directory,
                                  .config = "model:\n  hidden_size: 64\n", .has_validation = true, .view = &r->view};
    assert_ok(shard_rows_init(&r->train, &r->shard, SHARD_TRAIN, 32, false, true, 7, &e), e);
    assert_ok(shard_rows_init(&r->validation, &r->shard, SHARD_VALIDATION, 32, false, false, 0, &e), e);
    r->trainer.train = shard_rows_loader(&r->train);
    r->trainer.validation = shard_rows_loader(&r->validation);
    assert_ok(trainer_init(&r->trainer, &e), e);
}

static void run_end(struct run *r)
{
    trainer_free(&r->trainer);
    qat_free(&r->qat);
    model_free(&r->model);
}

static void run_remove(struct run *r)
{
    static const char *const names[] = {RUN_LAST, RUN_BEST, RUN_METRICS, "checkpoints"};
    shard_close(&r->shard);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = run_file(r->directory, names[i]);
        remove(path);
        mem_free(path);
    }
    assert_int_equal(rmdir(r->directory), 0);
}

/* Everything that trains: weights and scales. */
static struct buffer values_of(const struct param_list *l)
{
    struct buffer out = {0};
    for (size_t i = 0; i < l->count; i++)
        buffer_append(&out, (const char *)l->items[i]->value, l->items[i]->count * sizeof(float));
    return out;
}

static void stop_now(void *context, struct buffer *out)
{
    (void)context;
    (void)out;
    raise(SIGTERM);
}

static void resume_with(struct qat_options options, int dtype, size_t stop_at)
{
    struct run r;
    struct error e;
    run_prepare(&r, options);
    r.settings.dtype = dtype;
    run_begin(&r);
    assert_ok(trainer_run(&r.trainer, &e), e);
    struct buffer whole = values_of(r.trainer.params);
    const double best = r.trainer.state.best_loss;
    run_end(&r);

    run_begin(&r);
    r.settings.sample_interval = stop_at;
    r.trainer.sample = stop_now;
    assert_int_equal(trainer_run(&r.trainer, &e), ERR_INTERRUPTED);
    run_end(&r);
    r.settings.sample_interval = 0;

    run_begin(&r);
    assert_ok(trainer_resume(&r.trainer, &e), e);
    assert_int_equal(r.trainer.state.step, stop_at);
    assert_ok(trainer_run(&r.trainer, &e), e);
    struct buffer resumed = values_of(r.trainer.params);
    assert_int_equal(whole.size, resumed.size);
    assert_memory_equal(whole.data, resumed.data, whole.size);
    assert_true(r.trainer.state.best_loss == best);
    run_end(&r);
    buffer_free(&whole);
    buffer_free(&resumed);
    run_remove(&r);
}

static void resuming_gives_the_same_bits(void **state)
{
    (void)state;
    struct qat_options o = options_of("q4_0", true, true);
    resume_with(o, TRAIN_F32, 7);
    resume_with(o, TRAIN_BF16, 7);
    o.types.type = "q4_1";
    o.start = 4, o.ramp = 6;
    resume_with(o, TRAIN_F32, 3); /* before scales are learned, when they begin to be, and in the middle */
    resume_with(o, TRAIN_F32, 4);
    resume_with(o, TRAIN_BF16, 7);
}

static void a_checkpoint_without_scales_is_refused(void **state)
{
    (void)state;
    struct run r;
    struct error e;
    run_prepare(&r, options_of("q4_0", false, false));
    run_begin(&r);
    assert_ok(trainer_run(&r.trainer, &e), e);
    run_end(&r);
    r.options.learned_scales = true;
    run_begin(&r);
    assert_int_not_equal(trainer_resume(&r.trainer, &e), OK);
    assert_non_null(strstr(e.message, ".scale"));
    run_end(&r);
    run_remove(&r);
}

/* The checkpoint's blocks are those that were trained: the model that is loaded from it computes the same. */
static void blocks_have_the_learned_scales(void **state)
{
    (void)state;
    struct run r;
    struct error e;
    struct model loaded;
    run_prepare(&r, options_of("iq4_nl", true, true));
    r.settings.eval_interval = 0;
    run_begin(&r);
    struct buffer before = values_of(r.trainer.params);
    assert_ok(trainer_run(&r.trainer, &e), e);
    struct buffer after = values_of(r.trainer.params);
    assert_memory_not_equal(before.data, after.data, before.size);
    const struct qat_matrix *x = matrix_of(&r.qat, "model.layers.1.mlp.up_proj.weight");
    const struct block_iq4_nl *b = param_computed(x->param).data;
    for (size_t i = 0; i < x->scale->count; i++)
        assert_int_equal(b[i].d, half_from_f32(x->scale->value[i]));
    char *last = run_file(r.directory, RUN_LAST);
    r.trainer.config = "model:\n  vocab_size: 64\n  hidden_size: 64\n  intermediate_size: 96\n  num_hidden_layers: 2\n"
                       "  num_attention_heads: 4\n  num_key_value_heads: 2\n  head_dim: 16\n  tie_word_embeddings: true\n";
    const struct checkpoint_addition computed = {r.view.write, r.view.context};
    assert_ok(checkpoint_write(last, &r.trainer.optimizer, true, &computed, &r.trainer.state, r.trainer.config, &e), e);
    assert_ok(model_load(last, WEIGHTS_MAPPED, &loaded, NULL, &e), e);
    const struct param *p = model_find(&loaded, x->param->name);
    assert_int_equal(p->type, DTYPE_IQ4_NL);
    assert_memory_equal(p->data, param_computed(x->param).data, x->scale->count * sizeof *b);
    model_free(&loaded);
    mem_free(last);
    buffer_free(&before);
    buffer_free(&after);
    run_end(&r);
    run_remove(&r);
}

/* The loss of the last steps of a run, on average, whose scales begin at a tenth of what they should be. */
static double trained_loss(struct qat_options options, size_t iters)
{
    struct run r;
    struct error e;
    double sum = 0;
    run_prepare(&r, options);
    r.settings.iters = iters;
    r.optim.learning_rate = 1e-2;
    run_begin(&r);
    assert_ok(qat_attach(&r.qat, &e), e);
    for (size_t i = 0; i < r.qat.n_scales; i++)
        for (size_t j = 0; j < r.qat.scales[i].count; j++)
            r.qat.scales[i].value[j] *= 0.1f;
    for (size_t i = 0; i < iters; i++) {
        struct train_step step;
        assert_ok(trainer_step(&r.trainer, &step, &e), e);
        assert_true(step.finite);
        sum += i >= iters - 20 ? step.loss / 20 : 0;
    }
    run_end(&r);
    run_remove(&r);
    return sum;
}

/* Too narrow levels hold a model back, until the scales have grown. (With the gradient's sign wrong they grow too, through 0, but
 * late: a third of the margin.) */
static void learned_scales_learn(void **state)
{
    (void)state;
    struct qat_options o = options_of("q4_0", true, false);
    const double learned = trained_loss(o, 150);
    o.scale_learning_rate = 1e-6;
    const double stuck = trained_loss(o, 150);
    print_message("learned %.3f, stuck %.3f\n", learned, stuck);
    assert_true(learned < stuck - 0.25);
}

/* --- what cannot be --- */

static void assert_refused(struct qat_options o, bool with_adapter, const char *message)
{
    struct model m;
    struct lora_adapter a = {0};
    struct lora_options lora = {.rank = 4, .alpha = 8};
    struct qat q;
    struct error e;
    assert_ok(model_init(&m, &small, &e), e);
    assert_ok(model_allocate(&m, &e), e);
    model_initialize(&m, 5);
    if (with_adapter)
        assert_ok(lora_create(&lora, &m, 1, &a, &e), e);
    assert_int_equal(qat_init(&q, &o, &m, with_adapter ? &a.all : &m.all, with_adapter ? &a : NULL, &e), ERR_USAGE);
    if (!strstr(e.message, message))
        fail_msg("%s", e.message);
    qat_free(&q);
    lora_free(&a);
    model_free(&m);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    assert_refused(options_of("q4_0", true, false), true, "--qat-learned-scales needs the gradient");
    assert_refused(options_of("q4_0", false, true), true, "--qat-clip needs the gradient");
    assert_refused(options_of("bf16", true, false), false, "--qat-learned-scales has nothing to learn");
}

/* Without memory for weights, to plan with. */
static void a_plan_counts_scales(void **state)
{
    (void)state;
    struct model m;
    struct qat q;
    struct error e;
    struct qat_options o = options_of("q4_1", true, false);
    assert_ok(model_init(&m, &small, &e), e);
    assert_ok(qat_init(&q, &o, &m, &m.all, NULL, &e), e);
    size_t weights = 0, scales = 0;
    for (size_t i = 0; i < q.trains->count; i++) {
        const struct param *p = q.trains->items[i];
        assert_true(p->role != PARAM_NONE || !p->value);
        if (p->n_dims == 2)
            *(p->role == PARAM_NONE ? &scales : &weights) += p->count;
    }
    assert_true(scales == weights / 16 && scales > 0);
    qat_free(&q);
    model_free(&m);
}

int main(void)
{
    log_set_quiet(true);
    kernels_set_threads(2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_the_formulas),
        cmocka_unit_test(clipping_is_of_every_type),
        cmocka_unit_test(scales_wait_for_the_start),
        cmocka_unit_test(clipping_hides_no_nan),
        cmocka_unit_test(resuming_gives_the_same_bits),
        cmocka_unit_test(a_checkpoint_without_scales_is_refused),
        cmocka_unit_test(blocks_have_the_learned_scales),
        cmocka_unit_test(learned_scales_learn),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(a_plan_counts_scales),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
