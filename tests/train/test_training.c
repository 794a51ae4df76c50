/* The training loop: accumulation against the large batch, resumption to the bit, and the guard against numbers that are
 * not finite. */
#include "base/cpu.h"
#include "base/file.h"
#include "base/log.h"
#include "data/shard_rows.h"
#include "formats/hdf5_file.h"
#include "kernels/gemm.h"
#include "model/load.h"
#include "tests/test.h"
#include "tokenizer/train.h"
#include "train/trainer.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A run on a little text in a temporary directory. */
struct run {
    char directory[64];
    struct tokenizer *tokenizer;
    struct shard shard;
    struct model model;
    struct train_settings settings;
    struct optim_settings optim;
    struct shard_rows train, validation;
    struct trainer trainer;
};

static void path_in(const struct run *r, const char *name, char out[128])
{
    snprintf(out, 128, "%s/%s", r->directory, name);
}

static void run_prepare(struct run *r)
{
    struct error e;
    char text_path[128], shard_path[128], checkpoints[128];
    snprintf(r->directory, sizeof r->directory, "/tmp/linnet-test-XXXXXX");
    assert_non_null(mkdtemp(r->directory));
    path_in(r, "text.txt", text_path);
    path_in(r, "shard.h5", shard_path);
    path_in(r, "checkpoints", checkpoints);
    assert_ok(dir_make(checkpoints, &e), e);
    struct buffer text = {0};
    for (int i = 0; i < 400; i++)
        buffer_printf(&text, "%d plus %d is %d. ", i % 13, i % 7, i % 13 + i % 7);
    assert_ok(file_write(text_path, text.data, text.size, &e), e);
    buffer_free(&text);
    struct tokenizer_settings ts = {.splitter = SPLITTER_BYTES, .vocab_size = 256, .threads = 1};
    struct tokenizer_trainer *trainer;
    assert_ok(tokenizer_trainer_new(&ts, &trainer, &e), e);
    assert_ok(tokenizer_trainer_finish(trainer, &r->tokenizer, &e), e);
    tokenizer_trainer_free(trainer);
    const char *paths[] = {text_path};
    struct shard_settings ss = {.paths = paths, .n_paths = 1, .text_field = "text",
                                .validation_fraction = 0.1, .threads = 1};
    bool reused;
    assert_ok(shard_prepare(&ss, r->tokenizer, shard_path, &reused, &e), e);
    assert_ok(shard_open(shard_path, r->tokenizer, &r->shard, &e), e);
    r->settings = (struct train_settings){
        .iters = 12, .batch_size = 4, .grad_accumulation = 1, .max_seq_length = 32, .seed = 7,
        .eval_interval = 4, .eval_iters = 3, .checkpoint_interval = 5, .log_interval = 1,
        .max_bad_steps = 2};
    r->optim = (struct optim_settings){.learning_rate = 3e-3, .min_learning_rate_ratio = 0.1,
                                       .warmup_iters = 3, .beta1 = 0.9, .beta2 = 0.95,
                                       .epsilon = 1e-8, .weight_decay = 0.1, .grad_clip = 1};
}

static void run_begin(struct run *r)
{
    struct error e;
    struct model_config c = {.vocab_size = 256, .hidden_size = 32, .intermediate_size = 64,
                             .num_hidden_layers = 2, .num_attention_heads = 4,
                             .num_key_value_heads = 2, .rms_norm_eps = 1e-5, .rope_theta = 10000,
                             .initializer_range = 0.05, .tie_word_embeddings = true,
                             .resid_dropout = 0.1};
    assert_ok(model_init(&r->model, &c, &e), e);
    assert_ok(model_allocate(&r->model, &e), e);
    model_initialize(&r->model, r->settings.seed);
    r->trainer = (struct trainer){.model = &r->model, .params = &r->model.all, .objective = &language_model_objective,
                                  .settings = &r->settings, .optim = &r->optim,
                                  .run = r->directory, .config = "model:\n  hidden_size: 32\n",
                                  .has_validation = true};
    assert_ok(shard_rows_init(&r->train, &r->shard, SHARD_TRAIN, r->settings.max_seq_length,
                              false, true, r->settings.seed, &e), e);
    assert_ok(shard_rows_init(&r->validation, &r->shard, SHARD_VALIDATION,
                              r->settings.max_seq_length, false, false, 0, &e), e);
    r->trainer.train = shard_rows_loader(&r->train);
    r->trainer.validation = shard_rows_loader(&r->validation);
    assert_ok(trainer_init(&r->trainer, &e), e);
}

static void run_end(struct run *r)
{
    trainer_free(&r->trainer);
    model_free(&r->model);
}

static void run_remove(struct run *r)
{
    struct path_list files;
    struct error e;
    shard_close(&r->shard);
    tokenizer_free(r->tokenizer);
    assert_ok(dir_list(r->directory, &files, &e), e);
    for (size_t i = 0; i < files.count; i++)
        unlink(files.paths[i]);
    path_list_free(&files);
    char checkpoints[128];
    path_in(r, "checkpoints", checkpoints);
    rmdir(checkpoints);
    assert_int_equal(rmdir(r->directory), 0);
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

static void stop_now(void *context, struct buffer *out)
{
    (void)context;
    (void)out;
    raise(SIGTERM);
}

static void resume_with(int dtype, int moments)
{
    struct run r = {0};
    struct error e;
    run_prepare(&r);
    r.settings.dtype = dtype;
    r.optim.moments = moments;
    run_begin(&r);
    assert_ok(trainer_run(&r.trainer, &e), e);
    float *whole = copy_weights(&r.model);
    double best = r.trainer.state.best_loss;
    assert_true(best < 5);
    run_end(&r);

    /* The same again, with a signal after step 7 of 12 ... */
    run_begin(&r);
    r.settings.sample_interval = 7;
    r.trainer.sample = stop_now;
    assert_int_equal(trainer_run(&r.trainer, &e), ERR_INTERRUPTED);
    assert_non_null(strstr(e.message, "interrupted at step 7 of 12"));
    run_end(&r);
    r.settings.sample_interval = 0;

    /* ... goes on from there as if nothing had happened. */
    run_begin(&r);
    assert_ok(trainer_resume(&r.trainer, &e), e);
    assert_int_equal(r.trainer.state.step, 7);
    assert_ok(trainer_run(&r.trainer, &e), e);
    float *resumed = copy_weights(&r.model);
    assert_memory_equal(whole, resumed, r.model.n_weights * sizeof *whole);
    assert_true(r.trainer.state.best_loss == best);
    mem_free(resumed);
    mem_free(whole);
    run_end(&r);

    /* Moments of other types are converted. */
    for (int type = MOMENTS_F32; type <= MOMENTS_8BIT; type++) {
        r.optim.moments = type;
        r.settings.iters += 2;
        run_begin(&r);
        assert_ok(trainer_resume(&r.trainer, &e), e);
        assert_ok(trainer_run(&r.trainer, &e), e);
        assert_true(r.trainer.state.best_loss < best + 0.1);
        run_end(&r);
    }
    run_remove(&r);
}

static void resuming_gives_the_same_bits(void **state)
{
    (void)state;
    resume_with(TRAIN_F32, MOMENTS_AUTO);
    resume_with(TRAIN_BF16, MOMENTS_AUTO);
    resume_with(TRAIN_F32, MOMENTS_8BIT);
    resume_with(TRAIN_BF16, MOMENTS_8BIT);
}

/* The first that is: the embedding's. */
static struct moment *moment_in_8_bits(struct optimizer *o, bool second)
{
    size_t i = 0;
    while (o->m[i].type != MOMENT_8BIT)
        i++;
    return second ? &o->v[i] : &o->m[i];
}

static int write_and_read(struct trainer *t, const char *path, struct error *e)
{
    assert_ok(checkpoint_write(path, &t->optimizer, true, NULL, &t->state, "", e), *e);
    return checkpoint_read(path, &t->optimizer, &t->state, e);
}

static void scales_that_are_none_are_refused(void **state)
{
    (void)state;
    static const float wrong[] = {-1, NAN, INFINITY, 3.4e38f};
    struct run r = {0};
    struct error e;
    char path[128];
    run_prepare(&r);
    r.optim.moments = MOMENTS_8BIT;
    run_begin(&r);
    assert_ok(trainer_run(&r.trainer, &e), e);
    path_in(&r, RUN_LAST, path);
    assert_ok(write_and_read(&r.trainer, path, &e), e);
    for (int second = 0; second < 2; second++) {
        struct moment *m = moment_in_8_bits(&r.trainer.optimizer, second);
        float *scale = m->scale, right = scale[1];
        const char *name = second ? "optimizer/v_8bit_scale/model.embed_tokens.weight"
                                  : "optimizer/m_8bit_scale/model.embed_tokens.weight";
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
            scale[1] = wrong[i];
            assert_int_equal(write_and_read(&r.trainer, path, &e), ERR_FORMAT);
            assert_non_null(strstr(e.message, name));
        }
        scale[1] = right;
        struct param *p = model_find(&r.model, "model.embed_tokens.weight");
        p->count -= MOMENT_BLOCK; /* so that one of each is missing; the first moment's are read first */
        assert_ok(checkpoint_write(path, &r.trainer.optimizer, true, NULL, &r.trainer.state, "", &e), e);
        p->count += MOMENT_BLOCK;
        assert_int_not_equal(checkpoint_read(path, &r.trainer.optimizer, &r.trainer.state, &e), OK);
        assert_non_null(strstr(e.message, "m_8bit_scale/model.embed_tokens.weight\" has 31 elements, expected 32"));
        m->scale = NULL; /* so that none are written */
        assert_ok(checkpoint_write(path, &r.trainer.optimizer, true, NULL, &r.trainer.state, "", &e), e);
        m->scale = scale;
        assert_int_not_equal(checkpoint_read(path, &r.trainer.optimizer, &r.trainer.state, &e), OK);
        assert_non_null(strstr(e.message, name));
        /* also by who would convert them */
        m->type = MOMENT_F32, m->scale = NULL;
        void *codes = m->data;
        m->data = mem_zero(r.model.n_weights, sizeof(float));
        assert_int_not_equal(checkpoint_read(path, &r.trainer.optimizer, &r.trainer.state, &e), OK);
        assert_non_null(strstr(e.message, name));
        mem_free(m->data);
        *m = (struct moment){MOMENT_8BIT, codes, scale};
        assert_ok(write_and_read(&r.trainer, path, &e), e);
    }
    run_end(&r);
    run_remove(&r);
}

/* Every sum has an order of its own. oneDNN and OpenBLAS promise nothing of the kind. */
static void threads_change_no_bit(void **state)
{
    (void)state;
    struct run r = {0};
    struct error e;
    int before = kernels_threads();
    if (cpu_level() < CPU_AVX2)
        skip();
    run_prepare(&r);
    for (int bf16 = 0; bf16 <= !gemm_bf16_is_native(); bf16++) {
        float *first = NULL;
        r.settings.dtype = bf16 ? TRAIN_BF16 : TRAIN_F32;
        for (int threads = 1; threads <= 5; threads += 2) {
            kernels_set_threads(threads);
            run_begin(&r);
            assert_ok(trainer_run(&r.trainer, &e), e);
            float *weights = copy_weights(&r.model);
            if (first)
                assert_memory_equal(weights, first, r.model.n_weights * sizeof *weights);
            else
                first = weights;
            if (weights != first)
                mem_free(weights);
            run_end(&r);
        }
        mem_free(first);
    }
    kernels_set_threads(before);
    run_remove(&r);
}

/* bf16 follows f32 closely: another loss would show a wrong gradient or moment. */
static void bf16_learns_what_f32_learns(void **state)
{
    (void)state;
    struct run r = {0};
    struct error e;
    double best[2];
    run_prepare(&r);
    r.settings.iters = 60;
    for (int bf16 = 0; bf16 < 2; bf16++) {
        r.settings.dtype = bf16 ? TRAIN_BF16 : TRAIN_F32;
        run_begin(&r);
        assert_ok(trainer_run(&r.trainer, &e), e);
        best[bf16] = r.trainer.state.best_loss;
        run_end(&r);
    }
    assert_true(best[0] < 2.6);
    assert_true(fabs(best[1] - best[0]) < 0.03);
    run_remove(&r);
}

static size_t count_lines(const char *path, const char *part)
{
    struct buffer text = {0};
    struct error e;
    assert_ok(file_read(path, &text, 1 << 20, &e), e);
    size_t n = 0;
    for (const char *at = text.data; (at = strstr(at, part)); at++)
        n++;
    buffer_free(&text);
    return n;
}

static void metrics_of_a_resumed_run_have_no_gap_and_no_double(void **state)
{
    (void)state;
    struct run r = {0};
    struct error e;
    char metrics[128];
    run_prepare(&r);
    path_in(&r, RUN_METRICS, metrics);
    run_begin(&r);
    r.settings.sample_interval = 7;
    r.trainer.sample = stop_now;
    assert_int_equal(trainer_run(&r.trainer, &e), ERR_INTERRUPTED);
    run_end(&r);
    /* as if the machine had died later: lines beyond the checkpoint, the last one torn */
    FILE *f = fopen(metrics, "a");
    fputs("{\"step\": 8, \"loss\": 1}\n{\"step\": 9, \"lo", f);
    fclose(f);
    r.settings.sample_interval = 0;
    run_begin(&r);
    assert_ok(trainer_resume(&r.trainer, &e), e);
    assert_ok(trainer_run(&r.trainer, &e), e);
    run_end(&r);
    assert_int_equal(count_lines(metrics, "\"loss\":"), 12);
    assert_int_equal(count_lines(metrics, "\"validation_loss\":"), 3);
    assert_int_equal(count_lines(metrics, "\"final_validation_loss\":"), 1);
    run_remove(&r);
}

/* Four rows at once, and two by two: the same step but for the order of sums. */
static void accumulation_equals_the_large_batch(void **state)
{
    (void)state;
    struct run r = {0};
    struct error e;
    run_prepare(&r);
    float *weights[2];
    for (int i = 0; i < 2; i++) {
        r.settings.batch_size = i ? 2 : 4;
        r.settings.grad_accumulation = i ? 2 : 1;
        run_begin(&r);
        r.model.config.resid_dropout = 0;
        r.settings.iters = 3;
        assert_ok(trainer_run(&r.trainer, &e), e);
        weights[i] = copy_weights(&r.model);
        run_end(&r);
    }
    run_begin(&r);
    for (size_t i = 0; i < r.model.n_weights; i++)
        if (!(fabsf(weights[0][i] - weights[1][i]) < 2e-4f))
            fail_msg("weight %zu: %g and %g", i, weights[0][i], weights[1][i]);
    run_end(&r);
    mem_free(weights[0]);
    mem_free(weights[1]);
    run_remove(&r);
}

static void numbers_that_are_not_finite_change_no_weight(void **state)
{
    (void)state;
    struct run r = {0};
    struct error e;
    run_prepare(&r);
    run_begin(&r);
    model_find(&r.model, "model.norm.weight")->value[3] = INFINITY;
    float *before = copy_weights(&r.model);
    assert_int_equal(trainer_run(&r.trainer, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "2 steps in a row were not finite; start again with a lower"));
    float *after = copy_weights(&r.model);
    assert_memory_equal(before, after, r.model.n_weights * sizeof *before);
    mem_free(before);
    mem_free(after);
    run_end(&r);
    run_remove(&r);
}

/* The language model, but for one loss of NaN when the count is down to 1. */
static int until_bad;

static double bad_once(const struct objective *o, struct model *m, const struct batch *b,
                       const void *hidden, enum dtype type, float scale, float *dhidden,
                       float *scratch)
{
    double loss = language_model_objective.loss(o, m, b, hidden, type, scale, dhidden, scratch);
    return dhidden && until_bad > 0 && --until_bad == 0 ? NAN : loss;
}

static void a_bad_step_does_not_hide_the_loss_of_the_others(void **state)
{
    (void)state;
    struct run r = {0};
    struct error e;
    char metrics[128];
    struct objective objective = language_model_objective;
    objective.loss = bad_once;
    run_prepare(&r);
    path_in(&r, RUN_METRICS, metrics);
    r.settings.log_interval = 6;
    r.settings.sample_interval = 4;
    run_begin(&r);
    r.trainer.objective = &objective;
    r.trainer.sample = stop_now;
    until_bad = 3;
    assert_int_equal(trainer_run(&r.trainer, &e), ERR_INTERRUPTED);
    run_end(&r);
    r.settings.sample_interval = 0;
    run_begin(&r);
    assert_ok(trainer_resume(&r.trainer, &e), e);
    assert_ok(trainer_run(&r.trainer, &e), e);
    run_end(&r);
    assert_int_equal(count_lines(metrics, "\"loss\": null"), 0);
    assert_int_equal(count_lines(metrics, "\"loss\": "), 2);
    assert_int_equal(count_lines(metrics, "\"skipped_steps\": 1}"), 1);
    run_remove(&r);
}

static void damaged_checkpoints_are_refused(void **state)
{
    (void)state;
    struct run r = {0};
    struct error e;
    char path[128], damaged[128];
    run_prepare(&r);
    run_begin(&r);
    r.settings.iters = 2;
    assert_ok(trainer_run(&r.trainer, &e), e);
    path_in(&r, RUN_LAST, path);
    path_in(&r, "checkpoints/damaged.h5", damaged);
    struct buffer whole = {0};
    assert_ok(file_read(path, &whole, 64 << 20, &e), e);
    struct run_state s;
    /* truncated anywhere: an error, never a crash */
    for (size_t n = 0; n < whole.size; n += whole.size / 23 + 1) {
        assert_ok(file_write(damaged, whole.data, n, &e), e);
        assert_int_not_equal(checkpoint_read(damaged, &r.trainer.optimizer, &s, &e), OK);
        assert_non_null(strstr(e.message, "damaged.h5"));
    }
    /* one bit flipped: noticed, or in a byte that means nothing */
    float *weights = copy_weights(&r.model);
    size_t noticed = 0, tries = 0;
    for (size_t at = 97; at < whole.size; at += whole.size / 163, tries++) {
        whole.data[at] ^= 0x10;
        assert_ok(file_write(damaged, whole.data, whole.size, &e), e);
        if (checkpoint_read(damaged, &r.trainer.optimizer, &s, &e)) {
            noticed++;
        } else {
            float *read = copy_weights(&r.model);
            assert_memory_equal(read, weights, r.model.n_weights * sizeof *read);
            assert_memory_equal(&s, &r.trainer.state, sizeof s);
            mem_free(read);
        }
        whole.data[at] ^= 0x10;
    }
    assert_true(noticed > tries / 3);
    mem_free(weights);
    /* a missing file says so */
    unlink(damaged);
    assert_int_equal(checkpoint_read(damaged, &r.trainer.optimizer, &s, &e), ERR_IO);
    buffer_free(&whole);
    run_end(&r);
    run_remove(&r);
}

static void cut_lines(const char *path, const char *part)
{
    struct buffer text = {0}, kept = {0};
    struct error e;
    assert_ok(file_read(path, &text, 1 << 20, &e), e);
    for (const char *line = text.data, *end; (end = strchr(line, '\n')); line = end + 1)
        if (!memmem(line, (size_t)(end - line), part, strlen(part)))
            buffer_append(&kept, line, (size_t)(end - line) + 1);
    assert_ok(file_write(path, kept.data, kept.size, &e), e);
    buffer_free(&text);
    buffer_free(&kept);
}

/* The step at which the run ends when it is resumed. */
static uint64_t resumed_until(struct run *r)
{
    struct error e;
    run_begin(r);
    assert_ok(trainer_resume(&r->trainer, &e), e);
    assert_ok(trainer_run(&r->trainer, &e), e);
    uint64_t step = r->trainer.state.step;
    run_end(r);
    return step;
}

static void patience_stops_early(void **state)
{
    (void)state;
    struct run r = {0};
    struct error e;
    run_prepare(&r);
    r.optim.learning_rate = 0; /* nothing ever gets better */
    r.optim.weight_decay = 0;
    r.settings.eval_interval = 1;
    r.settings.early_stopping_patience = 3;
    run_begin(&r);
    assert_ok(trainer_run(&r.trainer, &e), e);
    assert_int_equal(r.trainer.state.step, 4);
    assert_int_equal(r.trainer.state.best_step, 1);
    run_end(&r);

    /* Resumed as it is, it stays stopped ... */
    assert_int_equal(resumed_until(&r), 4);
    /* ... and with more patience or a longer run it goes on, patience beginning anew. */
    r.settings.early_stopping_patience = 5;
    assert_int_equal(resumed_until(&r), 6);
    assert_int_equal(resumed_until(&r), 6);
    r.settings.iters = 50;
    assert_int_equal(resumed_until(&r), 11);
    r.settings.early_stopping_patience = 0;
    r.settings.iters = 13;
    assert_int_equal(resumed_until(&r), 13);
    run_remove(&r);
}

static void what_a_killed_end_left_out_is_done_on_resuming(void **state)
{
    (void)state;
    struct run r = {0};
    struct error e;
    char metrics[128], best[128];
    run_prepare(&r);
    path_in(&r, RUN_METRICS, metrics);
    path_in(&r, RUN_BEST, best);
    run_begin(&r);
    assert_ok(trainer_run(&r.trainer, &e), e);
    run_end(&r);
    /* killed during the evaluation of all held-out data */
    cut_lines(metrics, "\"final_validation_loss\"");
    assert_int_equal(resumed_until(&r), 12);
    assert_int_equal(count_lines(metrics, "\"validation_loss\":"), 3);
    assert_int_equal(count_lines(metrics, "\"final_validation_loss\":"), 1);
    assert_int_equal(resumed_until(&r), 12);
    assert_int_equal(count_lines(metrics, "\"final_validation_loss\":"), 1);
    /* made shorter, to end at a checkpoint that was no turn to evaluate */
    run_begin(&r);
    r.settings.iters = 200;
    r.settings.eval_interval = 0;
    r.settings.sample_interval = 20;
    r.trainer.sample = stop_now;
    assert_ok(trainer_resume(&r.trainer, &e), e);
    assert_int_equal(trainer_run(&r.trainer, &e), ERR_INTERRUPTED);
    run_end(&r);
    r.settings.sample_interval = 0;
    r.settings.iters = 20;
    unlink(best);
    assert_int_equal(resumed_until(&r), 20);
    assert_int_equal(count_lines(metrics, "{\"step\": 20, \"validation_loss\":"), 1);
    assert_int_equal(count_lines(metrics, "{\"step\": 20, \"final_validation_loss\":"), 1);
    struct run_state s;
    assert_ok(checkpoint_read_state(best, &s, NULL, &e), e);
    assert_int_equal(s.best_step, 20);
    run_remove(&r);
}

int main(void)
{
    log_set_quiet(true);
    kernels_set_threads(2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resuming_gives_the_same_bits),
        cmocka_unit_test(scales_that_are_none_are_refused),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(bf16_learns_what_f32_learns),
        cmocka_unit_test(metrics_of_a_resumed_run_have_no_gap_and_no_double),
        cmocka_unit_test(accumulation_equals_the_large_batch),
        cmocka_unit_test(numbers_that_are_not_finite_change_no_weight),
        cmocka_unit_test(a_bad_step_does_not_hide_the_loss_of_the_others),
        cmocka_unit_test(damaged_checkpoints_are_refused),
        cmocka_unit_test(patience_stops_early),
        cmocka_unit_test(what_a_killed_end_left_out_is_done_on_resuming),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
