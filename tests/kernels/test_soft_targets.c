/* Losses against a teacher's distributions: PyTorch's values in f64 (tests/fixtures/make_soft_targets.py), finite
 * differences, and forms that must agree with each other. */
#include "kernels/soft_targets.h"

#include "formats/hdf5_file.h"
#include "kernels/cross_entropy.h"
#include "kernels/half.h"
#include "kernels/table.h"
#include "tests/kernels/util.h"

#include <stdlib.h>

#define FIXTURE "tests/fixtures/soft_targets.h5"

static const char *const divergence_names[DIVERGENCES] = {"forward", "reverse", "symmetric", "jensen-shannon", "variation"};
static const char *const tail_names[TAILS] = {"bucket", "renormalised", "zero"};

/* --- PyTorch's values --- */

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

static double largest_of(const float *x, size_t n)
{
    double largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs((double)x[i]));
    return largest;
}

/* The largest |x - scale y|. */
static double difference(const float *x, const float *y, double scale, size_t n)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)x[i] - scale * (double)y[i]);
        if (isnan(d))
            return d;
        worst = fmax(worst, d);
    }
    return worst;
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

/* Relative to the larger of the value and 0.1. */
static double relative(double x, double want)
{
    return fabs(x - want) / fmax(fabs(want), 0.1);
}

/* Gradients relative to the largest element, but for rows where all is as good as learnt, or the student so certain that
 * a large loss has hardly a slope: log-probabilities of -80 are rounded to 4e-6. */
static void check_case(const struct fixture *x, size_t c, size_t i, float *row, double worst[2])
{
    const float scale = 0.37f, *gradient = x->gradient + (c * x->n + i) * x->v;
    size_t at = c * x->n + i;
    double temperature = x->temperature[c], size = fmax(largest_of(gradient, x->v), 0.01 * fmax(1, x->loss[at]));
    struct soft_row forward, backward;
    float loss = run_case(x, c, i, false, DTYPE_F32, scale, row, &forward);
    double off = fmax(relative((double)loss, x->loss[at]), relative((double)forward.divergence, x->divergence_value[at]));
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
            print_message("%s, %s: loss %.1e, gradient %.1e\n", group, cpu_level_name(cpu_level()), worst[0], worst[1]);
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

/* --- finite differences --- */

/* A row by the definitions, in f64. */
struct reference {
    const struct soft_loss *loss;
    const struct soft_targets *t;
    size_t v, i;
    int32_t target;
    double *logits;
};

static double log_sum(const double *x, size_t n)
{
    double max = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++)
        max = fmax(max, x[i]);
    for (size_t i = 0; i < n; i++)
        sum += exp(x[i] - max);
    return max + log(sum);
}

static void normalise(double *x, size_t n)
{
    double sum = log_sum(x, n);
    for (size_t i = 0; i < n; i++)
        x[i] -= sum;
}

static double divergence_of(const struct soft_loss *loss, const double *log_p, const double *s, size_t n)
{
    double forward = 0, reverse = 0, mixture = 0, variation = 0, beta = (double)loss->beta;
    for (size_t i = 0; i < n; i++) {
        double p = exp(log_p[i]), q = exp(s[i]), m = beta * p + (1 - beta) * q;
        forward += p > 0 ? p * (log_p[i] - s[i]) : 0;
        reverse += q * (s[i] - fmax(log_p[i], -80));
        mixture += (p > 0 ? beta * p * (log_p[i] - log(m)) : 0) + (q > 0 ? (1 - beta) * q * (s[i] - log(m)) : 0);
        variation += fabs(p - q) / 2;
    }
    const double all[] = {forward, reverse, (1 - beta) * forward + beta * reverse, mixture, variation};
    return all[loss->divergence];
}

/* The outcomes of a sparse row: returns how many. */
static size_t sparse_outcomes(const struct reference *r, size_t n, double *log_p, double *s)
{
    const struct soft_targets *t = r->t;
    size_t begin = t->begin[r->i], k = t->begin[r->i + 1] - begin, n_others = 0;
    double temperature = (double)r->loss->temperature, *others = mem_alloc(n, sizeof *others);
    bool *named = mem_zero(n, sizeof *named);
    for (size_t i = 0; i < k; i++) {
        named[t->ids[begin + i]] = true;
        s[i] = r->logits[t->ids[begin + i]] / temperature;
        log_p[i] = (double)t->log_probs[begin + i] * (double)t->source_temperature / temperature;
    }
    for (size_t j = 0; j < n; j++)
        if (!named[j])
            others[n_others++] = r->logits[j] / temperature;
    if (n_others > 0 && (t->sampled || r->loss->tail != TAIL_RENORMALIZE)) {
        bool front = r->loss->divergence == REVERSE_KL || r->loss->divergence == SYMMETRIC_KL;
        s[k] = log_sum(others, n_others);
        log_p[k] = r->loss->tail == TAIL_ZERO || t->sampled ? -INFINITY : (double)t->log_tail[r->i];
        log_p[k] = front ? fmax(log_p[k], log((double)SOFT_LEAST_TAIL)) : log_p[k];
        k++;
    }
    normalise(s, k);
    if (!t->sampled)
        normalise(log_p, k);
    mem_free(others), mem_free(named);
    return k;
}

static double reference_loss(void *context)
{
    const struct reference *r = context;
    size_t n = r->v < r->t->v ? r->v : r->t->v, n_outcomes = n;
    double temperature = (double)r->loss->temperature;
    double *log_p = mem_alloc(n + 1, sizeof *log_p), *s = mem_alloc(n + 1, sizeof *s);
    if (r->t->logits) {
        for (size_t j = 0; j < n; j++) {
            s[j] = r->logits[j] / temperature;
            log_p[j] = (double)r->t->logits[r->i * r->t->v + j] / temperature;
        }
        normalise(s, n), normalise(log_p, n);
    } else {
        n_outcomes = sparse_outcomes(r, n, log_p, s);
    }
    double loss = (double)r->loss->teacher_weight * temperature * temperature *
                  divergence_of(r->loss, log_p, s, n_outcomes);
    loss += (double)r->loss->target_weight * (log_sum(r->logits, r->v) - r->logits[r->target]);
    mem_free(log_p), mem_free(s);
    return loss;
}

/* Loss, and gradient at some fifty tokens, of a row that is wider than what is summed in f32. */
static void check_wide_row(const struct soft_loss *loss, const struct soft_targets *t, size_t v, int32_t target)
{
    float *logits = normals(v, 2, 11);
    struct reference r = {loss, t, v, 1, target, as_f64(logits, v)};
    double want = reference_loss(&r);
    for_each_level(level)
    {
        float *row = floats(v);
        struct soft_row out;
        memcpy(row, logits, v * sizeof *row);
        float got = soft_target_row(loss, t, target, &(struct logit_row){.logits = row, .v = v, .i = 1, .row = 5,
                                                                          .backward = true, .scale = 1}, &out);
        const char *divergence = divergence_names[loss->divergence];
        const char *tail = t->logits ? "dense" : t->sampled ? "sampled" : tail_names[loss->tail];
        double temperature = (double)loss->temperature;
        assert_within(relative((double)got, want), 1e-5, "loss of %s, %s, temperature %g", divergence, tail, temperature);
        double off = gradcheck_f64(reference_loss, &r, r.logits, row, v, 50, 1e-4);
        assert_within(off, 2e-5, "gradient of %s, %s, temperature %g", divergence, tail, temperature);
        done_with(row, v);
    }
    mem_free(r.logits), done_with(logits, v);
}

/* Entries of two rows: every `step`th token and their log-probabilities, which sum to 1 - tail. */
struct sparse_rows {
    size_t begin[3];
    int32_t *ids;
    float *log_probs, log_tail[2];
};

static struct sparse_rows make_sparse(size_t k, size_t step, double tail)
{
    struct sparse_rows s = {.begin = {0, k, 2 * k}, .ids = mem_alloc(2 * k, sizeof *s.ids),
                            .log_probs = normals(2 * k, 2, 23), .log_tail = {(float)log(tail), (float)log(tail)}};
    for (size_t i = 0; i < 2; i++) {
        double *log_p = as_f64(s.log_probs + i * k, k);
        normalise(log_p, k);
        for (size_t j = 0; j < k; j++) {
            s.ids[i * k + j] = (int32_t)((k - 1 - j) * step + i);
            s.log_probs[i * k + j] = (float)(log_p[j] + log(1 - tail));
        }
        mem_free(log_p);
    }
    return s;
}

static struct soft_targets sparse_targets(const struct sparse_rows *s, size_t v, float temperature)
{
    return (struct soft_targets){.v = v, .begin = s->begin, .ids = s->ids, .log_probs = s->log_probs,
                                 .log_tail = s->log_tail, .source_temperature = temperature};
}

static void free_sparse(struct sparse_rows *s)
{
    mem_free(s->ids), done_with(s->log_probs, s->begin[2]);
}

static bool tail_fits(enum divergence_kind kind, enum tail_kind tail)
{
    return tail != TAIL_ZERO || (kind != REVERSE_KL && kind != SYMMETRIC_KL);
}

static void wide_rows_match_finite_differences(void **state)
{
    (void)state;
    enum { V = 2741, K = 67, STEP = 40 };
    static const float temperatures[] = {1, 1.6f};
    float *teacher = normals(2 * V, 2, 12);
    struct sparse_rows s = make_sparse(K, STEP, 0.2);
    for (size_t d = 0; d < DIVERGENCES; d++) {
        for (size_t t = 0; t < 2; t++) {
            struct soft_loss loss = {.divergence = d, .beta = 0.3f, .temperature = temperatures[t],
                                     .teacher_weight = 0.8f, .target_weight = t == d % 2 ? 0.4f : 0};
            check_wide_row(&loss, &(struct soft_targets){.v = V - 7, .logits = teacher}, V, 100);
            for (loss.tail = 0; loss.tail < TAILS; loss.tail++) {
                /* log-probabilities at another temperature, where that may be */
                float source = loss.tail == TAIL_BUCKET ? loss.temperature : 1.3f;
                struct soft_targets sparse = sparse_targets(&s, V - 7, source);
                if (tail_fits(loss.divergence, loss.tail))
                    check_wide_row(&loss, &sparse, V, loss.tail == TAIL_ZERO ? V - 1 : s.ids[K + 3]);
            }
        }
    }
    free_sparse(&s), done_with(teacher, 2 * V);
}

/* Estimates are not normalised: here they sum to 1.3, with which the student is scaled. */
static void samples_are_taken_as_they_are(void **state)
{
    (void)state;
    enum { V = 1500, K = 9 };
    struct sparse_rows s = make_sparse(K, 100, 0.3);
    for (size_t i = 0; i < 2 * K; i++)
        s.log_probs[i] = fminf(0, s.log_probs[i] + (float)log(1.3 / 0.7));
    for (int t = 1; t < 3; t++) {
        struct soft_targets sampled = sparse_targets(&s, V, (float)t);
        sampled.sampled = true, sampled.log_tail = NULL;
        struct soft_loss loss = {.temperature = (float)t, .teacher_weight = 1, .target_weight = 0.2f};
        for (loss.tail = 0; loss.tail < TAILS; loss.tail++)
            check_wide_row(&loss, &sampled, V, 17);
    }
    free_sparse(&s);
}

/* --- forms that must agree --- */

/* All tokens of the teacher as entries, the last first: some impossible, and the student knows more. */
static void all_entries_are_a_dense_row(void **state)
{
    (void)state;
    enum { V = 133, TEACHER_V = 130 };
    float *teacher = normals(TEACHER_V, 2, 31), *logits = normals(V, 2, 32);
    float log_probs[TEACHER_V], log_tail = -INFINITY;
    int32_t ids[TEACHER_V];
    size_t begin[] = {0, TEACHER_V};
    teacher[5] = teacher[77] = -INFINITY;
    double *log_p = as_f64(teacher, TEACHER_V);
    normalise(log_p, TEACHER_V);
    for (size_t i = 0; i < TEACHER_V; i++) {
        ids[i] = (int32_t)(TEACHER_V - 1 - i);
        log_probs[i] = (float)log_p[ids[i]];
    }
    struct soft_targets dense = {.v = TEACHER_V, .logits = teacher};
    struct soft_targets sparse = {.v = TEACHER_V, .begin = begin, .ids = ids, .log_probs = log_probs,
                                  .log_tail = &log_tail, .source_temperature = 1};
    for_each_level(level)
    {
        for (int form = 0; form < DIVERGENCES * TAILS * 2 * 2 * 2; form++) {
            struct soft_loss loss = {.divergence = form / 8 / TAILS, .tail = form / 8 % TAILS, .beta = 0.6f,
                                     .temperature = form & 1 ? 1.7f : 1, .teacher_weight = 1,
                                     .target_weight = form & 2 ? 0.5f : 0};
            float *a = floats(V), *b = floats(V);
            struct soft_row of_dense, of_sparse;
            if (!tail_fits(loss.divergence, loss.tail))
                loss.tail = TAIL_BUCKET;
            memcpy(a, logits, V * sizeof *a), memcpy(b, logits, V * sizeof *b);
            struct logit_row r = {.logits = a, .v = V, .backward = form & 4, .scale = 1};
            float x = soft_target_row(&loss, &dense, 40, &r, &of_dense);
            r.logits = b;
            float y = soft_target_row(&loss, &sparse, 40, &r, &of_sparse);
            assert_within(relative((double)y, (double)x), 1e-6, "loss of form %d", form);
            assert_within(relative((double)of_sparse.divergence, (double)of_dense.divergence), 1e-6, "form %d", form);
            assert_true(of_sparse.agrees == of_dense.agrees);
            if (r.backward)
                assert_within(difference(b, a, 1, V) / largest_of(a, V), 4e-6, "gradient of form %d", form);
            done_with(a, V), done_with(b, V);
        }
    }
    mem_free(log_p), done_with(teacher, TEACHER_V), done_with(logits, V);
}

/* A student that is the teacher has nothing to learn. */
static void equals_have_nothing_to_learn(void **state)
{
    (void)state;
    enum { V = 300 };
    for_each_level(level)
    {
        for (size_t d = 0; d < DIVERGENCES; d++) {
            float *teacher = normals(V, 3, 8), *row = normals(V, 3, 8);
            struct soft_targets dense = {.v = V, .logits = teacher};
            struct soft_loss loss = {.divergence = d, .beta = 0.5f, .temperature = 2, .teacher_weight = 1};
            struct soft_row out;
            struct logit_row r = {.logits = row, .v = V, .backward = true, .scale = 1};
            assert_within(fabsf(soft_target_row(&loss, &dense, 0, &r, &out)), 1e-6, "loss");
            assert_within(largest_of(row, V), 1e-6, "gradient of %s", divergence_names[d]);
            assert_true(out.agrees);
            done_with(teacher, V), done_with(row, V);
        }
    }
}

/* --- through the output layer --- */

/* A teacher of rows by their number in the batch: each block's are put together when it begins. */
struct batch_teacher {
    struct soft_loss loss;
    const int32_t *targets;
    size_t v, *begin;
    int32_t *ids;
    float *log_probs, *log_tail;
    struct soft_targets t;
};

enum { ENTRIES = 4 };

static void begin_block(void *context, const uint32_t *rows, size_t n)
{
    struct batch_teacher *b = context;
    for (size_t i = 0; i < n; i++) {
        b->begin[i] = i * ENTRIES, b->begin[i + 1] = (i + 1) * ENTRIES;
        b->log_tail[i] = -1.5f;
        for (size_t j = 0; j < ENTRIES; j++) {
            b->ids[i * ENTRIES + j] = (int32_t)((rows[i] * 31 + j * 7) % b->v);
            b->log_probs[i * ENTRIES + j] = -1 - (float)((rows[i] + j) % 3);
        }
    }
    b->t = (struct soft_targets){.v = b->v, .begin = b->begin, .ids = b->ids, .log_probs = b->log_probs,
                                 .log_tail = b->log_tail, .source_temperature = b->loss.temperature};
}

static float batch_row(void *context, const struct logit_row *r)
{
    struct batch_teacher *b = context;
    struct soft_row out;
    return soft_target_row(&b->loss, &b->t, b->targets[r->row], r, &out);
}

static struct batch_teacher make_teacher(size_t v, const int32_t *targets)
{
    enum { MOST = 1024 };
    return (struct batch_teacher){
        .loss = {.divergence = JENSEN_SHANNON, .beta = 0.5f, .temperature = 1.5f, .teacher_weight = 1, .target_weight = 0.3f},
        .targets = targets, .v = v, .begin = mem_alloc(MOST + 1, sizeof(size_t)),
        .ids = mem_alloc(MOST * ENTRIES, sizeof(int32_t)), .log_probs = mem_alloc(MOST * ENTRIES, sizeof(float)),
        .log_tail = mem_alloc(MOST, sizeof(float))};
}

static void free_teacher(struct batch_teacher *b)
{
    mem_free(b->begin), mem_free(b->ids), mem_free(b->log_probs), mem_free(b->log_tail);
}

/* The rows of several blocks one by one, and all at once; some without a target. dw is written, then added to. */
static void blocks_are_rows_one_by_one(void **state)
{
    (void)state;
    enum { N = 300, C = 3, V = 40009 };
    float *hidden = normals(N * C, 1, 1), *w = normals((size_t)V * C, 1, 2), *scratch = floats(linear_loss_scratch(N, C, V));
    float *dhidden = floats(N * C), *dw = floats((size_t)V * C), *dw2 = zeros((size_t)V * C), losses[N];
    int32_t targets[N];
    for (int i = 0; i < N; i++)
        targets[i] = i % 7 == 2 ? -100 : i * 100;
    assert_true(linear_loss_rows(N, V) < N * 6 / 7);
    struct batch_teacher b = make_teacher(V, targets);
    struct row_loss loss = {.context = &b, .begin_block = begin_block, .row = batch_row};
    struct output_layer layer = {.v = V, .c = C, .w = w, .ld = C, .softcap = 2, .dw = dw};
    double total = linear_loss(&layer, DTYPE_F32, hidden, targets, &loss, 0.5f, losses, dhidden, N, scratch), sum = 0;
    layer.dw = dw2, layer.dw_beta = 1;
    float *row = floats(V);
    for (uint32_t i = 0; i < N; i++) {
        double want[C] = {0};
        sum += losses[i];
        if (targets[i] < 0) {
            assert_true(losses[i] == 0 && dhidden[i * C] == 0);
            continue;
        }
        begin_block(&b, &i, 1);
        output_logits(&layer, DTYPE_F32, hidden + i * C, row, 1);
        struct soft_row out;
        float one = soft_target_row(&b.loss, &b.t, targets[i], &(struct logit_row){.logits = row, .v = V, .softcap = 2,
                                                                               .backward = true, .scale = 0.5f}, &out);
        assert_within(relative((double)one, (double)losses[i]), 1e-5, "loss of row %u", i);
        for (size_t j = 0; j < V; j++)
            for (size_t l = 0; l < C; l++) {
                want[l] += (double)row[j] * (double)w[j * C + l];
                dw2[j * C + l] += row[j] * hidden[i * C + l];
            }
        assert_within(distance_f64(dhidden + i * C, want, C), 1e-4, "dhidden of row %u", i);
    }
    assert_within(fabs(total / sum - 1), 1e-6, "loss");
    assert_within(distance(dw, dw2, (size_t)V * C), 1e-4, "dw");
    layer.dw = dw;
    linear_loss(&layer, DTYPE_F32, hidden, targets, &loss, 0.5f, NULL, dhidden, N, scratch);
    for (size_t i = 0; i < (size_t)V * C; i++)
        dw2[i] *= 2;
    assert_within(distance(dw, dw2, (size_t)V * C), 1e-4, "dw, added to");
    free_teacher(&b);
    done_with(hidden, N * C), done_with(w, (size_t)V * C), done_with(scratch, linear_loss_scratch(N, C, V));
    done_with(dhidden, N * C), done_with(dw, (size_t)V * C), done_with(dw2, (size_t)V * C), done_with(row, V);
}

/* However many threads, whichever took a row, in f32 and bf16. */
static void threads_change_no_bit(void **state)
{
    (void)state;
    enum { N = 90, C = 16, V = 1009 };
    float *hidden = normals(N * C, 1, 1), *w = normals(V * C, 1, 2), *scratch = floats(linear_loss_scratch(N, C, V));
    float *dhidden[2] = {floats(N * C), floats(N * C)}, *dw[2] = {floats(V * C), floats(V * C)};
    int32_t targets[N];
    uint16_t *half = mem_alloc(N * C, sizeof *half);
    bf16_from_f32(hidden, half, N * C);
    for (int i = 0; i < N; i++)
        targets[i] = i;
    struct batch_teacher b = make_teacher(V, targets);
    struct row_loss loss = {.context = &b, .begin_block = begin_block, .row = batch_row};
    for (int bf16 = 0; bf16 < 2; bf16++) {
        double total[2];
        for (int i = 0; i < 2; i++) {
            struct output_layer layer = {.v = V, .c = C, .w = w, .ld = C, .dw = dw[i]};
            kernels_set_threads(i ? 5 : 1);
            total[i] = linear_loss(&layer, bf16 ? DTYPE_BF16 : DTYPE_F32, bf16 ? (const void *)half : hidden, targets,
                                   &loss, 1, NULL, dhidden[i], N, scratch);
        }
        assert_true(total[0] == total[1]);
        assert_memory_equal(dhidden[0], dhidden[1], N * C * sizeof(float));
        assert_memory_equal(dw[0], dw[1], V * C * sizeof(float));
    }
    free_teacher(&b), mem_free(half);
    done_with(hidden, N * C), done_with(w, V * C), done_with(scratch, linear_loss_scratch(N, C, V));
    for (int i = 0; i < 2; i++)
        done_with(dhidden[i], N * C), done_with(dw[i], V * C);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_pytorch), cmocka_unit_test(extreme_rows_equal_pytorch),
        cmocka_unit_test(bf16_is_the_rounded_gradient), cmocka_unit_test(wide_rows_match_finite_differences),
        cmocka_unit_test(samples_are_taken_as_they_are), cmocka_unit_test(all_entries_are_a_dense_row),
        cmocka_unit_test(equals_have_nothing_to_learn), cmocka_unit_test(blocks_are_rows_one_by_one),
        cmocka_unit_test(threads_change_no_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
