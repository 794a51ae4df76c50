/* align/reference_file and align/stored_reference: what was written comes back, every damage and every answer that is not
 * there is said in one line that names the file. */
#include "align/reference_file.h"
#include "align/stored_reference.h"
#include "base/file.h"
#include "formats/hdf5_file.h"
#include "tests/data/example_set.h"
#include "tests/folder.h"
#include "tests/test.h"

#include <math.h>
#include <stdio.h>

/* HDF5 1.10 forgets memory over a damaged file, which is not ours to free. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libhdf5";
}

static char directory[] = "/tmp/linnet-reference-XXXXXX";
static char path[256], other[256];

static int make_directory(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    snprintf(path, sizeof path, "%s/reference.h5", directory);
    snprintf(other, sizeof other, "%s/other.h5", directory);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    remove_files(directory);
    return 0;
}

static const struct reference_description made = {.model = "models/a", .model_hash = UINT64_MAX - 3, .tokenizer_hash = 7,
                                                  .products = "bf16", .producer = "linnet 0.1.0"};

/* ---- a file with whatever is wrong ---- */

enum { ROWS = 3 };

struct raw {
    const char *format, *model, *products, *producer;
    uint64_t keys[ROWS];
    double logps[ROWS];
    uint32_t n_targets[ROWS];
    size_t n_keys, n_logps, n_n_targets;
    const char *absent; /* an attribute or a dataset that is left out */
    bool chunks, wide, real_keys, single;
    uint64_t hash_error;
};

static struct raw raw_good(void)
{
    return (struct raw){.format = "linnet-reference-1", .model = made.model, .products = made.products,
                        .producer = made.producer, .keys = {5, 1ull << 63, UINT64_MAX}, .logps = {-0.1, -7.25, 0},
                        .n_targets = {1, 9, 4000000000}, .n_keys = ROWS, .n_logps = ROWS, .n_n_targets = ROWS};
}

static void put_string(struct hdf5_file *f, const struct raw *r, const char *name, const char *value)
{
    struct error e;
    if (!r->absent || strcmp(name, r->absent) != 0)
        assert_ok(hdf5_put_string(f, name, value, &e), e);
}

static void put_u64(struct hdf5_file *f, const struct raw *r, const char *name, uint64_t value)
{
    struct error e;
    if (!r->absent || strcmp(name, r->absent) != 0)
        assert_ok(hdf5_put_u64(f, name, value, &e), e);
}

static void put_rows(struct hdf5_file *f, const struct raw *r, const char *name, enum hdf5_type type, size_t n, const void *data)
{
    struct error e;
    struct hdf5_column *c;
    size_t square[] = {n, 1};
    if (r->absent && strcmp(name, r->absent) == 0)
        return;
    if (!r->chunks) {
        assert_ok(hdf5_write(f, name, type, r->wide ? 2 : 1, r->wide ? square : &n, data, &e), e);
        return;
    }
    assert_ok(hdf5_column_create(f, name, type, 0, 2, 6, &c, &e), e);
    assert_ok(hdf5_column_append(c, data, n, &e), e);
    assert_ok(hdf5_column_finish(c, &e), e);
}

static void raw_write(struct raw *r, const char *where)
{
    struct error e;
    struct hdf5_file *f;
    double real_keys[ROWS] = {1, 2, 3};
    float single[ROWS] = {-1, -2, -3};
    struct reference_description d = made;
    struct reference_table t = {r->n_keys, r->n_keys, r->keys, r->logps, r->n_targets};
    d.model = (char *)r->model;
    d.products = (char *)r->products;
    assert_ok(hdf5_create(where, &f, &e), e);
    put_string(f, r, "format", r->format);
    put_string(f, r, "model", r->model);
    put_string(f, r, "products", r->products);
    put_string(f, r, "producer", r->producer);
    put_u64(f, r, "model_hash", made.model_hash);
    put_u64(f, r, "tokenizer_hash", made.tokenizer_hash);
    put_u64(f, r, "content_hash", reference_hash(&t, &d) ^ r->hash_error);
    put_rows(f, r, "keys", r->real_keys ? HDF5_F64 : HDF5_U64, r->n_keys, r->real_keys ? (void *)real_keys : r->keys);
    put_rows(f, r, "logps", r->single ? HDF5_F32 : HDF5_F64, r->n_logps, r->single ? (void *)single : r->logps);
    put_rows(f, r, "n_targets", HDF5_U32, r->n_n_targets, r->n_targets);
    assert_ok(hdf5_commit(f, &e), e);
}

static int try_file(const char *where, struct error *e)
{
    struct reference_table t;
    struct reference_description d;
    int code = reference_file_read(where, &t, &d, e);
    reference_table_free(&t);
    reference_description_free(&d);
    return code;
}

static void expect(struct raw *r, const char *message)
{
    struct error e = {0};
    raw_write(r, path);
    int code = try_file(path, &e);
    if (code == OK)
        fail_msg("was accepted, though: %s", message);
    if (!strstr(e.message, message))
        fail_msg("\"%s\" instead of \"%s\"", e.message, message);
    if (strncmp(e.message, path, strlen(path)) != 0 || strchr(e.message, '\n') || code != ERR_FORMAT)
        fail_msg("not a good error: %s", e.message);
    unlink(path);
}

/* ---- tests ---- */

static void tables_are_sorted_and_searched(void **state)
{
    (void)state;
    struct reference_table t = {0};
    assert_true(reference_table_find(&t, 0) == SIZE_MAX);
    for (size_t i = 0; i < 1000; i++) /* the multiples of 0x1F...F below 2^64, each twice */
        reference_table_add(&t, i % 500 * 0x7fffffffffffffull, -(double)i, 1 + i);
    reference_table_add(&t, 3, 1e-7, 5);
    reference_table_sort(&t);
    assert_int_equal(t.count, 501);
    for (size_t i = 0; i < 500; i++) {
        size_t at = reference_table_find(&t, i * 0x7fffffffffffffull);
        assert_true(at < t.count && t.logps[at] == -(double)i && t.n_targets[at] == 1 + i);
        assert_true(reference_table_find(&t, i * 0x7fffffffffffffull + 1) == SIZE_MAX);
    }
    assert_true(t.logps[reference_table_find(&t, 3)] == 0); /* 1e-7 was rounding */
    reference_table_free(&t);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct error e;
    struct reference_table t = {0}, back;
    struct reference_description d;
    struct rng rng;
    rng_init(&rng, 3, 0);
    for (size_t i = 0; i < 700; i++)
        reference_table_add(&t, rng_next(&rng), -rng_uniform(&rng) * 1e3, 1 + rng_below(&rng, 1000));
    reference_table_sort(&t);
    assert_false(reference_file_is(path));
    for (int pass = 0; pass < 2; pass++) { /* over one that is there, too */
        assert_ok(reference_file_write(path, &t, &made, &e), e);
        assert_true(reference_file_is(path));
        assert_ok(reference_file_read(path, &back, &d, &e), e);
        assert_int_equal(back.count, t.count);
        assert_memory_equal(back.keys, t.keys, t.count * sizeof *t.keys);
        assert_memory_equal(back.logps, t.logps, t.count * sizeof *t.logps);
        assert_memory_equal(back.n_targets, t.n_targets, t.count * sizeof *t.n_targets);
        assert_string_equal(d.model, made.model);
        assert_string_equal(d.products, made.products);
        assert_string_equal(d.producer, made.producer);
        assert_true(d.model_hash == made.model_hash && d.tokenizer_hash == made.tokenizer_hash);
        assert_true(reference_hash(&back, &d) == reference_hash(&t, &made));
        d.tokenizer_hash++;
        assert_true(reference_hash(&back, &d) != reference_hash(&t, &made));
        reference_table_free(&back);
        reference_description_free(&d);
    }
    assert_int_not_equal(reference_file_write("/tmp/linnet-no-such-folder/r.h5", &t, &made, NULL), OK);
    struct reference_description nameless = made;
    nameless.producer = NULL;
    assert_ok(reference_file_write(path, &t, &nameless, &e), e);
    assert_ok(reference_file_read(path, &back, &d, &e), e);
    assert_string_equal(d.producer, "linnet");
    reference_table_free(&back);
    reference_description_free(&d);
    t.logps[13] = NAN;
    assert_int_equal(reference_file_write(path, &t, &made, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "that of answer 13 is nan"));
    assert_ok(try_file(path, &e), e); /* the one that was there stays */
    reference_table_free(&t);
}

static void good_files_are_good(void **state)
{
    (void)state;
    struct error e;
    struct raw r = raw_good();
    for (int i = 0; i < 2; i++) {
        r.chunks = i;
        raw_write(&r, path);
        assert_ok(try_file(path, &e), e);
    }
    unlink(path);
}

static void attributes_are_checked(void **state)
{
    (void)state;
    static const char *const names[] = {"model", "model_hash", "tokenizer_hash", "products", "producer", "content_hash"};
    struct raw r = raw_good();
    char message[100];
    r.absent = "format", expect(&r, "is an HDF5 file, but holds no log-probabilities of a reference");
    r = raw_good(), r.format = "linnet-shard-1", expect(&r, "has the format \"linnet-shard-1\", \"linnet-reference-1\" is needed");
    r = raw_good(), r.format = "linnet-reference-2";
    expect(&r, "has the format \"linnet-reference-2\", \"linnet-reference-1\" is needed: make the file anew with this linnet");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        r = raw_good(), r.absent = names[i];
        snprintf(message, sizeof message, "attribute \"%s\" is missing", names[i]);
        expect(&r, message);
    }
    r = raw_good(), r.hash_error = 1 << 20, expect(&r, "damaged: what it holds does not match its content_hash");
}

static void datasets_are_checked(void **state)
{
    (void)state;
    static const char *const names[] = {"keys", "logps", "n_targets"};
    struct raw r;
    char message[100];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        r = raw_good(), r.absent = names[i];
        snprintf(message, sizeof message, "dataset \"%s\" is missing", names[i]);
        expect(&r, message);
    }
    r = raw_good(), r.n_keys = 0, expect(&r, "holds no answer");
    r = raw_good(), r.n_keys = 2, expect(&r, "dataset \"logps\" has 3 elements, but \"keys\" has 2");
    r = raw_good(), r.n_logps = 2, expect(&r, "dataset \"logps\" has 2 elements, but \"keys\" has 3");
    r = raw_good(), r.n_n_targets = 1, expect(&r, "dataset \"n_targets\" has 1 elements, but \"keys\" has 3");
    r = raw_good(), r.chunks = true, r.n_n_targets = 1, expect(&r, "dataset \"n_targets\" has 1 elements");
    r = raw_good(), r.real_keys = true, expect(&r, "dataset \"keys\" must have one dimension, of type u64");
    r = raw_good(), r.single = true, expect(&r, "dataset \"logps\" must have one dimension, of type f64");
    r = raw_good(), r.keys[1] = 5, expect(&r, "dataset \"keys\": key 1 is there twice");
    r = raw_good(), r.keys[2] = 6, expect(&r, "dataset \"keys\": key 2 is less than the one before it; keys must ascend");
    r = raw_good(), r.n_targets[2] = 0, expect(&r, "dataset \"n_targets\": answer 2 has 0 targets");
    r = raw_good(), r.logps[0] = NAN, expect(&r, "dataset \"logps\": that of answer 0 is nan");
    r = raw_good(), r.logps[1] = 1e-9, expect(&r, "dataset \"logps\": that of answer 1 is 1e-09");
    r = raw_good(), r.logps[2] = -INFINITY, expect(&r, "is -inf; a log-probability is a finite number, at most 0");
}

/* Every byte that is changed is either found, or changes nothing that is read. */
static void damage_is_found(void **state)
{
    (void)state;
    struct error e = {0};
    struct reference_table t = {0}, back;
    struct reference_description d;
    struct buffer bytes = {0};
    size_t found = 0;
    for (size_t i = 0; i < 64; i++)
        reference_table_add(&t, i << 50, -1.0 - (double)i, 3);
    assert_ok(reference_file_write(path, &t, &made, &e), e);
    assert_ok(file_read(path, &bytes, 1 << 20, &e), e);
    for (size_t i = 0; i < 80; i++) {
        size_t at = 8 + i * (bytes.size - 8) / 80;
        bytes.data[at] ^= 0x10;
        assert_ok(file_write(other, bytes.data, bytes.size, &e), e);
        bytes.data[at] ^= 0x10;
        if (reference_file_read(other, &back, &d, &e)) {
            found++;
            assert_null(strchr(e.message, '\n'));
            continue;
        }
        assert_true(reference_hash(&back, &d) == reference_hash(&t, &made) && back.count == t.count);
        reference_table_free(&back);
        reference_description_free(&d);
    }
    assert_true(found >= 10);
    for (size_t size = 0; size < bytes.size; size += bytes.size / 40) {
        assert_ok(file_write(other, bytes.data, size, &e), e);
        assert_int_not_equal(try_file(other, &e), OK);
        assert_null(strchr(e.message, '\n'));
    }
    /* a number in the middle of the sums, where nothing but the checksum knows */
    size_t at = 0;
    while (memcmp(bytes.data + at, t.logps, t.count * sizeof *t.logps) != 0)
        assert_true(++at + t.count * sizeof *t.logps <= bytes.size);
    bytes.data[at + 100] ^= 1;
    assert_ok(file_write(other, bytes.data, bytes.size, &e), e);
    assert_int_equal(try_file(other, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "\"logps\""));
    unlink(other);
    buffer_free(&bytes);
    reference_table_free(&t);
}

static void other_models_are_refused(void **state)
{
    (void)state;
    struct error e;
    assert_ok(reference_check(&made, made.model_hash, 7, "r.h5", &e), e);
    assert_int_equal(reference_check(&made, 1, 7, "r.h5", &e), ERR_FORMAT);
    assert_string_equal(e.message, "r.h5: made with another model: models/a (model fffffffffffffffc, tokenizer 0000000000000007; "
                                   "here they are 0000000000000001 and 0000000000000007); make one for this with linnet reference, with the "
                                   "same --method");
    assert_int_equal(reference_check(&made, made.model_hash, 8, "r.h5", &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "r.h5: made with another tokenizer: models/a ("));
    assert_int_equal(reference_check(&made, 1, 8, "r.h5", &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "r.h5: made with another model and tokenizer: models/a ("));
}

/* ---- answers ---- */

/* Each learns at least one target. */
static struct examples make_answers(size_t n, uint64_t seed)
{
    static char name[] = "data.jsonl";
    static char *files[] = {name};
    struct examples x = example_set(n, 2, 20, 50, seed);
    x.files = files;
    x.n_files = 1;
    x.origins = mem_zero(n, sizeof *x.origins);
    for (size_t i = 0; i < n; i++) {
        x.origins[i].line = 10 + i;
        x.learned[x.begin[i + 1] - 1] = 1;
    }
    return x;
}

static void free_answers(struct examples *x)
{
    mem_free(x->origins);
    x->files = NULL;
    x->n_files = 0;
    example_set_free(x);
}

static void add_answers(struct reference_table *t, const struct examples *x, double base)
{
    for (size_t i = 0; i < x->count; i++) {
        size_t n = 0;
        for (size_t k = x->begin[i]; k < x->begin[i + 1]; k++)
            n += x->learned[k];
        reference_table_add(t, example_key(x, i), base - (double)i, n);
    }
}

static void keys_are_of_ids_and_mask(void **state)
{
    (void)state;
    struct examples x = make_answers(2, 5);
    uint64_t key = example_key(&x, 1);
    assert_true(key != example_key(&x, 0));
    size_t last = x.begin[2] - 1;
    x.ids[last]++;
    assert_true(example_key(&x, 1) != key);
    x.ids[last]--;
    x.learned[x.begin[1]] ^= 1;
    assert_true(example_key(&x, 1) != key);
    x.learned[x.begin[1]] ^= 1;
    x.ids[0]++; /* another example's */
    assert_true(example_key(&x, 1) == key);
    free_answers(&x);

    /* XXH64 of 01 00 00 00 02 00 00 00 00 01, by its authors' own library */
    size_t begin[] = {0, 2};
    int32_t ids[] = {1, 2};
    uint8_t learned[] = {0, 1};
    struct examples two = {.count = 1, .begin = begin, .ids = ids, .learned = learned};
    assert_true(example_key(&two, 0) == 0xa774f4120ed7c7eull);
}

static void answers_are_found_wherever_they_stand(void **state)
{
    (void)state;
    struct error e;
    struct examples train = make_answers(40, 1), held = make_answers(15, 2);
    struct reference_table t = {0};
    struct stored_reference s;
    add_answers(&t, &held, -1000);
    add_answers(&t, &train, -1);
    reference_table_sort(&t);
    assert_ok(stored_reference_init(&s, &t, path, &train, &held, &e), e);
    assert_int_equal(s.count, 55);
    struct batch_example order[55];
    double logps[55];
    for (size_t i = 0; i < 55; i++)
        order[i] = (struct batch_example){.number = 54 - i};
    struct batch b = {.examples = order, .n_examples = 55};
    struct reference r = stored_reference(&s);
    assert_ok(r.logps(r.context, NULL, &b, NULL, logps, &e), e);
    for (size_t i = 0; i < 55; i++)
        assert_true(logps[54 - i] == (i < 40 ? -1 - (double)i : -1000 - (double)(i - 40)));
    stored_reference_free(&s);
    assert_ok(stored_reference_init(&s, &t, path, NULL, &held, &e), e);
    assert_true(s.count == 15 && s.logps[14] == -1014);
    stored_reference_free(&s);
    assert_ok(stored_reference_init(&s, &t, path, &train, NULL, &e), e);
    assert_true(s.count == 40 && s.logps[39] == -40);
    stored_reference_free(&s);
    reference_table_free(&t);
    free_answers(&train);
    free_answers(&held);
}

static void missing_answers_are_said(void **state)
{
    (void)state;
    struct error e;
    struct examples train = make_answers(40, 1), held = make_answers(15, 2);
    struct reference_table t = {0};
    struct stored_reference s;
    add_answers(&t, &train, -1);
    reference_table_sort(&t);
    assert_int_equal(stored_reference_init(&s, &t, "r.h5", &train, &held, &e), ERR_FORMAT);
    assert_string_equal(e.message, "15 of 55 answers are not in r.h5 (the first: data.jsonl:10); make a file of these data, with "
                                   "the same chat template and length, with linnet reference");
    train.ids[train.begin[7]]++;
    assert_int_equal(stored_reference_init(&s, &t, "r.h5", &train, NULL, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "1 of 40 answers are not in r.h5 (the first: data.jsonl:17)"));
    train.ids[train.begin[7]]--;
    size_t at = reference_table_find(&t, example_key(&train, 9));
    unsigned right = t.n_targets[at]++;
    assert_int_equal(stored_reference_init(&s, &t, "r.h5", &train, NULL, &e), ERR_FORMAT);
    char wanted[200];
    snprintf(wanted, sizeof wanted, "r.h5: has another number of targets for 1 of 40 answers (the first: data.jsonl:19, which "
                                    "has %u, and there %u)", right, right + 1);
    if (!strstr(e.message, wanted))
        fail_msg("%s", e.message);
    reference_table_free(&t);
    free_answers(&train);
    free_answers(&held);
}

/* The fuzzer's seeds. */
static void seeds_are_read_or_refused(void **state)
{
    (void)state;
    struct path_list list;
    struct error e;
    size_t good = 0, bad = 0;
    assert_ok(dir_list("tests/fuzz/corpus/reference", &list, &e), e);
    for (size_t i = 0; i < list.count; i++) {
        int code = try_file(list.paths[i], &e);
        if (strncmp(path_basename(list.paths[i]), "good-", 5) == 0 ? code != OK : code == OK || strchr(e.message, '\n'))
            fail_msg("%s: %s", list.paths[i], e.message);
        good += !code;
        bad += code != OK;
    }
    assert_true(good >= 2 && bad >= 3);
    path_list_free(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_sorted_and_searched),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(good_files_are_good),
        cmocka_unit_test(attributes_are_checked),
        cmocka_unit_test(datasets_are_checked),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(other_models_are_refused),
        cmocka_unit_test(keys_are_of_ids_and_mask),
        cmocka_unit_test(answers_are_found_wherever_they_stand),
        cmocka_unit_test(missing_answers_are_said),
        cmocka_unit_test(seeds_are_read_or_refused),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
