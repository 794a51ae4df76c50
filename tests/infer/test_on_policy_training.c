/* Training on what the student writes itself: a run that is resumed has the batches, and ends with the bits, of one that
 * was not; all weights and adapters, in f32 and in bf16, whose weights are split between the passes. */
#include "base/file.h"
#include "distill/on_policy.h"
#include "infer/complete_many.h"
#include "kernels/gemm.h"
#include "lora/options.h"
#include "model/load.h"
#include "tests/data/example_set.h"
#include "tests/folder.h"
#include "tests/infer/util.h"
#include "train/trainer.h"

#include <stdio.h>

enum { T = 48, STEPS = 6, ACCUMULATION = 2 };

static char directory[64];

struct want {
    bool adapters;
    int dtype;
    double lambda;
    uint64_t seed;
};

struct run {
    struct model m;
    struct tokenizer *t;
    struct lora_adapter adapter;
    struct examples x;
    struct example_rows rows;
    struct complete_many student;
    struct on_policy own;
    struct error failure;
    struct measure share;
    struct objective objective;
    struct train_settings settings;
    struct optim_settings optim;
    struct trainer trainer;
    size_t n_own;
};

static void open_run(struct run *r, const struct want *w)
{
    struct error e;
    *r = (struct run){.t = make_tokenizer("<|endoftext|>"), .share = {.name = "on_policy"}};
    struct model_config c = small_config(tokenizer_vocab_size(r->t), ROPE_HALF);
    r->m = make_model(&c, 3);
    struct lora_options o = {.rank = 4, .alpha = 16, .lora_plus_ratio = 1, .dropout = 0.2};
    if (w->adapters) {
        assert_ok(lora_create(&o, &r->m, 5, &r->adapter, &e), e);
        lora_attach(&r->adapter);
    }
    r->x = example_set(12, 6, 24, 250, 21);
    example_rows_init(&r->rows, &r->x, NULL, 0, T, true, true, 9);
    r->objective = language_model_objective;
    r->objective.measures = &r->share;
    r->objective.n_measures = 1;
    r->objective.failure = &r->failure;
    r->settings = (struct train_settings){.iters = STEPS, .batch_size = 2, .grad_accumulation = ACCUMULATION,
                                          .max_seq_length = T, .seed = 7, .dtype = w->dtype, .max_bad_steps = 2};
    r->optim = (struct optim_settings){.learning_rate = 5e-3, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8,
                                       .grad_clip = 1};
    r->trainer = (struct trainer){.model = &r->m, .params = w->adapters ? &r->adapter.all : &r->m.all,
                                  .objective = &r->objective, .settings = &r->settings, .optim = &r->optim,
                                  .run = directory, .config = "distill: {}\n"};
    assert_ok(trainer_init(&r->trainer, &e), e);
    struct complete_many_options many = {.n_at_once = 4, .context = T, .sampler = sampler_defaults()};
    assert_ok(complete_many_init(&r->student, &r->m, r->t, &many, &e), e);
    r->own = (struct on_policy){.rows = &r->rows, .lambda = w->lambda, .seed = w->seed, .failure = &r->failure,
                                .student = complete_many_completer(&r->student), .share = &r->share};
    on_policy_init(&r->own);
    r->trainer.train = on_policy_loader(&r->own);
}

static void close_run(struct run *r)
{
    on_policy_free(&r->own);
    complete_many_free(&r->student);
    trainer_free(&r->trainer);
    example_rows_free(&r->rows);
    example_set_free(&r->x);
    if (r->adapter.attached)
        lora_detach(&r->adapter);
    lora_free(&r->adapter);
    model_free(&r->m);
    tokenizer_free(r->t);
}

static void make_steps(struct run *r, size_t n)
{
    struct error e;
    bool bf16 = r->trainer.activations.type == DTYPE_BF16;
    if (bf16)
        model_split(&r->m);
    for (size_t i = 0; i < n; i++) {
        struct train_step s;
        assert_ok(trainer_step(&r->trainer, &s, &e), e);
        assert_true(s.finite && s.n_targets > 0);
        assert_true(r->share.count == ACCUMULATION);
        r->n_own += (size_t)r->share.sum;
        assert_int_equal(model_is_split(&r->m), bf16);
    }
    model_join(&r->m);
}

static float *values(const struct run *r, size_t *n)
{
    const struct param_list *l = r->trainer.params;
    *n = 0;
    for (size_t i = 0; i < l->count; i++)
        *n += l->items[i]->count;
    float *copy = mem_alloc(*n, sizeof *copy), *at = copy;
    for (size_t i = 0; i < l->count; at += l->items[i++]->count)
        memcpy(at, l->items[i]->value, l->items[i]->count * sizeof *at);
    return copy;
}

/* The weights after all steps; with `stop`, the run is saved after so many and a new one goes on. */
static float *train(const struct want *w, size_t stop, size_t *n_own, size_t *n)
{
    struct run r;
    struct error e;
    open_run(&r, w);
    *n_own = 0;
    if (stop) {
        make_steps(&r, stop);
        char *path = run_file(directory, RUN_LAST);
        r.trainer.state.rows_consumed = r.trainer.train.rows_consumed;
        assert_ok(checkpoint_write(path, &r.trainer.optimizer, true, NULL, &r.trainer.state, r.trainer.config, &e), e);
        mem_free(path);
        *n_own = r.n_own;
        close_run(&r);
        open_run(&r, w);
        assert_ok(trainer_resume(&r.trainer, &e), e);
    }
    make_steps(&r, STEPS - stop);
    assert_int_equal(r.trainer.train.rows_consumed, STEPS * ACCUMULATION * 2);
    *n_own += r.n_own;
    float *copy = values(&r, n);
    close_run(&r);
    return copy;
}

static void a_resumed_run_is_the_same(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        struct want w = {.adapters = kind & 1, .dtype = kind & 2 ? TRAIN_BF16 : TRAIN_F32, .lambda = 0.5, .seed = 4};
        size_t n, n_again, n_own, n_own_again;
        float *whole = train(&w, 0, &n_own, &n);
        assert_in_range(n_own, 2, STEPS * ACCUMULATION - 2);
        for (size_t stop = 1; stop < STEPS; stop += 2) {
            float *resumed = train(&w, stop, &n_own_again, &n_again);
            assert_int_equal(n, n_again);
            assert_int_equal(n_own, n_own_again);
            assert_memory_equal(whole, resumed, n * sizeof *whole);
            mem_free(resumed);
        }
        w.seed = 5; /* other choices, other random numbers */
        float *other = train(&w, 0, &n_own_again, &n);
        assert_memory_not_equal(whole, other, n * sizeof *whole);
        mem_free(other);
        mem_free(whole);
    }
}

/* The trainer ends when the student could not write: at the end of the step, without changing a weight. */
static void a_broken_student_ends_the_run(void **state)
{
    (void)state;
    struct want w = {.dtype = TRAIN_F32, .lambda = 1};
    struct run r;
    struct train_step s;
    struct error e;
    size_t n;
    open_run(&r, &w);
    r.m.output_norm.weight->value[3] = NAN;
    float *before = values(&r, &n);
    assert_int_equal(trainer_step(&r.trainer, &s, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "not a number"));
    float *after = values(&r, &n);
    assert_memory_equal(before, after, n * sizeof *before);
    mem_free(before);
    mem_free(after);
    close_run(&r);
}

static int make_directory(void **state)
{
    (void)state;
    kernels_set_threads(1); /* products as small as these only wait for others */
    snprintf(directory, sizeof directory, "/tmp/linnet-test-XXXXXX");
    assert_non_null(mkdtemp(directory));
    char *checkpoints = run_file(directory, "checkpoints");
    struct error e;
    assert_ok(dir_make(checkpoints, &e), e);
    mem_free(checkpoints);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    remove_files(directory);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_resumed_run_is_the_same),
        cmocka_unit_test(a_broken_student_ends_the_run),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
