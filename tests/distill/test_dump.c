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

/* Where only the tokenizer is in the dump, its hash is what a reader says. */
static void the_tokenizer_may_be_in_the_dump(void **state)
{
    (void)state;
    static const char json[] = "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1, \"ab\": 2}, "
                               "\"merges\": [[\"a\", \"b\"]]}}";
    struct dump_description d = top;
    struct tokenizer *t;
    struct sample s;
    struct dump dump;
    struct error e;
    d.tokenizer_hash = 0;
    buffer_string(&d.tokenizer_json, json);
    assert_ok(tokenizer_parse_json(json, sizeof json - 1, &t, &e), e);
    sample_init(&s, &d, 20, 1);
    write_dump(&s, 100);
    assert_ok(dump_open(path, &dump, &e), e);
    assert_true(dump.n_parts > 1);
    assert_true(dump.description.tokenizer_hash == tokenizer_hash(t) && tokenizer_hash(t) != 0);
    assert_int_equal(dump.description.tokenizer_json.size, sizeof json - 1);
    assert_string_equal(dump.description.tokenizer_json.data, json);
    dump_close(&dump);
    size_t there;
    struct dump_writer *w = open_writer(&d, 0, true, &there); /* the same one */
    dump_writer_close(w);
    buffer_free(&d.tokenizer_json);
    d.tokenizer_hash = tokenizer_hash(t);
    w = open_writer(&d, 0, true, &there); /* and by its hash */
    dump_writer_close(w);
    tokenizer_free(t);
    sample_free(&s);
}

/* ---- parts ---- */

static size_t count_files(void)
{
    struct path_list files;
    struct error e;
    assert_ok(dir_list(path, &files, &e), e);
    size_t n = files.count;
    path_list_free(&files);
    return n;
}

static void a_killed_writer_costs_the_part_at_hand(void **state)
{
    (void)state;
    struct sample s;
    struct error e;
    size_t there;
    sample_init(&s, &top, 60, 9);
    struct dump_writer *w = open_writer(&top, 200, false, &there);
    assert_int_equal(there, 0);
    sample_add(&s, w, 0, 31);
    size_t complete = count_files() - 1; /* the other one is being written */
    assert_true(complete >= 2);
    char *temporary = mem_printf("%s/part-%05zu.h5.tmp99999999", path, complete);
    assert_ok(file_write(temporary, "killed", 6, &e), e);
    dump_writer_close(w);
    assert_int_equal(count_files(), complete + 1);

    struct dump d;
    assert_ok(dump_open(path, &d, &e), e);
    size_t sequences = d.examples.count;
    assert_int_equal(d.n_parts, complete);
    dump_close(&d);
    w = open_writer(&top, 200, true, &there);
    assert_int_equal(there, sequences);
    assert_true(sequences > 0 && sequences < 31);
    assert_false(file_exists(temporary));
    sample_add(&s, w, there, s.n_sequences);
    assert_ok(dump_writer_finish(w, &e), e);
    dump_writer_close(w);
    check_dump(&s, count_files());
    w = open_writer(&top, 200, true, &there); /* there is nothing more to do */
    assert_int_equal(there, s.n_sequences);
    assert_ok(dump_writer_finish(w, &e), e);
    dump_writer_close(w);
    mem_free(temporary);
    sample_free(&s);
}

/* More than are open at once. */
static void there_may_be_many_parts(void **state)
{
    (void)state;
    struct dump_description d = with(top, DUMP_TOP, 1, 0.9);
    struct sample s;
    sample_init(&s, &d, 80, 4);
    write_dump(&s, 20);
    assert_true(count_files() > 40);
    check_dump(&s, count_files());
    sample_free(&s);
}

static void expect_open(const struct dump_description *d, bool resume, const char *where, const char *message)
{
    struct dump_writer *w;
    struct error e;
    size_t sequences, positions;
    struct dump_writer_options o = {.path = where, .compression = 1, .resume = resume};
    assert_int_equal(dump_writer_open(&o, d, &w, &sequences, &positions, &e), ERR_USAGE);
    if (!strstr(e.message, message))
        fail_msg("\"%s\" instead of \"%s\"", e.message, message);
    assert_null(w);
}

static void a_writer_refuses_what_does_not_fit(void **state)
{
    (void)state;
    struct sample s;
    struct dump_description d = top;
    sample_init(&s, &top, 3, 9);
    write_dump(&s, 0);
    expect_open(&top, false, path, "holds 1 parts of a dump already; resume it, or choose another folder");
    expect_open(&top, false, "/tmp/a.h5", "written as a folder of parts; name it without .h5");
    d.vocab_size = 299;
    expect_open(&d, true, path, "has a vocabulary of 300 tokens, what is to be added of 299");
    d = with(top, DUMP_SAMPLED, 1, 0);
    expect_open(&d, true, path, "is of the kind top-k, what is to be added of the kind sampled");
    d = with(top, DUMP_TOP, 2, 0);
    expect_open(&d, true, path, "has the temperature 1, what is to be added has 2");
    d = top;
    d.tokenizer_hash = 3;
    expect_open(&d, true, path, "have different tokenizers");
    d = top;
    d.most = 11;
    expect_open(&d, true, path, "\"k\" of the parts there is another");
    d = with(top, DUMP_TOP, 1, 0.5);
    expect_open(&d, true, path, "\"cumulative\" of the parts there is another");
    d = top;
    d.teacher = NULL;
    expect_open(&d, true, path, "needs the name of its teacher");
    d = top;
    d.most = 301;
    expect_open(&d, true, path, "301 entries of a position, of a vocabulary of 300 tokens");
    sample_free(&s);
}

/* One bad row or sequence; nothing is left of the dump then. */
static void expect_add(const struct dump_description *d, const int32_t *ids, const uint8_t *supervised, size_t n,
                       const struct soft_targets *t, const char *message)
{
    size_t there;
    struct error e;
    struct dump_writer *w = open_writer(d, 0, false, &there);
    assert_int_equal(dump_writer_add(w, ids, supervised, n, t, &e), ERR_USAGE);
    if (!strstr(e.message, message))
        fail_msg("\"%s\" instead of \"%s\"", e.message, message);
    assert_int_equal(dump_writer_finish(w, &e), ERR_USAGE);
    dump_writer_close(w);
    assert_int_equal(count_files(), 0);
}

static void a_writer_refuses_bad_sequences(void **state)
{
    (void)state;
    struct dump_description d = {.kind = DUMP_TOP, .vocab_size = 10, .most = 2, .temperature = 1, .teacher = "t"};
    const size_t begin[] = {0, 2};
    int32_t tokens[] = {1, 2}, ids[] = {3, 5};
    float log_probs[] = {logf(0.5f), logf(0.25f)}, tail = logf(0.25f);
    const uint8_t second[] = {0, 1}, first[] = {1, 1}, none[] = {0, 0};
    struct soft_targets t = {.v = 10, .begin = begin, .ids = ids, .log_probs = log_probs, .log_tail = &tail,
                             .source_temperature = 1};
    expect_add(&d, tokens, first, 2, &t, "the first token of a sequence is supervised");
    expect_add(&d, tokens, second, 0, &t, "a sequence without tokens");
    tokens[1] = 10;
    expect_add(&d, tokens, none, 2, &t, "token 1 of a sequence is 10, but the vocabulary has 10");
    tokens[1] = 2, ids[1] = 3;
    expect_add(&d, tokens, second, 2, &t, "an id that is beyond the vocabulary or there twice (3)");
    ids[1] = -1;
    expect_add(&d, tokens, second, 2, &t, "an id that is beyond the vocabulary or there twice (-1)");
    ids[1] = 10;
    expect_add(&d, tokens, second, 2, &t, "an id that is beyond the vocabulary or there twice (10)");
    ids[1] = 5, log_probs[0] = NAN;
    expect_add(&d, tokens, second, 2, &t, "target 0 of a sequence: a log-probability (nan)");
    log_probs[0] = -INFINITY;
    expect_add(&d, tokens, second, 2, &t, "a log-probability (-inf)");
    log_probs[0] = 0.5f;
    expect_add(&d, tokens, second, 2, &t, "a log-probability (0.5)");
    log_probs[0] = logf(0.25f);
    expect_add(&d, tokens, second, 2, &t, "the sum of its probabilities and the tail's (0.75)");
    log_probs[0] = logf(0.5f), t.v = 11;
    expect_add(&d, tokens, second, 2, &t, "distributions over 11 tokens at temperature 1 do not fit");
    t.v = 10, t.source_temperature = 2;
    expect_add(&d, tokens, second, 2, &t, "distributions over 10 tokens at temperature 2 do not fit");
    t.source_temperature = 1, d.most = 3;
    expect_add(&d, tokens, second, 2, &t, "number of entries (2)");
    float logits[10] = {1, NAN};
    struct soft_targets dense = {.v = 10, .logits = logits};
    d.kind = DUMP_DENSE, d.most = 10;
    expect_add(&d, tokens, second, 2, &dense, "a logit that is infinite or no number");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_is_written_is_read, remove_dump),
        cmocka_unit_test_teardown(the_tokenizer_may_be_in_the_dump, remove_dump),
        cmocka_unit_test_teardown(a_killed_writer_costs_the_part_at_hand, remove_dump),
        cmocka_unit_test_teardown(there_may_be_many_parts, remove_dump),
        cmocka_unit_test_teardown(a_writer_refuses_what_does_not_fit, remove_dump),
        cmocka_unit_test_teardown(a_writer_refuses_bad_sequences, remove_dump),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
