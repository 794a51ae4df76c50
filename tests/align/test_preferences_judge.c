/* The objective of preferences as a whole, held against PyTorch (tests/fixtures/make_preferences.py): a model, how likely
 * its answers are, every loss, what is measured, and the gradients of all parameters; each answer with a prompt of its own
 * in a row, and both of a pair behind one. */
#include "align/answer_logps.h"
#include "align/objective.h"
#include "data/example_rows.h"
#include "formats/hdf5_file.h"
#include "model/decoder.h"
#include "tests/test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PAIRS = 4, EXAMPLES = PAIRS * ANSWER_SIDES, ROWS = 3, T = 44, MOST_TOKENS = 128, SETTINGS = 7 };

/* As in the fixture, which knows nothing of the order in preference_losses. */
static const char *const loss_names[PREFERENCE_LOSSES] = {
    "sigmoid", "hinge", "ipo", "robust", "sigmoid_norm", "exo_pair", "nca_pair", "sppo_hard", "apo_zero", "apo_down",
    "simpo", "cpo", "orpo", "sft", "kto",
};

/* f32 against f64: PyTorch's own f32 is off by up to 6e-6. */
static const double BAR = 1e-5;

/* --- what the fixture has --- */

struct judge {
    const char *name;
    struct hdf5_file *file;
    struct model model;
    struct arena arena;
    struct activations activations;
    struct batch batch;
    float *scratch;
    size_t n_runs;
    double *mix, *settings, *loss, *measures, *norms, *projections; /* by run */
    int32_t *first;
};

static void *read_all(struct judge *j, const char *key, enum hdf5_type type, size_t element, size_t n)
{
    char name[160];
    struct error e;
    void *data = mem_alloc(n, element);
    snprintf(name, sizeof name, "%s/%s", j->name, key);
    assert_ok(hdf5_read(j->file, name, type, n, data, &e), e);
    return data;
}

static double *read_f64(struct judge *j, const char *key, size_t n)
{
    return read_all(j, key, HDF5_F64, sizeof(double), n);
}

static double config_number(struct hdf5_file *f, const char *name, const char *key)
{
    char path[96];
    double value;
    struct error e;
    snprintf(path, sizeof path, "%s/config/%s", name, key);
    assert_ok(hdf5_read(f, path, HDF5_F64, 1, &value, &e), e);
    return value;
}

/* The models are those of make_decoder.py. */
static void open_model(struct judge *j)
{
    struct hdf5_file *f;
    struct error e;
    assert_ok(hdf5_open("tests/fixtures/decoder.h5", &f, &e), e);
    struct model_config c = {
        .vocab_size = (size_t)config_number(f, j->name, "vocab_size"),
        .hidden_size = (size_t)config_number(f, j->name, "hidden_size"),
        .intermediate_size = (size_t)config_number(f, j->name, "intermediate_size"),
        .num_hidden_layers = (size_t)config_number(f, j->name, "num_hidden_layers"),
        .num_attention_heads = (size_t)config_number(f, j->name, "num_attention_heads"),
        .num_key_value_heads = (size_t)config_number(f, j->name, "num_key_value_heads"),
        .head_dim = (size_t)config_number(f, j->name, "head_dim"),
        .rms_norm_eps = config_number(f, j->name, "rms_norm_eps"),
        .rope_theta = config_number(f, j->name, "rope_theta"),
        .tie_word_embeddings = config_number(f, j->name, "tie_word_embeddings") != 0,
    };
    assert_ok(model_init(&j->model, &c, &e), e);
    assert_ok(model_allocate(&j->model, &e), e);
    for (size_t i = 0; i < j->model.n_params; i++) {
        struct param *p = &j->model.params[i];
        char path[160];
        snprintf(path, sizeof path, "%s/weights/%s", j->name, p->name);
        assert_ok(hdf5_read(f, path, HDF5_F32, p->count, p->value, &e), e);
    }
    hdf5_close(f);
}

static void read_runs(struct judge *j)
{
    char name[64];
    int n_dims;
    size_t dims[8];
    struct error e;
    snprintf(name, sizeof name, "%s/runs/norms", j->name);
    assert_ok(hdf5_dims(j->file, name, &n_dims, dims, &e), e);
    assert_int_equal(dims[1], j->model.n_params);
    j->n_runs = dims[0];
    j->mix = read_f64(j, "runs/mix", j->n_runs * PREFERENCE_LOSSES);
    j->settings = read_f64(j, "runs/settings", j->n_runs * SETTINGS);
    j->loss = read_f64(j, "runs/loss", j->n_runs);
    j->measures = read_f64(j, "runs/measures", j->n_runs * PREFERENCE_MEASURES);
    j->norms = read_f64(j, "runs/norms", j->n_runs * dims[1]);
    j->projections = read_f64(j, "runs/projections", j->n_runs * dims[1]);
    j->first = read_all(j, "runs/first", HDF5_I32, sizeof *j->first, j->n_runs);
}

static void take(struct judge *j, struct arena *arena)
{
    params_attach_gradients(&j->model.all, DTYPE_F32, arena);
    activations_init(&j->activations, &j->model, DTYPE_F32, ROWS, T, KEEP_ALL, arena);
    batch_init(&j->batch, ROWS, T, arena);
    struct preferences plan = {0};
    const struct preference_mix any = {.n = 1, .losses = {preference_loss_find("sft")}, .weights = {1}};
    preferences_init(&plan, &any, NULL, NULL);
    size_t n = plan.objective.scratch(&plan.objective, &j->model.config, ROWS * T);
    j->scratch = arena_alloc(arena, n, sizeof *j->scratch);
    preferences_free(&plan);
}

static void judge_open(struct judge *j, const char *name)
{
    struct arena plan = {0};
    struct error e;
    *j = (struct judge){.name = name};
    assert_ok(hdf5_open("tests/fixtures/preferences.h5", &j->file, &e), e);
    open_model(j);
    read_runs(j);
    take(j, &plan);
    activations_free(&j->activations);
    assert_ok(arena_init(&j->arena, plan.used, "test", &e), e);
    take(j, &j->arena);
    model_reserve_positions(&j->model, T);
}

static void judge_close(struct judge *j)
{
    void *const arrays[] = {j->mix, j->settings, j->loss, j->measures, j->norms, j->projections, j->first};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        mem_free(arrays[i]);
    activations_free(&j->activations);
    arena_free(&j->arena);
    model_free(&j->model);
    hdf5_close(j->file);
}

/* --- examples, by hand into a batch --- */

struct examples_read {
    int32_t ids[MOST_TOKENS], begin[EXAMPLES + 1], prompt[EXAMPLES];
    double reference[EXAMPLES], logps[EXAMPLES];
    bool wanted[PAIRS];
    size_t asked; /* how often the reference was */
};

static void read_examples(struct judge *j, bool unpaired, struct examples_read *x)
{
    char name[64];
    struct error e;
    const char *kind = unpaired ? "unpaired" : "paired";
    *x = (struct examples_read){0};
    snprintf(name, sizeof name, "%s/%s/begin", j->name, kind);
    assert_ok(hdf5_read(j->file, name, HDF5_I32, EXAMPLES + 1, x->begin, &e), e);
    assert_in_range(x->begin[EXAMPLES], EXAMPLES, MOST_TOKENS);
    snprintf(name, sizeof name, "%s/%s/ids", j->name, kind);
    assert_ok(hdf5_read(j->file, name, HDF5_I32, (size_t)x->begin[EXAMPLES], x->ids, &e), e);
    snprintf(name, sizeof name, "%s/%s/prompt", j->name, kind);
    assert_ok(hdf5_read(j->file, name, HDF5_I32, EXAMPLES, x->prompt, &e), e);
    snprintf(name, sizeof name, "%s/%s/reference", j->name, kind);
    assert_ok(hdf5_read(j->file, name, HDF5_F64, EXAMPLES, x->reference, &e), e);
    snprintf(name, sizeof name, "%s/%s/logps", j->name, kind);
    assert_ok(hdf5_read(j->file, name, HDF5_F64, EXAMPLES, x->logps, &e), e);
    if (!unpaired)
        return;
    int32_t *wanted = read_all(j, "unpaired/wanted", HDF5_I32, sizeof *wanted, PAIRS);
    for (size_t i = 0; i < PAIRS; i++)
        x->wanted[i] = wanted[i] != 0;
    mem_free(wanted);
}

static size_t put_example(struct batch *b, const struct examples_read *x, size_t number, size_t row, size_t column)
{
    size_t n = (size_t)(x->begin[number + 1] - x->begin[number]), begin = row * T + column;
    const int32_t *ids = x->ids + x->begin[number];
    assert_true(column + n <= T);
    for (size_t i = 0; i < n; i++) {
        bool learned = i + 1 < n && i + 1 >= (size_t)x->prompt[number];
        b->input_ids[begin + i] = ids[i];
        b->positions[begin + i] = (int32_t)i;
        b->first_key[begin + i] = (int32_t)column;
        b->targets[begin + i] = learned ? ids[i + 1] : TARGET_IGNORED;
        b->n_targets += learned;
    }
    b->examples[b->n_examples++] = (struct batch_example){.number = number, .begin = begin, .end = begin + n};
    return column + n;
}

/* Two pairs a row, not in the order of their numbers, padding behind them, and a row of nothing else. */
static void fill(struct batch *b, const struct examples_read *x)
{
    static const size_t order[ROWS][2] = {{2, 1}, {0, 3}, {PAIRS, PAIRS}};
    b->seq_len = T;
    b->n_examples = b->n_targets = 0;
    b->branches = false;
    for (size_t row = 0; row < ROWS; row++) {
        size_t column = 0;
        for (size_t i = 0; i < 2; i++)
            for (size_t side = 0; side < ANSWER_SIDES && order[row][i] < PAIRS; side++)
                column = put_example(b, x, ANSWER_SIDES * order[row][i] + side, row, column);
        for (; column < T; column++) {
            b->input_ids[row * T + column] = b->positions[row * T + column] = 0;
            b->first_key[row * T + column] = (int32_t)column + 1;
            b->targets[row * T + column] = TARGET_IGNORED;
        }
    }
    assert_int_equal(b->n_examples, EXAMPLES);
}

/* The same pairs from rows of examples, where both answers of a pair follow one prompt. */
static void fill_shared(struct batch *b, const struct examples_read *x)
{
    size_t begin[EXAMPLES + 1];
    uint8_t learned[MOST_TOKENS];
    for (size_t i = 0; i <= EXAMPLES; i++)
        begin[i] = (size_t)x->begin[i];
    for (size_t i = 0; i < EXAMPLES; i++)
        for (size_t k = begin[i]; k < begin[i + 1]; k++)
            learned[k] = k - begin[i] >= (size_t)x->prompt[i];
    struct examples examples = {.count = EXAMPLES, .begin = begin, .ids = (int32_t *)x->ids, .learned = learned};
    struct example_rows rows;
    example_rows_init_pairs(&rows, &examples, T, true, false, 0, true);
    struct loader l = example_rows_loader(&rows);
    loader_next(&l, b);
    assert_true(b->branches && b->n_examples == EXAMPLES);
    example_rows_free(&rows);
}

static int stored(void *context, struct activations *a, const struct batch *b, float *scratch, double *logps,
                  struct error *e)
{
    struct examples_read *x = context;
    (void)a, (void)scratch, (void)e;
    for (size_t i = 0; i < b->n_examples; i++)
        logps[i] = x->reference[b->examples[i].number];
    x->asked++;
    return OK;
}

/* --- a run --- */

static struct preference_mix mix_of(const struct judge *j, size_t run)
{
    const double *weights = j->mix + run * PREFERENCE_LOSSES, *s = j->settings + run * SETTINGS;
    const struct preference_settings settings = {
        .beta = s[0], .label_smoothing = s[1], .simpo_gamma = s[2], .cpo_alpha = s[3], .desirable_weight = s[4],
        .undesirable_weight = s[5], .reference_free = s[6] != 0};
    size_t first = (size_t)j->first[run], n = 1;
    const char *names[PREFERENCE_LOSSES] = {loss_names[first]};
    double of[PREFERENCE_LOSSES] = {weights[first]};
    struct preference_mix mix;
    struct error e;
    for (size_t i = 0; i < PREFERENCE_LOSSES; i++)
        if (weights[i] > 0 && i != first)
            names[n] = loss_names[i], of[n++] = weights[i];
    assert_ok(preference_mix_make(&mix, &settings, names, of, n, &e), e);
    return mix;
}

/* The loss's mean over pairs; leaves gradients if `backward`. */
static double run_objective(struct judge *j, struct preferences *a, bool backward)
{
    const struct objective *o = &a->objective;
    struct batch *b = &j->batch;
    struct error e;
    size_t n = objective_count(o, b);
    float *dhidden = backward ? j->activations.dnormed : NULL;
    assert_int_equal(n, PAIRS);
    objective_clear(o);
    objective_begin(o, &j->activations, b, j->scratch);
    const void *hidden = decoder_forward(&j->model, &j->activations, b, NULL, 0);
    double loss = o->loss(o, &j->model, b, hidden, DTYPE_F32, backward ? 1 / (float)n : 0, dhidden, j->scratch);
    assert_ok(objective_check(o, &e), e);
    if (backward)
        decoder_backward(&j->model, &j->activations, b, dhidden, 0);
    return loss / (double)n;
}

static void check_near(double got, double want, double size, const char *what, const char *of, const struct judge *j,
                       size_t run)
{
    if (!(fabs(got - want) <= BAR * size))
        fail_msg("%s, run %zu (%s): %s%s is %.9g, PyTorch has %.9g", j->name, run, loss_names[j->first[run]], what, of, got,
                 want);
}

static void check_measures(const struct judge *j, const struct preferences *a, size_t run)
{
    bool unpaired = preference_mix_is_unpaired(&a->mix);
    for (size_t i = 0; i < PREFERENCE_MEASURES; i++) {
        const struct measure *m = &a->objective.measures[i];
        double want = j->measures[run * PREFERENCE_MEASURES + i];
        bool there = i != KL || unpaired;
        assert_true((m->count > 0) == there);
        if (there)
            check_near(m->sum / m->count, want, fmax(1, fabs(want)), m->name, "", j, run);
    }
}

/* Where a parameter's name stands in their order. */
static size_t rank_of(const struct model *m, const struct param *p)
{
    size_t rank = 0;
    for (size_t i = 0; i < m->n_params; i++)
        rank += strcmp(m->params[i].name, p->name) < 0;
    return rank;
}

/* All elements, relative to the largest, of what the fixture has all elements of; whether it does. */
static bool check_elements(struct judge *j, const struct param *p, size_t run)
{
    const float *got = p->grad;
    char shown[128], whole[128], path[160];
    double largest = 0;
    float *want;
    snprintf(shown, sizeof shown, "runs/gradients/%s", p->name);
    snprintf(whole, sizeof whole, "whole/%zu/%s", run, p->name);
    snprintf(path, sizeof path, "%s/%s", j->name, whole);
    if (hdf5_has(j->file, path)) {
        want = read_all(j, whole, HDF5_F32, sizeof *want, p->count);
    } else {
        snprintf(path, sizeof path, "%s/%s", j->name, shown);
        if (!hdf5_has(j->file, path))
            return false;
        float *all = read_all(j, shown, HDF5_F32, sizeof *all, j->n_runs * p->count);
        want = mem_alloc(p->count, sizeof *want);
        memcpy(want, all + run * p->count, p->count * sizeof *want);
        mem_free(all);
    }
    for (size_t i = 0; i < p->count; i++)
        largest = fmax(largest, fabs((double)want[i]));
    assert_true(largest > 0);
    for (size_t i = 0; i < p->count; i++)
        check_near(got[i], want[i], largest, "an element of the gradient of ", p->name, j, run);
    mem_free(want);
    return true;
}

/* Its norm, and its product with a given direction. */
static void check_sums(struct judge *j, const struct param *p, size_t run)
{
    const float *got = p->grad;
    size_t at = run * j->model.n_params + rank_of(&j->model, p);
    double square = 0, along = 0;
    for (size_t i = 0; i < p->count; i++) {
        square += (double)got[i] * got[i];
        along += got[i] * cos((double)i);
    }
    check_near(sqrt(square), j->norms[at], j->norms[at], "the norm of the gradient of ", p->name, j, run);
    check_near(along, j->projections[at], j->norms[at], "a projection of the gradient of ", p->name, j, run);
}

static size_t check_gradients(struct judge *j, size_t run)
{
    size_t whole = 0;
    for (size_t i = 0; i < j->model.n_params; i++) {
        struct param *p = &j->model.params[i];
        if (!p->grad)
            continue;
        assert_false(p->grad_is_stale);
        check_sums(j, p, run);
        whole += check_elements(j, p, run);
    }
    params_clear_gradients(&j->model.all);
    return whole;
}

/* One run three ways: the output layer trains, which takes two passes over it; it is frozen, which takes one; and a look
 * without gradients. */
static void judge_run(struct judge *j, struct examples_read *x, size_t run)
{
    struct preferences a;
    struct preference_mix mix = mix_of(j, run);
    struct reference reference = {.context = x, .logps = stored};
    bool needs = preference_mix_needs_reference(&mix);
    struct param *output = j->model.head.weight;
    void *gradient = output->grad;
    size_t asked = x->asked;
    preferences_init(&a, &mix, needs ? &reference : NULL, preference_mix_is_unpaired(&mix) ? x->wanted : NULL);
    double loss = run_objective(j, &a, true);
    check_near(loss, j->loss[run], fabs(j->loss[run]), "the loss", "", j, run);
    check_measures(j, &a, run);
    assert_in_range(check_gradients(j, run), 3, j->model.n_params);
    output->grad = NULL;
    double frozen = run_objective(j, &a, true);
    check_gradients(j, run);
    output->grad = gradient;
    double looked = run_objective(j, &a, false);
    check_measures(j, &a, run);
    for (size_t i = 0; i < j->model.n_params; i++)
        assert_true(j->model.params[i].grad_is_stale == j->model.params[i].matrix); /* nothing was written */
    assert_true(frozen == loss && looked == loss);
    assert_int_equal(x->asked - asked, needs ? 3 : 0);
    preferences_free(&a);
}

static void judge_case(const char *name)
{
    struct judge j;
    bool seen[PREFERENCE_LOSSES] = {false};
    judge_open(&j, name);
    assert_true(j.model.config.tie_word_embeddings == (j.model.head.weight == j.model.token_embd));
    params_clear_gradients(&j.model.all);
    for (size_t run = 0; run < j.n_runs; run++) {
        struct examples_read x;
        bool unpaired = strcmp(loss_names[j.first[run]], "kto") == 0;
        read_examples(&j, unpaired, &x);
        fill(&j.batch, &x);
        judge_run(&j, &x, run);
        fill_shared(&j.batch, &x);
        judge_run(&j, &x, run);
        seen[j.first[run]] = true;
    }
    for (size_t i = 0; i < PREFERENCE_LOSSES; i++)
        assert_true(seen[i]);
    judge_close(&j);
}

static void tied_models_equal_pytorch(void **state)
{
    (void)state;
    judge_case("case_a");
}

static void untied_models_equal_pytorch(void **state)
{
    (void)state;
    judge_case("case_b");
}

static void answers_are_as_likely_as_in_pytorch(void **state)
{
    (void)state;
    static const char *const names[] = {"case_a", "case_b"};
    for (int i = 0; i < 4; i++) {
        struct judge j;
        struct examples_read x;
        double logps[EXAMPLES];
        judge_open(&j, names[i / 2]);
        read_examples(&j, i % 2, &x);
        fill(&j.batch, &x);
        answer_logps(&j.model, &j.activations, &j.batch, j.scratch, logps);
        for (size_t k = 0; k < EXAMPLES; k++)
            assert_true(fabs(logps[k] / x.logps[j.batch.examples[k].number] - 1) < 1e-6);
        judge_close(&j);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_as_likely_as_in_pytorch),
        cmocka_unit_test(tied_models_equal_pytorch),
        cmocka_unit_test(untied_models_equal_pytorch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
