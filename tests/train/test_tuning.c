/* Fine-tuning through the trainer: adapters beside weights that stay in a file in 8 bits. Accumulation is the large
 * batch, recomputed blocks and resumed runs are the same bits, packing is padding, looking at the loss changes nothing,
 * and what is frozen stays. */
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "data/example_rows.h"
#include "data/shard_rows.h"
#include "export/gguf.h"
#include "export/quantize.h"
#include "lora/options.h"
#include "model/load.h"
#include "tests/data/example_set.h"
#include "tests/infer/util.h"
#include "train/trainer.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

enum { VOCABULARY = 256, N_EXAMPLES = 12, N_HELD_OUT = 5, SHORTEST = 4, LONGEST = 30, CAPACITY = 64 };

/* --- a base, once for all tests: the same weights in f32 and in 8 bits --- */

static char directory[64], base_f32[96], base_q8[96];

static void write_q8(struct model *m, const struct tokenizer *t, const char *path)
{
    struct quantize_options o = {.types = {.output_type = NO_TYPE, .embedding_type = NO_TYPE}, .name = "base"};
    struct export_report report;
    struct error e;
    assert_ok(mix_find("--type", "q8_0", &o.types.mix, &e), e);
    assert_ok(quantize_model(m, t, &o, path, &report, &e), e);
}

static int make_base(void **state)
{
    (void)state;
    struct model_config c = {.vocab_size = VOCABULARY, .hidden_size = 64, .intermediate_size = 160, .num_hidden_layers = 2,
                             .num_attention_heads = 4, .num_key_value_heads = 2, .head_dim = 16,
                             .max_position_embeddings = 128, .rms_norm_eps = 1e-5, .rope_theta = 10000,
                             .initializer_range = 0.1, .tie_word_embeddings = true};
    struct model m = make_model(&c, 3);
    struct tokenizer *t = make_tokenizer(NULL);
    struct error e;
    snprintf(directory, sizeof directory, "/tmp/linnet-test-XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(base_f32, sizeof base_f32, "%s/f32.gguf", directory);
    snprintf(base_q8, sizeof base_q8, "%s/q8.gguf", directory);
    assert_ok(export_gguf(&m, t, &(struct export_options){.type = DTYPE_F32, .name = "base"}, base_f32, &e), e);
    write_q8(&m, t, base_q8);
    tokenizer_free(t);
    model_free(&m);
    return 0;
}

static int remove_base(void **state)
{
    (void)state;
    static const char *const names[] = {RUN_LAST, RUN_BEST, RUN_METRICS, "checkpoints", "f32.gguf", "q8.gguf"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = run_file(directory, names[i]);
        remove(path);
        mem_free(path);
    }
    return rmdir(directory);
}

/* --- a run --- */

/* What differs between the runs of a test; zeros are the usual. */
struct want {
    bool full;           /* all weights, from f32 */
    bool from_f32;       /* the base that is not quantised */
    size_t batch_size, grad_accumulation, iters;
    bool checkpoint, padded, watched, int8;
    int dtype, moments;
    struct lora_options lora;
};

struct tuning {
    struct model model;
    struct lora_adapter adapter;
    struct examples examples, held_out;
    struct example_rows train, validation;
    int32_t probe_ids[100];
    struct shard probe;
    struct shard_rows probe_rows;
    struct train_settings settings;
    struct optim_settings optim;
    struct trainer trainer;
};

static struct lora_options adapters(size_t rank)
{
    return (struct lora_options){.rank = rank, .alpha = 16, .lora_plus_ratio = 1};
}

/* The adapter's, or the model's own. */
static struct param_list *trained(struct tuning *t, const struct want *w)
{
    return w->full ? &t->model.all : &t->adapter.all;
}

static void open_model(struct tuning *t, const struct want *w)
{
    struct error e;
    const char *base = w->from_f32 ? base_f32 : base_q8;
    assert_ok(model_load(base, w->full ? WEIGHTS_F32 : WEIGHTS_MAPPED, &t->model, NULL, &e), e);
    if (w->full)
        return;
    struct lora_options o = w->lora.rank ? w->lora : adapters(4);
    if (w->int8)
        model_use_integers(&t->model);
    assert_ok(lora_create(&o, &t->model, 5, &t->adapter, &e), e);
    lora_attach(&t->adapter);
}

static void open_rows(struct tuning *t, const struct want *w)
{
    struct error e;
    t->examples = example_set(N_EXAMPLES, SHORTEST, LONGEST, VOCABULARY, 21);
    t->held_out = example_set(N_HELD_OUT, SHORTEST, LONGEST, VOCABULARY, 22);
    example_rows_init(&t->train, &t->examples, NULL, 0, CAPACITY, !w->padded, true, 9);
    t->trainer.train = example_rows_loader(&t->train);
    if (!w->watched)
        return;
    example_rows_init(&t->validation, &t->held_out, NULL, 0, CAPACITY, true, false, 0);
    t->trainer.validation = example_rows_loader(&t->validation);
    memcpy(t->probe_ids, t->examples.ids, sizeof t->probe_ids); /* which cannot be forgotten */
    shard_of_tokens(&t->probe, t->probe_ids, sizeof t->probe_ids / sizeof *t->probe_ids, 0, VOCABULARY);
    assert_ok(shard_rows_init(&t->probe_rows, &t->probe, SHARD_VALIDATION, CAPACITY, false, false, 0, &e), e);
    t->trainer.probe = shard_rows_loader(&t->probe_rows);
    t->trainer.has_validation = t->trainer.has_probe = true;
}

static void open_tuning(struct tuning *t, const struct want *w)
{
    struct error e;
    *t = (struct tuning){0};
    open_model(t, w);
    open_rows(t, w);
    t->settings = (struct train_settings){
        .iters = w->iters ? w->iters : 8, .batch_size = w->batch_size ? w->batch_size : 2,
        .grad_accumulation = w->grad_accumulation ? w->grad_accumulation : 1, .max_seq_length = CAPACITY, .seed = 7,
        .grad_checkpoint = w->checkpoint, .dtype = w->dtype ? w->dtype : TRAIN_F32, .eval_interval = 3,
        .checkpoint_interval = 4, .log_interval = 1, .max_bad_steps = 2};
    t->optim = (struct optim_settings){.learning_rate = w->full ? 1e-3 : 5e-3, .min_learning_rate_ratio = 0.1, .warmup_iters = 2,
                                       .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .grad_clip = 1,
                                       .moments = w->moments};
    t->trainer.model = &t->model;
    t->trainer.params = trained(t, w);
    t->trainer.objective = &language_model_objective;
    t->trainer.settings = &t->settings;
    t->trainer.optim = &t->optim;
    t->trainer.run = directory;
    t->trainer.config = "tune: {}\n";
    assert_ok(trainer_init(&t->trainer, &e), e);
}

static void close_tuning(struct tuning *t)
{
    trainer_free(&t->trainer);
    example_rows_free(&t->train);
    example_rows_free(&t->validation);
    example_set_free(&t->examples);
    example_set_free(&t->held_out);
    shard_close(&t->probe);
    if (t->adapter.attached)
        lora_detach(&t->adapter);
    lora_free(&t->adapter);
    model_free(&t->model);
}

/* What a run ends with. */
struct result {
    size_t n;
    float *values;  /* of all that trains */
    float *began;   /* the same before the first step */
    double first_loss, first_norm, last_loss;
};

static float *copy_values(const struct param_list *l, size_t *n)
{
    *n = 0;
    for (size_t i = 0; i < l->count; i++)
        *n += l->items[i]->count;
    float *copy = mem_alloc(*n, sizeof *copy), *at = copy;
    for (size_t i = 0; i < l->count; i++) {
        memcpy(at, l->items[i]->value, l->items[i]->count * sizeof *at);
        at += l->items[i]->count;
    }
    return copy;
}

static void result_free(struct result *r)
{
    mem_free(r->values);
    mem_free(r->began);
}

/* Steps alone: no evaluation, no checkpoint, no file. */
static struct result steps(const struct want *w)
{
    struct tuning t;
    struct result r = {0};
    struct error e;
    open_tuning(&t, w);
    r.began = copy_values(t.trainer.params, &r.n);
    if (w->dtype == TRAIN_BF16)
        model_split(&t.model);
    for (size_t i = 0; i < t.settings.iters; i++) {
        struct train_step s;
        assert_ok(trainer_step(&t.trainer, &s, &e), e);
        assert_true(s.finite && s.n_targets > 0);
        r.last_loss = s.loss;
        if (i == 0)
            r.first_loss = s.loss, r.first_norm = s.grad_norm;
    }
    model_join(&t.model);
    r.values = copy_values(t.trainer.params, &r.n);
    close_tuning(&t);
    return r;
}

/* The distance of what two runs changed, relative to the change. */
static double distance(const struct result *a, const struct result *b)
{
    double change = 0, difference = 0;
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->began, b->began, a->n * sizeof *a->began);
    for (size_t i = 0; i < a->n; i++) {
        change += pow((double)a->values[i] - (double)a->began[i], 2);
        difference += pow((double)a->values[i] - (double)b->values[i], 2);
    }
    assert_true(change > 1e-4);
    return sqrt(difference / change);
}

static void assert_same_bits(const struct result *a, const struct result *b)
{
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->values, b->values, a->n * sizeof *a->values);
}

/* --- equal but for rounding --- */

/* Sums in another order. AdamW divides each gradient by its own size, so that small ones keep their relative error;
 * measured: 1e-6 to 4e-5, and 0.3 and more where a step is another. */
static const double ROUNDING = 1e-3, OTHER = 0.05;

static void accumulation_is_the_large_batch(void **state)
{
    (void)state;
    for (int full = 0; full < 2; full++) {
        struct want w = {.full = full, .batch_size = 6, .padded = true};
        struct result large = steps(&w), small, other;
        w.batch_size = 2, w.grad_accumulation = 3;
        small = steps(&w);
        w.grad_accumulation = 2;
        other = steps(&w);
        assert_true(large.last_loss < large.first_loss);
        assert_true(fabs(small.first_norm / large.first_norm - 1) < 1e-5); /* which AdamW does not see */
        assert_true(fabs(small.last_loss / large.last_loss - 1) < 1e-4);
        assert_true(distance(&large, &small) < ROUNDING);
        assert_true(distance(&large, &other) > OTHER);
        result_free(&large), result_free(&small), result_free(&other);
    }
}

/* An epoch a step, so that every step sees the same examples however they lie in rows. */
static void packing_is_padding(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        struct want w = {.full = kind == 1, .batch_size = N_EXAMPLES, .padded = true, .lora = adapters(4)};
        w.lora.use_dora = kind == 2;
        struct result padded = steps(&w), packed;
        struct tuning t;
        w.padded = false;
        open_tuning(&t, &w);
        w.batch_size = t.train.packing.n_rows;
        close_tuning(&t);
        assert_in_range(w.batch_size, 2, N_EXAMPLES / 2);
        packed = steps(&w);
        assert_true(fabs(packed.first_norm / padded.first_norm - 1) < 1e-5);
        assert_true(fabs(packed.last_loss / padded.last_loss - 1) < 1e-4);
        assert_true(distance(&padded, &packed) < ROUNDING);
        result_free(&padded), result_free(&packed);
    }
}

/* --- equal to the bit --- */

/* Every kind of adapter, every kind of numbers. */
static const struct kind {
    const char *name;
    struct want want;
} kinds[] = {
    {"lora", {.lora = {.rank = 4, .alpha = 16, .lora_plus_ratio = 1}}},
    {"dropout", {.lora = {.rank = 4, .alpha = 16, .lora_plus_ratio = 1, .dropout = 0.3}}},
    {"dora, dropout", {.lora = {.rank = 4, .alpha = 16, .lora_plus_ratio = 1, .dropout = 0.3, .use_dora = true}}},
    {"rslora, lora+", {.lora = {.rank = 4, .alpha = 16, .lora_plus_ratio = 16, .use_rslora = true}}},
    {"pissa", {.lora = {.rank = 4, .alpha = 16, .lora_plus_ratio = 1, .init = LORA_INIT_PISSA}}},
    {"8-bit moments", {.moments = MOMENTS_8BIT, .lora = {.rank = 32, .alpha = 16, .lora_plus_ratio = 1}}},
    {"bf16", {.dtype = TRAIN_BF16, .lora = {.rank = 4, .alpha = 16, .lora_plus_ratio = 1, .dropout = 0.1}}},
    {"int8 products", {.int8 = true, .lora = {.rank = 4, .alpha = 16, .lora_plus_ratio = 1}}},
    {"full", {.full = true}},
    {"full, bf16, 8-bit moments", {.full = true, .dtype = TRAIN_BF16, .moments = MOMENTS_8BIT}},
};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

static void recomputed_blocks_are_the_same_bits(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_KINDS; i++) {
        struct want w = kinds[i].want;
        struct result kept = steps(&w), computed;
        w.checkpoint = true;
        computed = steps(&w);
        assert_same_bits(&kept, &computed);
        result_free(&kept), result_free(&computed);
    }
}

static void stop_now(void *context, struct buffer *out)
{
    (void)context, (void)out;
    raise(SIGTERM);
}

/* All of a run with files, from the beginning or from its last checkpoint; stopped by a signal after step `stop`. */
static struct result whole_run(const struct want *w, bool resume, size_t stop)
{
    struct tuning t;
    struct result r = {0};
    struct error e;
    char *checkpoints = run_file(directory, "checkpoints");
    assert_ok(dir_make(checkpoints, &e), e);
    mem_free(checkpoints);
    open_tuning(&t, w);
    if (stop) {
        t.settings.sample_interval = stop;
        t.trainer.sample = stop_now;
    }
    if (resume)
        assert_ok(trainer_resume(&t.trainer, &e), e);
    int code = trainer_run(&t.trainer, &e);
    if (stop)
        assert_int_equal(code, ERR_INTERRUPTED);
    else
        assert_ok(code, e);
    assert_int_equal(t.trainer.state.step, stop ? stop : t.settings.iters);
    r.values = copy_values(t.trainer.params, &r.n);
    close_tuning(&t);
    return r;
}

static void resumed_runs_are_the_same_bits(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_KINDS; i++) {
        struct want w = kinds[i].want;
        w.watched = true;
        struct result whole = whole_run(&w, false, 0), stopped = whole_run(&w, false, 5), resumed;
        assert_memory_not_equal(whole.values, stopped.values, whole.n * sizeof *whole.values);
        resumed = whole_run(&w, true, 0);
        assert_same_bits(&whole, &resumed);
        result_free(&whole), result_free(&stopped), result_free(&resumed);
    }
}

static void looking_changes_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_KINDS; i++) {
        struct want w = kinds[i].want;
        struct result blind = steps(&w), watched;
        w.watched = true;
        watched = whole_run(&w, false, 0);
        assert_same_bits(&blind, &watched);
        result_free(&blind), result_free(&watched);
    }
}

/* Nothing is left out at random while the loss is measured. */
static void looking_is_without_dropout(void **state)
{
    (void)state;
    struct want w = {.watched = true, .iters = 3, .lora = adapters(4)};
    struct tuning t;
    struct error e;
    w.lora.dropout = 0.3;
    open_tuning(&t, &w);
    assert_ok(trainer_run(&t.trainer, &e), e);
    assert_int_equal(t.trainer.state.best_step, t.settings.iters);
    struct evaluator v = {&t.model, &language_model_objective, &t.trainer.activations, &t.trainer.batches[0],
                          t.trainer.scratch};
    for (uint64_t seed = 0; seed < 2; seed++) {
        t.model.dropout_seed = seed;
        double loss = evaluate(&v, &t.trainer.validation, 0, NULL).loss;
        assert_true((loss == t.trainer.state.best_loss) == (seed == 0));
    }
    close_tuning(&t);
}

/* --- what is frozen --- */

static uint64_t hash_frozen(const struct model *m, const struct param *but)
{
    uint64_t h = 0;
    for (size_t i = 0; i < m->n_params; i++) {
        const struct param *p = &m->params[i];
        size_t bytes = 0;
        assert_true(dtype_bytes(p->type, p->count, &bytes));
        if (p != but)
            h = hash64(p->data, bytes, h);
    }
    return h;
}

static void frozen_weights_stay(void **state)
{
    (void)state;
    for (int whole = 0; whole < 2; whole++) {
        struct want w = {.lora = adapters(4), .watched = true};
        struct tuning t;
        struct error e;
        if (whole)
            option_strings_add(&w.lora.train_in_full, "layers.1.mlp.up_proj"), option_strings_add(&w.lora.target_modules, "q_proj");
        open_tuning(&t, &w);
        struct param *up = whole ? model_find(&t.model, "model.layers.1.mlp.up_proj.weight") : NULL;
        size_t in_blocks = 0;
        uint64_t before = hash_frozen(&t.model, up), file = 0;
        for (size_t i = 0; i < t.model.n_params; i++) {
            const struct param *p = &t.model.params[i];
            in_blocks += p->type == DTYPE_Q8_0;
            assert_true(p == up ? p->grad != NULL : p->grad == NULL);
        }
        assert_true(in_blocks > 10);
        for (size_t i = 0; i < t.adapter.all.count; i++)
            assert_non_null(t.adapter.all.items[i]->grad);
        /* memory is taken for what trains alone */
        struct memory_plan plan = trainer_plan(&t.trainer);
        size_t n = 0;
        for (size_t i = 0; i < t.adapter.all.count; i++)
            n += t.adapter.all.items[i]->count;
        assert_true(n < t.model.n_weights / 2);
        assert_in_range(plan.gradients, n * sizeof(float), n * sizeof(float) + 64 * t.adapter.all.count);
        assert_in_range(plan.optimizer, 2 * n * sizeof(float), 2 * n * sizeof(float) + 128 * t.adapter.all.count);
        struct buffer bytes = {0};
        assert_ok(file_read(base_q8, &bytes, 1 << 24, &e), e);
        file = hash64(bytes.data, bytes.size, 0);
        assert_ok(trainer_run(&t.trainer, &e), e);
        assert_true(hash_frozen(&t.model, up) == before);
        for (size_t i = 0; i < t.model.n_params; i++)
            assert_true(&t.model.params[i] == up || !t.model.params[i].grad);
        buffer_clear(&bytes);
        assert_ok(file_read(base_q8, &bytes, 1 << 24, &e), e);
        assert_true(hash64(bytes.data, bytes.size, 0) == file);
        buffer_free(&bytes);
        close_tuning(&t);
        option_strings_free(&w.lora.train_in_full), option_strings_free(&w.lora.target_modules);
    }
}

/* All weights begin as what the file says, widened, and all of them move. */
static size_t three_a_row(const void *context, size_t n)
{
    (void)context;
    return 3 * n;
}

/* The plan counts what hooks keep, and products in 8 bits whose results are rounded to bf16. */
static void plans_count_hooks_and_integers(void **state)
{
    (void)state;
    size_t products[2];
    for (int int8 = 0; int8 < 2; int8++) {
        struct want w = {.lora = adapters(4), .int8 = int8, .dtype = TRAIN_BF16};
        struct tuning t;
        open_tuning(&t, &w);
        t.settings.max_seq_length = 4096;
        t.settings.batch_size = 4;
        struct memory_plan without = trainer_plan(&t.trainer);
        t.trainer.hook_bytes = three_a_row;
        struct memory_plan with = trainer_plan(&t.trainer);
        assert_int_equal(with.total - without.total, 3 * 4 * 4096);
        assert_int_equal(with.products - without.products, 3 * 4 * 4096);
        products[int8] = without.products;
        close_tuning(&t);
    }
    assert_true(products[1] >= products[0] && products[1] >= 4 * 4096 * (160 * sizeof(float) + 64));
}

static void full_training_begins_with_the_file(void **state)
{
    (void)state;
    struct want w = {.full = true, .from_f32 = true, .iters = 30};
    struct tuning t;
    struct error e;
    struct model base;
    assert_ok(model_load(base_f32, WEIGHTS_F32, &base, NULL, &e), e);
    open_tuning(&t, &w);
    for (size_t i = 0; i < base.n_params; i++) {
        const struct param *p = &t.model.params[i];
        assert_non_null(p->grad);
        assert_memory_equal(p->value, base.params[i].value, p->count * sizeof(float));
    }
    struct train_step first, s;
    assert_ok(trainer_step(&t.trainer, &first, &e), e);
    for (size_t i = 1; i < t.settings.iters; i++)
        assert_ok(trainer_step(&t.trainer, &s, &e), e);
    assert_true(s.loss < 0.7 * first.loss);
    for (size_t i = 0; i < base.n_params; i++)
        assert_memory_not_equal(t.model.params[i].value, base.params[i].value, base.params[i].count * sizeof(float));
    close_tuning(&t);
    model_free(&base);
}

/* An adapter begins as nothing, so that the first loss is the base's; DoRA's and PiSSA's too, but for rounding. */
static void adapters_begin_with_the_base(void **state)
{
    (void)state;
    struct want w = {.full = true, .iters = 1};
    struct result base = steps(&w);
    for (size_t i = 0; i < N_KINDS; i++) {
        if (kinds[i].want.full || kinds[i].want.int8 || kinds[i].want.dtype || kinds[i].want.lora.dropout > 0)
            continue;
        w = kinds[i].want;
        w.iters = 1;
        struct result r = steps(&w);
        assert_true(fabs(r.first_loss / base.first_loss - 1) < 1e-5);
        result_free(&r);
    }
    result_free(&base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accumulation_is_the_large_batch),  cmocka_unit_test(packing_is_padding),
        cmocka_unit_test(recomputed_blocks_are_the_same_bits), cmocka_unit_test(resumed_runs_are_the_same_bits),
        cmocka_unit_test(looking_changes_nothing),          cmocka_unit_test(looking_is_without_dropout), cmocka_unit_test(frozen_weights_stay),
        cmocka_unit_test(plans_count_hooks_and_integers),
        cmocka_unit_test(full_training_begins_with_the_file), cmocka_unit_test(adapters_begin_with_the_base),
    };
    log_set_quiet(true);
    return cmocka_run_group_tests(tests, make_base, remove_base);
}
