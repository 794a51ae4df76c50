/* The objective of preferences at work, without PyTorch: an adapter begins as its own reference, what training changes, what
 * it leaves as it was, the same however batches are made, and what cannot be done is said. */
#include "align/answer_logps.h"
#include "align/model_reference.h"
#include "align/objective.h"
#include "base/log.h"
#include "data/example_rows.h"
#include "export/gguf.h"
#include "export/quantize.h"
#include "lora/options.h"
#include "model/load.h"
#include "tests/gradcheck.h"
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
    struct quantize_options o = {.output_type = NO_TYPE, .embedding_type = NO_TYPE, .name = "base"};
    struct export_report report;
    struct model m = random_model();
    struct tokenizer *t = make_tokenizer(NULL);
    struct error e;
    snprintf(directory, sizeof directory, "/tmp/linnet-preferences-XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(file, sizeof file, "%s/q8.gguf", directory);
    assert_ok(mix_find("q8_0", &o.mix, &e), e);
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

static double mean_of(const struct tuning *t, int measure)
{
    const struct measure *m = &t->preferences.objective.measures[measure];
    assert_true(m->count > 0);
    return m->sum / m->count;
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

/* PiSSA adds and takes away the same product, which leaves rounding. In a file's type the base of what trains in full is not
 * rounded to bf16. */
static bool begins_exactly(const struct want *w)
{
    return w->lora.init != LORA_INIT_PISSA && !(w->in_file && w->dtype == TRAIN_BF16 && w->lora.train_in_full.count);
}

/* Every kind of adapter, in f32 and in bf16, of a base in memory and in a file. */
enum { EVERY = KINDS * 4 };
static struct want every(int i)
{
    return (struct want){.lora = kind_of(i / 4), .dtype = i % 2 ? TRAIN_BF16 : TRAIN_F32, .in_file = i / 2 % 2};
}

static void a_fresh_adapter_is_its_own_reference(void **state)
{
    (void)state;
    for (int i = 0; i < EVERY; i++) {
        struct want w = every(i);
        struct tuning t;
        double bar = begins_exactly(&w) ? 0 : w.dtype == TRAIN_F32 ? 1e-5 : 0.05;
        open_tuning(&t, &w, NULL);
        double loss = look(&t);
        assert_true(fabs(loss - log(2)) <= fmax(bar, 1e-15));
        for (int m = REWARDS_CHOSEN; m <= REWARDS_MARGINS; m++)
            assert_true(m == REWARDS_ACCURACIES || fabs(mean_of(&t, m)) <= bar);
        if (begins_exactly(&w))
            assert_true(mean_of(&t, REWARDS_ACCURACIES) == 0);
        assert_true(mean_of(&t, LOGPS_CHOSEN) < -5 && mean_of(&t, LOGPS_REJECTED) < -5);
        close_tuning(&t);
        kind_free(&w.lora);
    }
    struct want w = {.loss = "kto"};
    struct tuning t;
    open_tuning(&t, &w, NULL);
    assert_true(look(&t) == 0.5 && mean_of(&t, KL) == 0);
    close_tuning(&t);
}

/* --- what training changes, and what it does not --- */

static void take_all(struct tuning *t, struct model *m, double *logps)
{
    struct error e;
    struct loader l = example_rows_loader(&t->rows);
    assert_ok(answer_logps_measure(m, DTYPE_F32, &l.rows, t->settings.batch_size, CAPACITY, "answers", logps, &e), e);
}

static void margins_grow_and_the_base_stays(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        struct want w = {.lora = kind_of(kind), .share = true, .packed = true};
        struct tuning t;
        struct model base = make_base(false);
        double before[EXAMPLES], after[EXAMPLES], trained[EXAMPLES];
        open_tuning(&t, &w, NULL);
        take_all(&t, &base, before);
        double first = look(&t), margin = mean_of(&t, REWARDS_MARGINS);
        take_steps(&t, 12);
        assert_true(t.adapter.attached);
        double last = look(&t);
        assert_true(last < 0.8 * first && mean_of(&t, REWARDS_MARGINS) > margin + 0.2);
        assert_true(mean_of(&t, REWARDS_ACCURACIES) > 0.8);
        take_all(&t, &t.model, trained);
        lora_detach(&t.adapter);
        take_all(&t, &t.model, after);
        lora_attach(&t.adapter);
        assert_memory_equal(before, after, sizeof before);
        for (size_t i = 0; i < EXAMPLES; i++)
            assert_true(trained[i] != before[i]);
        close_tuning(&t);
        model_free(&base);
        kind_free(&w.lora);
    }
}

/* The base's log-probabilities to the bit, from a model of the same weights that never had an adapter. */
static void check_reference(struct tuning *t, struct model *base)
{
    struct trainer *r = &t->trainer;
    struct loader l = example_rows_loader(&t->rows);
    struct error e;
    double got[EXAMPLES], want[EXAMPLES], own[EXAMPLES];
    bool moved = false;
    loader_next(&l, &r->batches[0]);
    size_t n = r->batches[0].n_examples;
    assert_true(n > 2);
    const struct reference *reference = t->preferences.reference;
    assert_ok(reference->logps(reference->context, &r->activations, &r->batches[0], r->scratch, got, &e), e);
    assert_true(t->adapter.attached);
    answer_logps(&t->model, &r->activations, &r->batches[0], r->scratch, own);
    answer_logps(base, &r->activations, &r->batches[0], r->scratch, want);
    assert_memory_equal(got, want, n * sizeof *got);
    for (size_t i = 0; i < n; i++)
        moved |= fabs(own[i] - want[i]) > 0.05;
    assert_true(moved);
}

static void what_is_detached_is_the_base(void **state)
{
    (void)state;
    for (int i = 0; i < EVERY; i++) {
        struct want w = every(i);
        struct tuning t;
        struct model base = make_base(w.in_file);
        w.packed = w.share = true;
        w.lora.dropout = w.lora.use_dora ? 0.3 : 0;
        model_reserve_positions(&base, CAPACITY);
        if (w.dtype == TRAIN_BF16)
            model_split(&base);
        open_tuning(&t, &w, NULL);
        take_steps(&t, 5);
        check_reference(&t, &base);
        close_tuning(&t);
        model_join(&base);
        model_free(&base);
        kind_free(&w.lora);
    }
}

/* --- the same however batches are made --- */

struct outcome {
    double first_loss, first_norm, loss, norm;
};

static struct outcome outcome_of(const struct want *w)
{
    struct tuning t;
    struct outcome r;
    open_tuning(&t, w, NULL);
    struct train_step s = take_steps(&t, 1);
    r.first_loss = s.loss, r.first_norm = s.grad_norm;
    s = take_steps(&t, 4);
    r.loss = s.loss, r.norm = s.grad_norm;
    close_tuning(&t);
    return r;
}

/* Of losses and the norm of what they were differentiated to, at the first step and after some. */
static double difference(const struct outcome *a, const struct outcome *b)
{
    double worst = fmax(fabs(a->first_loss / b->first_loss - 1), fabs(a->first_norm / b->first_norm - 1));
    assert_true(a->loss < 0.98 * a->first_loss);
    return fmax(worst, fmax(fabs(a->loss / b->loss - 1), fabs(a->norm / b->norm - 1)));
}

/* Measured: 1e-7 to 3e-6. */
static const double ROUNDING = 1e-4;

static void accumulation_is_the_large_batch(void **state)
{
    (void)state;
    static const char *const losses[] = {"sigmoid", "ipo", "sppo_hard", "orpo"};
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
        struct want w = {.loss = losses[i], .beta = 0.3, .batch_size = 4};
        struct outcome large = outcome_of(&w), small, other;
        w.batch_size = 2, w.grad_accumulation = 2;
        small = outcome_of(&w);
        w.grad_accumulation = 1;
        other = outcome_of(&w);
        assert_true(difference(&large, &small) < ROUNDING);
        assert_true(difference(&large, &other) > 100 * ROUNDING);
    }
}

/* All pairs in every step: one a row, packed, and with prompts that are computed once. */
static void packing_and_shared_prompts_change_nothing(void **state)
{
    (void)state;
    static const char *const losses[] = {"sigmoid", "ipo", "kto"};
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
        struct want w = {.loss = losses[i], .beta = 0.3, .batch_size = PAIRS};
        struct outcome single = outcome_of(&w), other;
        w.share = true;
        other = outcome_of(&w);
        assert_true(difference(&single, &other) < ROUNDING);
        w.packed = true; /* rows without a pair behind those that have them */
        other = outcome_of(&w);
        assert_true(difference(&single, &other) < ROUNDING);
    }
}

static void products_in_bf16_are_near(void **state)
{
    (void)state;
    struct want w = {.beta = 0.3, .packed = true, .share = true};
    struct outcome f32 = outcome_of(&w), bf16;
    w.dtype = TRAIN_BF16;
    bf16 = outcome_of(&w);
    assert_true(difference(&f32, &bf16) < 0.1);
    assert_true(difference(&f32, &bf16) > 1e-6);
}

/* --- gradients of an adapter of the output layer, which is added to what the layer gives --- */

static double look_at(void *context)
{
    lora_changed(&((struct tuning *)context)->adapter);
    return look(context);
}

static void adapters_of_the_output_layer_learn(void **state)
{
    (void)state;
    struct want w = {.lora = adapters(), .beta = 0.3, .batch_size = PAIRS};
    struct tuning t;
    size_t checked = 0;
    struct rng r;
    option_strings_add(&w.lora.target_modules, "lm_head");
    option_strings_add(&w.lora.target_modules, "q_proj");
    open_tuning(&t, &w, NULL);
    rng_init(&r, 8, 0);
    for (size_t i = 0; i < t.adapter.n_pairs; i++)
        rng_fill_normal(&r, t.adapter.pairs[i].b->value, t.adapter.pairs[i].b->count, 0.05f);
    t.optim.learning_rate = 0;
    for (size_t i = 0; i < t.adapter.all.count; i++) {
        struct param *p = t.adapter.all.items[i];
        float *gradient = mem_alloc(p->count, sizeof *gradient);
        struct activations *a = &t.trainer.activations;
        struct batch *b = &t.trainer.batches[0];
        const struct objective *o = t.trainer.objective;
        struct loader l = example_rows_loader(&t.rows);
        params_clear_gradients(&t.adapter.all);
        loader_next(&l, b);
        objective_begin(o, a, b, t.trainer.scratch);
        const void *hidden = decoder_forward(&t.model, a, b, NULL, 0);
        o->loss(o, &t.model, b, hidden, DTYPE_F32, 1.f / PAIRS, a->dnormed, t.trainer.scratch);
        decoder_backward(&t.model, a, b, a->dnormed, 0);
        memcpy(gradient, p->grad, p->count * sizeof *gradient);
        assert_true(gradcheck_f32(look_at, &t, p->value, gradient, p->count, 6, 4e-3f) < 5e-3);
        checked += strstr(p->name, "lm_head") != NULL;
        mem_free(gradient);
    }
    assert_int_equal(checked, 2);
    close_tuning(&t);
    kind_free(&w.lora);
}

/* --- what goes wrong --- */

struct witness {
    const struct model *model;
    size_t calls, fails_at; /* from 1 */
    bool dropout;           /* was on in a call */
};

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

static void failures_change_no_weight(void **state)
{
    (void)state;
    struct witness witness = {.fails_at = 4};
    const struct reference reference = {.context = &witness, .logps = witness_logps};
    struct want w = {.batch_size = 2, .grad_accumulation = 2, .lora = kind_of(3)};
    struct tuning t;
    struct train_step s;
    struct error e = {0};
    float *before[64];
    open_tuning(&t, &w, &reference);
    witness.model = &t.model;
    take_steps(&t, 1);
    assert_in_range(t.adapter.all.count, 4, 64);
    for (size_t i = 0; i < t.adapter.all.count; i++) {
        const struct param *p = t.adapter.all.items[i];
        before[i] = mem_alloc(p->count, sizeof(float));
        memcpy(before[i], p->value, p->count * sizeof(float));
    }
    assert_int_equal(trainer_step(&t.trainer, &s, &e), ERR_FORMAT);
    assert_string_equal(e.message, "the reference has gone");
    assert_int_equal(t.trainer.state.step, 1);
    for (size_t i = 0; i < t.adapter.all.count; i++) {
        const struct param *p = t.adapter.all.items[i];
        assert_memory_equal(before[i], p->value, p->count * sizeof(float));
        mem_free(before[i]);
    }
    t.trainer.train.rows_consumed = 0;
    assert_int_equal(trainer_step(&t.trainer, &s, &e), ERR_FORMAT); /* and it is not asked again */
    assert_int_equal(witness.calls, 4);
    close_tuning(&t);
    kind_free(&w.lora);
}

static void evaluations_tell_failures(void **state)
{
    (void)state;
    struct witness witness = {.fails_at = 2};
    const struct reference reference = {.context = &witness, .logps = witness_logps};
    struct want w = {.batch_size = 2};
    struct tuning t;
    struct error e = {0};
    open_tuning(&t, &w, &reference);
    witness.model = &t.model;
    struct evaluator v = {&t.model, t.trainer.objective, &t.trainer.activations, &t.trainer.batches[0], t.trainer.scratch};
    struct loader l = example_rows_loader(&t.rows);
    evaluate(&v, &l, 1, NULL);
    assert_ok(objective_check(t.trainer.objective, &e), e);
    assert_true(isnan(evaluate(&v, &l, 0, NULL).loss));
    assert_int_equal(objective_check(t.trainer.objective, &e), ERR_FORMAT);
    assert_string_equal(e.message, "the reference has gone");
    close_tuning(&t);
}

/* In every micro-batch, not in the first alone. */
static void the_reference_has_no_dropout(void **state)
{
    (void)state;
    struct witness witness = {0};
    const struct reference reference = {.context = &witness, .logps = witness_logps};
    struct want w = {.batch_size = 2, .grad_accumulation = 2, .lora = adapters()};
    struct tuning t;
    w.lora.dropout = 0.3;
    open_tuning(&t, &w, &reference);
    witness.model = &t.model;
    take_steps(&t, 2);
    assert_int_equal(witness.calls, 4);
    assert_false(witness.dropout);
    close_tuning(&t);
}

/* With a loss that has none, or without a reference at all, no pass is made for one. */
static void references_that_are_not_needed_are_not_asked(void **state)
{
    (void)state;
    struct witness witness = {.fails_at = 1};
    const struct reference reference = {.context = &witness, .logps = witness_logps};
    for (int i = 0; i < 2; i++) {
        struct want w = {.loss = i ? "kto" : "simpo", .reference_free = i};
        struct tuning t;
        open_tuning(&t, &w, &reference);
        witness.model = &t.model;
        take_steps(&t, 1);
        assert_int_equal(witness.calls, 0);
        close_tuning(&t);
    }
}

/* --- a whole epoch of answers --- */

static void an_epoch_is_its_batches(void **state)
{
    (void)state;
    struct want w = {0};
    struct tuning t;
    struct example_rows singles;
    struct error e;
    double epoch[EXAMPLES], other[EXAMPLES], some[EXAMPLES];
    size_t seen = 0;
    open_tuning(&t, &w, NULL);
    take_steps(&t, 3);
    example_rows_init(&singles, &t.examples, NULL, 0, CAPACITY, true, false, 0);
    struct loader l = example_rows_loader(&singles);
    assert_true(l.rows.per_epoch % t.settings.batch_size); /* rows of nothing behind the last */
    assert_ok(answer_logps_measure(&t.model, DTYPE_F32, &l.rows, t.settings.batch_size, CAPACITY, "answers", epoch, &e), e);
    while (l.rows_consumed < l.rows.per_epoch) {
        struct batch *b = &t.trainer.batches[0];
        loader_next(&l, b);
        answer_logps(&t.model, &t.trainer.activations, b, t.trainer.scratch, some);
        for (size_t i = 0; i < b->n_examples; i++, seen++)
            assert_true(some[i] == epoch[b->examples[i].number]);
    }
    assert_int_equal(seen, EXAMPLES);
    take_all(&t, &t.model, other); /* in pairs */
    for (size_t i = 0; i < EXAMPLES; i++)
        assert_true(epoch[i] < 0 && fabs(other[i] / epoch[i] - 1) < 1e-5);
    assert_ok(answer_logps_measure(&t.model, DTYPE_BF16, &l.rows, 3, CAPACITY, "answers", other, &e), e);
    assert_false(model_is_split(&t.model));
    for (size_t i = 0; i < EXAMPLES; i++)
        assert_true(other[i] != epoch[i] && fabs(other[i] / epoch[i] - 1) < 0.05);
    example_rows_free(&singles);
    close_tuning(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_adapter_is_its_own_reference), cmocka_unit_test(margins_grow_and_the_base_stays),
        cmocka_unit_test(what_is_detached_is_the_base),         cmocka_unit_test(accumulation_is_the_large_batch),
        cmocka_unit_test(packing_and_shared_prompts_change_nothing), cmocka_unit_test(products_in_bf16_are_near),
        cmocka_unit_test(adapters_of_the_output_layer_learn),   cmocka_unit_test(failures_change_no_weight),
        cmocka_unit_test(evaluations_tell_failures),            cmocka_unit_test(the_reference_has_no_dropout),
        cmocka_unit_test(references_that_are_not_needed_are_not_asked),
        cmocka_unit_test(an_epoch_is_its_batches),
    };
    log_set_quiet(true);
    return cmocka_run_group_tests(tests, write_file, remove_file);
}
