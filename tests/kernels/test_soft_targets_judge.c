/* Losses against a teacher's distributions: PyTorch's values in f64 (tests/fixtures/make_soft_targets.py). */
#include "formats/hdf5_file.h"
#include "kernels/half.h"
#include "tests/kernels/soft.h"

#include <stdlib.h>

#define FIXTURE "tests/fixtures/soft_targets.h5"

/* A group of the fixture: n rows, and what a loss of each is under each case. */
struct fixture {
    size_t n, v, teacher_v, n_cases;
    float *logits, *capped_logits, *teacher, *log_probs, *log_tail, *gradient;
    int32_t *targets, *begin32, *ids, *divergence, *tail, *dense, *capped;
    double *temperature, *beta, *teacher_weight, *target_weight, *loss, *divergence_value, *cross_entropy, *cap;
    size_t begin[16];
};

static void *read_array(struct hdf5_file *f, const char *group, const char *key, enum hdf5_type type, size_t dims[8])
{
    struct error e;
    char name[128];
    int n_dims;
    size_t n = 1;
    snprintf(name, sizeof name, "%s/%s", group, key);
    assert_ok(hdf5_dims(f, name, &n_dims, dims, &e), e);
    for (int i = 0; i < n_dims; i++)
        n *= dims[i];
    void *data = mem_alloc(n, sizeof(double));
    assert_ok(hdf5_read(f, name, type, n, data, &e), e);
    return data;
}

static struct fixture read_fixture(const char *group)
{
    struct fixture x;
    struct hdf5_file *f;
    struct error e;
    size_t dims[8];
    assert_ok(hdf5_open(FIXTURE, &f, &e), e);
    const struct {
        const char *key;
        void *at;
        enum hdf5_type type;
    } arrays[] = {
        {"targets", &x.targets, HDF5_I32}, {"begin", &x.begin32, HDF5_I32}, {"ids", &x.ids, HDF5_I32},
        {"log_probs", &x.log_probs, HDF5_F32}, {"log_tail", &x.log_tail, HDF5_F32}, {"cap", &x.cap, HDF5_F64},
        {"cases/divergence", &x.divergence, HDF5_I32}, {"cases/tail", &x.tail, HDF5_I32},
        {"cases/dense", &x.dense, HDF5_I32}, {"cases/capped", &x.capped, HDF5_I32},
        {"cases/temperature", &x.temperature, HDF5_F64}, {"cases/beta", &x.beta, HDF5_F64},
        {"cases/teacher_weight", &x.teacher_weight, HDF5_F64}, {"cases/target_weight", &x.target_weight, HDF5_F64},
        {"cases/divergence_value", &x.divergence_value, HDF5_F64}, {"cases/loss", &x.loss, HDF5_F64},
        {"cases/cross_entropy", &x.cross_entropy, HDF5_F64}, {"cases/gradient", &x.gradient, HDF5_F32},
    };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        *(void **)arrays[i].at = read_array(f, group, arrays[i].key, arrays[i].type, dims);
    x.n_cases = dims[0];
    x.logits = read_array(f, group, "logits", HDF5_F32, dims);
    x.n = dims[0], x.v = dims[1];
    x.capped_logits = read_array(f, group, "capped_logits", HDF5_F32, dims);
    x.teacher = read_array(f, group, "teacher", HDF5_F32, dims);
    x.teacher_v = dims[1];
    for (size_t i = 0; i <= x.n; i++)
        x.begin[i] = (size_t)x.begin32[i];
    hdf5_close(f);
    return x;
}

static void free_fixture(struct fixture *x)
{
    void *const all[] = {
        x->logits, x->capped_logits, x->teacher, x->log_probs, x->log_tail, x->gradient, x->targets, x->begin32, x->ids,
        x->divergence, x->tail, x->dense, x->capped, x->temperature, x->beta, x->teacher_weight, x->target_weight,
        x->loss, x->divergence_value, x->cross_entropy, x->cap};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        mem_free(all[i]);
}

static struct soft_loss loss_of(const struct fixture *x, size_t c)
{
    return (struct soft_loss){
        .divergence = (enum divergence_kind)x->divergence[c], .tail = (enum tail_kind)x->tail[c],
        .beta = (float)x->beta[c], .temperature = (float)x->temperature[c],
        .teacher_weight = (float)x->teacher_weight[c], .target_weight = (float)x->target_weight[c]};
}

static struct soft_targets targets_of(const struct fixture *x, size_t c)
{
    if (x->dense[c])
        return (struct soft_targets){.v = x->teacher_v, .logits = x->teacher};
    return (struct soft_targets){
        .v = x->teacher_v, .begin = x->begin, .ids = x->ids, .log_probs = x->log_probs, .log_tail = x->log_tail,
        .source_temperature = x->tail[c] == TAIL_BUCKET ? (float)x->temperature[c] : 1};
}

/* One row of one case; what its logits become is at `row`. */
static float run_case(const struct fixture *x, size_t c, size_t i, bool backward, enum dtype type, float scale,
                      float *row, struct soft_row *out)
{
    struct soft_loss loss = loss_of(x, c);
    struct soft_targets targets = targets_of(x, c);
    memcpy(row, (x->capped[c] ? x->capped_logits : x->logits) + i * x->v, x->v * sizeof *row);
    struct logit_row r = {.logits = row, .v = x->v, .softcap = x->capped[c] ? (float)*x->cap : 0, .row = 90 + i,
                          .i = i, .backward = backward, .type = type, .scale = scale};
    return soft_target_row(&loss, &targets, x->targets[i], &r, out);
}

static const char *case_name(const struct fixture *x, size_t c, size_t i)
{
    static char name[128];
    snprintf(name, sizeof name, "%s, %s, temperature %g, %s, %s, row %zu", divergence_names[x->divergence[c]],
             x->dense[c] ? "dense" : tail_names[x->tail[c]], x->temperature[c], x->capped[c] ? "capped" : "no cap",
             x->target_weight[c] > 0 ? "mixed" : "alone", i);
    return name;
}

static size_t largest_at(const float *x, size_t n)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++)
        at = x[i] > x[at] ? i : at;
    return at;
}

/* Whether no logit is larger than that of the teacher's likeliest token: the cap makes some equal. */
static bool agree(const struct fixture *x, size_t c, size_t i)
{
    const float *logits = (x->capped[c] ? x->capped_logits : x->logits) + i * x->v;
    size_t begin = x->begin[i], shared = x->v < x->teacher_v ? x->v : x->teacher_v;
    size_t likeliest = x->dense[c]
                           ? largest_at(x->teacher + i * x->teacher_v, shared)
                           : (size_t)x->ids[begin + largest_at(x->log_probs + begin, x->begin[i + 1] - begin)];
    return logits[likeliest] == logits[largest_at(logits, x->v)];
}

/* Gradients relative to the largest element, but for rows where all is as good as learnt, or the student so certain
 * that a large loss has hardly a slope: log-probabilities of -80 are rounded to 4e-6. */
static void check_case(const struct fixture *x, size_t c, size_t i, float *row, double worst[2])
{
    const float scale = 0.37f, *gradient = x->gradient + (c * x->n + i) * x->v;
    size_t at = c * x->n + i;
    double temperature = x->temperature[c], size = fmax(largest_of(gradient, x->v), 0.01 * fmax(1, x->loss[at]));
    struct soft_row forward, backward;
    float loss = run_case(x, c, i, false, DTYPE_F32, scale, row, &forward);
    double off = relative((double)loss, x->loss[at]);
    off = fmax(off, relative((double)forward.divergence, x->divergence_value[at]));
    off = fmax(off, relative((double)forward.cross_entropy, x->cross_entropy[at]));
    assert_within(off, 1e-5, "loss of %s", case_name(x, c, i));
    assert_true(run_case(x, c, i, true, DTYPE_F32, scale, row, &backward) == loss);
    double gradient_off = difference(row, gradient, (double)scale, x->v) / size / (double)scale;
    assert_within(gradient_off, 1e-5, "gradient of %s", case_name(x, c, i));
    assert_true(backward.divergence == forward.divergence && backward.agrees == forward.agrees);
    assert_true(backward.agrees == agree(x, c, i));
    bool free = x->target_weight[c] > 0 || (temperature == 1 && (x->dense[c] || x->tail[c] != TAIL_RENORMALIZE));
    if (free)
        assert_true(backward.cross_entropy == forward.cross_entropy);
    else
        assert_true(isnan(backward.cross_entropy) || x->begin[i + 1] - x->begin[i] == x->v);
    worst[0] = fmax(worst[0], off), worst[1] = fmax(worst[1], gradient_off);
}

static void check_group(const char *group)
{
    struct fixture x = read_fixture(group);
    for_each_level(level)
    {
        double worst[2] = {0, 0};
        for (size_t c = 0; c < x.n_cases; c++) {
            for (size_t i = 0; i < x.n; i++) {
                float *row = floats(x.v);
                check_case(&x, c, i, row, worst);
                done_with(row, x.v);
            }
        }
        if (getenv("LINNET_JUDGE"))
            print_message("%s, %s: loss %.1e, gradient %.1e\n", group, cpu_level_name(cpu_level()), worst[0],
                          worst[1]);
    }
    free_fixture(&x);
}

static void equals_pytorch(void **state)
{
    (void)state;
    check_group("plain");
}

static void extreme_rows_equal_pytorch(void **state)
{
    (void)state;
    check_group("extreme");
}

/* bf16 in the first half of the row's place: the gradient in f32, rounded. */
static void bf16_is_the_rounded_gradient(void **state)
{
    (void)state;
    struct fixture x = read_fixture("plain");
    for_each_level(level)
    {
        for (size_t c = 0; c < x.n_cases; c++) {
            for (size_t i = 0; i < x.n; i++) {
                float *row = floats(x.v), *half = floats(x.v);
                struct soft_row out;
                float loss = run_case(&x, c, i, true, DTYPE_F32, 3, row, &out);
                assert_true(run_case(&x, c, i, true, DTYPE_BF16, 3, half, &out) == loss);
                for (size_t j = 0; j < x.v; j++)
                    if (((uint16_t *)half)[j] != bf16_from_float(row[j]))
                        fail_msg("%s: element %zu is not %g rounded", case_name(&x, c, i), j, (double)row[j]);
                done_with(row, x.v), done_with(half, x.v);
            }
        }
    }
    free_fixture(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_pytorch), cmocka_unit_test(extreme_rows_equal_pytorch),
        cmocka_unit_test(bf16_is_the_rounded_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
