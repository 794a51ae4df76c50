/* The fused output layer and loss against an f64 reference and its finite differences. */
#include "kernels/cross_entropy.h"

#include "tests/kernels/stored.h"

#define LAYER(V, C, W, LD, DW)                                                                     \
    (struct output_layer) { .v = V, .c = C, .w = W, .ld = LD, .dw = DW, .dw_beta = 1 }

struct problem {
    size_t n, c, v;
    float *hidden, *w;
    int32_t *targets;
};

/* What an output layer can do beside the product. */
static const struct form {
    const char *name;
    float logit_scale, softcap;
    bool bias;
} forms[] = {
    {"plain", 0, 0, false},     {"scaled", 0.3f, 0, false},         {"capped", 0, 2, false},
    {"with a bias", 1, 0, true}, {"all of them", 1.7f, 3.5f, true},
};
enum { N_FORMS = sizeof forms / sizeof *forms };

struct reference {
    double *hidden, *w, *logits;
    const struct problem *p;
    double scale;
    const struct form *form; /* NULL: plain */
    double *b;
};

static struct problem make_problem(size_t n, size_t c, size_t v)
{
    struct problem p = {n,
                        c,
                        v,
                        normals(n * c, 1, 1),
                        normals(v * c, 2 / sqrtf((float)c), 2),
                        mem_alloc(n, sizeof(int32_t))};
    for (size_t i = 0; i < n; i++)
        p.targets[i] = i % 5 == 3 ? -1 - (int32_t)(i % 2) * 99 : (int32_t)(i * i % v);
    return p;
}

/* dw_beta 0 writes, whatever was there, and also where no row has a target. */
static void a_gradient_is_written_or_added_to(void **state)
{
    (void)state;
    enum { N = 9, C = 8, V = 40 };
    for_each_level(level)
    {
        float *hidden = normals(N * C, 1, 1), *w = normals(V * C, 1, 2), *dhidden = floats(N * C);
        float *scratch = floats(linear_loss_scratch(N, C, V));
        float *written = floats(V * C), *added = zeros(V * C);
        for (int masked = 0; masked < 2; masked++) {
            int32_t targets[N];
            for (int i = 0; i < N; i++)
                targets[i] = masked ? -1 : i * 3;
            for (size_t i = 0; i < V * C; i++)
                written[i] = NAN, added[i] = 0;
            struct output_layer layer = {.v = V, .c = C, .w = w, .ld = C, .dw = written};
            linear_cross_entropy(&layer, DTYPE_F32, hidden, targets, 1, NULL, dhidden, N, scratch);
            layer.dw = added, layer.dw_beta = 1;
            linear_cross_entropy(&layer, DTYPE_F32, hidden, targets, 1, NULL, dhidden, N, scratch);
            assert_memory_equal(written, added, V * C * sizeof *written);
        }
        done_with(hidden, N * C), done_with(w, V * C), done_with(dhidden, N * C);
        done_with(scratch, linear_loss_scratch(N, C, V));
        done_with(written, V * C), done_with(added, V * C);
    }
}

static void free_problem(struct problem *p)
{
    done_with(p->hidden, p->n * p->c), done_with(p->w, p->v * p->c);
    mem_free(p->targets);
}

static double adjusted(const struct form *f, double logit, double bias)
{
    logit += f->bias ? bias : 0;
    logit *= f->logit_scale != 0 ? (double)f->logit_scale : 1;
    return f->softcap > 0 ? (double)f->softcap * tanh(logit / (double)f->softcap) : logit;
}

static double reference_row(struct reference *r, size_t i)
{
    const struct problem *p = r->p;
    double max = -INFINITY, sum = 0;
    if (p->targets[i] < 0)
        return 0;
    for (size_t j = 0; j < p->v; j++) {
        r->logits[j] = 0;
        for (size_t l = 0; l < p->c; l++)
            r->logits[j] += r->hidden[i * p->c + l] * r->w[j * p->c + l];
        if (r->form)
            r->logits[j] = adjusted(r->form, r->logits[j], r->b[j]);
        max = fmax(max, r->logits[j]);
    }
    for (size_t j = 0; j < p->v; j++)
        sum += exp(r->logits[j] - max);
    return max + log(sum) - r->logits[p->targets[i]];
}

static double reference_loss(void *context)
{
    struct reference *r = context;
    double loss = 0;
    for (size_t i = 0; i < r->p->n; i++)
        loss += reference_row(r, i);
    return loss * r->scale;
}

static void matches_reference(const struct form *form, size_t n, size_t c, size_t v)
{
    struct problem p = make_problem(n, c, v);
    size_t n_checked = form->bias || form->softcap > 0 || form->logit_scale > 0 ? 10 : 40;
    float scale = 0.37f, *b = normals(v, 1, 3);
    struct output_layer layer = {.v = v, .c = c, .w = p.w, .ld = c, .bias = form->bias ? b : NULL,
                                 .logit_scale = form->logit_scale, .softcap = form->softcap};
    struct reference r = {as_f64(p.hidden, n * c), as_f64(p.w, v * c), mem_alloc(v, sizeof(double)),
                          &p, (double)scale, form, as_f64(b, v)};
    double want = reference_loss(&r) / r.scale;
    size_t n_scratch = linear_loss_scratch(n, c, v);
    for_each_level(level)
    {
        float *scratch = floats(n_scratch), *row_loss = floats(n);
        float *dhidden = floats(n * c), *dw = floats(v * c), *db = floats(v);
        layer.dw = dw, layer.dbias = form->bias ? db : NULL, layer.dw_beta = 0; /* NaN is written over */
        double loss = linear_cross_entropy(&layer, DTYPE_F32, p.hidden, p.targets, scale, row_loss,
                                           dhidden, n, scratch);
        assert_within(fabs(loss - want) / fmax(fabs(want), 1), 5e-7, "loss, %s, %zu x %zu x %zu",
                      form->name, n, c, v);
        for (size_t i = 0; i < n; i++) {
            assert_within(fabs(row_loss[i] - reference_row(&r, i)), 5e-6, "loss of row %zu", i);
            for (size_t j = 0; j < c; j++)
                assert_true(p.targets[i] >= 0 || dhidden[i * c + j] == 0);
        }
        assert_within(gradcheck_f64(reference_loss, &r, r.hidden, dhidden, n * c, n_checked, 1e-4), 1e-5,
                      "dhidden, %s, %zu x %zu x %zu", form->name, n, c, v);
        assert_within(gradcheck_f64(reference_loss, &r, r.w, dw, v * c, n_checked, 1e-4), 1e-5,
                      "dw, %s, %zu x %zu x %zu", form->name, n, c, v);
        if (form->bias)
            assert_within(gradcheck_f64(reference_loss, &r, r.b, db, v, n_checked, 1e-4), 1e-5,
                          "dbias, %s, %zu x %zu x %zu", form->name, n, c, v);
        /* the loss alone, and the gradient of hidden alone */
        layer.dw = layer.dbias = NULL;
        double again = linear_cross_entropy(&layer, DTYPE_F32, p.hidden, p.targets, scale, NULL,
                                            NULL, n, scratch);
        assert_true(again == loss);
        float *dhidden2 = floats(n * c);
        again = linear_cross_entropy(&layer, DTYPE_F32, p.hidden, p.targets, scale, NULL, dhidden2,
                                     n, scratch);
        assert_true(again == loss);
        assert_memory_equal(dhidden2, dhidden, n * c * sizeof *dhidden);
        done_with(scratch, n_scratch), done_with(row_loss, n), done_with(dhidden, n * c);
        done_with(dhidden2, n * c), done_with(dw, v * c), done_with(db, v);
    }
    mem_free(r.hidden), mem_free(r.w), mem_free(r.logits), mem_free(r.b);
    done_with(b, v);
    free_problem(&p);
}

static void matches_finite_differences(void **state)
{
    (void)state;
    static const size_t sizes[][3] = {{1, 1, 1},   {1, 3, 2},    {5, 17, 127},
                                      {64, 8, 33}, {40, 32, 64}, {23, 64, 300}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t f = 0; f < N_FORMS; f++)
            matches_reference(&forms[f], sizes[i][0], sizes[i][1], sizes[i][2]);
}

/* Of one row and of several, wider than the pieces that threads share. */
static void logits_alone(void **state)
{
    (void)state;
    enum { C = 9, V = 20011 };
    for_each_level(level)
    {
        for (size_t f = 0; f < N_FORMS; f++) {
            for (size_t n = 1; n < 4; n += 2) {
                struct problem p = make_problem(n, C, V);
                float *b = normals(V, 1, 3), *logits = floats(n * V);
                struct output_layer layer = {
                    .v = V, .c = C, .w = p.w, .ld = C, .bias = forms[f].bias ? b : NULL,
                    .logit_scale = forms[f].logit_scale, .softcap = forms[f].softcap};
                output_logits(&layer, DTYPE_F32, p.hidden, logits, n);
                double *want = mem_zero(n * V, sizeof *want);
                for (size_t i = 0; i < n * V; i++) {
                    for (size_t l = 0; l < C; l++)
                        want[i] += (double)p.hidden[i / V * C + l] * (double)p.w[i % V * C + l];
                    want[i] = adjusted(&forms[f], want[i], (double)b[i % V]);
                }
                assert_within(distance_f64(logits, want, n * V), 2e-6, "%s", forms[f].name);
                mem_free(want);
                done_with(b, V), done_with(logits, n * V);
                free_problem(&p);
            }
        }
    }
}

/* The same loss and gradient as with the weights in f32, but for the order of sums. */
static void weights_of_every_stored_type(void **state)
{
    (void)state;
    enum { N = 70, C = 256, V = 300 };
    struct problem p = make_problem(N, C, V);
    size_t n_scratch = linear_loss_scratch(N, C, V);
    float *scratch = floats(n_scratch), *dhidden = floats(N * C), *dhidden2 = floats(N * C);
    for_each_level(level)
    {
        for (size_t t = 0; t < N_STORED_TYPES; t++) {
            for (size_t n = 1; n <= N; n += N - 1) {
                void *w = stored_numbers(stored_types[t], V * C, 5, p.w);
                struct output_layer layer = {.v = V, .c = C, .w = p.w, .ld = C, .softcap = 3};
                double want = linear_cross_entropy(&layer, DTYPE_F32, p.hidden, p.targets, 1, NULL,
                                                   dhidden, n, scratch);
                layer.w_type = stored_types[t], layer.w = w;
                double loss = linear_cross_entropy(&layer, DTYPE_F32, p.hidden, p.targets, 1, NULL,
                                                   dhidden2, n, scratch);
                assert_within(fabs(loss / want - 1), 1e-5, "loss, %s", dtype_info(stored_types[t])->name);
                assert_within(distance(dhidden2, dhidden, n * C), 1e-3, "dhidden, %s",
                              dtype_info(stored_types[t])->name);
                mem_free(w);
            }
        }
    }
    done_with(scratch, n_scratch), done_with(dhidden, N * C), done_with(dhidden2, N * C);
    free_problem(&p);
}

/* Rows in several blocks: dbias is that of all of them, added to what was there. */
static void blocks_add_to_the_bias(void **state)
{
    (void)state;
    enum { N = 600, C = 3, V = 40009 };
    struct problem p = make_problem(N, C, V);
    float *scratch = floats(linear_loss_scratch(N, C, V)), *dhidden = floats(N * C);
    float *b = normals(V, 1, 3), *db = zeros(V), *one = zeros(V);
    assert_true(linear_loss_scratch(N, C, V) < (size_t)N * V);
    struct output_layer layer = {.v = V, .c = C, .w = p.w, .ld = C, .bias = b, .dbias = db,
                                 .dw_beta = 1};
    linear_cross_entropy(&layer, DTYPE_F32, p.hidden, p.targets, 1, NULL, dhidden, N, scratch);
    layer.dbias = one;
    for (size_t i = 0; i < N; i += 50)
        linear_cross_entropy(&layer, DTYPE_F32, p.hidden + i * C, p.targets + i, 1, NULL, dhidden,
                             50, scratch);
    assert_within(distance(one, db, V), 1e-5, "dbias");
    done_with(scratch, linear_loss_scratch(N, C, V)), done_with(dhidden, N * C);
    done_with(b, V), done_with(db, V), done_with(one, V);
    free_problem(&p);
}

/* Nothing left out, and everything. */
static void all_or_no_targets(void **state)
{
    (void)state;
    size_t n = 33, c = 20, v = 71;
    struct problem p = make_problem(n, c, v);
    struct reference r = {as_f64(p.hidden, n * c), as_f64(p.w, v * c), mem_alloc(v, sizeof(double)),
                          &p, 1, NULL, NULL};
    float *scratch = floats(linear_loss_scratch(n, c, v)), *row_loss = floats(n);
    float *dhidden = floats(n * c), *dw = zeros(v * c);
    for (size_t i = 0; i < n; i++)
        p.targets[i] = -100;
    double loss = linear_cross_entropy(&LAYER(v, c, p.w, c, dw), DTYPE_F32,
                                       p.hidden, p.targets, 1, row_loss, dhidden, n, scratch);
    assert_true(loss == 0);
    for (size_t i = 0; i < n * c; i++)
        assert_true(dhidden[i] == 0 && row_loss[i / c] == 0);
    for (size_t i = 0; i < v * c; i++)
        assert_true(dw[i] == 0);
    for (size_t i = 0; i < n; i++)
        p.targets[i] = (int32_t)(i * 2);
    loss = linear_cross_entropy(&LAYER(v, c, p.w, c, dw), DTYPE_F32, p.hidden,
                                p.targets, 1, NULL, dhidden, n, scratch);
    assert_within(fabs(loss / reference_loss(&r) - 1), 5e-7, "loss");
    assert_within(gradcheck_f64(reference_loss, &r, r.hidden, dhidden, n * c, 40, 1e-4), 1e-5,
                  "dhidden");
    assert_within(gradcheck_f64(reference_loss, &r, r.w, dw, v * c, 40, 1e-4), 1e-5, "dw");
    mem_free(r.hidden), mem_free(r.w), mem_free(r.logits);
    done_with(scratch, linear_loss_scratch(n, c, v)), done_with(row_loss, n);
    done_with(dhidden, n * c), done_with(dw, v * c);
    free_problem(&p);
}

/* More rows than one block holds: every row is checked through row_loss, and the gradients against
 * those of the same rows passed one by one. */
static void blocks_join_without_a_seam(void **state)
{
    (void)state;
    size_t v = 50021, c = 5, n = 700; /* a block is 160 rows with a target */
    assert_true(linear_loss_scratch(n, c, v) < n * v);
    struct problem p = make_problem(n, c, v);
    for (size_t i = 0; i < 170; i++)
        p.targets[i] = -1; /* the first block has nothing to learn */
    float *scratch = floats(linear_loss_scratch(n, c, v)), *row_loss = floats(n);
    float *dhidden = floats(n * c), *dw = zeros(v * c), *dw2 = zeros(v * c);
    double loss = linear_cross_entropy(&LAYER(v, c, p.w, c, dw), DTYPE_F32,
                                       p.hidden, p.targets, 1, row_loss, dhidden, n, scratch);
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        float one_loss, one_dhidden[5];
        sum += linear_cross_entropy(&LAYER(v, c, p.w, c, dw2), DTYPE_F32,
                                    p.hidden + i * c, p.targets + i, 1, &one_loss, one_dhidden, 1,
                                    scratch);
        assert_within(fabsf(one_loss - row_loss[i]), 5e-6, "loss of row %zu", i);
        assert_within(distance(one_dhidden, dhidden + i * c, c), 1e-5, "dhidden of row %zu", i);
    }
    assert_within(fabs(sum - loss) / sum, 1e-6, "loss");
    assert_within(distance(dw2, dw, v * c), 1e-5, "dw");
    done_with(scratch, linear_loss_scratch(n, c, v)), done_with(row_loss, n);
    done_with(dhidden, n * c), done_with(dw, v * c), done_with(dw2, v * c);
    free_problem(&p);
}

/* Logits of thousands: the loss is their difference, not infinity. */
static void large_logits_stay_finite(void **state)
{
    (void)state;
    for_each_level(level)
    {
        float *row = floats(linear_loss_scratch(1, 1, 5));
        float hidden = 1000, w[5] = {5, -5, 4.999f, 0, 1}, dhidden, dw[5] = {0};
        int32_t target = 1;
        double loss = linear_cross_entropy(&LAYER(5, 1, w, 1, dw), DTYPE_F32,
                                           &hidden, &target, 1, NULL, &dhidden, 1, row);
        assert_within(fabs(loss - 10000.313), 0.01, "loss");
        assert_within(fabs(dw[1] + 1000), 1e-3, "dw of the target");
        assert_true(dw[3] == 0 && isfinite(dhidden));
        done_with(row, linear_loss_scratch(1, 1, 5));
    }
}

static void same_bits_every_time(void **state)
{
    (void)state;
    size_t n = 150, c = 64, v = 3001;
    struct problem p = make_problem(n, c, v);
    float *scratch = floats(linear_loss_scratch(n, c, v));
    float *first_dhidden = NULL, *first_dw = NULL;
    double first = 0;
    for (int run = 0; run < 6; run++) {
        float *dhidden = floats(n * c), *dw = zeros(v * c);
        double loss = linear_cross_entropy(&LAYER(v, c, p.w, c, dw), DTYPE_F32,
                                           p.hidden, p.targets, 0.1f, NULL, dhidden, n, scratch);
        if (run == 0) {
            first = loss, first_dhidden = dhidden, first_dw = dw;
            continue;
        }
        assert_true(loss == first);
        assert_memory_equal(dhidden, first_dhidden, n * c * sizeof *dhidden);
        assert_memory_equal(dw, first_dw, v * c * sizeof *dw);
        done_with(dhidden, n * c), done_with(dw, v * c);
    }
    done_with(first_dhidden, n * c), done_with(first_dw, v * c);
    done_with(scratch, linear_loss_scratch(n, c, v));
    free_problem(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gradient_is_written_or_added_to),
        cmocka_unit_test(logits_alone), cmocka_unit_test(weights_of_every_stored_type),
        cmocka_unit_test(blocks_add_to_the_bias),
        cmocka_unit_test(matches_finite_differences), cmocka_unit_test(all_or_no_targets),
        cmocka_unit_test(blocks_join_without_a_seam), cmocka_unit_test(large_logits_stay_finite),
        cmocka_unit_test(same_bits_every_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
