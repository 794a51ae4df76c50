/* Presets have as many weights as was published of the models, and all are possible. */
#include "tests/test.h"

#include "base/memory.h"
#include "model/model.h"
#include "model/presets.h"

#include <string.h>

static struct model_config config;
static struct option_section section = {.name = "model", .rows = model_options, .n_rows = N_MODEL_OPTIONS,
                                        .object = &config, .help = "Model"};
static struct options options = {.sections = &section, .n_sections = 1};

static int preset_of(const char *name)
{
    for (int i = 0; i < N_MODEL_PRESETS; i++)
        if (strcmp(model_preset_names[i], name) == 0)
            return i;
    fail_msg("no preset %s", name);
    return 0;
}

static size_t weights_of(const char *name)
{
    struct model m;
    struct error e;
    options_init(&options);
    model_preset_apply(preset_of(name), &options);
    assert_ok(model_init(&m, &config, &e), e);
    const size_t n = m.n_weights;
    model_free(&m);
    options_free(&options);
    return n;
}

/* "Number of parameters" beside each model's files on Hugging Face, counted there from the tensors' shapes; of the two
 * that are ours, Llama 3.2's with two matrices of 32,000 rows instead of one of 128,256. */
static void test_counts(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t n;
    } published[] = {
        {"llama-1b", 1235814400u - 2048u * (128256 - 2 * 32000)},
        {"llama-3b", 3212749824u - 3072u * (128256 - 2 * 32000)},
        {"llama-3.2-1b", 1235814400},
        {"llama-3.2-3b", 3212749824},
        {"llama-3.1-8b", 8030261248},
        {"tinyllama-1.1b", 1100048384},
        {"smollm2-135m", 134515008},
        {"qwen2.5-0.5b", 494032768},
        {"qwen2.5-3b", 3085938688},
        {"qwen3-4b", 4022468096},
        {"phi-3-mini", 3821079552},
        {"gemma-2-2b", 2614341888},
        {"olmoe-1b-7b", 6919161856},
    };
    assert_int_equal(sizeof published / sizeof *published, N_MODEL_PRESETS - 1);
    for (size_t i = 0; i < sizeof published / sizeof *published; i++)
        if (weights_of(published[i].name) != published[i].n)
            fail_msg("%s has %zu weights, not %zu", published[i].name, weights_of(published[i].name), published[i].n);
}

/* What somebody said stays, what nobody said is the preset's, and what is neither's is the default. */
static void test_strength(void **state)
{
    (void)state;
    struct error e;
    options_init(&options);
    assert_ok(options_apply_set(&options, "model.num_hidden_layers=2", &e), e);
    assert_ok(options_apply_set(&options, "model.rope_scaling.factor=7", &e), e);
    model_preset_apply(preset_of("llama-3.2-3b"), &options);
    assert_int_equal(config.num_hidden_layers, 2);
    assert_int_equal(config.hidden_size, 3072);
    assert_int_equal(config.rope_scaling.type, ROPE_LLAMA3);
    assert_true(config.rope_scaling.factor == 7);
    assert_true(config.initializer_range == 0.02);
    assert_string_equal(option_where(&options, "model", "num_hidden_layers"), "--set");
    options_free(&options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_counts), cmocka_unit_test(test_strength)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
