/* distill/dump: everything that can be wrong with a file is said in one line that names it. */
#include "base/file.h"
#include "base/memory.h"
#include "distill/dump.h"
#include "tests/distill/dump_raw.h"
#include "tests/distill/dump_sample.h"
#include "tests/folder.h"

#include <stdio.h>

/* HDF5 1.10 forgets memory over a damaged file, which is not ours to free. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libhdf5";
}

static char directory[] = "/tmp/linnet-dump-damage-XXXXXX";
static char path[256], other[256];

static int make_directory(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    snprintf(path, sizeof path, "%s/part-00000.h5", directory);
    snprintf(other, sizeof other, "%s/part-00001.h5", directory);
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
    unlink(path);
    unlink(other);
    return 0;
}

/* Opens and reads all of it. */
static int try_dump(const char *where, struct error *e)
{
    struct dump d;
    int code = dump_open(where, &d, e);
    if (!code)
        code = dump_verify(&d, NULL, NULL, e);
    dump_close(&d);
    return code;
}

static void expect(const struct raw *r, const char *message)
{
    struct error e = {0};
    raw_write(r, path);
    int code = try_dump(path, &e);
    if (code == OK)
        fail_msg("was accepted, though: %s", message);
    if (!strstr(e.message, message))
        fail_msg("\"%s\" instead of \"%s\"", e.message, message);
    if (strncmp(e.message, path, strlen(path)) != 0 || strchr(e.message, '\n') || code != ERR_FORMAT)
        fail_msg("not a good error: %s", e.message);
}

static void good_dumps_are_good(void **state)
{
    (void)state;
    struct error e;
    struct raw r = raw_good();
    for (int i = 0; i < 8; i++) {
        r.plain = i & 1;
        r.wide = i & 2;
        r.n_counts = i & 4 ? RAW_POSITIONS : 0;
        raw_write(&r, path);
        assert_ok(try_dump(path, &e), e);
    }
}

static void attributes_are_checked(void **state)
{
    (void)state;
    struct raw r = raw_good();
    r.format = NULL, expect(&r, "is an HDF5 file, but not a teacher dump");
    r.format = "linnet-shard-1", expect(&r, "has the format \"linnet-shard-1\"");
    r = raw_good(), r.kind = "sparse", expect(&r, "attribute \"kind\" is \"sparse\"");
    r = raw_good(), r.kind = NULL, expect(&r, "attribute \"kind\" is missing");
    r = raw_good(), r.teacher = NULL, expect(&r, "attribute \"teacher\" is missing");
    r = raw_good(), r.vocab_size = 0, expect(&r, "attribute \"vocab_size\" is 0");
    r = raw_good(), r.vocab_size = 1ull << 31, expect(&r, "ids have 31 bits");
    r = raw_good(), r.k = 0, expect(&r, "attribute \"k\" is 0 of a vocabulary of 100");
    r = raw_good(), r.k = 101, expect(&r, "attribute \"k\" is 101 of a vocabulary of 100");
    r = raw_good(), r.vocab_size = r.k = 1 << 21, expect(&r, "over 1048576 a dump must be dense");
    r = raw_good(), r.temperature = 0, expect(&r, "attribute \"temperature\" is 0");
    r = raw_good(), r.temperature = NAN, expect(&r, "attribute \"temperature\" is nan");
    r = raw_good(), r.cumulative = 1.5, expect(&r, "attribute \"cumulative\" is 1.5");
}

static void datasets_are_checked(void **state)
{
    (void)state;
    static const char *const names[] = {"tokens", "sequences", "supervised", "id_gaps", "log_probs", "log_tail"};
    struct raw r;
    char message[100];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        r = raw_good();
        r.absent = names[i];
        snprintf(message, sizeof message, "dataset \"%s\" is missing", names[i]);
        expect(&r, message);
    }
    r = raw_good(), r.swapped = true, expect(&r, "dataset \"tokens\", chunk 0 (rows 0 to 3): is of the wrong type");
    r = raw_good(), r.tokens[5] = 100, expect(&r, "dataset \"tokens\": token 5 is 100, but the vocabulary has 100");
    r = raw_good(), r.tokens[0] = UINT32_MAX, expect(&r, "holds a number that is negative or too large");
    r = raw_good(), r.sequences[1] = 0, expect(&r, "sequence 0 ends at 0, but begins at 0");
    r = raw_good(), r.sequences[0] = 1, expect(&r, "must begin with 0 and end with 6");
    r = raw_good(), r.sequences[1] = 7, expect(&r, "sequence 1 ends at 6, but begins at 7");
    r = raw_good(), r.n_sequences = 2, expect(&r, "must begin with 0 and end with 6");
    r = raw_good(), r.n_sequences = 0, expect(&r, "must begin with 0 and end with 6");
    r = raw_good(), r.n_tokens = 0, r.n_sequences = 1, r.n_supervised = 0, r.n_gaps = r.n_probs = r.n_tails = 0;
    expect(&r, "holds no sequence");
    r = raw_good(), memset(r.supervised, 0, sizeof r.supervised), r.n_gaps = r.n_probs = r.n_tails = 0;
    expect(&r, "none of its tokens is supervised");
    r = raw_good(), r.n_supervised = 5, expect(&r, "dataset \"supervised\" has 5 elements, expected 6");
    r = raw_good(), r.supervised[3] = 1, expect(&r, "the first token of sequence 1 is supervised");
    r = raw_good(), r.supervised[1] = 2, expect(&r, "token 1 has 2; 0 and 1 are allowed");
    r = raw_good(), r.supervised[1] = 0, expect(&r, "dataset \"log_tail\" has 4 rows, expected 3");
    r = raw_good(), r.n_gaps = 11, expect(&r, "dataset \"id_gaps\" has 11 rows, expected 12");
    r = raw_good(), r.n_probs = 11, expect(&r, "dataset \"log_probs\" has 11 rows, expected 12");
    r = raw_good(), r.n_tails = 3, expect(&r, "dataset \"log_tail\" has 3 rows, expected 4");
    r = raw_good(), r.n_counts = 3, expect(&r, "dataset \"counts\" has 3 rows, expected 4");
    r = raw_good(), r.n_counts = 4, r.counts[2] = 2, expect(&r, "dataset \"id_gaps\" has 12 entries, but \"counts\" adds up to 11");
    r = raw_good(), r.n_counts = 4, r.counts[2] = 0, expect(&r, "dataset \"counts\": position 2 has 0 entries; 1 to 3 (k)");
    r = raw_good(), r.n_counts = 4, r.counts[2] = 4, expect(&r, "dataset \"counts\": position 2 has 4 entries; 1 to 3 (k)");
    r = raw_good(), r.tokenizer_json = "{", expect(&r, "tokenizer_json: ");
    r = raw_good(), r.kind = "dense", r.k = 100, expect(&r, "dataset \"log_probs\" has rows of 1, expected 100");
}

static void distributions_are_checked(void **state)
{
    (void)state;
    struct raw r;
    r = raw_good(), r.gaps[8] = 100;
    expect(&r, "dataset \"id_gaps\", chunk 2, position 2: an id is beyond the vocabulary (122)");
    r = raw_good(), r.gaps[8] = UINT32_MAX, expect(&r, "an id is beyond the vocabulary");
    r = raw_good(), r.gaps[4] = 0, expect(&r, "dataset \"id_gaps\", chunk 1, position 1: an id is there twice (1)");
    r = raw_good(), r.log_probs[11] = NAN;
    expect(&r, "dataset \"log_probs\", chunk 2, position 3: a log-probability must be a number, at most 0 (nan)");
    r = raw_good(), r.log_probs[0] = 0.5f, expect(&r, "at most 0 (0.5)");
    r = raw_good(), r.log_probs[0] = -INFINITY, expect(&r, "a number, at most 0 (-inf)");
    r = raw_good(), r.wide = true, r.log_probs[0] = NAN, expect(&r, "at most 0 (nan)");
    r = raw_good(), r.log_tail[1] = 1, expect(&r, "dataset \"log_tail\", chunk 0, position 1: a log-probability");
    r = raw_good(), r.log_tail[1] = NAN, expect(&r, "dataset \"log_tail\", chunk 0, position 1: a log-probability");
    r = raw_good(), r.log_probs[3] = logf(0.4f);
    expect(&r, "position 1: probabilities and tail add up to 0.8996, not 1");
}

/* Weights need not sum to 1 at each position, but in the mean of many they must. */
static void weights_are_checked_in_the_mean(void **state)
{
    (void)state;
    static const struct dump_description sampled = {.kind = DUMP_SAMPLED, .vocab_size = 50, .most = 12, .temperature = 1,
                                                    .teacher = "t"};
    struct dump_writer_options o = {.path = directory, .compression = 6};
    struct sample s;
    sample_init(&s, &sampled, 20, 9);
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < s.n_positions; i++)
            for (size_t j = s.begin[i]; j < s.begin[i + 1]; j++)
                s.log_probs[j] -= pass ? 0.1f : i % 2 ? 0 : 0.01f;
        struct dump_writer *w;
        struct error e;
        size_t a, b;
        assert_ok(dump_writer_open(&o, &sampled, &w, &a, &b, &e), e);
        sample_add(&s, w, 0, s.n_sequences);
        assert_ok(dump_writer_finish(w, &e), e);
        dump_writer_close(w);
        assert_int_equal(try_dump(directory, &e), pass ? ERR_FORMAT : OK);
        if (pass)
            assert_non_null(strstr(e.message, "the weights of a position add up to 0.90"));
        unlink(path);
    }
    sample_free(&s);
}

static void parts_must_agree(void **state)
{
    (void)state;
    struct error e;
    struct raw r = raw_good();
    raw_write(&r, path);
    raw_write(&r, other);
    assert_ok(try_dump(directory, &e), e);
    const struct {
        const char *kind;
        uint64_t vocab;
        double temperature;
        const char *message;
    } cases[] = {{"sampled", 100, 1, "is of the kind top-k"},
                 {"top-k", 101, 1, "has a vocabulary of 100 tokens"},
                 {"top-k", 100, 2, "has the temperature 1"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        r = raw_good();
        r.kind = cases[i].kind, r.vocab_size = cases[i].vocab, r.temperature = cases[i].temperature;
        raw_write(&r, other);
        assert_int_equal(try_dump(directory, &e), ERR_FORMAT);
        if (!strstr(e.message, cases[i].message) || !strstr(e.message, "part-00000.h5") || !strstr(e.message, "part-00001.h5"))
            fail_msg("%s", e.message);
    }
    r = raw_good(), r.k = 4; /* a part may have more entries */
    r.n_counts = RAW_POSITIONS;
    raw_write(&r, other);
    assert_ok(try_dump(directory, &e), e);
    unlink(path);
    unlink(other);
    assert_int_equal(try_dump(directory, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "holds no part of a dump"));
    assert_int_not_equal(try_dump("/tmp/linnet-no-such-dump", &e), OK);
}

/* Which bytes are changed is said only where they are of a chunk; all others must at least not be believed. */
static void damage_is_found(void **state)
{
    (void)state;
    static const struct dump_description top = {.kind = DUMP_TOP, .vocab_size = 300, .most = 12, .temperature = 1, .teacher = "t"};
    struct sample s;
    struct dump_writer *w;
    struct error e;
    size_t a, b, named = 0, found = 0, n = 0;
    sample_init(&s, &top, 40, 9);
    struct dump_writer_options o = {.path = directory, .compression = 6};
    assert_ok(dump_writer_open(&o, &top, &w, &a, &b, &e), e);
    sample_add(&s, w, 0, s.n_sequences);
    assert_ok(dump_writer_finish(w, &e), e);
    dump_writer_close(w);
    struct buffer bytes = {0};
    assert_ok(file_read(path, &bytes, 1 << 24, &e), e);
    unlink(path);
    for (size_t at = 24; at < bytes.size; at += bytes.size / 150, n++) {
        bytes.data[at] ^= 0x10;
        assert_ok(file_write(other, bytes.data, bytes.size, &e), e);
        int code = try_dump(other, &e);
        bytes.data[at] ^= 0x10;
        found += code != OK;
        if (code && strchr(e.message, '\n'))
            fail_msg("%s", e.message);
        named += code && strstr(e.message, "dataset \"log_probs\", chunk 0 (positions 0 to ") &&
                 strstr(e.message, "checksum does not match: the file is damaged; write this part again");
    }
    assert_true(named > 20);
    assert_true(found > n / 2); /* the others are bytes that nobody reads */
    for (size_t size = 0; size < bytes.size; size += bytes.size / 40) {
        assert_ok(file_write(other, bytes.data, size, &e), e);
        assert_int_not_equal(try_dump(other, &e), OK);
    }
    buffer_free(&bytes);
    sample_free(&s);
}

/* The fuzzer's seeds. */
static void seeds_are_read_or_refused(void **state)
{
    (void)state;
    struct path_list list;
    struct error e;
    size_t good = 0, bad = 0;
    assert_ok(dir_list("tests/fuzz/corpus/dump", &list, &e), e);
    for (size_t i = 0; i < list.count; i++) {
        const char *name = path_basename(list.paths[i]);
        int code = try_dump(list.paths[i], &e);
        if (strncmp(name, "good-", 5) == 0 ? code != OK : code == OK || strchr(e.message, '\n'))
            fail_msg("%s: %s", list.paths[i], e.message);
        good += !code;
        bad += code != OK;
    }
    assert_true(good >= 4 && bad >= 6);
    path_list_free(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(good_dumps_are_good, remove_dump),
        cmocka_unit_test_teardown(attributes_are_checked, remove_dump),
        cmocka_unit_test_teardown(datasets_are_checked, remove_dump),
        cmocka_unit_test_teardown(distributions_are_checked, remove_dump),
        cmocka_unit_test_teardown(weights_are_checked_in_the_mean, remove_dump),
        cmocka_unit_test_teardown(parts_must_agree, remove_dump),
        cmocka_unit_test_teardown(damage_is_found, remove_dump),
        cmocka_unit_test(seeds_are_read_or_refused),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
