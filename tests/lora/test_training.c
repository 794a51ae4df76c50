/* What trains: gradients of pairs, magnitudes and whole parameters against slopes, through dropout, tied and untied output
 * layers, other adapters and recomputed blocks; and what PiSSA begins as. */
#include "kernels/linear_loss.h"
#include "lora/options.h"
#include "lora/svd.h"
#include "tests/infer/util.h"
#include "tests/model/architectures.h"
#include "tests/model/rig.h"

enum { VOCAB = 256, ROWS = 2, LENGTH = 12 };

static const struct example *example(const char *name)
{
    for (size_t i = 0; i < N_EXAMPLES; i++)
        if (strcmp(examples[i].name, name) == 0)
            return &examples[i];
    fail_msg("no example %s", name);
    return NULL;
}

struct bench {
    struct rig rig;
    struct lora_adapter adapter;
    struct arena gradients;
};

static struct lora_options options(size_t rank)
{
    return (struct lora_options){.rank = rank, .alpha = 3, .lora_plus_ratio = 1};
}

static void give(struct option_strings *s, const char *const *items)
{
    for (; *items; items++)
        option_strings_add(s, *items);
}

static void free_options(struct lora_options *o)
{
    option_strings_free(&o->target_modules);
    option_strings_free(&o->rank_pattern);
    option_strings_free(&o->alpha_pattern);
    option_strings_free(&o->train_in_full);
}

static void attach_gradients(struct bench *b)
{
    struct arena plan = {0};
    struct error e;
    params_attach_gradients(&b->adapter.all, DTYPE_F32, &plan);
    assert_ok(arena_init(&b->gradients, plan.used, "test", &e), e);
    params_attach_gradients(&b->adapter.all, DTYPE_F32, &b->gradients);
}

/* B and magnitudes away from where they begin. */
static void disturb(struct lora_adapter *a, uint64_t seed)
{
    struct rng r;
    rng_init(&r, seed, 9);
    for (size_t i = 0; i < a->n_pairs; i++) {
        struct lora_pair *p = &a->pairs[i];
        for (size_t j = 0; j < p->b->count; j++)
            p->b->value[j] += (float)(0.2 * rng_uniform(&r) - 0.1);
        for (size_t j = 0; p->magnitude && j < p->magnitude->count; j++)
            p->magnitude->value[j] *= (float)(0.7 + 0.6 * rng_uniform(&r));
    }
    lora_changed(a);
}

static void open_bench(struct bench *b, const char *name, struct lora_options *o)
{
    struct model_config c;
    struct error e = {0};
    assert_ok(example_config(example(name), VOCAB, &c, &e), e);
    rig_init(&b->rig, &c, ROWS, LENGTH);
    example_weights(&b->rig.model, 7);
    random_batch(&b->rig.batch, VOCAB, 4);
    assert_ok(lora_create(o, &b->rig.model, 5, &b->adapter, &e), e);
    b->adapter.dropout = o->dropout;
    attach_gradients(b);
    lora_attach(&b->adapter);
    free_options(o);
}

static void close_bench(struct bench *b)
{
    if (b->adapter.attached)
        lora_detach(&b->adapter);
    lora_free(&b->adapter);
    arena_free(&b->gradients);
    rig_free(&b->rig);
}

static void step(struct bench *b)
{
    params_clear_gradients(&b->adapter.all);
    rig_step(&b->rig, 0);
}

/* No gradient goes through DoRA's norms: slopes are those at norms that stay. */
static void hold_norms(struct lora_adapter *a)
{
    for (size_t i = 0; i < a->n_pairs; i++)
        a->pairs[i].norm_is_known = true;
}

static void check_slopes(struct bench *b, const char *what)
{
    struct param_list *all = &b->adapter.all;
    size_t checked = 0;
    step(b);
    hold_norms(&b->adapter);
    for (size_t i = 0; i < all->count; i++) {
        struct param *p = all->items[i];
        double norm = 0;
        for (size_t j = 0; j < p->count; j++)
            norm += pow((double)((float *)p->grad)[j], 2);
        if (sqrt(norm) < 2e-3) /* too flat for differences of f32 */
            continue;
        double error = slope_error(&b->rig, p, 0, 0.02);
        if (!(error < 1e-2))
            fail_msg("%s: %s: the gradient is %.2g of itself off", what, p->name, error);
        checked++;
    }
    if (2 * checked < all->count)
        fail_msg("%s: only %zu of %zu parameters have slopes to speak of", what, checked, all->count);
}

static const char *const attention_and_head[] = {"q_proj", "v_proj", "o_proj", "down_proj", "lm_head", NULL};

static void slopes_of(const char *name, bool dora, double dropout, bool checkpoint, float strength)
{
    struct bench b = {.rig.checkpoint = checkpoint};
    struct lora_options o = options(3);
    o.use_dora = dora;
    o.dropout = dropout;
    give(&o.target_modules, attention_and_head);
    open_bench(&b, name, &o);
    disturb(&b.adapter, 3);
    b.adapter.strength = strength;
    b.rig.model.dropout_seed = 77;
    check_slopes(&b, name);
    close_bench(&b);
}

static void gradients_of_lora(void **state)
{
    (void)state;
    slopes_of("llama", false, 0, false, 1); /* the output layer is the embedding */
    slopes_of("mistral", false, 0.3, false, 1);
    slopes_of("gemma2", false, 0, true, 0.5f); /* its logits are capped */
    slopes_of("granite", false, 0.2, true, 1);
}

static void gradients_of_dora(void **state)
{
    (void)state;
    slopes_of("llama", true, 0, false, 1);
    slopes_of("qwen2", true, 0.3, false, 1); /* with biases */
    slopes_of("mistral", true, 0, true, 0.6f);
    slopes_of("phi4-mini", true, 0.2, true, 1); /* q and v share A */
    slopes_of("gemma2", true, 0, false, 1);
}

/* After an update of B the next pass has other norms, without being told. */
static void norms_follow_training(void **state)
{
    (void)state;
    struct bench b = {0};
    struct lora_options o = options(2);
    o.use_dora = true;
    open_bench(&b, "llama", &o);
    disturb(&b.adapter, 3);
    step(&b);
    struct param *p = b.adapter.pairs[3].b;
    for (size_t i = 0; i < p->count; i++)
        p->value[i] += 0.3f;
    hold_norms(&b.adapter);
    double stale = rig_loss(&b.rig, 0);
    for (size_t i = 0; i < p->count; i++)
        p->value[i] -= 0.3f;
    step(&b);
    for (size_t i = 0; i < p->count; i++)
        p->value[i] += 0.3f;
    double fresh = rig_loss(&b.rig, 0);
    lora_changed(&b.adapter);
    assert_true(fresh == rig_loss(&b.rig, 0) && fresh != stale);
    close_bench(&b);
}

/* An expert that a step sends nothing to has the gradient 0, and not what is left of the step before; and new norms, for
 * momentum moves it all the same. */
static void no_rows_no_gradient(void **state)
{
    (void)state;
    struct bench b = {0};
    struct lora_options o = options(2);
    size_t n_experts = 0;
    o.use_dora = true;
    open_bench(&b, "mixtral", &o);
    disturb(&b.adapter, 3);
    step(&b);
    params_clear_gradients(&b.adapter.all);
    for (size_t i = 0; i < b.adapter.n_pairs; i++) {
        struct lora_pair *p = &b.adapter.pairs[i];
        float nothing[1] = {0};
        if (p->linear->weight->expert < 0)
            continue;
        for (size_t j = 0; j < p->b->count; j++)
            ((float *)p->b->grad)[j] = 1;
        for (size_t j = 0; j < p->a->count; j++)
            ((float *)p->a->grad)[j] = 1;
        p->norm_is_known = true;
        linear_backward(p->linear, NULL, DTYPE_F32, false, nothing, nothing, DTYPE_F32, 0);
        for (size_t j = 0; j < p->b->count; j++)
            assert_true(((float *)p->b->grad)[j] == 0);
        for (size_t j = 0; j < p->a->count; j++)
            assert_true(((float *)p->a->grad)[j] == 0);
        assert_false(p->norm_is_known);
        n_experts++;
    }
    assert_int_equal(n_experts, 4 * 6 * 3);
    close_bench(&b);
}

/* What a plan of memory counts is what there is after a step: to the float, for nothing is taken in vain. */
static void scratch_is_foretold(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct bench b = {0};
        struct lora_options o = options(3);
        o.use_dora = i & 1;
        o.dropout = i & 2 ? 0.2 : 0;
        give(&o.target_modules, (const char *const[]){"q_proj", "v_proj", "down_proj", NULL});
        open_bench(&b, "mistral", &o);
        b.rig.model.dropout_seed = 3;
        step(&b);
        const struct lora_adapter *a = &b.adapter;
        assert_int_equal((a->low_size + a->work_size + a->tile_size) * sizeof(float), lora_scratch_bytes(a, ROWS * LENGTH));
        assert_int_equal(a->work_size > 0, i > 0);
        close_bench(&b);
    }
    struct bench b = {0};
    struct lora_options o = options(3);
    o.use_dora = true;
    give(&o.target_modules, (const char *const[]){"lm_head", NULL});
    open_bench(&b, "mistral", &o); /* of an output layer there are never more rows than the loss takes at a time */
    size_t rows = linear_loss_rows(1000000, VOCAB);
    assert_true(rows < 1000000);
    assert_int_equal(lora_scratch_bytes(&b.adapter, 1000000), lora_scratch_bytes(&b.adapter, rows));
    close_bench(&b);
}

/* Two on each other: the lower finds no product alone in y. */
static void dora_on_dora(void **state)
{
    (void)state;
    struct bench b = {0};
    struct lora_options o = options(2), other = options(3);
    struct lora_adapter below;
    struct error e = {0};
    other.use_dora = o.use_dora = true;
    open_bench(&b, "qwen2", &o);
    lora_detach(&b.adapter);
    assert_ok(lora_create(&other, &b.rig.model, 8, &below, &e), e);
    disturb(&below, 1);
    disturb(&b.adapter, 2);
    lora_attach(&below);
    lora_attach(&b.adapter);
    double one = rig_loss(&b.rig, 0);
    step(&b);
    hold_norms(&b.adapter);
    for (size_t i = 0; i < b.adapter.all.count && i < 30; i++) {
        double error = slope_error(&b.rig, b.adapter.all.items[i], 0, 0.02);
        if (!(error < 1e-2))
            fail_msg("%s: the gradient is %.2g of itself off", b.adapter.all.items[i]->name, error);
    }
    lora_detach(&b.adapter);
    lora_detach(&below);
    lora_attach(&b.adapter);
    lora_attach(&below);
    double two = rig_loss(&b.rig, 0);
    assert_true(fabs(one - two) < 1e-5 * one); /* their sum, in any order */
    lora_detach(&below);
    assert_true(fabs(rig_loss(&b.rig, 0) - one) > 1e-4 * one);
    lora_free(&below);
    close_bench(&b);
}

static float *all_gradients(struct bench *b, size_t *n)
{
    *n = b->adapter.n_values;
    float *all = mem_alloc(*n, sizeof *all);
    size_t at = 0;
    for (size_t i = 0; i < b->adapter.all.count; i++) {
        const struct param *p = b->adapter.all.items[i];
        memcpy(all + at, p->grad, p->count * sizeof *all);
        at += p->count;
    }
    assert_int_equal(at, *n);
    return all;
}

/* A run whose blocks are computed again has the same bits, dropout and all; another seed has others; none, as if there
 * were no dropout. */
static void dropout_is_a_function_of_its_seed(void **state)
{
    (void)state;
    float *gradients[4];
    double losses[4];
    size_t n = 0;
    for (size_t i = 0; i < 4; i++) {
        struct bench b = {.rig.checkpoint = i == 1};
        struct lora_options o = options(4);
        o.use_dora = true;
        o.dropout = 0.25;
        open_bench(&b, "mistral", &o);
        disturb(&b.adapter, 3);
        b.rig.model.dropout_seed = i == 2 ? 6 : i == 3 ? 0 : 5;
        step(&b);
        losses[i] = rig_loss(&b.rig, 0);
        gradients[i] = all_gradients(&b, &n);
        if (i == 3) {
            b.adapter.dropout = 0;
            b.rig.model.dropout_seed = 5;
            assert_true(rig_loss(&b.rig, 0) == losses[3]);
        }
        close_bench(&b);
    }
    assert_memory_equal(gradients[0], gradients[1], n * sizeof(float));
    assert_true(losses[0] == losses[1] && losses[0] != losses[2] && losses[0] != losses[3]);
    assert_memory_not_equal(gradients[0], gradients[2], n * sizeof(float));
    for (size_t i = 0; i < 4; i++)
        mem_free(gradients[i]);
}

/* On average over many masks, what dropout gives is what there is without it. */
static void dropout_keeps_the_mean(void **state)
{
    (void)state;
    enum { MASKS = 4000 };
    struct bench b = {0};
    struct lora_options o = options(2);
    o.dropout = 0.4;
    open_bench(&b, "llama", &o);
    disturb(&b.adapter, 3);
    const struct linear *l = &b.rig.model.layers[1].ffn.up;
    size_t in = l->weight->cols, out = l->weight->rows;
    float *x = mem_alloc(in, sizeof *x), *y = mem_alloc(out, sizeof *y), *plain = mem_alloc(out, sizeof *y);
    double *sum = mem_zero(out, sizeof *sum), largest = 0, worst = 0;
    struct rng r;
    rng_init(&r, 1, 2);
    rng_fill_normal(&r, x, in, 1);
    linear_forward(l, plain, DTYPE_F32, x, DTYPE_F32, 1);
    for (uint64_t i = 1; i <= MASKS; i++) {
        b.rig.model.dropout_seed = i;
        linear_forward(l, y, DTYPE_F32, x, DTYPE_F32, 1);
        for (size_t j = 0; j < out; j++)
            sum[j] += y[j];
    }
    for (size_t j = 0; j < out; j++) {
        largest = fmax(largest, fabs(plain[j]));
        worst = fmax(worst, fabs(sum[j] / MASKS - plain[j]));
    }
    assert_true(worst < 0.05 * largest);
    mem_free(x), mem_free(y), mem_free(plain), mem_free(sum);
    close_bench(&b);
}

/* In bf16 gradients are those of f32 but for rounding. */
static void products_in_bf16(void **state)
{
    (void)state;
    for (int dora = 0; dora < 2; dora++) {
        float *gradients[2];
        size_t n = 0;
        for (size_t i = 0; i < 2; i++) {
            struct bench b = {.rig.type = i ? DTYPE_BF16 : DTYPE_F32};
            struct lora_options o = options(4);
            o.use_dora = dora;
            o.dropout = 0.1;
            give(&o.target_modules, attention_and_head);
            open_bench(&b, "mistral", &o);
            disturb(&b.adapter, 3);
            b.rig.model.dropout_seed = 3;
            step(&b);
            gradients[i] = all_gradients(&b, &n);
            model_join(&b.rig.model);
            close_bench(&b);
        }
        double xy = 0, xx = 0, yy = 0;
        for (size_t i = 0; i < n; i++) {
            xy += (double)gradients[0][i] * gradients[1][i];
            xx += (double)gradients[0][i] * gradients[0][i];
            yy += (double)gradients[1][i] * gradients[1][i];
        }
        if (!(xy / sqrt(xx * yy) > 0.999) || !(fabs(xx / yy - 1) < 0.05))
            fail_msg("the cosine is %g, the ratio %g", xy / sqrt(xx * yy), xx / yy);
        mem_free(gradients[0]), mem_free(gradients[1]);
    }
}

/* --- whole parameters --- */

static void whole_parameters(void **state)
{
    (void)state;
    static const char *const modules[] = {"embed_tokens", "norm", NULL};
    struct bench b = {0};
    struct lora_options o = options(2);
    give(&o.train_in_full, modules);
    open_bench(&b, "llama", &o);
    struct model *m = &b.rig.model;
    assert_int_equal(b.adapter.n_wholes, 2 * 4 + 2);
    disturb(&b.adapter, 3);
    check_slopes(&b, "llama");
    lora_detach(&b.adapter);
    double plain = rig_loss(&b.rig, 0);
    float kept = m->output_norm.weight->value[3];
    lora_attach(&b.adapter);
    m->output_norm.weight->value[3] += 1; /* the adapter's */
    m->token_embd->value[5] += 1;
    assert_true(rig_loss(&b.rig, 0) != plain);
    assert_true(lora_whole_values(&b.adapter, m->output_norm.weight)[3] == kept + 1);
    lora_detach(&b.adapter);
    assert_true(lora_whole_values(&b.adapter, m->output_norm.weight)[3] == kept + 1);
    assert_null(lora_whole_values(&b.adapter, m->layers[0].q.weight));
    assert_true(m->output_norm.weight->value[3] == kept && rig_loss(&b.rig, 0) == plain);
    close_bench(&b);
}

/* --- PiSSA --- */

static void pissa_begins_as_the_model(void **state)
{
    (void)state;
    static const char *const names[] = {"llama", "phi4-mini"};
    for (size_t i = 0; i < 2; i++) {
        struct bench b = {0};
        struct lora_options o = options(4);
        o.init = LORA_INIT_PISSA;
        o.use_rslora = true;
        open_bench(&b, names[i], &o);
        struct lora_pair *p = &b.adapter.pairs[0];
        assert_memory_equal(p->a->value, p->start_a, p->a->count * sizeof(float));
        double started = rig_loss(&b.rig, 0);
        lora_detach(&b.adapter);
        double plain = rig_loss(&b.rig, 0);
        lora_attach(&b.adapter);
        assert_true(fabs(started - plain) < 1e-5 * plain);
        disturb(&b.adapter, 3);
        assert_true(fabs(rig_loss(&b.rig, 0) - plain) > 1e-3 * plain);
        check_slopes(&b, names[i]);
        close_bench(&b);
    }
}

/* scale B A is the nearest of its rank: what is left has the other singular values, which an exact method gives. */
static void pissa_takes_the_largest(void **state)
{
    (void)state;
    enum { RANK = 4 };
    struct bench b = {0};
    struct lora_options o = options(RANK);
    o.init = LORA_INIT_PISSA;
    open_bench(&b, "llama", &o);
    struct lora_pair *p = &b.adapter.pairs[1];
    const struct param *w = p->linear->weight;
    size_t rows = w->rows, cols = w->cols;
    double *gram = mem_zero(rows * rows, sizeof *gram), *values = mem_alloc(rows, sizeof *values),
           *vectors = mem_alloc(rows * rows, sizeof *vectors), rest = 0, want = 0;
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < rows; j++)
            for (size_t k = 0; k < cols; k++)
                gram[i * rows + j] += (double)w->value[i * cols + k] * w->value[j * cols + k];
    symmetric_eigen(gram, rows, values, vectors);
    for (size_t i = RANK; i < rows; i++)
        want += values[i];
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < cols; k++) {
            double left = w->value[i * cols + k];
            for (size_t r = 0; r < RANK; r++)
                left -= (double)p->scale * p->b->value[i * RANK + r] * p->a->value[r * cols + k];
            rest += left * left;
        }
    if (!(fabs(rest / want - 1) < 1e-3))
        fail_msg("what is left is %g, the least %g", rest, want);
    assert_true(rest > want * (1 - 1e-5));
    mem_free(gram), mem_free(values), mem_free(vectors);
    close_bench(&b);
}

/* Of a matrix made with known ones, in f32 and in two parts; and one of rank 2. */
static void singular_values(void **state)
{
    (void)state;
    enum { M = 40, N = 30, K = 6 };
    float w[M * N] = {0}, x[M], y[N], sigma[K], u[K * M], v[K * N];
    struct rng r;
    rng_init(&r, 5, 5);
    float vectors_u[8][M], vectors_v[8][N];
    for (int i = 0; i < 8; i++) { /* orthonormal by Gram and Schmidt */
        rng_fill_normal(&r, x, M, 1), rng_fill_normal(&r, y, N, 1);
        for (int j = 0; j < i; j++) {
            double a = 0, b = 0;
            for (int k = 0; k < M; k++) a += (double)x[k] * vectors_u[j][k];
            for (int k = 0; k < N; k++) b += (double)y[k] * vectors_v[j][k];
            for (int k = 0; k < M; k++) x[k] -= (float)a * vectors_u[j][k];
            for (int k = 0; k < N; k++) y[k] -= (float)b * vectors_v[j][k];
        }
        double a = 0, b = 0;
        for (int k = 0; k < M; k++) a += (double)x[k] * x[k];
        for (int k = 0; k < N; k++) b += (double)y[k] * y[k];
        for (int k = 0; k < M; k++) vectors_u[i][k] = x[k] / (float)sqrt(a);
        for (int k = 0; k < N; k++) vectors_v[i][k] = y[k] / (float)sqrt(b);
    }
    for (int rank = 2; rank <= 8; rank += 6) {
        memset(w, 0, sizeof w);
        for (int i = 0; i < rank; i++)
            for (int j = 0; j < M * N; j++)
                w[j] += (float)(10 - i) * vectors_u[i][j / N] * vectors_v[i][j % N];
        struct svd_part parts[2] = {{{w, N, DTYPE_F32, false, false}, 15}, {{w + 15 * N, N, DTYPE_F32, false, false}, M - 15}};
        svd_largest(parts, 2, N, K, 1, sigma, u, v);
        for (int i = 0; i < K; i++) {
            double a = 0, b = 0;
            for (int k = 0; k < M; k++) a += (double)u[i * M + k] * vectors_u[i][k];
            for (int k = 0; k < N; k++) b += (double)v[i * N + k] * vectors_v[i][k];
            assert_true(fabs(sigma[i] - (i < rank ? 10 - i : 0)) < 1e-4);
            assert_true(fabs(a * b - (i < rank ? 1 : 0)) < 1e-4); /* the signs go together */
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_lora),
        cmocka_unit_test(gradients_of_dora),
        cmocka_unit_test(norms_follow_training),
        cmocka_unit_test(no_rows_no_gradient),
        cmocka_unit_test(scratch_is_foretold),
        cmocka_unit_test(dora_on_dora),
        cmocka_unit_test(dropout_is_a_function_of_its_seed),
        cmocka_unit_test(dropout_keeps_the_mean),
        cmocka_unit_test(products_in_bf16),
        cmocka_unit_test(whole_parameters),
        cmocka_unit_test(pissa_begins_as_the_model),
        cmocka_unit_test(pissa_takes_the_largest),
        cmocka_unit_test(singular_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
