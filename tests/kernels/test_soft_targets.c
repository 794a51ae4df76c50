/* Losses against a teacher's distributions: an f64 reference and its finite differences, and forms that must agree with
 * each other. PyTorch's values are in test_soft_targets_judge.c. */
#include "tests/kernels/soft.h"

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
        assert_within(relative((double)got, want), 1e-5, "loss of %s, %s, temperature %g", divergence, tail,
                      temperature);
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

/* A student that has diverged shows it: with a token of each kind. */
static void what_is_no_number_shows(void **state)
{
    (void)state;
    enum { V = 70, K = 5 };
    static const int32_t broken[] = {0, 33, V - 1}; /* an entry, another, one of the student's own */
    struct sparse_rows s = make_sparse(K, 10, 0.3);
    float *teacher = normals(V, 2, 3);
    for_each_level(level)
    {
        for (int form = 0; form < 3 * DIVERGENCES * (TAILS + 1); form++) {
            struct soft_loss loss = {.divergence = form / 3 % DIVERGENCES, .tail = form / 3 / DIVERGENCES % TAILS,
                                     .beta = 0.5f, .temperature = 1, .teacher_weight = 1, .target_weight = 0.1f};
            bool dense = form >= 3 * DIVERGENCES * TAILS;
            struct soft_targets t = sparse_targets(&s, V - 5, 1);
            if (!tail_fits(loss.divergence, loss.tail))
                continue;
            for (int backward = 0; backward < 2; backward++) {
                float *row = normals(V, 1, 4);
                struct soft_row out;
                row[broken[form % 3]] = NAN;
                struct logit_row r = {.logits = row, .v = V, .backward = backward, .scale = 1};
                if (dense)
                    t = (struct soft_targets){.v = V - 5, .logits = teacher};
                assert_true(isnan(soft_target_row(&loss, &t, 12, &r, &out)));
                done_with(row, V);
            }
        }
    }
    free_sparse(&s), done_with(teacher, V);
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
        .loss = {.divergence = JENSEN_SHANNON, .beta = 0.5f, .temperature = 1.5f, .teacher_weight = 1,
                 .target_weight = 0.3f},
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
    float *hidden = normals(N * C, 1, 1), *w = normals((size_t)V * C, 1, 2);
    float *scratch = floats(linear_loss_scratch(N, C, V)), *dhidden = floats(N * C), losses[N];
    float *dw = floats((size_t)V * C), *dw2 = zeros((size_t)V * C);
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
    enum { N = 90, V = 1009 };
    float *logits = normals(N * V, 2, 1), *rows[2] = {floats(N * V), floats(N * V)}, losses[2][N];
    int32_t targets[N];
    uint32_t numbers[N];
    for (int i = 0; i < N; i++)
        targets[i] = i, numbers[i] = (uint32_t)i;
    struct batch_teacher b = make_teacher(V, targets);
    begin_block(&b, numbers, N);
    for_each_level(level)
    {
        for (int bf16 = 0; bf16 < 2; bf16++) {
            for (int t = 0; t < 2; t++) {
                memcpy(rows[t], logits, N * V * sizeof *logits);
#pragma omp parallel for num_threads(t ? 3 : 1) schedule(dynamic)
                for (size_t i = 0; i < N; i++)
                    losses[t][i] = batch_row(&b, &(struct logit_row){
                                                     .logits = rows[t] + i * V, .v = V, .row = i, .i = i, .scale = 1,
                                                     .backward = true, .type = bf16 ? DTYPE_BF16 : DTYPE_F32});
            }
            assert_memory_equal(losses[0], losses[1], sizeof losses[0]);
            assert_memory_equal(rows[0], rows[1], N * V * sizeof *logits);
        }
    }
    free_teacher(&b), done_with(logits, N * V), done_with(rows[0], N * V), done_with(rows[1], N * V);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wide_rows_match_finite_differences), cmocka_unit_test(samples_are_taken_as_they_are),
        cmocka_unit_test(all_entries_are_a_dense_row), cmocka_unit_test(equals_have_nothing_to_learn),
        cmocka_unit_test(what_is_no_number_shows), cmocka_unit_test(blocks_are_rows_one_by_one),
        cmocka_unit_test(threads_change_no_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
