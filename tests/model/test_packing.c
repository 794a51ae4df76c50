/* Packing equals padding: what several examples in one row add to loss and gradients is what each adds in a row of its
 * own, but for the rounding of sums in another order. So does splitting a batch, and how long it is padded. */
#include "data/example_rows.h"
#include "model/load.h"
#include "tests/data/example_set.h"
#include "tests/model/rig.h"
#include "train/evaluate.h"

enum { VOCABULARY = 50, N_EXAMPLES = 14, LONGEST = 30, CAPACITY = 72 };

/* Sums of f32 in another order: relative difference of the loss, and of each parameter's gradient in L2 norm. Measured
 * are 3e-9 and 5e-7 (eight roundings) at most, and 0.16 for the gradient with the least of the wrong masks. */
static const double LOSS_BOUND = 1e-7, GRADIENT_BOUND = 4e-6, WRONG = 0.05;

static const struct variant {
    const char *name, *keys;
    float router_loss;
} variants[] = {
    {"llama", "architecture: llama, num_hidden_layers: 3", 0},
    {"window in all layers", "architecture: mistral, num_hidden_layers: 3, sliding_window: 5", 0},
    {"window in every other layer", "architecture: gemma2, num_hidden_layers: 4, sliding_window: 7, "
     "attn_logit_softcapping: 5, final_logit_softcapping: 6, query_pre_attn_scalar: 8", 0},
    {"norms of q and k", "architecture: qwen3, num_hidden_layers: 3", 0},
    {"experts", "architecture: mixtral, num_hidden_layers: 2, num_experts: 4, num_experts_per_tok: 2", 0.1f},
};
enum { N_VARIANTS = sizeof variants / sizeof *variants };

static void make_rig(struct rig *r, const struct variant *v, bool checkpoint)
{
    struct model_config c;
    struct error e;
    struct buffer yaml = {0};
    buffer_printf(&yaml, "model: {vocab_size: %d, hidden_size: 32, intermediate_size: 40, num_attention_heads: 4, "
                         "num_key_value_heads: 2, head_dim: 8, max_position_embeddings: 128, "
                         "initializer_range: 0.2, %s}\n", VOCABULARY, v->keys);
    assert_ok(model_config_parse(yaml.data, &c, &e), e);
    buffer_free(&yaml);
    *r = (struct rig){.checkpoint = checkpoint};
    rig_init(r, &c, N_EXAMPLES, CAPACITY);
    model_initialize(&r->model, 11);
}

/* --- a step over all examples --- */

struct result {
    double loss;      /* sum */
    float *gradients; /* of the mean, of all parameters */
};

static size_t n_gradients(const struct rig *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->model.n_params; i++)
        n += r->model.params[i].count;
    return n;
}

/* The epoch of `rows` in micro-batches of n_rows, each changed by `alter` before it runs. */
static struct result run_epoch(struct rig *r, const struct example_rows *rows, size_t n_rows, float router_loss,
                               void (*alter)(struct batch *b))
{
    const struct objective *o = &language_model_objective;
    struct loader l = example_rows_loader(rows);
    struct result result = {0};
    size_t n_targets = 0;
    for (size_t i = 0; i < rows->examples->begin[rows->examples->count]; i++)
        n_targets += rows->examples->learned[i];
    r->batch.n_rows = n_rows;
    params_clear_gradients(&r->model.all);
    while (l.rows_consumed < l.rows.per_epoch) {
        loader_next(&l, &r->batch);
        if (alter)
            alter(&r->batch);
        const void *hidden = decoder_forward(&r->model, &r->activations, &r->batch, NULL, 0);
        result.loss += o->loss(o, &r->model, &r->batch, hidden, r->type, 1 / (float)n_targets,
                               r->activations.dnormed, r->scratch);
        r->activations.router_loss_scale = router_loss;
        result.loss += router_loss * r->activations.router_loss;
        decoder_backward(&r->model, &r->activations, &r->batch, r->activations.dnormed, 0);
    }
    float *to = result.gradients = mem_alloc(n_gradients(r), sizeof *result.gradients);
    for (size_t i = 0; i < r->model.n_params; i++) {
        memcpy(to, r->model.params[i].grad, r->model.params[i].count * sizeof *to);
        to += r->model.params[i].count;
    }
    return result;
}

/* The largest relative difference of a parameter's gradient. */
static double gradient_difference(const struct rig *r, const struct result *a, const struct result *b)
{
    double worst = 0;
    for (size_t i = 0, at = 0; i < r->model.n_params; at += r->model.params[i++].count) {
        double squares = 0, difference = 0;
        for (size_t j = at; j < at + r->model.params[i].count; j++) {
            squares += pow((double)b->gradients[j], 2);
            difference += pow((double)a->gradients[j] - (double)b->gradients[j], 2);
        }
        assert_true(squares > 0);
        double relative = sqrt(difference / squares);
        assert_true(isfinite(relative));
        worst = fmax(worst, relative);
    }
    return worst;
}

static void check_equal(const struct rig *r, const struct result *a, const struct result *b, const char *what)
{
    double loss = fabs(a->loss / b->loss - 1), gradient = gradient_difference(r, a, b);
    if (!(loss < LOSS_BOUND && gradient < GRADIENT_BOUND))
        fail_msg("%s: the loss is off by %g, a gradient by %g", what, loss, gradient);
}

static void check_same_bits(const struct rig *r, const struct result *a, const struct result *b)
{
    assert_true(a->loss == b->loss);
    assert_memory_equal(a->gradients, b->gradients, n_gradients(r) * sizeof(float));
}

/* --- examples, packed and one a row --- */

struct set {
    struct examples examples;
    struct example_rows packed, alone;
};

static void set_init(struct set *s)
{
    s->examples = example_set(N_EXAMPLES, 1, LONGEST, VOCABULARY, 21);
    example_rows_init(&s->packed, &s->examples, NULL, 0, CAPACITY, true, false, 0);
    example_rows_init(&s->alone, &s->examples, NULL, 0, CAPACITY, false, false, 0);
    assert_in_range(s->packed.packing.n_rows, 2, N_EXAMPLES / 2);
}

static void set_free(struct set *s)
{
    example_rows_free(&s->packed);
    example_rows_free(&s->alone);
    example_set_free(&s->examples);
}

static void packing_equals_padding(void **state)
{
    (void)state;
    struct set s;
    set_init(&s);
    for (size_t i = 0; i < N_VARIANTS; i++) {
        struct rig r;
        make_rig(&r, &variants[i], false);
        float router = variants[i].router_loss;
        struct result alone = run_epoch(&r, &s.alone, N_EXAMPLES, router, NULL);
        assert_int_equal(r.batch.seq_len, 32);
        struct result packed = run_epoch(&r, &s.packed, s.packed.packing.n_rows, router, NULL);
        assert_int_equal(r.batch.seq_len, CAPACITY);
        check_equal(&r, &packed, &alone, variants[i].name);
        struct result again = run_epoch(&r, &s.alone, N_EXAMPLES, router, NULL);
        check_same_bits(&r, &again, &alone); /* nothing is left of the longer batch */
        mem_free(alone.gradients);
        mem_free(packed.gradients);
        mem_free(again.gradients);
        rig_free(&r);
    }
    set_free(&s);
}

/* --- what is wrong is seen --- */

/* Examples see all that is before them in their row. */
static void forget_first_keys(struct batch *b)
{
    for (size_t i = 0; i < b->n_rows * b->seq_len; i++)
        if (b->first_key[i] <= (int32_t)(i % b->seq_len))
            b->first_key[i] = 0;
}

/* One token too many, of one example alone. */
static void one_key_too_early(struct batch *b)
{
    for (size_t i = 0; i < b->seq_len; i++)
        if (b->first_key[i] > 0 && b->first_key[i] == b->first_key[b->seq_len / 2])
            b->first_key[i]--;
}

static void wrong_masks_are_seen(void **state)
{
    (void)state;
    static void (*const wrong[])(struct batch *) = {forget_first_keys, one_key_too_early};
    struct set s;
    set_init(&s);
    for (size_t i = 0; i < N_VARIANTS; i++) {
        struct rig r;
        make_rig(&r, &variants[i], false);
        struct result right = run_epoch(&r, &s.packed, s.packed.packing.n_rows, 0, NULL);
        for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
            struct result other = run_epoch(&r, &s.packed, s.packed.packing.n_rows, 0, wrong[k]);
            double difference = gradient_difference(&r, &other, &right);
                    if (!(difference > WRONG) || !(fabs(other.loss / right.loss - 1) > 100 * LOSS_BOUND))
                fail_msg("%s: the wrong mask %zu makes no difference (%g)", variants[i].name, k, difference);
            mem_free(other.gradients);
        }
        mem_free(right.gradients);
        rig_free(&r);
    }
    set_free(&s);
}

/* --- splitting --- */

/* Micro-batches whose rows have other lengths, the last with rows of nothing but padding, equal one batch. */
static void micro_batches_equal_one_batch(void **state)
{
    (void)state;
    struct set s;
    set_init(&s);
    for (size_t i = 0; i < N_VARIANTS; i++) {
        struct rig r;
        make_rig(&r, &variants[i], false);
        struct result whole = run_epoch(&r, &s.alone, N_EXAMPLES, 0, NULL);
        static const size_t sizes[] = {N_EXAMPLES / 2, 4, 1};
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            struct result split = run_epoch(&r, &s.alone, sizes[k], 0, NULL);
            check_equal(&r, &split, &whole, variants[i].name);
            mem_free(split.gradients);
        }
        struct result packed = run_epoch(&r, &s.packed, 1, 0, NULL);
        check_equal(&r, &packed, &whole, variants[i].name);
        mem_free(packed.gradients);
        mem_free(whole.gradients);
        rig_free(&r);
    }
    set_free(&s);
}

/* --- shorter batches --- */

/* Makes the batch as long as there is room: what it would be if it were not shortened. */
static void lengthen(struct batch *b)
{
    size_t from = b->seq_len, to = b->capacity;
    int32_t *const arrays[] = {b->input_ids, b->targets, b->positions, b->first_key};
    for (size_t k = 0; k < 4; k++)
        for (size_t row = b->n_rows; row-- > 0;) {
            memmove(arrays[k] + row * to, arrays[k] + row * from, from * sizeof **arrays);
            for (size_t i = from; i < to; i++)
                arrays[k][row * to + i] = k == 1 ? TARGET_IGNORED : k == 3 ? (int32_t)i + 1 : 0;
        }
    b->seq_len = to;
}

static void shorter_batches_equal_padded_ones(void **state)
{
    (void)state;
    struct set s;
    set_init(&s);
    for (size_t i = 0; i < N_VARIANTS; i++) {
        struct rig r, checkpointing;
        make_rig(&r, &variants[i], false);
        make_rig(&checkpointing, &variants[i], true);
        float router = variants[i].router_loss;
        struct result brief = run_epoch(&r, &s.alone, N_EXAMPLES, router, NULL);
        struct result padded = run_epoch(&r, &s.alone, N_EXAMPLES, router, lengthen);
        assert_int_equal(r.batch.seq_len, CAPACITY);
        check_equal(&r, &brief, &padded, variants[i].name);
        struct result recomputed = run_epoch(&checkpointing, &s.alone, N_EXAMPLES, router, NULL);
        check_same_bits(&r, &recomputed, &brief);
        mem_free(brief.gradients);
        mem_free(padded.gradients);
        mem_free(recomputed.gradients);
        rig_free(&r);
        rig_free(&checkpointing);
    }
    set_free(&s);
}

/* The whole of the held-out examples, in batches that do not divide them. */
static void evaluation_is_the_same(void **state)
{
    (void)state;
    struct set s;
    struct rig r;
    set_init(&s);
    make_rig(&r, &variants[1], false);
    r.batch.n_rows = 3;
    struct evaluator v = {&r.model, &language_model_objective, &r.activations, &r.batch, r.scratch};
    struct loader packed = example_rows_loader(&s.packed), alone = example_rows_loader(&s.alone);
    struct evaluation a = evaluate(&v, &packed, 0, NULL), b = evaluate(&v, &alone, 0, NULL);
    size_t n_learned = 0;
    for (size_t i = 0; i < s.examples.begin[N_EXAMPLES]; i++)
        n_learned += s.examples.learned[i];
    assert_int_equal(a.n_targets, n_learned);
    assert_int_equal(b.n_targets, n_learned);
    assert_true(fabs(a.loss / b.loss - 1) < LOSS_BOUND);
    rig_free(&r);
    set_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packing_equals_padding),
        cmocka_unit_test(wrong_masks_are_seen),
        cmocka_unit_test(micro_batches_equal_one_batch),
        cmocka_unit_test(shorter_batches_equal_padded_ones),
        cmocka_unit_test(evaluation_is_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
