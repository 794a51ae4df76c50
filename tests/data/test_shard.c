/* data/shard: tokens and boundaries as they should be, splits, reuse, and failures that keep the
 * old file. */
#include "data/shard.h"

#include "base/buffer.h"
#include "base/log.h"
#include "data/synth.h"
#include "formats/hdf5_file.h"
#include "tests/test.h"
#include "tokenizer/train.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

static int make_dir(void **state)
{
    (void)state;
    log_set_quiet(true);
    strcpy(dir, "/tmp/linnet-shard-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

static const char *in_dir(const char *name)
{
    static char paths[64][128];
    static size_t next;
    char *p = paths[next++ % 64];
    snprintf(p, sizeof paths[0], "%s/%s", dir, name);
    return p;
}

static const char *put(const char *name, const char *text)
{
    struct error e;
    const char *path = in_dir(name);
    assert_ok(file_write(path, text, strlen(text), &e), e);
    return path;
}

static struct tokenizer *bytes(bool eos)
{
    static const char *const special[] = {"<|endoftext|>"};
    struct tokenizer *t;
    struct error e;
    assert_ok(tokenizer_new_bytes(special, eos ? 1 : 0, &t, &e), e);
    return t;
}

static struct shard_settings settings_for(const char *const *paths, size_t n)
{
    return (struct shard_settings){
        .paths = paths, .n_paths = n, .text_field = "text", .threads = 2};
}

static void prepare(const struct shard_settings *s, const struct tokenizer *t, const char *path,
                    bool expect_reuse, struct shard *shard)
{
    struct error e;
    bool reused;
    assert_ok(shard_prepare(s, t, path, &reused, &e), e);
    assert_int_equal(reused, expect_reuse);
    assert_ok(shard_open(path, t, shard, &e), e);
}

static void assert_tokens(const struct shard *s, const int32_t *expected, size_t n)
{
    assert_int_equal(s->n_tokens, n);
    int32_t ids[256];
    assert_true(n <= 256);
    shard_read(s, 0, n, ids);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(ids[i], expected[i]);
}

/* ---- content ---- */

static void holds_tokens_and_documents(void **state)
{
    (void)state;
    const char *paths[] = {
        put("a.jsonl", "{\"text\": \"ab\"}\n{\"text\": \"\"}\n{\"text\": \"c\"}\n"),
        put("b.txt", "d\n")};
    struct tokenizer *t = bytes(true);
    struct shard_settings s = settings_for(paths, 2);
    struct shard shard;
    prepare(&s, t, in_dir("s.h5"), false, &shard);
    const int32_t expected[] = {'a', 'b', 256, 'c', 256, 'd', '\n', 256};
    assert_tokens(&shard, expected, 8);
    assert_int_equal(shard.n_documents, 3);
    const uint64_t documents[] = {0, 3, 5, 8};
    assert_memory_equal(shard.documents, documents, sizeof documents);
    assert_int_equal(shard.n_train_tokens, 8);
    assert_int_equal(shard.n_train_bytes, 5);
    assert_int_equal(shard.n_validation_bytes, 0);
    assert_int_equal(shard.vocab_size, 257);
    assert_int_equal(shard.tokenizer_hash, tokenizer_hash(t));
    shard_close(&shard);
    tokenizer_free(t);
}

static void tail_split_is_nanogpts(void **state)
{
    (void)state;
    struct buffer text = {0};
    while (text.size < 1115394)
        buffer_byte(&text, "abcdef gh\n"[text.size * text.size % 10]);
    const char *paths[] = {put("long.txt", text.data)};
    struct tokenizer *t = bytes(false);
    struct shard_settings s = settings_for(paths, 1);
    s.validation_fraction = 0.1;
    struct shard shard;
    prepare(&s, t, in_dir("s.h5"), false, &shard);
    assert_int_equal(shard.n_tokens, 1115394);
    assert_int_equal(shard.n_train_tokens, 1003854);
    assert_int_equal(shard.n_train_bytes, 1003854);
    assert_int_equal(shard.n_validation_bytes, 1115394 - 1003854);
    assert_int_equal(shard.n_documents, 1);
    int32_t *ids = malloc(shard.n_tokens * sizeof *ids);
    shard_read(&shard, 0, shard.n_tokens, ids);
    for (size_t i = 0; i < shard.n_tokens; i++)
        if (ids[i] != (unsigned char)text.data[i])
            fail_msg("token %zu", i);
    free(ids);
    shard_close(&shard);
    buffer_free(&text);
    tokenizer_free(t);
}

/* EOS tokens are tokens without bytes, also when the cut is in the middle of a document. */
static void tail_split_counts_bytes(void **state)
{
    (void)state;
    const char *paths[] = {
        put("a.jsonl", "{\"text\": \"abc\"}\n{\"text\": \"defgh\"}\n{\"text\": \"ij\"}\n")};
    struct tokenizer *t = bytes(true);
    struct shard_settings s = settings_for(paths, 1);
    s.validation_fraction = 0.5; /* of 13 tokens: abc. de | fgh. ij. */
    struct shard shard;
    prepare(&s, t, in_dir("s.h5"), false, &shard);
    assert_int_equal(shard.n_tokens, 13);
    assert_int_equal(shard.n_train_tokens, 6);
    assert_int_equal(shard.n_train_bytes, 5);
    assert_int_equal(shard.n_validation_bytes, 5);
    shard_close(&shard);
    tokenizer_free(t);
}

static void document_split_moves_whole_documents(void **state)
{
    (void)state;
    struct buffer text = {0};
    for (int i = 0; i < 1000; i++)
        buffer_printf(&text, "{\"text\": \"%04d\"}\n", i);
    const char *paths[] = {put("a.jsonl", text.data)};
    struct tokenizer *t = bytes(true);
    struct shard_settings s = settings_for(paths, 1);
    s.split = SPLIT_DOCUMENTS;
    s.validation_fraction = 0.2;
    s.seed = 4;
    struct shard shard;
    prepare(&s, t, in_dir("s.h5"), false, &shard);
    assert_int_equal(shard.n_tokens, 5000);
    assert_int_equal(shard.n_documents, 1000);
    assert_int_equal(shard.n_train_tokens % 5, 0);
    size_t n_train = shard.n_train_tokens / 5;
    assert_in_range(n_train, 750, 850);
    assert_int_equal(shard.n_train_bytes, 4 * n_train);
    assert_int_equal(shard.n_validation_bytes, 4 * (1000 - n_train));
    bool seen[1000] = {false};
    int previous = -1;
    for (size_t i = 0; i < 1000; i++) {
        int32_t ids[5];
        assert_int_equal(shard.documents[i], 5 * i);
        shard_read(&shard, 5 * i, 5, ids);
        int number =
            (ids[0] - '0') * 1000 + (ids[1] - '0') * 100 + (ids[2] - '0') * 10 + ids[3] - '0';
        assert_false(seen[number]);
        seen[number] = true;
        if (i == n_train)
            previous = -1;
        assert_true(number > previous); /* each part keeps the order */
        previous = number;
    }
    shard_close(&shard);
    buffer_free(&text);
    tokenizer_free(t);
}

static void validation_paths_come_last(void **state)
{
    (void)state;
    const char *paths[] = {put("a.txt", "train")}, *validation[] = {put("v.txt", "valid")};
    struct tokenizer *t = bytes(false);
    struct shard_settings s = settings_for(paths, 1);
    s.validation_paths = validation;
    s.n_validation_paths = 1;
    s.validation_fraction = 0.3; /* does not matter */
    struct shard shard;
    prepare(&s, t, in_dir("s.h5"), false, &shard);
    const int32_t expected[] = {'t', 'r', 'a', 'i', 'n', 'v', 'a', 'l', 'i', 'd'};
    assert_tokens(&shard, expected, 10);
    assert_int_equal(shard.n_train_tokens, 5);
    assert_int_equal(shard.n_validation_bytes, 5);
    shard_close(&shard);
    tokenizer_free(t);
}

/* Threads, pieces and groups do not show: the shard is what encoding document by document gives. */
static void equals_serial_encoding(void **state)
{
    (void)state;
    struct error e;
    const char *paths[] = {in_dir("synth.jsonl"), in_dir("synth.txt")};
    assert_ok(synth_write(paths[0], 1, SYNTH_TRAIN, 400000, NULL, &e), e);
    assert_ok(synth_write(paths[1], 2, SYNTH_TRAIN, 2500000, NULL, &e), e);
    struct buffer text = {0};
    struct tokens expected = {0};
    assert_ok(file_read(paths[1], &text, 1 << 23, &e), e);
    static const char *const special[] = {"<|endoftext|>"};
    struct tokenizer_settings ts = {.splitter = SPLITTER_GPT2,
                                    .vocab_size = 1000,
                                    .min_frequency = 2,
                                    .special_tokens = special,
                                    .n_special_tokens = 1,
                                    .threads = 2};
    struct tokenizer_trainer *trainer;
    struct tokenizer *t;
    assert_ok(tokenizer_trainer_new(&ts, &trainer, &e), e);
    tokenizer_trainer_feed(trainer, text.data, (const size_t[]){0, text.size}, 1);
    assert_ok(tokenizer_trainer_finish(trainer, &t, &e), e);
    tokenizer_trainer_free(trainer);

    struct buffer document = {0};
    size_t n_documents = 0, n_bytes = 0;
    for (; n_bytes < 400000; n_documents++) {
        buffer_clear(&document);
        synth_document(1, SYNTH_TRAIN, n_documents, &document, NULL, NULL);
        n_bytes += document.size;
        tokenizer_encode(t, document.data, document.size, false, &expected);
        tokens_push(&expected, tokenizer_eos(t));
    }
    tokenizer_encode(t, text.data, text.size, false, &expected);
    tokens_push(&expected, tokenizer_eos(t));

    for (int threads = 1; threads <= 3; threads++) {
        struct shard_settings s = settings_for(paths, 2);
        s.threads = threads;
        s.validation_fraction = 0.25;
        struct shard shard;
        char name[16];
        snprintf(name, sizeof name, "s%d.h5", threads);
        prepare(&s, t, in_dir(name), false, &shard);
        assert_int_equal(shard.n_tokens, expected.count);
        assert_int_equal(shard.n_documents, n_documents + 1);
        int32_t *ids = malloc(expected.count * sizeof *ids);
        shard_read(&shard, 0, expected.count, ids);
        assert_memory_equal(ids, expected.ids, expected.count * sizeof *ids);
        free(ids);
        buffer_clear(&document);
        tokenizer_decode(t, expected.ids, shard.n_train_tokens, false, &document);
        assert_int_equal(shard.n_train_bytes, document.size);
        assert_int_equal(shard.n_train_bytes + shard.n_validation_bytes, n_bytes + text.size);
        shard_close(&shard);
    }
    buffer_free(&text);
    buffer_free(&document);
    tokens_free(&expected);
    tokenizer_free(t);
}

static void wide_vocabularies_take_four_bytes(void **state)
{
    (void)state;
    enum { EXTRA = 70000 };
    char(*names)[16] = malloc(EXTRA * sizeof *names);
    const char **special = malloc(EXTRA * sizeof *special);
    for (int i = 0; i < EXTRA; i++) {
        snprintf(names[i], sizeof names[i], "<|%d|>", i);
        special[i] = names[i];
    }
    struct tokenizer *t;
    struct error e;
    assert_ok(tokenizer_new_bytes(special, EXTRA, &t, &e), e);
    const char *paths[] = {put("a.txt", "wide")};
    struct shard_settings s = settings_for(paths, 1);
    struct shard shard;
    prepare(&s, t, in_dir("s.h5"), false, &shard);
    assert_int_equal(shard.token_bytes, 4);
    const int32_t expected[] = {'w', 'i', 'd', 'e', 256};
    assert_tokens(&shard, expected, 5);
    shard_close(&shard);
    tokenizer_free(t);
    free(names);
    free(special);
}

/* ---- reuse ---- */

static void reuses_only_what_is_the_same(void **state)
{
    (void)state;
    const char *paths[] = {put("a.txt", "some text here")}, *out = in_dir("reuse.h5");
    struct tokenizer *plain = bytes(false), *eos = bytes(true);
    struct shard_settings s = settings_for(paths, 1);
    struct shard shard;
    s.validation_fraction = 0.25;
    prepare(&s, plain, out, false, &shard);
    shard_close(&shard);
    s.threads = 1;
    prepare(&s, plain, out, true, &shard);
    shard_close(&shard);
    prepare(&s, eos, out, false, &shard); /* another tokenizer */
    shard_close(&shard);
    s.validation_fraction = 0.5;
    prepare(&s, eos, out, false, &shard); /* another setting */
    shard_close(&shard);
    prepare(&s, eos, out, true, &shard);
    shard_close(&shard);
    put("a.txt", "some other text");
    prepare(&s, eos, out, false, &shard); /* another corpus */
    shard_close(&shard);
    put("reuse.h5", "");
    prepare(&s, eos, out, false, &shard); /* an empty file */
    shard_close(&shard);
    assert_int_equal(truncate(out, 1000), 0);
    prepare(&s, eos, out, false, &shard); /* what is left of a shard */
    shard_close(&shard);
    tokenizer_free(plain);
    tokenizer_free(eos);
}

/* ---- refusals ---- */

/* A corpus or a checkpoint named by mistake must survive it. */
static void replaces_no_file_of_another_kind(void **state)
{
    (void)state;
    struct tokenizer *t = bytes(true);
    const char *paths[] = {put("a.txt", "some text here")};
    struct shard_settings s = settings_for(paths, 1);
    struct error e;
    const char *text = put("kept.h5", "not HDF5 at all");
    assert_int_equal(shard_prepare(&s, t, text, NULL, &e), ERR_USAGE);
    assert_non_null(strstr(e.message, "kept.h5: already there and not a shard"));
    struct buffer bytes = {0};
    assert_ok(file_read(text, &bytes, 1000, &e), e);
    assert_string_equal(bytes.data, "not HDF5 at all");
    buffer_free(&bytes);
    struct hdf5_file *f;
    const char *other = in_dir("checkpoint.h5");
    assert_ok(hdf5_create(other, &f, &e), e);
    assert_ok(hdf5_put_string(f, "format", "linnet-checkpoint-1", &e), e);
    assert_ok(hdf5_commit(f, &e), e);
    assert_int_equal(shard_prepare(&s, t, other, NULL, &e), ERR_USAGE);
    assert_non_null(strstr(e.message, "checkpoint.h5: already there and not a shard"));
    tokenizer_free(t);
}

static void expect_refusal(const struct shard_settings *s, const struct tokenizer *t, int code,
                           const char *a, const char *b)
{
    struct error e = {0};
    assert_int_equal(shard_prepare(s, t, in_dir("refused.h5"), NULL, &e), code);
    if (!strstr(e.message, a) || !strstr(e.message, b))
        fail_msg("\"%s\" or \"%s\" is not in: %s", a, b, e.message);
    assert_false(file_exists(in_dir("refused.h5")));
}

static void refuses_too_little(void **state)
{
    (void)state;
    struct tokenizer *t = bytes(false);
    const char *one[] = {put("one.txt", "x")}, *few[] = {put("few.txt", "xyz")},
               *none[] = {put("none.txt", "")};
    struct shard_settings s = settings_for(one, 1);
    expect_refusal(&s, t, ERR_FORMAT, "1 of the corpus's 1 tokens", "training");
    s = settings_for(none, 1);
    expect_refusal(&s, t, ERR_FORMAT, "no text", "none.txt");
    s = settings_for(few, 1);
    s.validation_fraction = 0.1;
    expect_refusal(&s, t, ERR_FORMAT, "1 of the corpus's 3 tokens", "validation");
    s.split = SPLIT_DOCUMENTS;
    s.validation_fraction = 0.0001;
    expect_refusal(&s, t, ERR_FORMAT, "0 of the corpus's 3 tokens", "validation");
    s.validation_fraction = 0.7;
    expect_refusal(&s, t, ERR_USAGE, "0.7", "0.5");
    tokenizer_free(t);
}

static void refuses_other_files(void **state)
{
    (void)state;
    const char *paths[] = {put("a.txt", "some text here")};
    struct tokenizer *plain = bytes(false), *eos = bytes(true);
    struct shard_settings s = settings_for(paths, 1);
    struct shard shard;
    struct error e;
    prepare(&s, plain, in_dir("s.h5"), false, &shard);
    shard_close(&shard);
    assert_int_equal(shard_open(in_dir("s.h5"), eos, &shard, &e), ERR_FORMAT);
    assert_true(strstr(e.message, "another tokenizer") && strstr(e.message, "prepare"));
    assert_ok(shard_open(in_dir("s.h5"), NULL, &shard, &e), e);
    shard_close(&shard);
    struct hdf5_file *f;
    assert_ok(hdf5_create(in_dir("other.h5"), &f, &e), e);
    assert_ok(hdf5_commit(f, &e), e);
    assert_int_equal(shard_open(in_dir("other.h5"), NULL, &shard, &e), ERR_FORMAT);
    assert_true(strstr(e.message, "not a token shard"));
    assert_int_not_equal(shard_open(in_dir("absent.h5"), NULL, &shard, &e), OK);
    tokenizer_free(plain);
    tokenizer_free(eos);
}

/* A file with the right format that contradicts itself; each case spoils one thing. */
static void refuses_contradictions(void **state)
{
    (void)state;
    enum { GOOD, TRAIN, TOKEN, FIRST, LAST, ORDER, MANY, CASES };
    for (int spoiled = GOOD; spoiled < CASES; spoiled++) {
        struct hdf5_file *f;
        struct error e;
        const char *path = in_dir("made.h5");
        assert_ok(hdf5_create(path, &f, &e), e);
        assert_ok(hdf5_put_string(f, "format", "linnet-shard-1", &e), e);
        uint16_t tokens[] = {1, 2, 3, spoiled == TOKEN ? 300 : 4};
        uint64_t documents[] = {
            spoiled == FIRST, spoiled == ORDER ? 4 : 2, spoiled == LAST ? 5 : 4, 4, 4, 4};
        assert_ok(hdf5_put_u64(f, "tokenizer_hash", 1, &e), e);
        assert_ok(hdf5_put_u64(f, "vocab_size", 256, &e), e);
        assert_ok(hdf5_put_u64(f, "n_train_tokens", spoiled == TRAIN ? 5 : 4, &e), e);
        assert_ok(hdf5_put_u64(f, "n_train_bytes", 4, &e), e);
        assert_ok(hdf5_put_u64(f, "n_validation_bytes", 0, &e), e);
        size_t dims[] = {4}, more[] = {spoiled == MANY ? 6 : 3};
        assert_ok(hdf5_write(f, "tokens", HDF5_U16, 1, dims, tokens, &e), e);
        assert_ok(hdf5_write(f, "documents", HDF5_U64, 1, more, documents, &e), e);
        assert_ok(hdf5_commit(f, &e), e);
        struct shard shard;
        int code = shard_open(path, NULL, &shard, &e);
        if (spoiled == GOOD) {
            assert_ok(code, e);
            shard_close(&shard);
        } else {
            assert_int_equal(code, ERR_FORMAT);
            assert_true(strstr(e.message, "made.h5"));
        }
    }
}

/* A limit on the file size stands in for a full disk. */
static void full_disk_keeps_the_old_shard(void **state)
{
    (void)state;
    struct tokenizer *t = bytes(false);
    struct buffer text = {0};
    while (text.size < 3000000)
        buffer_string(&text, "A line of text that fills the disk.\n");
    const char *small[] = {put("small.txt", "small")}, *big[] = {put("big.txt", text.data)};
    const char *out = in_dir("disk.h5");
    struct shard_settings s = settings_for(small, 1);
    struct shard shard;
    prepare(&s, t, out, false, &shard);
    shard_close(&shard);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit before, limit;
    getrlimit(RLIMIT_FSIZE, &before);
    limit = (struct rlimit){2000000, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
    struct error e;
    s = settings_for(big, 1);
    int code = shard_prepare(&s, t, out, NULL, &e);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(code, ERR_IO);
    assert_true(strstr(e.message, "disk.h5") && strstr(e.message, "File too large"));
    assert_ok(shard_open(out, t, &shard, &e), e);
    assert_int_equal(shard.n_tokens, 5);
    shard_close(&shard);
    struct path_list list;
    assert_ok(dir_list(dir, &list, &e), e);
    assert_int_equal(list.count, 3); /* nothing temporary is left */
    path_list_free(&list);
    buffer_free(&text);
    tokenizer_free(t);
}

#define WITH_DIR(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIR(holds_tokens_and_documents),
        WITH_DIR(tail_split_is_nanogpts),
        WITH_DIR(tail_split_counts_bytes),
        WITH_DIR(document_split_moves_whole_documents),
        WITH_DIR(validation_paths_come_last),
        WITH_DIR(equals_serial_encoding),
        WITH_DIR(wide_vocabularies_take_four_bytes),
        WITH_DIR(reuses_only_what_is_the_same),
        WITH_DIR(replaces_no_file_of_another_kind),
        WITH_DIR(refuses_too_little),
        WITH_DIR(refuses_other_files),
        WITH_DIR(refuses_contradictions),
        WITH_DIR(full_disk_keeps_the_old_shard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
