/* AdamW by hand (tests/train has it against PyTorch), schedules, and the gradient norm. */
#include "base/rng.h"
#include "kernels/gemm.h"
#include "model/model.h"
#include "optim/options.h"
#include "tests/test.h"

#include <math.h>
#include <string.h>

static struct model small_model(struct arena *gradients)
{
    struct model_config c = {.vocab_size = 300, .hidden_size = 32, .intermediate_size = 96,
                             .num_hidden_layers = 2, .num_attention_heads = 4,
                             .rms_norm_eps = 1e-5, .rope_theta = 10000,
                             .initializer_range = 0.02, .tie_word_embeddings = true};
    struct model m;
    struct error e;
    struct arena plan = {0};
    assert_ok(model_init(&m, &c, &e), e);
    assert_ok(model_allocate(&m, &e), e);
    model_initialize(&m, 1);
    params_attach_gradients(&m.all, DTYPE_F32, &plan);
    assert_ok(arena_init(gradients, plan.used, "test", &e), e);
    params_attach_gradients(&m.all, DTYPE_F32, gradients);
    return m;
}

static float *gradient_of(const struct param *p)
{
    return p->grad;
}

static void fill_gradients(struct model *m, uint64_t seed)
{
    for (size_t i = 0; i < m->n_params; i++) {
        struct rng rng;
        rng_init(&rng, seed, i);
        rng_fill_normal(&rng, m->params[i].grad, m->params[i].count, 0.1f);
    }
}

static double norm_with_threads(const struct model *m, int threads)
{
    kernels_set_threads(threads);
    return gradient_norm(&m->all);
}

static void gradient_norm_is_exact_and_the_same_for_any_threads(void **state)
{
    (void)state;
    struct arena arena;
    struct model m = small_model(&arena);
    fill_gradients(&m, 5);
    double sum = 0;
    for (size_t i = 0; i < m.n_params; i++)
        for (size_t j = 0; j < m.params[i].count; j++)
            sum += pow((double)gradient_of(&m.params[i])[j], 2);
    double one = norm_with_threads(&m, 1), two = norm_with_threads(&m, 2);
    assert_true(one == two);
    assert_true(fabs(one / sqrt(sum) - 1) < 1e-12);
    gradient_of(&m.params[3])[7] = NAN;
    assert_false(isfinite(gradient_norm(&m.all)));
    gradient_of(&m.params[3])[7] = INFINITY;
    assert_false(isfinite(gradient_norm(&m.all)));
    arena_free(&arena);
    model_free(&m);
}

/* One element followed by hand in f64 through several steps. */
static void adamw_follows_its_formula(void **state)
{
    (void)state;
    struct arena arena, moments, plan = {0};
    struct model m = small_model(&arena);
    struct optimizer_settings settings = {OPTIMIZER_ADAMW, 0.9, 0.95, 1e-8, 0.1, 0, MOMENT_F32};
    struct optimizer o;
    struct error e;
    optimizer_init(&o, &settings, &m.all, &plan);
    optimizer_free(&o);
    assert_ok(arena_init(&moments, plan.used, "test", &e), e);
    optimizer_init(&o, &settings, &m.all, &moments);
    struct param *matrix = model_find(&m, "model.layers.1.mlp.gate_proj.weight"),
                 *vector = model_find(&m, "model.norm.weight");
    double w[2] = {matrix->value[9], vector->value[9]}, first[2] = {0}, second[2] = {0};
    for (int t = 1; t <= 4; t++) {
        fill_gradients(&m, 100 + (uint64_t)t);
        double lr = 1e-2 / t, scale = t == 2 ? 0.5 : 1;
        double g[2] = {gradient_of(matrix)[9] * scale, gradient_of(vector)[9] * scale};
        for (int i = 0; i < 2; i++) {
            first[i] = 0.9 * first[i] + 0.1 * g[i];
            second[i] = 0.95 * second[i] + 0.05 * g[i] * g[i];
            w[i] -= i == 0 ? lr * 0.1 * w[i] : 0;
            w[i] -= lr * first[i] / (1 - pow(0.9, t)) /
                    (sqrt(second[i] / (1 - pow(0.95, t))) + 1e-8);
        }
        optimizer_update(&o, lr, scale);
        assert_true(fabs(matrix->value[9] - w[0]) < 1e-6);
        assert_true(fabs(vector->value[9] - w[1]) < 1e-6);
        assert_true(matrix->grad_is_stale && gradient_of(vector)[9] == 0);
    }
    optimizer_free(&o);
    arena_free(&moments);
    arena_free(&arena);
    model_free(&m);
}

/* The optimiser of a model, and its memory. */
static void optimizer_on(struct optimizer *o, const struct optimizer_settings *settings, const struct model *m,
                         struct arena *moments)
{
    struct error e;
    assert_ok(arena_init(moments, optimizer_bytes(settings, &m->all), "test", &e), e);
    optimizer_init(o, settings, &m->all, moments);
    assert_int_equal(moments->used, moments->size);
}

static size_t index_of(const struct model *m, const struct param *p)
{
    for (size_t i = 0; i < m->all.count; i++)
        if (m->all.items[i] == p)
            return i;
    fail();
    return 0;
}

/* The distance between the two codes that a share of the scale may be rounded to. */
static double step_of(double share, int bits)
{
    double decade = 1;
    int fraction = bits - 1;
    while (share < 0.1 * decade && fraction > 0)
        decade /= 10, fraction--;
    return 0.9 * decade / ldexp(1, fraction);
}

/* The update is that of f64 from the moments as stored; what is stored then is theirs, to the next code. */
static void adamw_in_8_bits_follows_its_formula(void **state)
{
    (void)state;
    struct arena arena, moments;
    struct model m = small_model(&arena);
    struct optimizer_settings settings = {OPTIMIZER_ADAMW, 0.9, 0.95, 1e-8, 0.1, 0, MOMENT_8BIT};
    struct optimizer o;
    optimizer_on(&o, &settings, &m, &moments);
    struct param *p = model_find(&m, "model.embed_tokens.weight"), *small = model_find(&m, "model.norm.weight");
    size_t i = index_of(&m, p), n = p->count;
    assert_int_equal(o.m[i].type, MOMENT_8BIT);
    assert_int_equal(o.v[i].type, MOMENT_8BIT);
    assert_int_equal(o.m[index_of(&m, small)].type, MOMENT_F32);
    assert_int_equal(o.m[index_of(&m, model_find(&m, "model.layers.0.self_attn.q_proj.weight"))].type, MOMENT_F32);
    float *first = mem_alloc(n, sizeof *first), *second = mem_alloc(n, sizeof *second);
    double *want_m = mem_alloc(n, sizeof *want_m), *want_v = mem_alloc(n, sizeof *want_v);
    for (int t = 1; t <= 6; t++) {
        fill_gradients(&m, 100 + (uint64_t)t);
        double lr = 1e-2 / t;
        float *w = mem_alloc(n, sizeof *w);
        moment_to_f32(&o.m[i], MOMENT_FIRST, first, n);
        moment_to_f32(&o.v[i], MOMENT_SECOND, second, n);
        for (size_t j = 0; j < n; j++) {
            double g = gradient_of(p)[j] * 0.5;
            want_m[j] = 0.9 * first[j] + 0.1 * g;
            want_v[j] = 0.95 * second[j] + 0.05 * g * g;
            w[j] = (float)(p->value[j] * (1 - lr * 0.1) -
                           lr * want_m[j] / (1 - pow(0.9, t)) / (sqrt(want_v[j] / (1 - pow(0.95, t))) + 1e-8));
        }
        optimizer_update(&o, lr, 0.5);
        moment_to_f32(&o.m[i], MOMENT_FIRST, first, n);
        moment_to_f32(&o.v[i], MOMENT_SECOND, second, n);
        for (size_t j = 0; j < n; j++) {
            double m_scale = o.m[i].scale[j / MOMENT_BLOCK], v_scale = o.v[i].scale[j / MOMENT_BLOCK];
            double a = fabs(want_m[j]), b = sqrt(want_v[j]);
            assert_true(fabsf(p->value[j] - w[j]) < 1e-6f);
            assert_true(fabs(first[j] - want_m[j]) <= 1.001 * m_scale * step_of(a / m_scale, 7));
            assert_true(fabs(sqrt((double)second[j]) - b) <= 1.001 * v_scale * step_of(b / v_scale, 8));
        }
        mem_free(w);
    }
    mem_free(first), mem_free(second), mem_free(want_m), mem_free(want_v);
    optimizer_free(&o);
    arena_free(&moments);
    arena_free(&arena);
    model_free(&m);
}

/* Gradients that come and go, of all sizes beside each other: no weight becomes no number, and none moves further than
 * twice what no step of AdamW in exact numbers exceeds, (1 - beta1) / sqrt(1 - beta2) learning rates. */
static void adamw_in_8_bits_stays_bounded(void **state)
{
    (void)state;
    static const float sizes[] = {1, 1e-30f, 1e15f, 0, 1e-12f, 1e-3f};
    struct arena arena, moments;
    struct model m = small_model(&arena);
    struct optimizer_settings settings = {OPTIMIZER_ADAMW, 0.9, 0.999, 1e-8, 0, 0, MOMENT_8BIT};
    struct optimizer o;
    optimizer_on(&o, &settings, &m, &moments);
    struct param *p = model_find(&m, "model.embed_tokens.weight");
    float *before = mem_alloc(p->count, sizeof *before);
    for (int t = 1; t <= 300; t++) {
        fill_gradients(&m, (uint64_t)t);
        for (size_t j = 0; j < p->count; j++) {
            size_t row = j / p->cols;
            gradient_of(p)[j] *= row % 7 == 0 ? 0 : sizes[(j + row) % 6];
            gradient_of(p)[j] *= t % 50 > (int)row % 50 ? 1 : 0; /* silent for a while */
        }
        memcpy(before, p->value, p->count * sizeof *before);
        optimizer_update(&o, 1e-3, 1);
        for (size_t j = 0; j < p->count; j++)
            if (!(fabsf(p->value[j] - before[j]) <= 1e-3f * 6.4f))
                fail_msg("step %d, element %zu: moved by %g", t, j, (double)(p->value[j] - before[j]));
    }
    mem_free(before);
    optimizer_free(&o);
    arena_free(&moments);
    arena_free(&arena);
    model_free(&m);
}

static void every_type_of_moments_takes_its_memory(void **state)
{
    (void)state;
    struct arena arena;
    struct model m = small_model(&arena);
    const struct param *p = model_find(&m, "model.embed_tokens.weight"); /* the only matrix of 4096 elements or more */
    size_t bytes[3];
    for (int type = MOMENT_F32; type <= MOMENT_8BIT; type++) {
        struct optimizer_settings settings = {OPTIMIZER_ADAMW, 0.9, 0.95, 1e-8, 0.1, 0, (enum moment_type)type};
        bytes[type] = optimizer_bytes(&settings, &m.all);
    }
    size_t scales = 2 * ((p->count + 255) / 256) * sizeof(float);
    assert_true(bytes[MOMENT_F32] - bytes[MOMENT_8BIT] <= 2 * 3 * p->count - scales + 4 * ARENA_ALIGN);
    assert_true(bytes[MOMENT_F32] - bytes[MOMENT_8BIT] >= 2 * 3 * p->count - scales - 4 * ARENA_ALIGN);
    assert_true(bytes[MOMENT_BF16] < bytes[MOMENT_F32]);
    arena_free(&arena);
    model_free(&m);
}

static void schedules_pass_through_their_points(void **state)
{
    (void)state;
    struct schedule s = {.kind = SCHEDULE_COSINE, .peak = 1, .floor = 0.1, .warmup_iters = 10,
                         .decay_iters = 20, .iters = 111};
    assert_true(fabs(schedule_at(&s, 0) - 0.1) < 1e-12);
    assert_true(fabs(schedule_at(&s, 9) - 1) < 1e-12);
    assert_true(fabs(schedule_at(&s, 10) - 1) < 1e-12);
    assert_true(fabs(schedule_at(&s, 60) - 0.55) < 1e-12);
    assert_true(fabs(schedule_at(&s, 110) - 0.1) < 1e-12);
    s.kind = SCHEDULE_LINEAR;
    assert_true(fabs(schedule_at(&s, 60) - 0.55) < 1e-12);
    assert_true(fabs(schedule_at(&s, 35) - 0.775) < 1e-12);
    s.kind = SCHEDULE_CONSTANT;
    assert_true(schedule_at(&s, 110) == 1);
    s.kind = SCHEDULE_WSD;
    assert_true(schedule_at(&s, 91) == 1);
    assert_true(schedule_at(&s, 92) < 1);
    assert_true(fabs(schedule_at(&s, 110) - 0.1) < 1e-12);
    /* degenerate lengths stay within their range */
    for (int kind = SCHEDULE_COSINE; kind <= SCHEDULE_WSD; kind++) {
        for (size_t iters = 1; iters < 5; iters++) {
            struct schedule t = {.kind = (enum schedule_kind)kind, .peak = 1, .floor = 0.1,
                                 .warmup_iters = 2, .decay_iters = 9, .iters = iters};
            for (size_t i = 0; i < iters; i++) {
                double lr = schedule_at(&t, i);
                assert_true(lr >= 0.1 - 1e-12 && lr <= 1 + 1e-12);
            }
        }
    }
}

/* --- Muon --- */

/* Newton and Schulz's iteration in f64, element by element. */
static void orthogonalize_f64(double *x, size_t rows, size_t cols)
{
    size_t n = rows * cols;
    double norm = 0, *gram = mem_alloc(rows * rows, sizeof *gram), *next = mem_alloc(n, sizeof *next);
    double *polynomial = mem_alloc(rows * rows, sizeof *polynomial);
    for (size_t i = 0; i < n; i++)
        norm += x[i] * x[i];
    for (size_t i = 0; i < n; i++)
        x[i] /= sqrt(norm);
    for (int step = 0; step < 5; step++) {
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < rows; j++) {
                gram[i * rows + j] = 0;
                for (size_t k = 0; k < cols; k++)
                    gram[i * rows + j] += x[i * cols + k] * x[j * cols + k];
            }
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < rows; j++) {
                double square = 0;
                for (size_t k = 0; k < rows; k++)
                    square += gram[i * rows + k] * gram[k * rows + j];
                polynomial[i * rows + j] = -4.7750 * gram[i * rows + j] + 2.0315 * square;
            }
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < cols; j++) {
                next[i * cols + j] = 3.4445 * x[i * cols + j];
                for (size_t k = 0; k < rows; k++)
                    next[i * cols + j] += polynomial[i * rows + k] * x[k * cols + j];
            }
        memcpy(x, next, n * sizeof *x);
    }
    mem_free(gram);
    mem_free(next);
    mem_free(polynomial);
}

static void muon_orthogonalizes(void **state)
{
    (void)state;
    static const size_t shapes[][2] = {{1, 1}, {1, 5}, {5, 1}, {8, 8}, {6, 20}, {20, 6}, {33, 70}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        size_t rows = shapes[s][0], cols = shapes[s][1], n = rows * cols;
        float *x = mem_alloc(n, sizeof *x);
        float *scratch = mem_alloc(muon_scratch(rows, cols), sizeof *scratch);
        double *want = mem_alloc(n, sizeof *want); /* wide: of the transpose, when x is tall */
        struct rng rng;
        rng_init(&rng, s, 3);
        rng_fill_normal(&rng, x, n, 3);
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < cols; j++)
                want[rows <= cols ? i * cols + j : j * rows + i] = x[i * cols + j];
        orthogonalize_f64(want, rows <= cols ? rows : cols, rows <= cols ? cols : rows);
        muon_orthogonalize(x, rows, cols, scratch);
        double squares = 0;
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < cols; j++) {
                double w = want[rows <= cols ? i * cols + j : j * rows + i];
                assert_true(fabs(x[i * cols + j] - w) < 1e-4);
                squares += w * w;
            }
        /* the mean square of the singular values */
        double mean = squares / (double)(rows < cols ? rows : cols);
        assert_true(mean > 0.4 && mean < 1.5);
        memset(x, 0, n * sizeof *x);
        muon_orthogonalize(x, rows, cols, scratch);
        for (size_t i = 0; i < n; i++)
            assert_true(x[i] == 0);
        mem_free(x);
        mem_free(scratch);
        mem_free(want);
    }
}

/* Two steps on one matrix, followed in f64; the rest of the model moves as under AdamW. */
static void muon_follows_its_formula(void **state)
{
    (void)state;
    struct arena arena, moments, plan = {0};
    struct model m = small_model(&arena);
    struct optimizer_settings settings = {OPTIMIZER_MUON, 0.9, 0.95, 1e-8, 0.1, 0.95, MOMENT_F32};
    struct optimizer o;
    struct error e;
    optimizer_init(&o, &settings, &m.all, &plan);
    optimizer_free(&o);
    assert_int_equal(plan.used, optimizer_bytes(&settings, &m.all));
    assert_ok(arena_init(&moments, plan.used, "test", &e), e);
    optimizer_init(&o, &settings, &m.all, &moments);
    assert_int_equal(moments.used, plan.used);
    struct param *p = model_find(&m, "model.layers.1.self_attn.k_proj.weight"),
                 *vector = model_find(&m, "model.norm.weight");
    assert_true(p->rows <= p->cols);
    double *w = mem_alloc(p->count, sizeof *w), *mean = mem_zero(p->count, sizeof *mean),
           *u = mem_alloc(p->count, sizeof *u);
    for (size_t i = 0; i < p->count; i++)
        w[i] = p->value[i];
    for (int t = 1; t <= 2; t++) {
        fill_gradients(&m, 100 + (uint64_t)t);
        float before = vector->value[2], sign = gradient_of(vector)[2] > 0 ? 1 : -1;
        for (size_t i = 0; i < p->count; i++) {
            mean[i] = 0.95 * mean[i] + 0.05 * 0.5 * gradient_of(p)[i];
            u[i] = 0.95 * mean[i] + 0.05 * 0.5 * gradient_of(p)[i];
        }
        orthogonalize_f64(u, p->rows, p->cols);
        for (size_t i = 0; i < p->count; i++)
            w[i] = w[i] * (1 - 0.01 * 0.1) - 0.01 * 0.2 * sqrt((double)p->cols) * u[i];
        optimizer_update(&o, 0.01, 0.5);
        assert_true(p->grad_is_stale);
        for (size_t i = 0; i < p->count; i++)
            assert_true(fabs(p->value[i] - w[i]) < 1e-5);
        if (t == 1)
            assert_true(fabs(vector->value[2] - (before - 0.01 * sign)) < 1e-6);
    }
    mem_free(w);
    mem_free(mean);
    mem_free(u);
    optimizer_free(&o);
    arena_free(&moments);
    arena_free(&arena);
    model_free(&m);
}

int main(void)
{
    kernels_set_threads(2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradient_norm_is_exact_and_the_same_for_any_threads),
        cmocka_unit_test(adamw_follows_its_formula),
        cmocka_unit_test(adamw_in_8_bits_follows_its_formula),
        cmocka_unit_test(adamw_in_8_bits_stays_bounded),
        cmocka_unit_test(every_type_of_moments_takes_its_memory),
        cmocka_unit_test(muon_orthogonalizes),
        cmocka_unit_test(muon_follows_its_formula),
        cmocka_unit_test(schedules_pass_through_their_points),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
