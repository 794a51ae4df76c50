/* What a model computes with while it trains for blocks: the bytes that `linnet quantize` writes, in whatever memory, with
 * whatever threads; and gradients, which are those of a model whose own weights these are. */
#include "qat/imatrix.h"
#include "tests/qat/util.h"

static const char *const types[] = {"Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "IQ4_NL", "IQ4_XS", "Q4_K_S", "Q5_K_S", "Q6_K",
                                    "Q3_K_S", "Q2_K", "MXFP4", "F16", "BF16", "TQ1_0", "TQ2_0"};
enum { N_TYPES = sizeof types / sizeof *types };

/* A model that trains whole, with its view. */
struct viewed {
    struct model m;
    struct qat_options o;
    struct qat q;
};

static void open_viewed(struct viewed *v, struct model m, struct qat_options o)
{
    struct error e;
    v->m = m;
    v->o = o;
    for (size_t i = 0; i < v->m.n_params; i++)
        v->m.all.items[i] = &v->m.params[i];
    assert_ok(qat_init(&v->q, &v->o, &v->m, &v->m.all, NULL, &e), e);
    assert_ok(qat_attach(&v->q, &e), e);
}

static void close_viewed(struct viewed *v)
{
    qat_free(&v->q);
    for (size_t i = 0; i < v->m.n_params; i++)
        assert_null(v->m.params[i].view);
    model_free(&v->m);
}

/* --- bytes --- */

/* In all ways in which the blocks are kept. */
static void check_bytes(const char *keys, const char *type, bool pure, const char *imatrix)
{
    struct qat_options o = rounds_to(type, pure);
    o.types.imatrix = (char *)imatrix;
    for (int shared = 0; shared < 2; shared++) {
        struct viewed v;
        o.memory = shared ? 1 : 1 << 30;
        open_viewed(&v, wide_model(256, 1, keys), o);
        char *path = quantised_file(&v.m, &o.types, NULL);
        size_t n_kept = 0;
        for (size_t i = 0; i < v.q.n_matrices; i++)
            n_kept += v.q.matrices[i].kept != NULL;
        assert_int_equal(n_kept > 0, !shared);
        kernels_set_threads(shared ? 3 : 1);
        assert_shows_file(&v.m, path);
        assert_shows_file(&v.m, path); /* what is kept, once more */
        kernels_set_threads(2);
        model_split(&v.m);
        qat_changed(&v.q);
        assert_shows_file(&v.m, path);
        model_join(&v.m);
        mem_free(path);
        close_viewed(&v);
    }
}

static void every_type(void **state)
{
    (void)state;
    static const char *const models[] = {TIED, EXPERTS, FUSED};
    for (size_t i = 0; i < N_TYPES; i++)
        check_bytes(models[i % 3], types[i], true, NULL);
    for (size_t i = 0; i < 3; i++)
        check_bytes(models[i], "Q4_0", true, NULL);
}

static void every_mix(void **state)
{
    (void)state;
    static const char *const mixes[] = {"Q4_0", "Q2_K", "Q3_K_M", "Q4_K_M", "Q5_K_M", "IQ4_XS", "MXFP4"};
    static const char *const models[] = {UNTIED, TIED, EXPERTS, FUSED, HEAD_TOO};
    for (size_t i = 0; i < sizeof mixes / sizeof *mixes; i++)
        check_bytes(models[i % 5], mixes[i], false, NULL);
    for (size_t i = 0; i < 5; i++)
        check_bytes(models[i], "Q4_K_M", false, NULL);
}

/* Random importance of all matrices of a model in a file; caller frees. */
static char *write_importance(const char *keys)
{
    struct model m = wide_model(256, 1, keys);
    struct tensor_list list;
    struct imatrix im = {0};
    struct rng r;
    struct error e;
    char *path = path_join(directory, "importance.gguf");
    tensor_list_init(&list, &m, CONTAINER_GGUF, false);
    im.entries = mem_zero(list.n_tensors, sizeof *im.entries);
    rng_init(&r, 5, 6);
    for (size_t i = 0; i < list.n_tensors; i++) {
        const struct tensor *t = &list.tensors[i];
        struct imatrix_entry *entry = &im.entries[im.n_entries];
        if (t->vector)
            continue;
        const size_t experts = t->n_dims == 3 ? t->shape[0] : 1;
        *entry = (struct imatrix_entry){.name = mem_string(t->name), .n = experts * t->cols, .count = 9, .n_experts = experts,
                                        .values = mem_alloc(experts * t->cols, sizeof(float)),
                                        .counts = mem_alloc(experts, sizeof(size_t))};
        for (size_t j = 0; j < entry->n; j++)
            entry->values[j] = (float)(rng_uniform(&r) * rng_uniform(&r));
        for (size_t j = 0; j < experts; j++)
            entry->counts[j] = 9;
        im.n_entries++;
    }
    assert_ok(imatrix_put_in_order(&im, &e), e);
    assert_ok(imatrix_write(&im, path, false, &e), e);
    imatrix_free(&im);
    tensor_list_free(&list);
    model_free(&m);
    return path;
}

static void with_importance(void **state)
{
    (void)state;
    static const char *const models[] = {EXPERTS, TIED, FUSED};
    static const char *const weighed[] = {"Q4_0", "Q3_K_S", "IQ4_NL"};
    for (size_t i = 0; i < 3; i++) {
        char *importance = write_importance(models[i]);
        check_bytes(models[i], weighed[i], true, importance);
        check_bytes(models[i], "Q4_K_M", false, importance);
        /* and it says something: without, the bytes are others */
        struct viewed v;
        struct qat_options o = rounds_to(weighed[i], true);
        open_viewed(&v, wide_model(256, 1, models[i]), o);
        const struct param *p = v.q.matrices[v.q.n_matrices - 1].param;
        const size_t bytes = p->rows * 64;
        void *plain = mem_alloc(bytes, 1);
        memcpy(plain, param_computed(p).data, bytes);
        qat_free(&v.q);
        v.o.types.imatrix = importance;
        struct error e;
        assert_ok(qat_init(&v.q, &v.o, &v.m, &v.m.all, NULL, &e), e);
        assert_ok(qat_attach(&v.q, &e), e);
        assert_memory_not_equal(plain, param_computed(p).data, bytes);
        mem_free(plain);
        close_viewed(&v);
        mem_free(importance);
    }
}

/* Widths that whole blocks of a type do not fit into: what stands in is what the file would have. */
static void narrow_models(void **state)
{
    (void)state;
    static const size_t widths[] = {96, 48, 40};
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < 2; j++) {
            struct viewed v;
            struct qat_options o = rounds_to(j ? "Q4_0" : "Q4_K_M", false);
            open_viewed(&v, wide_model(widths[i], 1, UNTIED), o);
            /* of 96: the output layer of Q4_K_M is q8_0 at once, and of Q4_0 the only one that does not fit */
            assert_int_equal(v.q.plan.n_fallbacks, i > 0 ? 9 : j ? 1 : 8);
            char *path = quantised_file(&v.m, &o.types, NULL);
            assert_shows_file(&v.m, path);
            mem_free(path);
            close_viewed(&v);
        }
}

static void wishes_for_single_tensors(void **state)
{
    (void)state;
    struct viewed v;
    struct qat_options o = rounds_to("Q4_0", false);
    o.types.output_type = (char *)"q8_0";
    o.types.embedding_type = (char *)"f32";
    option_strings_add(&o.types.tensor_types, "blk\\.0\\.ffn_(up|gate)=q6_K");
    option_strings_add(&o.types.tensor_types, "ffn_up=bf16");
    option_strings_add(&o.types.tensor_types, "attn_k=f32");
    open_viewed(&v, wide_model(256, 2, UNTIED), o);
    char *path = quantised_file(&v.m, &o.types, NULL);
    assert_shows_file(&v.m, path);
    assert_null(v.m.token_embd->view);
    assert_null(v.m.layers[0].k.weight->view);
    assert_int_equal(param_computed(v.m.layers[0].ffn.up.weight).type, DTYPE_Q6_K);
    assert_int_equal(param_computed(v.m.layers[1].ffn.up.weight).type, DTYPE_BF16);
    assert_int_equal(param_computed(v.m.head.weight).type, DTYPE_Q8_0);
    mem_free(path);
    close_viewed(&v);
    option_strings_free(&o.types.tensor_types);
}

/* Weights that change are rounded anew once it is told. */
static void after_a_change(void **state)
{
    (void)state;
    for (size_t memory = 0; memory < 2; memory++) {
        struct viewed v;
        struct qat_options o = rounds_to("Q5_0", false);
        o.memory = memory;
        open_viewed(&v, wide_model(64, 2, TIED), o);
        for (int i = 0; i < 2; i++) {
            char *path = quantised_file(&v.m, &o.types, NULL);
            assert_shows_file(&v.m, path);
            for (size_t j = 0; j < v.m.n_params; j++)
                for (size_t k = 0; k < v.m.params[j].count; k++)
                    v.m.params[j].value[k] *= 1.5f;
            qat_changed(&v.q);
            mem_free(path);
        }
        close_viewed(&v);
    }
}

/* Memory: what is said is what is taken; unless more is asked for, no more than one more largest matrix; while the rounding
 * comes in, that, and a matrix's blocks and a tile. */
static void memory_is_bounded(void **state)
{
    (void)state;
    static const size_t memories[] = {0, 1, 100000, 1000000000};
    for (size_t i = 0; i < 4; i++)
        for (size_t ramp = 0; ramp < 2; ramp++) {
            struct viewed v;
            struct qat_options o = rounds_to("Q8_0", true);
            o.memory = memories[i];
            o.ramp = ramp;
            open_viewed(&v, wide_model(256, 2, TIED), o);
            const size_t said = qat_bytes(&v.q), largest = 256 * 256 * sizeof(float);
            assert_int_equal(said, v.q.arena.used);
            assert_true(i > 1 || said <= (ramp ? 2 * largest : largest));
            close_viewed(&v);
        }
}

/* --- gradients --- */

static void open_rig(struct rig *r, const char *keys)
{
    const struct model_config c = wide(256, 1, keys);
    rig_init(r, &c, ROWS, LENGTH);
    example_weights(&r->model, 7);
    random_batch(&r->batch, VOCAB, 4);
}

/* The same model, whose own f32 weights are what the first one shows. */
static void copy_computed(struct rig *to, const struct rig *from)
{
    for (size_t i = 0; i < from->model.n_params; i++) {
        const struct param *p = &from->model.params[i];
        const struct matrix shown = param_computed(p);
        for (size_t j = 0; j < p->rows; j++)
            matrix_row(&shown, p, j, to->model.params[i].value + j * p->cols);
    }
}

static void assert_same_gradients(const struct rig *a, const struct rig *b)
{
    for (size_t i = 0; i < a->model.n_params; i++) {
        const struct param *p = &a->model.params[i];
        if (memcmp(p->grad, b->model.params[i].grad, p->count * sizeof(float)) != 0)
            fail_msg("%s: another gradient", p->name);
    }
}

/* Straight through: the gradient that the values get is that of what stands for them, bit for bit. */
static void gradients_go_straight_through(void **state)
{
    (void)state;
    static const char *const models[] = {TIED, UNTIED, EXPERTS, FUSED};
    static const char *const mixes[] = {"Q4_0", "Q4_K_M", "Q2_K", "BF16"};
    for (size_t i = 0; i < 4; i++)
        for (size_t memory = 0; memory < 2; memory++) {
            struct rig r = {0}, own = {0};
            struct qat q;
            struct error e;
            struct qat_options o = rounds_to(mixes[i], false);
            o.memory = memory;
            open_rig(&r, models[i]);
            open_rig(&own, models[i]);
            double plain = rig_step(&own, 0);
            assert_ok(qat_init(&q, &o, &r.model, &r.model.all, NULL, &e), e);
            assert_ok(qat_attach(&q, &e), e);
            copy_computed(&own, &r);
            qat_begin_step(&q, 0);
            double got = rig_step(&r, 0), want = rig_step(&own, 0);
            if (got != want)
                fail_msg("%s: the loss is %.9g, not %.9g", mixes[i], got, want);
            assert_true(got != plain);
            assert_same_gradients(&r, &own);
            qat_free(&q);
            rig_free(&r);
            rig_free(&own);
        }
}

/* 8 bits for what blocks are multiplied with: on the way there, not on the way back. */
static void integers_are_of_the_way_there(void **state)
{
    (void)state;
    struct rig r = {0};
    struct qat q;
    struct error e;
    struct qat_options o = rounds_to("Q4_0", true);
    enum { N = 5 };
    float *x = mem_alloc(4 * N * 256, sizeof *x), *y = x + N * 256, *dx = y + N * 256, *dy = dx + N * 256;
    float *kept[3];
    struct rng rng;
    open_rig(&r, UNTIED);
    assert_ok(qat_init(&q, &o, &r.model, &r.model.all, NULL, &e), e);
    assert_ok(qat_attach(&q, &e), e);
    const struct linear *l = &r.model.layers[0].ffn.up;
    rng_init(&rng, 1, 1);
    rng_fill_normal(&rng, x, N * 256, 1);
    rng_fill_normal(&rng, dy, N * 256, 1);
    for (int integers = 0; integers < 2; integers++) {
        o.activations = integers ? QAT_INT8 : QAT_EXACT;
        params_clear_gradients(&r.model.all);
        linear_forward(l, y, DTYPE_F32, x, DTYPE_F32, N);
        linear_backward(l, dx, DTYPE_F32, false, dy, x, DTYPE_F32, N);
        const float *now[] = {y, dx, l->weight->grad};
        const size_t counts[] = {N * 256, N * 256, l->weight->count};
        for (size_t i = 0; i < 3 && !integers; i++) {
            kept[i] = mem_alloc(counts[i], sizeof(float));
            memcpy(kept[i], now[i], counts[i] * sizeof(float));
        }
        if (!integers)
            continue;
        double worst = 0, largest = 0;
        for (size_t i = 0; i < counts[0]; i++) {
            worst = fmax(worst, fabs((double)y[i] - kept[0][i]));
            largest = fmax(largest, fabs((double)y[i]));
        }
        assert_true(worst > 0 && worst < 0.03 * largest);
        assert_memory_equal(dx, kept[1], counts[1] * sizeof(float));
        assert_memory_equal(l->weight->grad, kept[2], counts[2] * sizeof(float));
        double loss = rig_step(&r, 0); /* and a whole step works, output layer and all */
        assert_true(isfinite(loss));
    }
    for (size_t i = 0; i < 3; i++)
        mem_free(kept[i]);
    mem_free(x);
    qat_free(&q);
    rig_free(&r);
}

/* --- start and ramp --- */

static float computed_at(const struct param *p, size_t row, size_t col)
{
    float *values = mem_alloc(p->cols, sizeof *values);
    const struct matrix shown = param_computed(p);
    matrix_row(&shown, p, row, values);
    const float value = values[col];
    mem_free(values);
    return value;
}

/* Before `start` nothing; then (i + 1) / (ramp + 1); and everything in every use but a step. */
static void shares_of_steps(void **state)
{
    (void)state;
    static const double shares[] = {0, 0, 0.25, 0.5, 0.75, 1, 1};
    for (size_t memory = 0; memory < 2; memory++) {
        struct viewed v;
        struct qat_options o = rounds_to("Q4_0", true);
        o.start = 2;
        o.ramp = 3;
        o.memory = memory;
        open_viewed(&v, wide_model(64, 1, TIED), o);
        struct param *p = v.m.layers[0].ffn.down.weight, *embedding = v.m.token_embd;
        const float own = p->value[5 * 64 + 7], rounded = computed_at(p, 5, 7), row = computed_at(embedding, 200, 3);
        assert_true(own != rounded && row != embedding->value[200 * 64 + 3]);
        for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
            qat_begin_step(&v.q, i);
            const double want = own + shares[i] * ((double)rounded - own);
            assert_true(fabs(computed_at(p, 5, 7) - want) <= 1e-6 * fabs(own));
            const double other = embedding->value[200 * 64 + 3];
            assert_true(fabs(computed_at(embedding, 200, 3) - (other + shares[i] * (row - other))) <= 1e-6 * fabs(other));
            if (i < 2)
                assert_ptr_equal(param_computed(p).data, p->value);
            qat_changed(&v.q);
            assert_true(computed_at(p, 5, 7) == rounded && computed_at(embedding, 200, 3) == row);
        }
        close_viewed(&v);
    }
}

/* --- what is refused --- */

static void bad_weights(void **state)
{
    (void)state;
    static const struct {
        float value;
        const char *type, *words;
    } wrong[] = {
        {NAN, "Q4_0", "blk.0.ffn_up.weight holds a weight that is not a number; the model's file is damaged, or its training "
                      "diverged"},
        {INFINITY, "Q8_0", "blk.0.ffn_up.weight holds a weight that is not a number"},
        {-INFINITY, "BF16", "blk.0.ffn_up.weight holds a weight that is not a number"},
        {1e9f, "Q4_0", "blk.0.ffn_up.weight holds weights so large that no block of q4_0 can stand for them (their scale is of "
                       "f16); choose bf16 for it: --qat-tensor-type blk.0.ffn_up.weight=bf16"},
        {1e9f, "Q2_K", "no block of q2_k can stand for them"},
        {1e9f, "Q4_K_S", "no block of q4_k can stand for them"},
        {1e30f, "Q8_0", "no block of q8_0 can stand for them"},
        {3.4e38f, "BF16", "blk.0.ffn_up.weight holds weights beyond the range of bf16; choose f32 for it: "
                          "--qat-tensor-type blk.0.ffn_up.weight=f32"},
        {1e6f, "F16", "blk.0.ffn_up.weight holds weights beyond the range of f16 (65504); choose bf16 for it: "
                      "--qat-tensor-type blk.0.ffn_up.weight=bf16"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct model m = wide_model(256, 1, TIED);
        struct qat_options o = rounds_to(wrong[i].type, true);
        struct qat q;
        struct error e;
        struct param *p = m.layers[0].ffn.up.weight;
        p->value[p->count - 3] = wrong[i].value;
        assert_ok(qat_init(&q, &o, &m, &m.all, NULL, &e), e);
        assert_int_equal(qat_attach(&q, &e), ERR_FORMAT);
        if (!strstr(e.message, wrong[i].words))
            fail_msg("%s: %s", wrong[i].type, e.message);
        qat_free(&q);
        /* as the message says */
        const char *advice = strstr(e.message, "--qat-tensor-type ");
        assert_true(!advice == !isfinite(wrong[i].value));
        option_strings_add(&o.types.tensor_types, advice ? advice + strlen("--qat-tensor-type ") : "blk.0.ffn_up.weight=bf16");
        assert_ok(qat_init(&q, &o, &m, &m.all, NULL, &e), e);
        assert_int_equal(qat_attach(&q, &e), isfinite(wrong[i].value) ? OK : ERR_FORMAT);
        qat_free(&q);
        option_strings_free(&o.types.tensor_types);
        model_free(&m);
    }
}

static void bad_wishes(void **state)
{
    (void)state;
    static const struct {
        const char *type, *override, *words;
    } wrong[] = {
        {"Q9_9", NULL, "--qat: there is no type \"Q9_9\""},
        {"Q4_KM", NULL, "--qat: there is no type \"Q4_KM\"; did you mean Q4_K_M?"},
        {"nvfp4", NULL, "--qat: there is no type \"nvfp4\""},
        {"q1_0", NULL, "--qat: there is no type \"q1_0\""},
        {"", NULL, "--qat: there is no type \"\""},
        {"Q4_0", "nothing=q4_0", "--qat-tensor-type nothing: no matrix of this model has that in its name"},
        {"Q4_0", "ffn_norm=q8_0", "--qat-tensor-type ffn_norm: no matrix of this model has that in its name"},
        {"Q4_0", "ffn_up=q9_0", "--qat-tensor-type: there is no type \"q9_0\"; did you mean q"},
        {"Q4_0", "ffn_up=nvfp4", "--qat-tensor-type: there is no type \"nvfp4\""},
        {"Q4_0", "ffn_up=q1_0", "--qat-tensor-type: there is no type \"q1_0\""},
        {"Q4_0", "ffn_up", "--qat-tensor-type ffn_up: expected PATTERN=TYPE, for example ffn_down=q8_0"},
        {"Q4_0", "=q8_0", "--qat-tensor-type =q8_0: expected PATTERN=TYPE"},
        {"Q4_0", "ffn_(=q8_0", "--qat-tensor-type ffn_(: "},
    };
    struct model m = wide_model(64, 1, TIED);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct qat_options o = rounds_to(wrong[i].type, false);
        struct qat q;
        struct error e;
        if (wrong[i].override)
            option_strings_add(&o.types.tensor_types, wrong[i].override);
        assert_int_equal(qat_init(&q, &o, &m, &m.all, NULL, &e), ERR_USAGE);
        if (!strstr(e.message, wrong[i].words))
            fail_msg("%s %s: %s", wrong[i].type, wrong[i].override ? wrong[i].override : "", e.message);
        qat_free(&q);
        option_strings_free(&o.types.tensor_types);
    }
    model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type),
        cmocka_unit_test(every_mix),
        cmocka_unit_test(with_importance),
        cmocka_unit_test(narrow_models),
        cmocka_unit_test(wishes_for_single_tensors),
        cmocka_unit_test(after_a_change),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(gradients_go_straight_through),
        cmocka_unit_test(integers_are_of_the_way_there),
        cmocka_unit_test(shares_of_steps),
        cmocka_unit_test(bad_weights),
        cmocka_unit_test(bad_wishes),
    };
    return cmocka_run_group_tests(tests, quiet_directory, remove_directory);
}
