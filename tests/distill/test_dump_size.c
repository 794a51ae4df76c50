/* How large a dump is, and what storing costs in accuracy, on distributions like a language model's: log-probabilities fall
 * with the logarithm of a token's rank (Zipf), tokens of low ids are more frequent, and the context lifts some.
 * With a number of positions as argument: a table with figures that do not depend on how small the test's dump is. */
#include "base/file.h"
#include "base/rng.h"
#include "tests/distill/dump_sample.h"
#include "tests/folder.h"

#include <stdio.h>
#include <time.h>

enum { K = 64, NOISE = 1 << 20, LIFTED = 400 };
static size_t n_positions = 1024;

static char directory[] = "/tmp/linnet-dump-size-XXXXXX";

struct rows {
    size_t n, v;
    size_t *begin;
    int32_t *ids;
    float *log_probs, *log_tail;
    double covered, top;
};

/* The likeliest K of one row of log-probabilities, by id. */
static void choose(const float *row, size_t v, double log_sum, int32_t *ids, float *log_probs, float *log_tail)
{
    float threshold[K + 1];
    for (int i = 0; i <= K; i++)
        threshold[i] = -INFINITY;
    for (size_t i = 0; i < v; i++) {
        if (row[i] <= threshold[K - 1])
            continue;
        int at = K - 1;
        for (; at > 0 && threshold[at - 1] < row[i]; at--)
            threshold[at] = threshold[at - 1];
        threshold[at] = row[i];
    }
    int n = 0;
    double rest = 0;
    for (size_t i = 0; i < v; i++)
        if (n < K && row[i] >= threshold[K - 1]) {
            ids[n] = (int32_t)i;
            log_probs[n++] = (float)((double)row[i] - log_sum);
        } else {
            rest += exp((double)row[i] - log_sum);
        }
    *log_tail = (float)log(rest);
}

/* One row of logits. lift: how far the context lifts its likeliest token. */
static void make_row(float *row, size_t v, float lift, const float *unigram, const float *noise, struct rng *rng)
{
    size_t offset = rng_below(rng, NOISE - v);
    for (size_t i = 0; i < v; i++)
        row[i] = unigram[i] + 1.5f * noise[offset + i];
    for (int i = 0; i < LIFTED; i++) { /* more of low ids */
        size_t id = (size_t)(exp(rng_uniform(rng) * log((double)v)) - 1);
        row[id] = fmaxf(row[id], lift - 1.5f * logf((float)i + 1) + noise[offset + (size_t)i]);
    }
}

static void rows_make(struct rows *r, size_t v, float lift)
{
    *r = (struct rows){.n = n_positions, .v = v};
    r->begin = mem_alloc(n_positions + 1, sizeof(size_t));
    r->ids = mem_alloc(n_positions, K * sizeof(int32_t));
    r->log_probs = mem_alloc(n_positions, K * sizeof(float));
    r->log_tail = mem_alloc(n_positions, sizeof(float));
    float *noise = mem_alloc(NOISE, sizeof *noise), *unigram = mem_alloc(v, sizeof *unigram);
    float *row = mem_alloc(v, sizeof *row);
    struct rng rng;
    rng_init(&rng, 1, v);
    rng_fill_normal(&rng, noise, NOISE, 1);
    for (size_t i = 0; i < v; i++)
        unigram[i] = -0.9f * logf((float)i + 30);
    for (size_t i = 0; i <= n_positions; i++)
        r->begin[i] = i * K;
    for (size_t i = 0; i < n_positions; i++) {
        make_row(row, v, lift * (float)(0.6 + 0.8 * rng_uniform(&rng)), unigram, noise, &rng);
        double sum = 0, best = -INFINITY;
        for (size_t j = 0; j < v; j++) {
            sum += (double)expf(row[j]);
            best = fmax(best, (double)row[j]);
        }
        choose(row, v, log(sum), r->ids + i * K, r->log_probs + i * K, r->log_tail + i);
        r->covered += 1 - exp((double)r->log_tail[i]);
        r->top += exp(best) / sum;
    }
    mem_free(noise);
    mem_free(unigram);
    mem_free(row);
}

static void rows_release(struct rows *r)
{
    mem_free(r->begin);
    mem_free(r->ids);
    mem_free(r->log_probs);
    mem_free(r->log_tail);
}

/* Sequences of 512 tokens, all but the first supervised. */
static void write_rows(const struct rows *r, const char *path)
{
    enum { LENGTH = 513 };
    struct dump_description d = {.kind = DUMP_TOP, .vocab_size = r->v, .most = K, .temperature = 1, .teacher = "made up"};
    struct dump_writer_options o = {.path = path, .compression = 6};
    struct dump_writer *w;
    struct error e;
    size_t a, b;
    int32_t ids[LENGTH];
    uint8_t supervised[LENGTH];
    assert_ok(dump_writer_open(&o, &d, &w, &a, &b, &e), e);
    for (size_t i = 0; i < r->n; i += LENGTH - 1) {
        size_t n = r->n - i < LENGTH - 1 ? r->n - i : LENGTH - 1;
        for (size_t j = 0; j <= n; j++) {
            ids[j] = r->ids[(i + j) % r->n * K + (i + j) % K];
            supervised[j] = j > 0;
        }
        struct soft_targets t = {.v = r->v, .begin = r->begin + i, .ids = r->ids, .log_probs = r->log_probs,
                                 .log_tail = r->log_tail + i, .source_temperature = 1};
        assert_ok(dump_writer_add(w, ids, supervised, n + 1, &t, &e), e);
    }
    assert_ok(dump_writer_finish(w, &e), e);
    dump_writer_close(w);
}

/* KL(exact || stored) of a position in nats, both over entries and tail, the stored one normalised. */
static double divergence(const struct rows *r, size_t position, const struct soft_targets *t, size_t row)
{
    const float *exact = r->log_probs + position * K, *stored = t->log_probs + t->begin[row];
    double sum = exp((double)t->log_tail[row]), p_tail = exp((double)r->log_tail[position]);
    double kl = p_tail * ((double)r->log_tail[position] - (double)t->log_tail[row]), p_sum = p_tail;
    for (size_t i = 0; i < K; i++) {
        assert_int_equal(t->ids[t->begin[row] + i], r->ids[position * K + i]);
        double p = exp((double)exact[i]);
        kl += p * ((double)exact[i] - (double)stored[i]);
        sum += exp((double)stored[i]);
        p_sum += p;
    }
    return kl / p_sum + log(sum) - log(p_sum);
}

static double measure(size_t v, float lift, double *worst)
{
    struct rows r;
    char *path = path_join(directory, "dump");
    rows_make(&r, v, lift);
    clock_t started = clock();
    write_rows(&r, path);
    double writing = (double)(clock() - started) / CLOCKS_PER_SEC;
    struct dump d;
    struct error e;
    assert_ok(dump_open(path, &d, &e), e);
    enum { STEP = 4096 };
    static size_t positions[STEP], begin[STEP + 1];
    static int32_t ids[STEP * K];
    static float log_probs[STEP * K], log_tail[STEP];
    struct dump_rows rows = {STEP, K, begin, ids, log_probs, log_tail};
    struct soft_targets t;
    double mean = 0, reading = 0;
    *worst = 0;
    for (size_t i = 0; i < r.n; i += STEP) {
        size_t n = r.n - i < STEP ? r.n - i : STEP;
        for (size_t j = 0; j < n; j++)
            positions[j] = i + j;
        started = clock();
        assert_ok(dump_read(&d, positions, n, &rows, &t, &e), e);
        reading += (double)(clock() - started) / CLOCKS_PER_SEC;
        for (size_t j = 0; j < n; j++) {
            double kl = divergence(&r, i + j, &t, j);
            mean += kl / (double)r.n;
            *worst = fmax(*worst, kl);
        }
    }
    double bytes = (double)d.n_bytes / (double)r.n;
    printf("vocabulary %6zu, top token %.2f, covered %.3f: %6.1f bytes a position, KL mean %.1e, max %.1e; "
           "%.0f written, %.0f read in a second of processor time\n",
           v, r.top / (double)r.n, r.covered / (double)r.n, bytes, mean, *worst, (double)r.n / writing, (double)r.n / reading);
    dump_close(&d);
    rows_release(&r);
    remove_files(path);
    mem_free(path);
    return bytes;
}

static void a_position_takes_at_most_200_bytes(void **state)
{
    (void)state;
    static const float lifts[] = {5, 10};
    for (size_t i = 0; i < 2; i++) {
        double worst, bytes = measure(131072, lifts[i], &worst);
        assert_true(bytes <= 200);
        assert_true(worst < 1e-4 && worst > -1e-6);
    }
}

int main(int argc, char **argv)
{
    double worst;
    if (!mkdtemp(directory))
        return 1;
    if (argc > 1) {
        static const size_t sizes[] = {32768, 131072, 151936};
        static const float lifts[] = {3, 6, 10};
        n_positions = strtoul(argv[1], NULL, 10);
        for (size_t i = 0; i < 3; i++)
            for (size_t j = 0; j < 3; j++)
                measure(sizes[i], lifts[j], &worst);
        remove_files(directory);
        return 0;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_position_takes_at_most_200_bytes)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    remove_files(directory);
    return failed;
}
