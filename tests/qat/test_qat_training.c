/* Whole runs: what is evaluated is what is stored is what is exported; interrupted or not; with what comes late or by and by;
 * and checkpoints that are damaged. */
#include "data/shard_rows.h"
#include "formats/hdf5_file.h"
#include "kernels/blocks.h"
#include "kernels/quantize.h"
#include "tests/qat/util.h"
#include "train/trainer.h"

#include <signal.h>

/* What differs between runs. */
struct want {
    const char *keys, *type; /* NULL: no quantisation */
    size_t width, start, ramp, iters, memory;
    size_t interval; /* between searches for scales; 0: 1, NEVER: 0 */
    int dtype;
};
#define NEVER SIZE_MAX

struct run {
    struct want w;
    struct model model;
    struct shard shard;
    struct shard_rows train, validation;
    struct train_settings settings;
    struct optim_settings optim;
    struct qat_options o;
    struct qat q;
    struct weight_view view;
    struct trainer trainer;
    char *config;
};

static void make_shard(struct run *r)
{
    enum { N = 4000 };
    int32_t *ids = mem_alloc(N, sizeof *ids);
    struct rng rng;
    rng_init(&rng, 3, 0);
    for (size_t i = 0; i < N; i++)
        ids[i] = i % 3 == 2 ? (ids[i - 1] + ids[i - 2]) % VOCAB : (int32_t)rng_below(&rng, 24);
    shard_of_tokens(&r->shard, ids, N, 3600, VOCAB);
    mem_free(ids);
}

static void run_begin(struct run *r, const struct want *w)
{
    const size_t width = w->width ? w->width : 64;
    const struct model_config c = wide(width, 2, w->keys);
    struct error e;
    *r = (struct run){.w = *w, .o = rounds_to(w->type, false)};
    r->config = mem_printf("model: {vocab_size: %d, hidden_size: %zu, intermediate_size: %zu, num_hidden_layers: 2, "
                           "num_attention_heads: 4, num_key_value_heads: 1, head_dim: %zu, max_position_embeddings: 64, "
                           "initializer_range: 0.1, %s}\n", VOCAB, width, width, width / 4, w->keys);
    r->o.start = w->start, r->o.ramp = w->ramp, r->o.memory = w->memory;
    r->o.scale_interval = w->interval == NEVER ? 0 : w->interval ? w->interval : 1;
    assert_ok(model_init(&r->model, &c, &e), e);
    assert_ok(model_allocate(&r->model, &e), e);
    model_initialize(&r->model, 7);
    make_shard(r);
    r->settings = (struct train_settings){
        .iters = w->iters ? w->iters : 12, .batch_size = 4, .grad_accumulation = 1, .max_seq_length = 24, .seed = 7,
        .eval_interval = 4, .eval_iters = 3, .checkpoint_interval = 5, .log_interval = 1, .max_bad_steps = 2,
        .dtype = w->dtype ? w->dtype : TRAIN_F32};
    r->optim = (struct optim_settings){.learning_rate = 3e-3, .min_learning_rate_ratio = 1, .beta1 = 0.9, .beta2 = 0.95,
                                       .epsilon = 1e-8, .weight_decay = 0.1, .grad_clip = 1};
    r->trainer = (struct trainer){.model = &r->model, .params = &r->model.all, .objective = &language_model_objective,
                                  .settings = &r->settings, .optim = &r->optim, .run = directory, .config = r->config,
                                  .has_validation = true};
    assert_ok(shard_rows_init(&r->train, &r->shard, SHARD_TRAIN, 24, false, true, 7, &e), e);
    assert_ok(shard_rows_init(&r->validation, &r->shard, SHARD_VALIDATION, 24, false, false, 0, &e), e);
    r->trainer.train = shard_rows_loader(&r->train);
    r->trainer.validation = shard_rows_loader(&r->validation);
    if (w->type) {
        assert_ok(qat_init(&r->q, &r->o, &r->model, &r->model.all, NULL, &e), e);
        r->view = qat_view(&r->q);
        r->trainer.view = &r->view;
    }
    assert_ok(trainer_init(&r->trainer, &e), e);
}

static void run_end(struct run *r)
{
    trainer_free(&r->trainer);
    if (r->w.type)
        qat_free(&r->q);
    shard_close(&r->shard);
    model_free(&r->model);
    mem_free(r->config);
}

/* Rows that ask the model itself, as those do that a student writes. */
struct asking_rows {
    struct rows rows;
    const struct param *p;
    bool saw_values;
};

static void ask(const void *source, uint64_t first_row, struct batch *b)
{
    struct asking_rows *a = (struct asking_rows *)source;
    a->saw_values |= param_computed(a->p).type != DTYPE_Q4_0;
    a->rows.fill(a->rows.source, first_row, b);
}

/* What fills a batch finds the rounded model, also while steps are trained without. */
static void who_asks_is_no_step(void **state)
{
    (void)state;
    struct run r;
    struct error e;
    run_begin(&r, &(struct want){.keys = TIED, .type = "Q4_0", .start = 3, .ramp = 20});
    struct asking_rows a = {.rows = r.trainer.train.rows, .p = r.model.layers[1].q.weight};
    r.trainer.train.rows.source = &a;
    r.trainer.train.rows.fill = ask;
    assert_ok(trainer_run(&r.trainer, &e), e);
    assert_false(a.saw_values);
    run_end(&r);
}

/* A run from its beginning to its end, or on from its last checkpoint. */
static void run_whole(struct run *r, const struct want *w, bool resume)
{
    struct error e;
    run_begin(r, w);
    if (resume)
        assert_ok(trainer_resume(&r->trainer, &e), e);
    assert_ok(trainer_run(&r->trainer, &e), e);
}

static char *last(void)
{
    return run_file(directory, RUN_LAST);
}

/* The mean loss on all held-out text, in f32. */
static double loss_of(struct run *r, struct model *m)
{
    struct activations a;
    struct batch b;
    struct arena arena = {0};
    struct error e;
    const struct objective *o = &language_model_objective;
    float *scratch = NULL;
    for (int take = 0; take < 2; take++) {
        if (take)
            assert_ok(arena_init(&arena, arena.used, "test", &e), e);
        activations_init(&a, m, DTYPE_F32, 4, 24, KEEP_NOTHING, &arena);
        batch_init(&b, 4, 24, &arena);
        scratch = arena_alloc(&arena, o->scratch(o, &m->config, 4 * 24), sizeof(float));
        if (!take)
            activations_free(&a);
    }
    model_reserve_positions(m, 24);
    struct evaluator v = {m, o, &a, &b, scratch};
    struct loader l = shard_rows_loader(&r->validation);
    const struct evaluation got = evaluate(&v, &l, 0, NULL);
    activations_free(&a);
    arena_free(&arena);
    assert_true(isfinite(got.loss) && got.n_targets == 399);
    return got.loss;
}

static float *copy_weights(const struct model *m)
{
    float *copy = mem_alloc(m->n_weights, sizeof *copy), *at = copy;
    for (size_t i = 0; i < m->n_params; i++) {
        memcpy(at, m->params[i].value, m->params[i].count * sizeof *at);
        at += m->params[i].count;
    }
    return copy;
}

/* All bytes of a checkpoint's matrices, as the model computes with them. */
static char *copy_stored(const char *path, size_t *n)
{
    struct model m;
    struct error e;
    struct buffer all = {0};
    assert_ok(model_load(path, WEIGHTS_MAPPED, &m, NULL, &e), e);
    for (size_t i = 0; i < m.n_params; i++) {
        size_t bytes;
        assert_true(dtype_bytes(m.params[i].type, m.params[i].count, &bytes));
        buffer_append(&all, m.params[i].data, bytes);
    }
    model_free(&m);
    *n = all.size;
    return all.data;
}

/* --- one model in all its places --- */

static void assert_close(double a, double b, double bound, const char *what)
{
    if (!(fabs(a - b) <= bound * fabs(b)))
        fail_msg("%s: the loss is %.9g, and in training it was %.9g", what, a, b);
}

/* Both have the same tensors, of the same types and bytes. */
static void assert_same_tensors(const char *a, const char *b)
{
    struct gguf x, y;
    struct error e;
    assert_ok(gguf_open(a, &x, &e), e);
    assert_ok(gguf_open(b, &y, &e), e);
    assert_int_equal(x.n_tensors, y.n_tensors);
    for (size_t i = 0; i < x.n_tensors; i++) {
        const struct gguf_tensor *s = &x.tensors[i];
        char name[PARAM_NAME_SIZE];
        snprintf(name, sizeof name, "%.*s", (int)s->name.size, s->name.data);
        const struct gguf_tensor *t = gguf_find_tensor(&y, name);
        assert_non_null(t);
        if (s->type != t->type || s->n_bytes != t->n_bytes || memcmp(s->data, t->data, s->n_bytes) != 0)
            fail_msg("%s: another type or other bytes", name);
    }
    gguf_close(&x);
    gguf_close(&y);
}

static void check_places(const struct want *w)
{
    struct run r;
    struct model m;
    struct error e;
    struct export_options o = {.keep_types = true, .keep_blocks = true, .name = "x", .force = true};
    char *path = last(), *exported = path_join(directory, "exported.gguf");
    run_whole(&r, w, false);
    const double trained = loss_of(&r, &r.model);
    /* the run, as whoever runs it sees it: to the bit */
    assert_ok(model_load(path, WEIGHTS_MAPPED, &m, NULL, &e), e);
    assert_close(loss_of(&r, &m), trained, 0, "the checkpoint");
    for (size_t i = 0; i < m.n_params; i++)
        assert_int_equal(m.params[i].type, param_computed(&r.model.params[i]).type);
    /* the file that is exported: but for the order of rows, which is another order of sums in attention */
    struct tokenizer *t = make_tokenizer(NULL);
    assert_ok(export_gguf(&m, t, &o, exported, &e), e);
    tokenizer_free(t);
    model_free(&m);
    assert_ok(model_load(exported, WEIGHTS_MAPPED, &m, NULL, &e), e);
    assert_close(loss_of(&r, &m), trained, 1e-6, "the file");
    model_free(&m);
    /* what trained, and what `linnet quantize` makes of that */
    assert_ok(model_load(path, WEIGHTS_F32, &m, NULL, &e), e);
    float *values = copy_weights(&m), *own = copy_weights(&r.model);
    assert_memory_equal(values, own, m.n_weights * sizeof *own);
    assert_true(fabs(loss_of(&r, &m) - trained) > 1e-6);
    char *quantised = quantised_file(&m, &r.o.types, NULL);
    assert_same_tensors(exported, quantised);
    mem_free(values), mem_free(own);
    mem_free(quantised);
    model_free(&m);
    run_end(&r);
    mem_free(path), mem_free(exported);
}

static void one_model_in_all_its_places(void **state)
{
    (void)state;
    check_places(&(struct want){.keys = TIED, .type = "Q4_0"});
    check_places(&(struct want){.keys = TIED, .type = "Q4_K_M", .width = 256, .iters = 6});
    check_places(&(struct want){.keys = UNTIED, .type = "Q2_K", .width = 256, .iters = 6, .memory = 1});
    check_places(&(struct want){.keys = FUSED, .type = "Q4_0", .dtype = TRAIN_BF16});
    check_places(&(struct want){.keys = EXPERTS, .type = "MXFP4", .ramp = 5});
    check_places(&(struct want){.keys = UNTIED, .type = "BF16"});
}

/* A run without has nothing but its weights, which everyone gets. */
static void a_run_without(void **state)
{
    (void)state;
    struct run r;
    struct model m;
    struct error e;
    char *path = last();
    run_whole(&r, &(struct want){.keys = TIED}, false);
    for (int weights = WEIGHTS_F32; weights <= WEIGHTS_MAPPED; weights++) {
        assert_ok(model_load(path, (enum weights)weights, &m, NULL, &e), e);
        float *values = copy_weights(&m), *own = copy_weights(&r.model);
        assert_memory_equal(values, own, m.n_weights * sizeof *own);
        mem_free(values), mem_free(own);
        model_free(&m);
    }
    run_end(&r);
    mem_free(path);
}

/* --- interrupted --- */

static void stop_now(void *context, struct buffer *out)
{
    (void)context;
    (void)out;
    raise(SIGTERM);
}

static void check_resumption(const struct want *w)
{
    struct run r;
    struct error e;
    size_t n, n_again;
    char *path = last();
    run_whole(&r, w, false);
    float *whole = copy_weights(&r.model);
    char *blocks = copy_stored(path, &n);
    const double best = r.trainer.state.best_loss;
    run_end(&r);
    run_begin(&r, w);
    r.settings.sample_interval = 7;
    r.trainer.sample = stop_now;
    assert_int_equal(trainer_run(&r.trainer, &e), ERR_INTERRUPTED);
    run_end(&r);
    run_whole(&r, w, true);
    float *resumed = copy_weights(&r.model);
    assert_memory_equal(resumed, whole, r.model.n_weights * sizeof *whole);
    assert_true(r.trainer.state.best_loss == best);
    char *again = copy_stored(path, &n_again);
    assert_int_equal(n, n_again);
    assert_memory_equal(blocks, again, n);
    assert_true(n < r.model.n_weights * sizeof *whole);
    run_end(&r);
    mem_free(whole), mem_free(resumed), mem_free(blocks), mem_free(again), mem_free(path);
}

static void resuming_gives_the_same_bits(void **state)
{
    (void)state;
    for (int dtype = TRAIN_F32; dtype <= TRAIN_BF16; dtype++) {
        check_resumption(&(struct want){.keys = TIED, .type = "Q4_0", .dtype = dtype});
        check_resumption(&(struct want){.keys = TIED, .type = "Q5_0", .start = 4, .ramp = 6, .dtype = dtype});
        check_resumption(&(struct want){.keys = UNTIED, .type = "Q4_0", .start = 9, .dtype = dtype, .memory = 1});
        check_resumption(&(struct want){.keys = TIED, .type = "Q2_K", .width = 256, .dtype = dtype, .interval = NEVER});
        check_resumption(&(struct want){.keys = TIED, .type = "Q4_0", .dtype = dtype, .interval = 3, .start = 2, .ramp = 6});
        check_resumption(&(struct want){.keys = TIED, .type = "IQ4_NL", .dtype = dtype, .interval = 5, .start = 8});
    }
}

/* The scales of the first search stay; with an interval they are others in between, and the type's own at each search. */
static void scales_that_stay(void **state)
{
    (void)state;
    const size_t intervals[] = {NEVER, 4};
    for (size_t k = 0; k < 2; k++) {
        const struct want w = {.keys = TIED, .type = "Q4_0", .interval = intervals[k]};
        struct run r;
        struct error e;
        run_begin(&r, &w);
        assert_ok(qat_attach(&r.q, &e), e);
        const struct param *p = r.model.layers[0].q.weight;
        const size_t n = p->count / 32;
        struct block_q4_0 *first = mem_alloc(n, sizeof *first), *own = mem_alloc(n, sizeof *own);
        for (uint64_t step = 0; step < 9; step++) {
            size_t same = 0, typed = 0;
            qat_begin_step(&r.q, step);
            const struct block_q4_0 *now = param_computed(p).data;
            if (step == 0)
                memcpy(first, now, n * sizeof *first);
            quantize_rows(DTYPE_Q4_0, p->value, own, p->rows, p->cols, NULL);
            for (size_t i = 0; i < n; i++) {
                same += now[i].d == first[i].d;
                typed += memcmp(&now[i], &own[i], sizeof *own) == 0;
            }
            const bool searched = step == 0 || (w.interval == 4 && step % 4 == 0);
            assert_true(searched ? typed == n : typed < n);
            assert_true((w.interval == NEVER || step < 4) == (same == n));
            for (size_t i = 0; i < p->count; i++)
                p->value[i] *= 1.01f;
            qat_changed(&r.q);
        }
        mem_free(first), mem_free(own);
        run_end(&r);
    }
}

/* Before its start a run is one without, to the bit; begun without and gone on with is the same as begun late. */
static void what_comes_late(void **state)
{
    (void)state;
    for (int dtype = TRAIN_F32; dtype <= TRAIN_BF16; dtype++) {
        const struct want plain = {.keys = TIED, .dtype = dtype, .iters = 6};
        const struct want before = {.keys = TIED, .type = "Q4_0", .dtype = dtype, .iters = 6, .start = 6};
        const struct want late = {.keys = TIED, .type = "Q4_0", .dtype = dtype, .iters = 12, .start = 6};
        struct run r;
        run_whole(&r, &before, false);
        float *first = copy_weights(&r.model);
        const double seen = r.trainer.state.best_loss, rounded = loss_of(&r, &r.model);
        run_end(&r);
        run_whole(&r, &late, false);
        float *whole = copy_weights(&r.model);
        run_end(&r);
        run_whole(&r, &plain, false);
        float *without = copy_weights(&r.model);
        assert_memory_equal(first, without, r.model.n_weights * sizeof *first);
        /* but what was evaluated meanwhile was rounded */
        assert_true(seen != r.trainer.state.best_loss && loss_of(&r, &r.model) != rounded);
        run_end(&r);
        run_whole(&r, &late, true);
        float *on = copy_weights(&r.model);
        assert_memory_equal(whole, on, r.model.n_weights * sizeof *on);
        assert_memory_not_equal(whole, first, r.model.n_weights * sizeof *on);
        run_end(&r);
        mem_free(first), mem_free(whole), mem_free(without), mem_free(on);
    }
}

/* A loss that is not finite, a weight that is none: before the first step. */
static void a_damaged_base(void **state)
{
    (void)state;
    struct run r;
    struct error e;
    run_begin(&r, &(struct want){.keys = TIED, .type = "Q4_0"});
    r.model.layers[1].q.weight->value[77] = NAN;
    assert_int_equal(trainer_run(&r.trainer, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "blk.1.attn_q.weight holds a weight that is not a number"));
    assert_int_equal(r.trainer.state.step, 0);
    run_end(&r);
}

/* What a plan says is on disk is, but for what names and headers take. */
static void the_plan_counts_what_is_stored(void **state)
{
    (void)state;
    struct run r;
    char *path = last(), *best = run_file(directory, RUN_BEST);
    for (int with = 0; with < 2; with++) {
        uint64_t a, b;
        struct error e;
        run_whole(&r, &(struct want){.keys = UNTIED, .type = with ? "Q8_0" : NULL, .width = 256, .iters = 2}, false);
        const struct memory_plan plan = trainer_plan(&r.trainer);
        assert_ok(file_size(path, &a, &e), e);
        assert_ok(file_size(best, &b, &e), e);
        const double stored = (double)(a + b);
        if (fabs((double)plan.checkpoints / stored - 1) > 0.03)
            fail_msg("%g MB planned, %g MB stored", (double)plan.checkpoints / 1e6, stored / 1e6);
        run_end(&r);
    }
    mem_free(path), mem_free(best);
}

/* --- damaged checkpoints --- */

/* What is written instead of the blocks of one matrix. */
struct damage {
    const char *name; /* of the dataset */
    enum hdf5_type type;
    int n_dims;
    size_t rows, cols;
    const char *words;
};

struct damaging {
    struct qat *q;
    const struct damage *damage;
};

static int write_damaged(void *context, struct hdf5_file *f, struct error *e)
{
    const struct damaging *d = context;
    const struct damage *x = d->damage;
    void *zeros = mem_zero(x->rows * x->cols, sizeof(float));
    struct qat q = *d->q;
    int code = OK;
    for (size_t i = 0; i < q.n_matrices && !code; i++) {
        const struct param *p = q.matrices[i].param;
        const struct matrix m = param_computed(p);
        char name[128];
        snprintf(name, sizeof name, "computed/%s/%s", dtype_info(m.type)->name, p->name);
        if (strcmp(name, "computed/q4_0/model.layers.1.mlp.up_proj.weight") != 0 || strstr(x->words, "too"))
            code = param_write_computed(p, &m, f, e);
    }
    if (!code)
        code = hdf5_write(f, x->name, x->type, x->n_dims, x->n_dims == 1 ? &x->cols : (const size_t[]){x->rows, x->cols},
                          zeros, e);
    mem_free(zeros);
    return code;
}

#define UP "model.layers.1.mlp.up_proj.weight"

static void damaged_checkpoints(void **state)
{
    (void)state;
    static const struct damage damages[] = {
        {"computed/q4_0/" UP, HDF5_U8, 2, 63, 36, "\" is not (64, 36) of u8, as 64 rows of 64 numbers in q4_0 are"},
        {"computed/q4_0/" UP, HDF5_U8, 2, 64, 34, "\" is not (64, 36) of u8"},
        {"computed/q4_0/" UP, HDF5_U8, 2, 36, 64, "\" is not (64, 36) of u8"},
        {"computed/q4_0/" UP, HDF5_U8, 1, 1, 64 * 36, "\" is not (64, 36) of u8"},
        {"computed/q4_0/" UP, HDF5_F32, 2, 64, 36, "\" is not (64, 36) of u8"},
        {"computed/q4_k/" UP, HDF5_U8, 2, 64, 36, "\" is not (64, 0) of u8"},
        {"computed/q4_9/" UP, HDF5_U8, 2, 64, 36, "\": there is no type \"q4_9\" of weights"},
        {"computed/i32/" UP, HDF5_U8, 2, 64, 256, "\": there is no type \"i32\" of weights"},
        {"computed/f32/" UP, HDF5_U8, 2, 64, 256, "\": there is no type \"f32\" of weights"},
        {"computed/" UP, HDF5_U8, 2, 64, 36, "\": there is no type \""},
        {"computed/q4_0/model.layers.7.mlp.up_proj.weight", HDF5_U8, 2, 64, 36, "\" is of no matrix of this model"},
        {"computed/q4_0/model.norm.weight", HDF5_U8, 2, 1, 36, "\" is of no matrix of this model"},
        {"computed/q8_0/" UP, HDF5_U8, 2, 64, 68, "\": the file has this matrix in q4_0 too"},
    };
    struct run r;
    struct model m;
    struct error e;
    char *path = path_join(directory, "damaged.h5");
    run_whole(&r, &(struct want){.keys = TIED, .type = "Q4_0", .iters = 2}, false);
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        struct damaging d = {&r.q, &damages[i]};
        const struct checkpoint_addition addition = {write_damaged, &d};
        assert_ok(checkpoint_write(path, &r.trainer.optimizer, false, &addition, &r.trainer.state, r.config, &e), e);
        assert_int_equal(model_load(path, WEIGHTS_MAPPED, &m, NULL, &e), ERR_FORMAT);
        const char *named = strstr(e.message, path);
        if (!named || strstr(named + 1, path) || !strstr(e.message, damages[i].name) || !strstr(e.message, damages[i].words))
            fail_msg("%s: %s", damages[i].name, e.message);
        /* who trains on asks for the values, which are not damaged */
        assert_ok(model_load(path, WEIGHTS_F32, &m, NULL, &e), e);
        model_free(&m);
    }
    run_end(&r);
    mem_free(path);
}

/* Every byte of the blocks is watched over. */
static void flipped_bytes(void **state)
{
    (void)state;
    struct run r;
    struct model m;
    struct error e;
    struct buffer bytes = {0};
    struct hdf5_file *f;
    char *path = last(), *other = path_join(directory, "flipped.h5");
    run_whole(&r, &(struct want){.keys = TIED, .type = "Q4_0", .iters = 2}, false);
    assert_ok(hdf5_open(path, &f, &e), e);
    assert_true(hdf5_has_checksum(f, "computed/q4_0/" UP));
    hdf5_close(f);
    assert_ok(file_read(path, &bytes, 1 << 26, &e), e);
    const struct matrix shown = param_computed(model_find(&r.model, UP));
    size_t at = 0;
    while (at + 64 * 36 < bytes.size && memcmp(bytes.data + at, shown.data, 64 * 36) != 0)
        at++;
    assert_true(at + 64 * 36 < bytes.size);
    bytes.data[at + 64 * 36 - 1] ^= 1;
    assert_ok(file_write(other, bytes.data, bytes.size, &e), e);
    assert_int_equal(model_load(other, WEIGHTS_MAPPED, &m, NULL, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, other));
    assert_non_null(strstr(e.message, "computed/q4_0/" UP));
    for (size_t n = bytes.size; n > 1000; n /= 2) { /* cut short */
        assert_ok(file_write(other, bytes.data, n - 1, &e), e);
        assert_int_not_equal(model_load(other, WEIGHTS_MAPPED, &m, NULL, &e), OK);
        assert_non_null(strstr(e.message, other));
    }
    buffer_free(&bytes);
    run_end(&r);
    mem_free(path), mem_free(other);
}

static int make_run(void **state)
{
    struct error e;
    if (quiet_directory(state))
        return -1;
    char *checkpoints = path_join(directory, "checkpoints");
    int code = dir_make(checkpoints, &e);
    mem_free(checkpoints);
    return code;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_asks_is_no_step),
        cmocka_unit_test(one_model_in_all_its_places),
        cmocka_unit_test(a_run_without),
        cmocka_unit_test(resuming_gives_the_same_bits), cmocka_unit_test(scales_that_stay),
        cmocka_unit_test(what_comes_late),
        cmocka_unit_test(a_damaged_base),
        cmocka_unit_test(the_plan_counts_what_is_stored),
        cmocka_unit_test(damaged_checkpoints),
        cmocka_unit_test(flipped_bytes),
    };
    return cmocka_run_group_tests(tests, make_run, remove_directory);
}
