/* Steps of training a whole model with AdamW, as PyTorch does them (tests/fixtures/make_decoder.py). */
#include "formats/hdf5_file.h"
#include "model/decoder.h"
#include "optim/optimizer.h"
#include "tests/test.h"
#include "train/objective.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void read_f64(struct hdf5_file *f, const char *name, size_t n, double *out)
{
    struct error e;
    assert_ok(hdf5_read(f, name, HDF5_F64, n, out, &e), e);
}

static size_t config_number(struct hdf5_file *f, const char *key)
{
    char name[96];
    double value;
    snprintf(name, sizeof name, "case_a/config/%s", key);
    read_f64(f, name, 1, &value);
    return (size_t)value;
}

static struct model_config case_a_config(struct hdf5_file *f)
{
    return (struct model_config){
        .vocab_size = config_number(f, "vocab_size"),
        .hidden_size = config_number(f, "hidden_size"),
        .intermediate_size = config_number(f, "intermediate_size"),
        .num_hidden_layers = config_number(f, "num_hidden_layers"),
        .num_attention_heads = config_number(f, "num_attention_heads"),
        .num_key_value_heads = config_number(f, "num_key_value_heads"),
        .rms_norm_eps = 1e-5, .rope_theta = 10000, .tie_word_embeddings = true,
    };
}

static void read_batch(struct hdf5_file *f, struct batch *b)
{
    struct error e;
    size_t n = b->n_rows * b->seq_len;
    assert_ok(hdf5_read(f, "case_a/input_ids", HDF5_I32, n, b->input_ids, &e), e);
    assert_ok(hdf5_read(f, "case_a/targets", HDF5_I32, n, b->targets, &e), e);
    assert_ok(hdf5_read(f, "case_a/positions", HDF5_I32, n, b->positions, &e), e);
    assert_ok(hdf5_read(f, "case_a/first_key", HDF5_I32, n, b->first_key, &e), e);
    for (size_t i = 0; i < n; i++)
        b->n_targets += b->targets[i] != TARGET_IGNORED;
}

static void compare_weights(struct hdf5_file *f, const struct model *m, int step)
{
    size_t compared = 0;
    for (size_t i = 0; i < m->n_params; i++) {
        const struct param *p = &m->params[i];
        struct error e;
        char name[192];
        snprintf(name, sizeof name, "case_e/after_step_%d/%s", step, p->name);
        if (!hdf5_has(f, name))
            continue;
        float *want = mem_alloc(p->count, sizeof *want);
        assert_ok(hdf5_read(f, name, HDF5_F32, p->count, want, &e), e);
        for (size_t j = 0; j < p->count; j++)
            if (!(fabsf(want[j] - p->value[j]) < 2e-5f))
                fail_msg("%s[%zu]: %g, PyTorch has %g", name, j, p->value[j], want[j]);
        mem_free(want);
        compared++;
    }
    assert_true(compared >= 4);
}

static void five_steps_equal_pytorch(void **state)
{
    (void)state;
    struct hdf5_file *f;
    struct error e;
    struct model m;
    assert_ok(hdf5_open("tests/fixtures/decoder.h5", &f, &e), e);
    struct model_config config = case_a_config(f);
    assert_ok(model_init(&m, &config, &e), e);
    assert_ok(model_allocate(&m, &e), e);
    for (size_t i = 0; i < m.n_params; i++) {
        char name[192];
        snprintf(name, sizeof name, "case_a/weights/%s", m.params[i].name);
        assert_ok(hdf5_read(f, name, HDF5_F32, m.params[i].count, m.params[i].value, &e), e);
    }
    double rates[5], losses[5], norms[5], beta1, beta2, epsilon, decay, clip;
    read_f64(f, "case_e/learning_rates", 5, rates);
    read_f64(f, "case_e/losses", 5, losses);
    read_f64(f, "case_e/gradient_norms", 5, norms);
    read_f64(f, "case_e/settings/beta1", 1, &beta1);
    read_f64(f, "case_e/settings/beta2", 1, &beta2);
    read_f64(f, "case_e/settings/epsilon", 1, &epsilon);
    read_f64(f, "case_e/settings/weight_decay", 1, &decay);
    read_f64(f, "case_e/settings/grad_clip", 1, &clip);

    struct optimizer_settings settings = {OPTIMIZER_ADAMW, beta1, beta2, epsilon, decay, 0, MOMENT_F32};
    struct arena arena;
    struct activations activations;
    struct optimizer o;
    struct batch batch;
    size_t n_rows = config_number(f, "B"), seq_len = config_number(f, "T");
    assert_ok(arena_init(&arena, 64 << 20, "test", &e), e);
    params_attach_gradients(&m.all, DTYPE_F32, &arena);
    optimizer_init(&o, &settings, &m.all, &arena);
    activations_init(&activations, &m, DTYPE_F32, n_rows, seq_len, KEEP_ALL, &arena);
    batch_init(&batch, n_rows, seq_len, &arena);
    float *scratch = arena_alloc(&arena, 1 << 20, sizeof *scratch);
    model_reserve_positions(&m, seq_len);
    read_batch(f, &batch);
    const struct objective *objective = &language_model_objective;
    for (int step = 0; step < 5; step++) {
        const float *hidden = decoder_forward(&m, &activations, &batch, NULL, 0);
        double loss = objective->loss(objective, &m, &batch, hidden, DTYPE_F32, 1 / (float)batch.n_targets,
                                      activations.dnormed, scratch) / (double)batch.n_targets;
        decoder_backward(&m, &activations, &batch, activations.dnormed, 0);
        double norm = gradient_norm(&m.all);
        assert_true(fabs(loss / losses[step] - 1) < 1e-4);
        assert_true(fabs(norm / norms[step] - 1) < 1e-4);
        optimizer_update(&o, rates[step], norm > clip ? clip / (norm + 1e-6) : 1);
        if (step == 0)
            compare_weights(f, &m, 1);
    }
    compare_weights(f, &m, 5);
    activations_free(&activations);
    optimizer_free(&o);
    arena_free(&arena);
    model_free(&m);
    hdf5_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(five_steps_equal_pytorch)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
