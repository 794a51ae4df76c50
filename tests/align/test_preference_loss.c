/* Losses of preferences: PyTorch's values in f64 (tests/fixtures/make_preference.py), finite differences, and what the
 * table says of each. */
#include "align/preference_loss.h"
#include "base/memory.h"
#include "base/rng.h"
#include "formats/hdf5_file.h"
#include "tests/test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define FIXTURE "tests/fixtures/preference.h5"

static const char *const names_in_order[PREFERENCE_LOSSES] = {
    "sigmoid", "hinge", "ipo", "robust", "sigmoid_norm", "exo_pair", "nca_pair", "sppo_hard", "apo_zero", "apo_down",
    "simpo", "cpo", "orpo", "sft", "kto"};

static bool near(double x, double want, double relative, double absolute)
{
    return fabs(x - want) <= relative * fabs(want) + absolute; /* false for what is no number */
}

#define assert_near(x, want, relative, absolute, ...)                                   \
    do {                                                                                \
        double x_ = (x), want_ = (want);                                                \
        if (!near(x_, want_, (relative), (absolute))) {                                 \
            print_error(__VA_ARGS__);                                                   \
            fail_msg(": %.17g, expected %.17g, off by %.3g", x_, want_, fabs(x_ - want_)); \
        }                                                                               \
    } while (0)

/* What a loss alone comes to. */
static struct preference_result alone(const struct preference_loss *l, const struct preference_settings *s,
                                      const struct preference_pair *p)
{
    struct preference_mix m = {.settings = *s, .n = 1, .losses = {l}, .weights = {1}};
    return preference_mix_of(&m, p);
}

/* --- PyTorch --- */

static void *read_array(struct hdf5_file *f, const char *name, enum hdf5_type type, size_t *n_rows)
{
    struct error e;
    int n_dims;
    size_t dims[8], n = 1;
    assert_ok(hdf5_dims(f, name, &n_dims, dims, &e), e);
    for (int i = 0; i < n_dims; i++)
        n *= dims[i];
    void *data = mem_alloc(n, sizeof(double));
    assert_ok(hdf5_read(f, name, type, n, data, &e), e);
    *n_rows = dims[0];
    return data;
}

struct stored_case {
    struct preference_settings settings;
    struct preference_pair pair;
};

/* The caller frees them. */
static struct stored_case *read_cases(struct hdf5_file *f, size_t *n)
{
    static const char *const keys[] = {"cases/beta", "cases/label_smoothing", "cases/simpo_gamma", "cases/cpo_alpha",
                                       "cases/desirable_weight", "cases/undesirable_weight", "cases/kl"};
    enum { KEYS = sizeof keys / sizeof *keys };
    double *x[KEYS], *logp = read_array(f, "cases/logp", HDF5_F64, n), *ref = read_array(f, "cases/reference", HDF5_F64, n);
    int32_t *n_tokens = read_array(f, "cases/n_tokens", HDF5_I32, n), *wanted = read_array(f, "cases/wanted", HDF5_I32, n);
    int32_t *reference_free = read_array(f, "cases/reference_free", HDF5_I32, n);
    for (size_t k = 0; k < KEYS; k++)
        x[k] = read_array(f, keys[k], HDF5_F64, n);
    struct stored_case *all = mem_alloc(*n, sizeof *all);
    for (size_t i = 0; i < *n; i++)
        all[i] = (struct stored_case){
            {.beta = x[0][i], .label_smoothing = x[1][i], .simpo_gamma = x[2][i], .cpo_alpha = x[3][i],
             .desirable_weight = x[4][i], .undesirable_weight = x[5][i], .reference_free = reference_free[i]},
            {.logp = {logp[2 * i], logp[2 * i + 1]}, .reference = {ref[2 * i], ref[2 * i + 1]}, .wanted = wanted[i],
             .n_tokens = {(size_t)n_tokens[2 * i], (size_t)n_tokens[2 * i + 1]}, .kl = x[6][i]}};
    for (size_t k = 0; k < KEYS; k++)
        mem_free(x[k]);
    mem_free(logp), mem_free(ref), mem_free(n_tokens), mem_free(wanted), mem_free(reference_free);
    return all;
}

/* The absolute part is what PyTorch's own derivatives lose where two numbers near 1 cancel. */
static void all_are_pytorchs(void **state)
{
    (void)state;
    struct hdf5_file *f;
    struct error e;
    size_t n, rows;
    assert_ok(hdf5_open(FIXTURE, &f, &e), e);
    struct stored_case *all = read_cases(f, &n);
    assert_true(n >= 200);
    for (size_t l = 0; l < PREFERENCE_LOSSES; l++) {
        const struct preference_loss *loss = &preference_losses[l];
        double *want = read_array(f, loss->name, HDF5_F64, &rows);
        assert_int_equal(rows, n);
        for (size_t i = 0; i < n; i++) {
            struct preference_result r = alone(loss, &all[i].settings, &all[i].pair);
            const double got[5] = {r.loss, r.dlogp[CHOSEN], r.dlogp[REJECTED], r.rewards[CHOSEN], r.rewards[REJECTED]};
            for (size_t k = 0; k < 5; k++)
                assert_near(got[k], want[5 * i + k], 1e-11, 1e-15, "%s, case %zu, number %zu", loss->name, i, k);
        }
        mem_free(want);
    }
    mem_free(all);
    hdf5_close(f);
}

/* --- random pairs --- */

static double between(struct rng *r, double low, double high)
{
    return low + (high - low) * rng_uniform(r);
}

static void draw(struct rng *r, struct preference_settings *s, struct preference_pair *p)
{
    static const double smoothings[] = {0, 0.1, 0.4};
    *s = (struct preference_settings){
        .beta = between(r, 0.05, 2), .label_smoothing = smoothings[rng_below(r, 3)], .simpo_gamma = between(r, 0, 2),
        .cpo_alpha = between(r, 0, 2), .desirable_weight = between(r, 0.5, 2), .undesirable_weight = between(r, 0.5, 2),
        .reference_free = rng_below(r, 4) == 0};
    *p = (struct preference_pair){.wanted = rng_below(r, 2), .kl = between(r, 0, 3)};
    for (int side = 0; side < ANSWER_SIDES; side++) {
        p->n_tokens[side] = 1 + (size_t)rng_below(r, 9);
        p->logp[side] = -between(r, 0.02, 3) * (double)p->n_tokens[side];
        p->reference[side] = p->logp[side] + between(r, -3, 3);
    }
}

/* --- finite differences --- */

/* How far the derivative by one side's logp is from the central difference, times `factor` (1 but to prove the check);
 * -1 where the hinge bends. */
static double derivative_off(const struct preference_loss *l, const struct preference_settings *s,
                             const struct preference_pair *p, int side, double factor)
{
    double step = 1e-5;
    struct preference_pair above = *p, below = *p;
    above.logp[side] += step, below.logp[side] -= step;
    double up = alone(l, s, &above).loss, down = alone(l, s, &below).loss;
    double analytic = factor * alone(l, s, p).dlogp[side], numeric = (up - down) / (above.logp[side] - below.logp[side]);
    if (strcmp(l->name, "hinge") == 0 && (up == 0) != (down == 0))
        return -1;
    return fabs(analytic - numeric) / fmax(fabs(numeric), 1e-3);
}

static void derivatives_are_finite_differences(void **state)
{
    (void)state;
    enum { DRAWS = 400 };
    struct rng r;
    rng_init(&r, 5, 1);
    for (size_t l = 0; l < PREFERENCE_LOSSES; l++) {
        size_t n_caught = 0;
        for (size_t i = 0; i < DRAWS; i++) {
            struct preference_settings s;
            struct preference_pair p;
            draw(&r, &s, &p);
            for (int side = 0; side < ANSWER_SIDES; side++) {
                double off = derivative_off(&preference_losses[l], &s, &p, side, 1);
                assert_near(fmax(off, 0), 0, 0, 2e-6, "%s, draw %zu, side %d", preference_losses[l].name, i, side);
                n_caught += derivative_off(&preference_losses[l], &s, &p, side, 1.001) > 1e-4;
            }
        }
        assert_true(n_caught > DRAWS / 4); /* the check sees a thousandth */
    }
}

/* --- the ends --- */

/* Margins of ten thousand: numbers stay numbers, and a slope is never steeper than the weight of what it is of. */
static void extremes_stay_finite(void **state)
{
    (void)state;
    static const double ends[] = {-1e4, -800, -40, 0, 40, 800, 1e4};
    enum { ENDS = sizeof ends / sizeof *ends };
    for (size_t l = 0; l < PREFERENCE_LOSSES; l++)
        for (size_t i = 0; i < ENDS * ENDS * 2; i++) {
            struct preference_settings s = preference_defaults();
            struct preference_pair p = {.logp = {-2e4 + ends[i % ENDS], -2e4 + ends[i / ENDS % ENDS]},
                                        .reference = {-2e4, -2e4}, .n_tokens = {7, 9}, .wanted = i / ENDS / ENDS};
            s.beta = 1, s.label_smoothing = i % 3 ? 0.1 : 0;
            struct preference_result x = alone(&preference_losses[l], &s, &p);
            double steepest = strcmp(preference_losses[l].name, "sppo_hard") == 0 ? 3e4 : 3e3;
            assert_true(isfinite(x.loss) && fabs(x.dlogp[CHOSEN]) < steepest && fabs(x.dlogp[REJECTED]) < steepest);
        }
}

static void far_from_wrong_costs_what_is_left(void **state)
{
    (void)state;
    struct preference_settings s = preference_defaults();
    struct preference_pair p = {.n_tokens = {1, 1}};
    const struct preference_loss *sigmoid = preference_loss_find("sigmoid");
    s.beta = 1;
    assert_near(alone(sigmoid, &s, &p).loss, 0.693147180559945309, 1e-15, 0, "log 2");
    assert_near(alone(sigmoid, &s, &p).dlogp[CHOSEN], -0.5, 1e-15, 0, "a half");
    p.logp[CHOSEN] = 50; /* exp(-50): where 1 - s(50) is 0 in f64 */
    assert_near(alone(sigmoid, &s, &p).loss, 1.92874984796391778e-22, 1e-12, 0, "what is left");
    assert_near(alone(sigmoid, &s, &p).dlogp[CHOSEN], -1.92874984796391778e-22, 1e-12, 0, "what is left");
    assert_near(alone(preference_loss_find("kto"), &s, &(struct preference_pair){.logp = {50, 0}, .n_tokens = {1, 1},
                                                                                  .wanted = true}).loss,
                1.92874984796391778e-22, 1e-12, 0, "what is left");
    p.logp[CHOSEN] = -1e4;
    assert_near(alone(sigmoid, &s, &p).loss, 1e4, 1e-15, 0, "the margin");
}

/* Answers that are certain, or by rounding more than that: finite, falling in the chosen's favour, without a jump. */
static void certain_answers_have_odds(void **state)
{
    (void)state;
    static const double means[] = {-0.7, -1e-3, -1.1e-6, -1e-6 - 1e-15, -1e-6 + 1e-15, -1e-9, 0, 3e-8, 1e-6};
    const struct preference_loss *orpo = preference_loss_find("orpo");
    struct preference_settings s = preference_defaults();
    struct preference_result before = {.loss = INFINITY}, worse = {.loss = -INFINITY};
    for (size_t i = 0; i < sizeof means / sizeof *means; i++) {
        struct preference_pair chosen = {.logp = {8 * means[i], -4}, .n_tokens = {8, 8}};
        struct preference_pair rejected = {.logp = {-4, 8 * means[i]}, .n_tokens = {8, 8}};
        struct preference_result x = alone(orpo, &s, &chosen), y = alone(orpo, &s, &rejected);
        assert_true(isfinite(x.loss) && x.loss < before.loss && x.dlogp[CHOSEN] < 0 && isfinite(x.dlogp[CHOSEN]));
        assert_true(isfinite(y.loss) && y.loss > worse.loss && y.dlogp[REJECTED] > 0);
        assert_true(y.dlogp[REJECTED] <= s.beta * 1.000001e6 / 8 && fabs(x.dlogp[CHOSEN]) < 1);
        before = x, worse = y;
    }
    struct preference_pair both = {.logp = {0, 0}, .n_tokens = {3, 3}};
    assert_near(alone(orpo, &s, &both).loss, 0.1 * 0.693147180559945309, 1e-12, 0, "even odds");
}

/* A model that has diverged shows it. */
static void what_is_no_number_shows(void **state)
{
    (void)state;
    for (size_t l = 0; l < PREFERENCE_LOSSES; l++)
        for (int side = 0; side < ANSWER_SIDES; side++) {
            struct preference_settings s = preference_defaults();
            struct preference_pair p = {.logp = {-3, -4}, .reference = {-3, -4}, .n_tokens = {2, 2}};
            bool chosen_only = preference_losses[l].unpaired || strcmp(preference_losses[l].name, "sft") == 0;
            p.logp[side] = NAN;
            assert_int_equal(isnan(alone(&preference_losses[l], &s, &p).loss), side == CHOSEN || !chosen_only);
        }
}

/* --- what the table says --- */

static bool same(const struct preference_result *x, const struct preference_result *y)
{
    return x->loss == y->loss && memcmp(x->dlogp, y->dlogp, sizeof x->dlogp) == 0;
}

static void the_table_is_true(void **state)
{
    (void)state;
    for (size_t l = 0; l < PREFERENCE_LOSSES; l++) {
        const struct preference_loss *loss = &preference_losses[l];
        struct preference_settings s = preference_defaults(), smooth = s, with_free = s;
        struct preference_pair p = {.logp = {-3, -4}, .reference = {-3.5, -5}, .n_tokens = {2, 3}}, moved = p, longer = p;
        smooth.label_smoothing = 0.2, with_free.reference_free = true;
        moved.reference[CHOSEN] = -3.75, longer.n_tokens[CHOSEN] = 5;
        s.cpo_alpha = 0; /* of cpo the rest alone is not by token */
        assert_string_equal(loss->name, names_in_order[l]);
        assert_ptr_equal(preference_loss_find(loss->name), loss);
        assert_non_null(strstr(loss->source, "arXiv:2"));
        struct preference_result x = alone(loss, &s, &p), y = alone(loss, &s, &longer);
        assert_int_equal(!same(&x, &y), loss->by_token);
        y = alone(loss, &s, &moved);
        assert_int_equal(!same(&x, &y), loss->needs_reference);
        with_free.cpo_alpha = smooth.cpo_alpha = 0;
        y = alone(loss, &smooth, &p);
        assert_int_equal(!same(&x, &y), loss->smooths_labels);
        struct preference_result free_of_it = alone(loss, &with_free, &p), free_and_moved = alone(loss, &with_free, &moved);
        assert_true(same(&free_of_it, &free_and_moved));
        assert_int_equal(!same(&x, &free_of_it), loss->needs_reference);
        for (const char *c = loss->formula; *c; c++)
            assert_true(*c >= ' ' && *c <= '~');
    }
    assert_null(preference_loss_find("sigmoi"));
}

/* Where labels are wrong with probability e, robust's mean is the loss of right ones. */
static void robust_is_unbiased(void **state)
{
    (void)state;
    struct preference_settings s = preference_defaults(), plain = s;
    struct preference_pair p = {.logp = {-3, -4}, .reference = {-3.5, -7}, .n_tokens = {2, 3}};
    struct preference_pair swapped = {.logp = {-4, -3}, .reference = {-7, -3.5}, .n_tokens = {3, 2}};
    s.label_smoothing = 0.3;
    const struct preference_loss *robust = preference_loss_find("robust");
    double mean = 0.7 * alone(robust, &s, &p).loss + 0.3 * alone(robust, &s, &swapped).loss;
    assert_near(mean, alone(preference_loss_find("sigmoid"), &plain, &p).loss, 1e-14, 0, "the mean");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_are_pytorchs),
        cmocka_unit_test(derivatives_are_finite_differences),
        cmocka_unit_test(extremes_stay_finite),
        cmocka_unit_test(far_from_wrong_costs_what_is_left),
        cmocka_unit_test(certain_answers_have_odds),
        cmocka_unit_test(what_is_no_number_shows),
        cmocka_unit_test(the_table_is_true),
        cmocka_unit_test(robust_is_unbiased),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
