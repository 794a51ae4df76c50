/* Adapters that train for blocks: what is rounded is the weight with the adapter merged into it, as `linnet merge` writes it,
 * and gradients are the adapter's at that weight. */
#include "lora/options.h"
#include "tests/qat/util.h"

struct tuned {
    struct rig rig;
    struct lora_adapter adapter;
    struct arena gradients;
    struct qat_options o;
    struct qat q;
};

static void give(struct option_strings *s, const char *const *items)
{
    for (; items && *items; items++)
        option_strings_add(s, *items);
}

/* B away from 0. */
static void disturb(struct lora_adapter *a)
{
    struct rng r;
    rng_init(&r, 3, 9);
    for (size_t i = 0; i < a->n_pairs; i++)
        for (size_t j = 0; j < a->pairs[i].b->count; j++)
            a->pairs[i].b->value[j] += (float)(0.4 * rng_uniform(&r) - 0.2);
}

struct want {
    const char *keys, *type;
    const char *const *targets, *const *wholes;
    int init;
    size_t memory, width;
};

static int open_tuned(struct tuned *t, const struct want *w, struct error *e)
{
    struct lora_options o = {.rank = 3, .alpha = 6, .lora_plus_ratio = 1, .init = w->init};
    const struct model_config c = wide(w->width ? w->width : 256, 1, w->keys);
    struct arena plan = {0};
    *t = (struct tuned){.o = rounds_to(w->type, false)};
    t->o.memory = w->memory;
    rig_init(&t->rig, &c, ROWS, LENGTH);
    example_weights(&t->rig.model, 7);
    random_batch(&t->rig.batch, VOCAB, 4);
    give(&o.target_modules, w->targets);
    give(&o.train_in_full, w->wholes);
    assert_ok(lora_create(&o, &t->rig.model, 5, &t->adapter, e), *e);
    option_strings_free(&o.target_modules);
    option_strings_free(&o.train_in_full);
    disturb(&t->adapter);
    params_attach_gradients(&t->adapter.all, DTYPE_F32, &plan);
    assert_ok(arena_init(&t->gradients, plan.used, "test", e), *e);
    params_attach_gradients(&t->adapter.all, DTYPE_F32, &t->gradients);
    lora_attach(&t->adapter);
    int code = qat_init(&t->q, &t->o, &t->rig.model, &t->adapter.all, &t->adapter, e);
    return code ? code : qat_attach(&t->q, e);
}

static void close_tuned(struct tuned *t)
{
    qat_free(&t->q);
    for (size_t i = 0; i < t->adapter.n_pairs; i++)
        assert_false(t->adapter.pairs[i].in_weight);
    if (t->adapter.attached)
        lora_detach(&t->adapter);
    lora_free(&t->adapter);
    arena_free(&t->gradients);
    rig_free(&t->rig);
}

/* With the adapter on, the file that `linnet merge` would write; with it off, that of the base. */
static void check_files(struct tuned *t)
{
    struct merge g = {.adapters = &t->adapter, .n_adapters = 1};
    char *merged = quantised_file(&t->rig.model, &t->o.types, &g);
    assert_shows_file(&t->rig.model, merged);
    assert_shows_file(&t->rig.model, merged);
    lora_detach(&t->adapter);
    char *base = quantised_file(&t->rig.model, &t->o.types, NULL);
    assert_shows_file(&t->rig.model, base);
    lora_attach(&t->adapter);
    mem_free(base);
    mem_free(merged);
    merge_free(&g);
    /* the first file again, which the second has replaced */
    merged = quantised_file(&t->rig.model, &t->o.types, &g);
    assert_shows_file(&t->rig.model, merged);
    mem_free(merged);
    merge_free(&g);
}

static const char *const some[] = {"q_proj", "down_proj", NULL};

static void the_merged_weight_is_rounded(void **state)
{
    (void)state;
    static const char *const down[] = {"w2", NULL};
    static const char *const head[] = {"lm_head", "k_proj", NULL};
    const struct want wants[] = {
        {.keys = TIED, .type = "Q4_0"},
        {.keys = TIED, .type = "Q4_K_M", .targets = some},
        {.keys = UNTIED, .type = "Q2_K", .targets = head},
        {.keys = EXPERTS, .type = "Q5_0", .targets = down},
        {.keys = FUSED, .type = "Q3_K_M"},
        {.keys = UNTIED, .type = "BF16"},
        {.keys = TIED, .type = "Q4_K_M", .init = LORA_INIT_PISSA},
        {.keys = FUSED, .type = "IQ4_NL", .init = LORA_INIT_PISSA, .targets = some},
    };
    for (size_t i = 0; i < sizeof wants / sizeof *wants; i++)
        for (size_t memory = 0; memory < 2; memory++) {
            struct want w = wants[i];
            struct tuned t;
            struct error e;
            w.memory = memory;
            assert_ok(open_tuned(&t, &w, &e), e);
            check_files(&t);
            disturb(&t.adapter);
            qat_changed(&t.q);
            check_files(&t);
            t.adapter.strength = 0.5f; /* nobody tells */
            check_files(&t);
            close_tuned(&t);
        }
}

/* Parameters that train beside an adapter are the adapter's own while it is attached. */
static void whole_parameters(void **state)
{
    (void)state;
    static const char *const wholes[] = {"embed_tokens", "lm_head", "up_proj", NULL};
    for (size_t memory = 0; memory < 2; memory++) {
        struct tuned t;
        struct error e;
        assert_ok(open_tuned(&t, &(struct want){.keys = UNTIED, .type = "Q4_0", .targets = some, .wholes = wholes,
                                                .memory = memory}, &e), e);
        struct param *p = t.rig.model.layers[0].ffn.up.weight, *head = t.rig.model.head.weight;
        for (size_t i = 0; i < p->count; i++)
            p->value[i] *= 1.7f;
        for (size_t i = 0; i < head->count; i++)
            head->value[i] *= 1.3f;
        qat_changed(&t.q);
        for (int i = 0; i < 3; i++) {
            char *path = quantised_file(&t.rig.model, &t.o.types, NULL); /* of what is attached, without the pairs */
            struct gguf g;
            assert_ok(gguf_open(path, &g, &e), e);
            const struct gguf_tensor *up = gguf_find_tensor(&g, "blk.0.ffn_up.weight"),
                                     *output = gguf_find_tensor(&g, "output.weight");
            assert_memory_equal(up->data, param_computed(p).data, up->n_bytes);
            assert_memory_equal(output->data, param_computed(head).data, output->n_bytes);
            gguf_close(&g);
            mem_free(path);
            if (i == 0)
                lora_detach(&t.adapter);
            else if (i == 1)
                lora_attach(&t.adapter);
        }
        close_tuned(&t);
    }
}

/* --- gradients --- */

/* The gradient of each A and B is scale B^T G and scale G A^T, with G that of the merged weight in a model that trains
 * whole and whose own weights are the rounded ones. */
static void check_gradients(const struct want *w)
{
    struct tuned t;
    struct rig own = {0};
    struct error e;
    double sums[2];
    assert_ok(open_tuned(&t, w, &e), e);
    const struct model_config c = wide(w->width ? w->width : 256, 1, w->keys);
    rig_init(&own, &c, ROWS, LENGTH);
    example_weights(&own.model, 7);
    random_batch(&own.batch, VOCAB, 4);
    for (size_t i = 0; i < own.model.n_params; i++) {
        const struct param *p = &t.rig.model.params[i];
        const struct matrix shown = param_computed(p);
        for (size_t j = 0; j < p->rows; j++)
            matrix_row(&shown, p, j, own.model.params[i].value + j * p->cols);
    }
    qat_begin_step(&t.q, 0);
    params_clear_gradients(&t.adapter.all);
    sums[0] = rig_step(&t.rig, 0);
    sums[1] = rig_step(&own, 0);
    if (sums[0] != sums[1])
        fail_msg("%s: the loss is %.9g, that of the rounded weights %.9g", w->type, sums[0], sums[1]);
    for (size_t i = 0; i < t.adapter.n_pairs; i++) {
        const struct lora_pair *pair = &t.adapter.pairs[i];
        const struct param *weight = pair->linear->weight;
        const size_t in = weight->cols, out = weight->rows, r = pair->rank;
        const float *g = own.model.params[weight - t.rig.model.params].grad;
        double worst = 0, largest = 0;
        for (size_t k = 0; k < r; k++)
            for (size_t j = 0; j < out; j++) { /* dB */
                double sum = 0;
                for (size_t l = 0; l < in; l++)
                    sum += (double)g[j * in + l] * pair->a->value[k * in + l];
                const double got = ((float *)pair->b->grad)[j * r + k];
                worst = fmax(worst, fabs(pair->scale * sum - got));
                largest = fmax(largest, fabs(got));
            }
        if (!(largest > 0) || worst > 1e-4 * largest)
            fail_msg("%s: dB is %g off, of %g", pair->b->name, worst, largest);
        bool shared = (i > 0 && pair[-1].a == pair->a) || (i + 1 < t.adapter.n_pairs && pair[1].a == pair->a);
        worst = largest = 0;
        for (size_t k = 0; k < r && !shared; k++)
            for (size_t l = 0; l < in; l++) { /* dA */
                double sum = 0;
                for (size_t j = 0; j < out; j++)
                    sum += (double)g[j * in + l] * pair->b->value[j * r + k];
                const double got = ((float *)pair->a->grad)[k * in + l];
                worst = fmax(worst, fabs(pair->scale * sum - got));
                largest = fmax(largest, fabs(got));
            }
        if (!shared && (!(largest > 0) || worst > 1e-4 * largest))
            fail_msg("%s: dA is %g off, of %g", pair->a->name, worst, largest);
    }
    rig_free(&own);
    close_tuned(&t);
}

static void gradients_are_those_at_the_rounded_weight(void **state)
{
    (void)state;
    static const char *const head[] = {"lm_head", "k_proj", "o_proj", NULL};
    check_gradients(&(struct want){.keys = TIED, .type = "Q4_0"});
    check_gradients(&(struct want){.keys = TIED, .type = "Q4_K_M", .memory = 1});
    check_gradients(&(struct want){.keys = UNTIED, .type = "Q2_K", .targets = head});
    check_gradients(&(struct want){.keys = FUSED, .type = "Q5_0", .memory = 1});
    check_gradients(&(struct want){.keys = UNTIED, .type = "Q4_0", .init = LORA_INIT_PISSA, .targets = head});
    check_gradients(&(struct want){.keys = EXPERTS, .type = "Q8_0", .targets = (const char *const[]){"q_proj", "w2", NULL}});
}

/* Between nothing and all of the rounding. */
static void shares_of_the_merged_weight(void **state)
{
    (void)state;
    for (size_t memory = 0; memory < 2; memory++) {
        struct tuned t;
        struct error e;
        assert_ok(open_tuned(&t, &(struct want){.keys = TIED, .type = "F16", .width = 64, .targets = some}, &e), e);
        close_tuned(&t);
        struct want w = {.keys = TIED, .type = "Q4_0", .width = 64, .targets = some, .memory = memory};
        assert_ok(open_tuned(&t, &w, &e), e);
        qat_free(&t.q);
        t.o.start = 1, t.o.ramp = 1;
        assert_ok(qat_init(&t.q, &t.o, &t.rig.model, &t.adapter.all, &t.adapter, &e), e);
        assert_ok(qat_attach(&t.q, &e), e);
        const struct param *p = t.rig.model.layers[0].ffn.down.weight, *frozen = t.rig.model.layers[0].ffn.up.weight;
        float merged[64], rounded[64], shown[64], other[64];
        const size_t row = 33;
        memcpy(merged, p->value + row * 64, sizeof merged);
        lora_merge_rows(&t.adapter, 1, p, &row, 1, merged);
        struct matrix m = param_computed(p);
        matrix_row(&m, p, row, rounded);
        m = param_computed(frozen);
        matrix_row(&m, frozen, row, other);
        for (uint64_t step = 0; step < 4; step++) {
            const double share = step == 0 ? 0 : step == 1 ? 0.5 : 1;
            qat_begin_step(&t.q, step);
            m = param_computed(p);
            matrix_row(&m, p, row, shown);
            for (size_t i = 0; i < 64; i++)
                if (share > 0)
                    assert_true(fabs(merged[i] + share * ((double)rounded[i] - merged[i]) - shown[i]) < 1e-6);
                else
                    assert_true(shown[i] == p->value[row * 64 + i]); /* the adapter has its own products */
            m = param_computed(frozen);
            matrix_row(&m, frozen, row, shown);
            for (size_t i = 0; i < 64; i++) {
                const double own = frozen->value[row * 64 + i];
                assert_true(fabs(own + share * (other[i] - own) - shown[i]) < 1e-6);
            }
            qat_changed(&t.q);
        }
        /* the step before the start is that of a run without */
        qat_begin_step(&t.q, 0);
        const double before = rig_loss(&t.rig, 0);
        qat_detach(&t.q);
        const double plain = rig_loss(&t.rig, 0);
        assert_true(before == plain);
        close_tuned(&t);
    }
}

/* The reference of preferences, which is the model with its adapter off, is rounded too; and then the policy is again. */
static void the_reference_is_rounded(void **state)
{
    (void)state;
    struct tuned t;
    struct error e;
    assert_ok(open_tuned(&t, &(struct want){.keys = TIED, .type = "Q4_0"}, &e), e);
    const double policy = rig_loss(&t.rig, 0);
    lora_detach(&t.adapter);
    const double off = rig_loss(&t.rig, 0);
    lora_attach(&t.adapter);
    assert_true(rig_loss(&t.rig, 0) == policy && off != policy);
    qat_detach(&t.q);
    assert_true(rig_loss(&t.rig, 0) != policy);
    lora_detach(&t.adapter);
    const double plain = rig_loss(&t.rig, 0);
    assert_true(plain != off && fabs(plain - off) < 0.2 * plain);
    close_tuned(&t);
}

/* A base that is in blocks itself, of another type and of the same. */
static void a_base_in_blocks(void **state)
{
    (void)state;
    static const char *const to[] = {"Q4_0", "Q8_0", "Q4_K_M"};
    struct model plain = wide_model(256, 1, FUSED);
    struct type_request q8 = {.type = (char *)"Q8_0"};
    char *path = quantised_file(&plain, &q8, NULL), *base = path_join(directory, "base.gguf");
    assert_int_equal(rename(path, base), 0);
    mem_free(path);
    model_free(&plain);
    for (size_t i = 0; i < 3; i++)
        for (int integers = 0; integers < 2; integers++) {
            struct lora_options o = {.rank = 3, .alpha = 6, .lora_plus_ratio = 1};
            struct tuned t = {.o = rounds_to(to[i], false)};
            struct error e;
            assert_ok(model_load(base, WEIGHTS_MAPPED, &t.rig.model, NULL, &e), e);
            if (integers)
                model_use_integers(&t.rig.model);
            give(&o.target_modules, some);
            assert_ok(lora_create(&o, &t.rig.model, 5, &t.adapter, &e), e);
            option_strings_free(&o.target_modules);
            disturb(&t.adapter);
            lora_attach(&t.adapter);
            assert_ok(qat_init(&t.q, &t.o, &t.rig.model, &t.adapter.all, &t.adapter, &e), e);
            /* whatever the model was told before; what stays in its blocks, too */
            t.o.activations = i == 1 ? QAT_INT8 : QAT_EXACT;
            assert_ok(qat_attach(&t.q, &e), e);
            check_files(&t);
            assert_int_equal(param_computed(t.rig.model.layers[0].k.weight).in_integers, i == 1);
            assert_int_equal(param_computed(t.rig.model.layers[0].q.weight).in_integers, i == 1);
            qat_free(&t.q);
            /* what trains must have values of its own */
            assert_int_equal(qat_init(&t.q, &t.o, &t.rig.model, &t.rig.model.all, NULL, &e), i == 1 ? OK : ERR_USAGE);
            qat_free(&t.q);
            lora_detach(&t.adapter);
            lora_free(&t.adapter);
            model_free(&t.rig.model);
        }
    mem_free(base);
}

static void assert_refused(struct lora_options *o, const char *keys, const char *words)
{
    struct model m = wide_model(64, 1, keys);
    struct lora_adapter a;
    struct qat_options options = rounds_to("Q4_0", false);
    struct qat q;
    struct error e;
    o->rank = 2, o->alpha = 2, o->lora_plus_ratio = 1;
    assert_ok(lora_create(o, &m, 5, &a, &e), e);
    a.dropout = o->dropout;
    assert_int_equal(qat_init(&q, &options, &m, &a.all, &a, &e), ERR_USAGE);
    assert_string_equal(e.message, words);
    qat_free(&q);
    lora_free(&a);
    model_free(&m);
    option_strings_free(&o->target_modules);
}

static void adapters_that_are_refused(void **state)
{
    (void)state;
    struct lora_options dora = {.use_dora = true}, dropout = {.dropout = 0.1}, head = {0}, plain = {0};
    assert_refused(&plain, HEAD_TOO, "files of this model's family have an output layer of their own even where it is the "
                                     "embedding, and its type may be another: --qat rounds both as one, which linnet merge would "
                                     "not: train with --method full");
    assert_refused(&dora, TIED, "--qat rounds the weight with the adapter merged into it, and magnitudes are not trained through "
                                "that: leave --dora out");
    assert_refused(&dropout, TIED, "--qat rounds the weight with the adapter merged into it, which is the same for every "
                                   "input: leave --lora-dropout out");
    option_strings_add(&head.target_modules, "lm_head");
    assert_refused(&head, TIED, "the output layer is the embedding: with an adapter the two are no longer one matrix, and --qat "
                                "rounds it as one: leave lm_head out of --target-modules");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_merged_weight_is_rounded),
        cmocka_unit_test(whole_parameters),
        cmocka_unit_test(gradients_are_those_at_the_rounded_weight),
        cmocka_unit_test(shares_of_the_merged_weight),
        cmocka_unit_test(the_reference_is_rounded),
        cmocka_unit_test(a_base_in_blocks),
        cmocka_unit_test(adapters_that_are_refused),
    };
    return cmocka_run_group_tests(tests, quiet_directory, remove_directory);
}
