/* distill/dump: what is written is read. */
#include "base/file.h"
#include "base/memory.h"
#include "distill/dump.h"
#include "tests/distill/dump_sample.h"
#include "tests/folder.h"

#include <stdio.h>

static char directory[] = "/tmp/linnet-dump-XXXXXX";
static char path[256];

static int make_directory(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    snprintf(path, sizeof path, "%s/dump", directory);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    remove_files(directory);
    return 0;
}

static int remove_dump(void **state)
{
    (void)state;
    remove_files(path);
    return 0;
}

static const struct dump_description top = {.kind = DUMP_TOP, .vocab_size = 300, .most = 12, .temperature = 1, .teacher = "a teacher",
                                            .teacher_hash = 77, .tokenizer_hash = UINT64_MAX - 5, .settings = "{\"a\": 1}"};

static struct dump_description with(struct dump_description d, enum dump_kind kind, double temperature, double cumulative)
{
    d.kind = kind;
    d.most = kind == DUMP_DENSE ? d.vocab_size : d.most;
    d.temperature = temperature;
    d.cumulative = cumulative;
    return d;
}

static struct dump_writer *open_writer(const struct dump_description *d, size_t part, bool resume, size_t *sequences)
{
    struct dump_writer *w;
    struct error e;
    size_t positions;
    struct dump_writer_options o = {.path = path, .positions_per_part = part, .compression = 6, .resume = resume};
    assert_ok(dump_writer_open(&o, d, &w, sequences, &positions, &e), e);
    return w;
}

static void write_dump(const struct sample *s, size_t part)
{
    size_t there;
    struct error e;
    struct dump_writer *w = open_writer(&s->description, part, false, &there);
    sample_add(s, w, 0, s->n_sequences);
    assert_ok(dump_writer_finish(w, &e), e);
    dump_writer_close(w);
}

static void rows_init(struct dump_rows *r, size_t n, size_t most)
{
    *r = (struct dump_rows){n, most, mem_alloc(n + 1, sizeof(size_t)), mem_alloc(n, most * sizeof(int32_t)),
                            mem_alloc(n, most * sizeof(float)), mem_alloc(n, sizeof(float))};
}

static void rows_free(struct dump_rows *r)
{
    mem_free(r->begin);
    mem_free(r->ids);
    mem_free(r->log_probs);
    mem_free(r->log_tail);
}

/* Halves have 11 bits. */
static void assert_near(double is, double wanted)
{
    if (!(is == wanted || fabs(is - wanted) <= fabs(wanted) / 2048 + 1e-7))
        fail_msg("%.9g instead of %.9g", is, wanted);
}

static void check_rows(const struct sample *s, const struct soft_targets *t, const size_t *positions, size_t n)
{
    size_t v = s->description.vocab_size;
    assert_int_equal(t->v, v);
    for (size_t i = 0; i < n; i++) {
        size_t p = positions[i], first = s->begin[p], count = s->begin[p + 1] - first;
        if (t->logits) {
            double sum = 0, temperature = s->description.temperature;
            for (size_t j = 0; j < v; j++)
                sum += exp((double)s->logits[p * v + j] / temperature);
            for (size_t j = 0; j < v; j++)
                assert_near((double)t->logits[i * v + j], (double)s->logits[p * v + j] - temperature * log(sum));
            continue;
        }
        assert_int_equal(t->begin[i + 1] - t->begin[i], count);
        assert_near((double)t->log_tail[i], (double)s->log_tail[p]);
        for (size_t j = 0; j < count; j++) {
            assert_int_equal(t->ids[t->begin[i] + j], s->entry_ids[first + j]);
            assert_near((double)t->log_probs[t->begin[i] + j], (double)s->log_probs[first + j]);
        }
    }
}

static void check_dump(const struct sample *s, size_t n_parts)
{
    struct dump d;
    struct error e;
    struct dump_statistics statistics;
    assert_ok(dump_open(path, &d, &e), e);
    assert_int_equal(d.n_parts, n_parts);
    assert_int_equal(d.n_positions, s->n_positions);
    assert_int_equal(d.examples.count, s->n_sequences);
    assert_memory_equal(d.examples.begin, s->sequences, (s->n_sequences + 1) * sizeof(size_t));
    assert_memory_equal(d.examples.ids, s->ids, s->n_tokens * sizeof(int32_t));
    assert_memory_equal(d.examples.learned, s->supervised, s->n_tokens);
    assert_int_equal(d.description.kind, s->description.kind);
    assert_int_equal(d.description.vocab_size, s->description.vocab_size);
    assert_int_equal(d.description.most, s->description.most);
    assert_true(d.description.temperature == s->description.temperature);
    assert_true(d.description.cumulative == s->description.cumulative);
    assert_true(d.description.tokenizer_hash == s->description.tokenizer_hash);
    assert_true(d.description.teacher_hash == s->description.teacher_hash);
    assert_string_equal(d.description.teacher, "a teacher");
    assert_string_equal(d.description.settings, "{\"a\": 1}");
    assert_ok(dump_verify(&d, NULL, &statistics, &e), e);
    assert_true(statistics.covered > 0.1 && statistics.covered + statistics.tail < 1.001);

    struct dump_rows rows;
    struct soft_targets t;
    size_t n = s->n_positions, *positions = mem_alloc(n, sizeof *positions);
    rows_init(&rows, n, s->description.most);
    for (size_t i = 0; i < n; i++)
        positions[i] = i;
    assert_ok(dump_read(&d, positions, n, &rows, &t, &e), e);
    check_rows(s, &t, positions, n);
    struct rng rng;
    rng_init(&rng, 5, 0);
    for (size_t i = 0; i < n; i++) /* runs of three, from anywhere */
        positions[i] = i % 3 && positions[i - 1] + 1 < n ? positions[i - 1] + 1 : rng_below(&rng, n);
    assert_ok(dump_read(&d, positions, n, &rows, &t, &e), e);
    check_rows(s, &t, positions, n);
    assert_ok(dump_read(&d, positions, 0, &rows, &t, &e), e);
    rows_free(&rows);
    mem_free(positions);
    dump_close(&d);
}

static void round_trip(struct dump_description d, size_t n_sequences, size_t part, size_t n_parts)
{
    struct sample s;
    sample_init(&s, &d, n_sequences, 3);
    write_dump(&s, part);
    check_dump(&s, n_parts);
    sample_free(&s);
    remove_files(path);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    round_trip(top, 200, 0, 1);
    round_trip(with(top, DUMP_TOP, 2, 0.7), 400, 0, 1);
    round_trip(with(top, DUMP_DENSE, 1, 0), 20, 0, 1);
    round_trip(with(top, DUMP_DENSE, 2.5, 0), 20, 0, 1);
    round_trip(with(top, DUMP_SAMPLED, 1, 0), 200, 0, 1);
    struct dump_description wide = top;
    wide.vocab_size = 70000;
    round_trip(wide, 2, 0, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_is_written_is_read, remove_dump),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
