/* Runs on pairs of answers with an adapter, of a small model in memory or in a file, for the tests of this folder. */
#ifndef LINNET_TESTS_ALIGN_RUNS_H
#define LINNET_TESTS_ALIGN_RUNS_H

#include "align/answer_logps.h"
#include "align/model_reference.h"
#include "align/objective.h"
#include "base/log.h"
#include "data/example_rows.h"
#include "export/gguf.h"
#include "export/quantize.h"
#include "lora/options.h"
#include "model/load.h"
#include "tests/infer/util.h"
#include "train/trainer.h"

#include <stdio.h>
#include <unistd.h>

enum { V = 256, PAIRS = 8, EXAMPLES = PAIRS * ANSWER_SIDES, CAPACITY = 64 };

/* --- pairs of answers --- */

/* Prompts of 3 to 10 tokens, answers of 1 to 8. */
static struct examples make_examples(void)
{
    struct examples x = {.count = EXAMPLES, .begin = mem_zero(EXAMPLES + 1, sizeof *x.begin)};
    size_t n_prompt = 0, most = 18 * EXAMPLES;
    const int32_t *prompt = NULL;
    struct rng r;
    rng_init(&r, 31, 0);
    x.ids = mem_zero(most, sizeof *x.ids);
    x.learned = mem_zero(most, sizeof *x.learned);
    for (size_t i = 0; i < EXAMPLES; i++) {
        int32_t *ids = x.ids + x.begin[i];
        if (i % ANSWER_SIDES == 0)
            n_prompt = 3 + rng_below(&r, 8);
        size_t n = n_prompt + 1 + rng_below(&r, 8);
        for (size_t k = 0; k < n; k++) {
            ids[k] = i % ANSWER_SIDES && k < n_prompt ? prompt[k] : (int32_t)rng_below(&r, V);
            x.learned[x.begin[i] + k] = k >= n_prompt;
        }
        prompt = ids;
        x.begin[i + 1] = x.begin[i] + n;
    }
    return x;
}

static void free_examples(struct examples *x)
{
    mem_free(x->begin), mem_free(x->ids), mem_free(x->learned);
}

static const bool wanted[PAIRS] = {true, false, false, true, true, false, true, false};

/* --- a base: in memory, or in a file in 8 bits, where runs with adapters have it --- */

static char directory[64], file[96];

static struct model random_model(void)
{
    struct model_config c = small_config(V, ROPE_HALF);
    c.hidden_size = 32, c.intermediate_size = 64, c.num_hidden_layers = 2; /* whole blocks of 32 */
    c.initializer_range = 0.2;
    return make_model(&c, 3);
}

static int write_file(void **state)
{
    (void)state;
    struct quantize_options o = {.types = {.output_type = NO_TYPE, .embedding_type = NO_TYPE}, .name = "base"};
    struct export_report report;
    struct model m = random_model();
    struct tokenizer *t = make_tokenizer(NULL);
    struct error e;
    snprintf(directory, sizeof directory, "/tmp/linnet-preferences-XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(file, sizeof file, "%s/q8.gguf", directory);
    assert_ok(mix_find("--type", "q8_0", &o.types.mix, &e), e);
    assert_ok(quantize_model(&m, t, &o, file, &report, &e), e);
    tokenizer_free(t);
    model_free(&m);
    return 0;
}

static int remove_file(void **state)
{
    (void)state;
    remove(file);
    return rmdir(directory);
}

static struct model make_base(bool in_file)
{
    struct model m;
    struct error e;
    if (!in_file)
        return random_model();
    assert_ok(model_load(file, WEIGHTS_MAPPED, &m, NULL, &e), e);
    return m;
}

/* --- a run --- */

/* What differs between runs; zeros are the usual. */
struct want {
    const char *loss;
    double beta;
    struct lora_options lora;
    size_t batch_size, grad_accumulation;
    bool packed, share, in_file, reference_free;
    int dtype;
};

struct tuning {
    struct model model;
    struct lora_adapter adapter;
    struct model_reference own;
    struct preferences preferences;
    struct examples examples;
    struct example_rows rows;
    struct train_settings settings;
    struct optim_settings optim;
    struct trainer trainer;
};

static struct lora_options adapters(void)
{
    return (struct lora_options){.rank = 4, .alpha = 8, .lora_plus_ratio = 1};
}

/* `reference` NULL: the model with its adapter off. */
static void open_tuning(struct tuning *t, const struct want *w, const struct reference *reference)
{
    struct error e;
    struct lora_options lora = w->lora.rank ? w->lora : adapters();
    struct preference_settings s = preference_defaults();
    struct preference_mix mix;
    const char *name = w->loss ? w->loss : "sigmoid";
    *t = (struct tuning){.model = make_base(w->in_file), .examples = make_examples()};
    assert_ok(lora_create(&lora, &t->model, 5, &t->adapter, &e), e);
    lora_attach(&t->adapter);
    model_reference_init(&t->own, &t->adapter);
    if (w->beta > 0)
        s.beta = w->beta;
    s.reference_free = w->reference_free;
    assert_ok(preference_mix_make(&mix, &s, &name, NULL, 1, &e), e);
    preferences_init(&t->preferences, &mix, reference ? reference : &t->own.reference, wanted);
    example_rows_init_pairs(&t->rows, &t->examples, CAPACITY, w->packed, false, 0, w->share);
    t->settings = (struct train_settings){
        .iters = 40, .batch_size = w->batch_size ? w->batch_size : 4, .max_seq_length = CAPACITY, .seed = 7,
        .grad_accumulation = w->grad_accumulation ? w->grad_accumulation : 1, .dtype = w->dtype ? w->dtype : TRAIN_F32,
        .max_bad_steps = 1};
    t->optim = (struct optim_settings){.learning_rate = 5e-3, .beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-8,
                                       .min_learning_rate_ratio = 1, .moments = MOMENTS_F32};
    t->trainer = (struct trainer){.model = &t->model, .params = &t->adapter.all, .objective = &t->preferences.objective,
                                  .settings = &t->settings, .optim = &t->optim, .run = "/nonexistent",
                                  .train = example_rows_loader(&t->rows)};
    assert_ok(trainer_init(&t->trainer, &e), e);
    if (t->trainer.activations.type == DTYPE_BF16)
        model_split(&t->model);
}

static void close_tuning(struct tuning *t)
{
    assert_true(t->adapter.attached);
    model_join(&t->model);
    trainer_free(&t->trainer);
    preferences_free(&t->preferences);
    example_rows_free(&t->rows);
    free_examples(&t->examples);
    lora_detach(&t->adapter);
    lora_free(&t->adapter);
    model_free(&t->model);
}

/* The rows begin anew after the last one, for as many steps as there are. */
static struct train_step take_steps(struct tuning *t, size_t n)
{
    struct train_step s = {0};
    struct error e;
    for (size_t i = 0; i < n; i++) {
        if (t->trainer.train.rows_consumed >= t->trainer.train.rows.per_epoch)
            t->trainer.train.rows_consumed = 0;
        assert_ok(trainer_step(&t->trainer, &s, &e), e);
        assert_true(s.finite && s.grad_norm > 0);
    }
    return s;
}

static double look(struct tuning *t)
{
    struct error e;
    struct trainer *trainer = &t->trainer;
    struct loader l = example_rows_loader(&t->rows);
    struct evaluator v = {&t->model, trainer->objective, &trainer->activations, &trainer->batches[0], trainer->scratch};
    struct evaluation r = evaluate(&v, &l, 0, NULL);
    assert_ok(objective_check(trainer->objective, &e), e);
    assert_int_equal(r.count, PAIRS);
    return r.loss;
}

/* --- kinds of adapters --- */

enum { KINDS = 4 };

static struct lora_options kind_of(int kind)
{
    struct lora_options o = adapters();
    o.use_dora = kind == 1;
    o.init = kind == 2 ? LORA_INIT_PISSA : LORA_INIT_DEFAULT;
    if (kind == 3) {
        static const char *const modules[] = {"embed_tokens", "lm_head", "norm", "layers.1.mlp.up_proj"};
        for (size_t i = 0; i < sizeof modules / sizeof *modules; i++)
            option_strings_add(&o.train_in_full, modules[i]);
        option_strings_add(&o.target_modules, "q_proj");
    }
    return o;
}

static void kind_free(struct lora_options *o)
{
    option_strings_free(&o->train_in_full);
    option_strings_free(&o->target_modules);
}

/* --- a reference that looks on --- */

struct witness {
    const struct model *model;
    size_t calls, fails_at; /* from 1 */
    bool dropout;           /* was on in a call */
};

/* What struct reference wants: -20 for each answer, until it fails. */
static int witness_logps(void *context, struct activations *a, const struct batch *b, float *scratch, double *logps,
                         struct error *e)
{
    struct witness *w = context;
    (void)a, (void)scratch;
    w->dropout |= w->model->dropout_seed != 0;
    for (size_t i = 0; i < b->n_examples; i++)
        logps[i] = -20;
    return ++w->calls == w->fails_at ? error_set(e, ERR_FORMAT, "the reference has gone") : OK;
}

#endif
