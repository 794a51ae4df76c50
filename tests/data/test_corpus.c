/* data/corpus: what is read, what is refused and how the refusal reads; pieces that tokenize like
 * the whole. */
#include "data/corpus.h"

#include "base/file.h"
#include "base/rng.h"
#include "data/text_check.h"
#include "tests/directory.h"
#include "tests/test.h"
#include "tokenizer/train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

/* ---- a directory for each test ---- */

static const char *in_dir(const char *name)
{
    static char paths[64][128];
    static size_t next;
    char *p = paths[next++ % 64];
    snprintf(p, sizeof paths[0], "%s/%s", directory, name);
    return p;
}

static const char *put(const char *name, const char *bytes, size_t n)
{
    struct error e;
    const char *path = in_dir(name);
    assert_ok(file_write(path, bytes, n, &e), e);
    return path;
}

static const char *put_text(const char *name, const char *text)
{
    return put(name, text, strlen(text));
}

static const char *put_gzip(const char *name, const char *text, size_t n)
{
    const char *path = in_dir(name);
    gzFile f = gzopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(gzwrite(f, text, (unsigned)n), n);
    gzclose(f);
    return path;
}

/* All documents, each followed by "|". */
static int read_all(const char *const *paths, size_t n, const char *field, size_t target,
                    struct buffer *out, struct corpus_counts *counts, struct error *e)
{
    struct corpus *c;
    int code = corpus_open(paths, n, field, &c, e);
    if (code)
        return code;
    struct corpus_chunk chunk = {0};
    while (!(code = corpus_next(c, target, &chunk, e)) && chunk.n)
        for (size_t i = 0; i < chunk.n; i++) {
            buffer_append(out, chunk.text.data + chunk.offsets[i],
                          chunk.offsets[i + 1] - chunk.offsets[i]);
            if (!chunk.continues[i])
                buffer_byte(out, '|');
        }
    if (!code)
        assert_int_equal(corpus_bytes_read(c), corpus_bytes_total(c));
    if (counts)
        *counts = corpus_counts(c);
    corpus_chunk_free(&chunk);
    corpus_close(c);
    return code;
}

static void expect_text(const char *path, const char *expected)
{
    struct buffer out = {0};
    struct error e;
    assert_ok(read_all(&path, 1, "text", 5, &out, NULL, &e), e);
    assert_string_equal(out.data, expected);
    buffer_free(&out);
}

/* The error's line must contain each of the three. */
static void expect_error(const char *path, int code, const char *a, const char *b, const char *c)
{
    struct buffer out = {0};
    struct error e = {0};
    assert_int_equal(read_all(&path, 1, "text", 1000, &out, NULL, &e), code);
    const char *parts[] = {a, b, c};
    for (size_t i = 0; i < 3; i++)
        if (!strstr(e.message, parts[i]))
            fail_msg("\"%s\" is not in: %s", parts[i], e.message);
    buffer_free(&out);
}

/* ---- reading ---- */

static void reads_text(void **state)
{
    (void)state;
    expect_text(put_text("a.txt", "One.\nTwo.\n"), "One.\nTwo.\n|");
    expect_text(put_text("bom.txt", "\xEF\xBB\xBFOne."), "One.|");
    expect_text(put_text("crlf.txt", "One.\r\nTwo.\r\n"), "One.\r\nTwo.\r\n|");
    expect_text(put_gzip("a.txt.gz", "zipped \xC3\xA9", 9), "zipped \xC3\xA9|");
}

static void reads_lines(void **state)
{
    (void)state;
    expect_text(
        put_text(
            "a.jsonl",
            "{\"text\": \"One\"}\n\n{\"text\": \"\"}\r\n{\"id\": 3, \"text\": \"T\\u00e9\\nwo\"}"),
        "One|T\xC3\xA9\nwo|");
    expect_text(put_text("bom.jsonl", "\xEF\xBB\xBF{\"text\": \"One\"}\n"), "One|");
    const char *zipped = "{\"text\": \"a\"}\n{\"text\": \"b\"}\n";
    expect_text(put_gzip("b.jsonl.gz", zipped, strlen(zipped)), "a|b|");
    struct buffer out = {0};
    struct error e;
    const char *path = put_text("c.jsonl", "{\"body\": \"x\"}\n");
    assert_ok(read_all(&path, 1, "body", 10, &out, NULL, &e), e);
    assert_string_equal(out.data, "x|");
    buffer_free(&out);
}

static void reads_directories_in_order(void **state)
{
    (void)state;
    mkdir(in_dir("sub"), 0777);
    put_text("b.txt", "B");
    put_text("a.jsonl", "{\"text\": \"A\"}\n{\"text\": \"\"}\n");
    put_text("sub/c.txt", "C");
    put_text("notes.md", "not read");
    put_text("empty.txt", "");
    put_text(".hidden.txt", "hidden");
    const char *paths[] = {directory, in_dir("b.txt")};
    struct buffer out = {0};
    struct error e;
    struct corpus_counts counts;
    assert_ok(read_all(paths, 2, "text", 1, &out, &counts, &e), e);
    assert_string_equal(out.data, "A|B|C|B|");
    assert_int_equal(counts.files, 5);
    assert_int_equal(counts.files_skipped, 1);
    assert_int_equal(counts.documents, 4);
    assert_int_equal(counts.empty_documents, 2);
    buffer_free(&out);
}

static void fingerprint_follows_the_files(void **state)
{
    (void)state;
    const char *paths[] = {put_text("a.txt", "A"), put_text("b.txt", "B")};
    struct corpus *c;
    struct error e;
    uint64_t prints[4];
    for (size_t i = 0; i < 4; i++) {
        if (i == 2)
            put_text("b.txt", "BB");
        assert_ok(corpus_open(paths, i == 3 ? 1 : 2, "text", &c, &e), e);
        prints[i] = corpus_fingerprint(c);
        corpus_close(c);
    }
    assert_int_equal(prints[0], prints[1]);
    assert_int_not_equal(prints[0], prints[2]);
    assert_int_not_equal(prints[2], prints[3]);
}

static void rewinds(void **state)
{
    (void)state;
    const char *path = put_text("a.jsonl", "{\"text\": \"One\"}\n{\"text\": \"Two\"}\n");
    struct corpus *c;
    struct corpus_chunk chunk = {0};
    struct error e;
    assert_ok(corpus_open(&path, 1, "text", &c, &e), e);
    for (int i = 0; i < 3; i++) {
        assert_ok(corpus_next(c, 1, &chunk, &e), e);
        assert_int_equal(chunk.n, 1);
        assert_memory_equal(chunk.text.data, "One", 3);
        corpus_rewind(c);
    }
    corpus_chunk_free(&chunk);
    corpus_close(c);
}

/* ---- refusing ---- */

static void refuses_bad_files(void **state)
{
    (void)state;
    expect_error(in_dir("missing.txt"), ERR_IO, "missing.txt", "No such file", "");
    expect_error(put_text("a.csv", "x"), ERR_USAGE, "a.csv", ".jsonl.gz", "");
    expect_error(put_text("empty.txt", ""), ERR_FORMAT, "no text", "empty.txt", "is empty");
    expect_error(put_text("blank.jsonl", "\n\n"), ERR_FORMAT, "no text", "blank.jsonl", "");
    expect_error(put("nul.txt", "a\nb\0c", 5), ERR_FORMAT, "nul.txt", "NUL byte at offset 3",
                 "line 2");
    expect_error(put_text("latin.txt", "one\ntwo\ncaf\xE9 three"), ERR_FORMAT, "latin.txt",
                 "offset 11", "line 3");
    expect_error(put_text("latin.jsonl", "{\"text\": \"a\"}\n{\"text\": \"caf\xE9\"}\n"),
                 ERR_FORMAT, "latin.jsonl", "offset 27", "line 2");
    expect_error(put("wide.txt", "\xFF\xFEo\0", 4), ERR_FORMAT, "wide.txt", "UTF-16", "iconv");
    expect_error(put_text("cut.txt", "fine \xE2\x82"), ERR_FORMAT, "cut.txt", "offset 5", "line 1");
    mkdir(in_dir("bare"), 0777);
    put_text("bare/x.md", "x");
    expect_error(in_dir("bare"), ERR_FORMAT, "bare", "no .txt", "1 others");
}

static void refuses_bad_json(void **state)
{
    (void)state;
    expect_error(put_text("a.jsonl", "{\"text\": \"a\"}\n\n{\"text\": }\n"), ERR_FORMAT,
                 "a.jsonl:3", "JSON", "");
    expect_error(put_text("b.jsonl", "{\"prompt\": \"a\", \"completion\": \"b\"}\n"), ERR_FORMAT,
                 "b.jsonl:1", "\"text\"", "\"prompt\", \"completion\"");
    expect_error(put_text("c.jsonl", "{\"text\": 3}\n"), ERR_FORMAT, "c.jsonl:1", "string", "");
    expect_error(put_text("d.jsonl", "[1]\n"), ERR_FORMAT, "d.jsonl:1", "object", "");
    expect_error(put_text("e.jsonl", "{\"text\": \"a\\u0000b\"}\n"), ERR_FORMAT, "e.jsonl:1", "NUL",
                 "");
    expect_error(put_text("f.jsonl", "{\"text\": \"\\ud800\"}\n"), ERR_FORMAT, "f.jsonl:1", "JSON",
                 "");
    expect_error(put_text("g.jsonl", "{\"text\": \"a\"} {\"text\": \"b\"}\n"), ERR_FORMAT,
                 "g.jsonl:1", "JSON", "");
    expect_error(put_text("h.jsonl", "{}\n"), ERR_FORMAT, "h.jsonl:1", "none", "");
}

static void refuses_damaged_gzip(void **state)
{
    (void)state;
    struct buffer text = {0}, zipped = {0};
    struct error e;
    struct rng r;
    rng_init(&r, 1, 1);
    for (int i = 0; i < 200000; i++)
        buffer_byte(&text, (char)('a' + rng_below(&r, 26)));
    assert_ok(file_read(put_gzip("a.txt.gz", text.data, text.size), &zipped, 1 << 20, &e), e);
    expect_error(put("cut.txt.gz", zipped.data, zipped.size / 2), ERR_FORMAT, "cut.txt.gz", "gzip",
                 "cut off");
    expect_error(put("tail.txt.gz", zipped.data, zipped.size - 4), ERR_FORMAT, "tail.txt.gz",
                 "gzip", "");
    zipped.data[zipped.size / 2] ^= 0x55;
    expect_error(put("bad.txt.gz", zipped.data, zipped.size), ERR_FORMAT, "bad.txt.gz", "gzip", "");
    expect_error(put_text("plain.txt.gz", "not zipped"), ERR_FORMAT, "plain.txt.gz", "no gzip data",
                 "");
    zipped.data[zipped.size / 2] ^= 0x55;
    expect_error(put("hidden.txt", zipped.data, zipped.size), ERR_FORMAT, "hidden.txt", ".gz", "");
    buffer_free(&text);
    buffer_free(&zipped);
}

/* ---- pieces ---- */

/* Text with everything that makes cutting dangerous: blank lines, CRLF, trailing and doubled
 * spaces, tabs, digits, contractions, punctuation before line ends, other scripts, Unicode spaces.
 */
static void append_text(struct rng *r, size_t size, bool words, struct buffer *out)
{
    static const char *const parts[] = {
        "the",
        "It's",
        "we'LL",
        "Hello",
        "x",
        "don't",
        "Stra\xC3\x9F"
        "e",
        "\xE6\xBC\xA2\xE5\xAD\x97",
        "12",
        "4096",
        "7",
        "3.14",
        ".",
        ",",
        "!?",
        "...",
        "--",
        "(",
        ")",
        "\"",
        "'",
        "caf\xC3\xA9",
        "e\xCC\x81",
        "\xF0\x9F\x98\x80",
        "\xC2\xA0",
        "\xE3\x80\x80",
        "\xE3\x80\x82",
        "_",
        "'s",
        "\xE2\x80\xA8",
    };
    static const char *const gaps[] = {" ",      " ",    " ",    " ",        "  ",    "   ", "\n",
                                       "\n",     "\n\n", "\r\n", "\r\n\r\n", " \n",   "\n ", "\t",
                                       "\n\n\n", "",     "",     "\r",       " \r\n", "\t\n"};
    const size_t n_parts = sizeof parts / sizeof *parts, n_gaps = sizeof gaps / sizeof *gaps;
    for (size_t end = out->size + size; out->size < end;) {
        buffer_string(out, words ? parts[rng_below(r, 6)] : parts[rng_below(r, n_parts)]);
        buffer_string(out, gaps[rng_below(r, n_gaps)]);
    }
}

static struct tokenizer *train_tokenizer(enum splitter splitter, const struct buffer *text)
{
    static const char *const special[] = {"<|endoftext|>"};
    struct tokenizer_settings s = {.splitter = splitter,
                                   .vocab_size = 700,
                                   .min_frequency = 2,
                                   .special_tokens = special,
                                   .n_special_tokens = 1,
                                   .threads = 2};
    struct tokenizer_trainer *trainer;
    struct tokenizer *t;
    struct error e;
    assert_ok(tokenizer_trainer_new(&s, &trainer, &e), e);
    const size_t offsets[] = {0, text->size};
    tokenizer_trainer_feed(trainer, text->data, offsets, 1);
    assert_ok(tokenizer_trainer_finish(trainer, &t, &e), e);
    tokenizer_trainer_free(trainer);
    return t;
}

static const enum splitter splitters[] = {SPLITTER_GPT2, SPLITTER_LLAMA3, SPLITTER_QWEN2};

/* Every place that text_last_cut offers, one by one, with every splitter. */
static void cuts_change_no_tokens(void **state)
{
    (void)state;
    struct rng r;
    rng_init(&r, 5, 0);
    struct buffer sample = {0};
    append_text(&r, 60000, false, &sample);
    size_t cuts[2] = {0};
    for (size_t k = 0; k < 3; k++) {
        struct tokenizer *t = train_tokenizer(splitters[k], &sample);
        for (int round = 0; round < 1500; round++) {
            struct buffer text = {0};
            append_text(&r, 5 + rng_below(&r, 60), round % 2, &text);
            /* From each prefix, so that all cuts are found and not only the last. */
            for (size_t n = 2; n <= text.size; n++) {
                size_t cut = text_last_cut(text.data, n);
                if (cut == 0)
                    continue;
                cuts[text.data[cut] == ' ']++;
                struct tokens whole = {0}, parts = {0};
                tokenizer_encode(t, text.data, text.size, false, &whole);
                tokenizer_encode(t, text.data, cut, false, &parts);
                tokenizer_encode(t, text.data + cut, text.size - cut, false, &parts);
                assert_int_equal(whole.count, parts.count);
                assert_memory_equal(whole.ids, parts.ids, whole.count * sizeof *whole.ids);
                tokens_free(&whole);
                tokens_free(&parts);
            }
            buffer_free(&text);
        }
        tokenizer_free(t);
    }
    assert_true(cuts[0] > 1000 && cuts[1] > 1000);
    buffer_free(&sample);
}

static void encode_file(const char *path, bool whole, const struct tokenizer *t, struct tokens *ids,
                        size_t *pieces)
{
    struct corpus *c;
    struct corpus_chunk chunk = {0};
    struct error e;
    assert_ok(corpus_open(&path, 1, "text", &c, &e), e);
    if (whole)
        corpus_keep_whole(c);
    *pieces = 0;
    for (;;) {
        assert_ok(corpus_next(c, 3 << 20, &chunk, &e), e);
        if (!chunk.n)
            break;
        for (size_t i = 0; i < chunk.n; i++, ++*pieces)
            tokenizer_encode(t, chunk.text.data + chunk.offsets[i],
                             chunk.offsets[i + 1] - chunk.offsets[i], false, ids);
    }
    assert_int_equal(corpus_counts(c).documents, 1);
    corpus_chunk_free(&chunk);
    corpus_close(c);
}

static void long_files_come_in_pieces(void **state)
{
    (void)state;
    struct rng r;
    rng_init(&r, 6, 0);
    struct buffer text = {0};
    append_text(&r, (size_t)4 * CORPUS_PIECE + 12345, false, &text);
    const char *path = put("long.txt", text.data, text.size);
    for (size_t k = 0; k < 3; k++) {
        struct tokenizer *t = train_tokenizer(splitters[k], &text);
        struct tokens whole = {0}, parts = {0};
        size_t n;
        encode_file(path, true, t, &whole, &n);
        assert_int_equal(n, 1);
        encode_file(path, false, t, &parts, &n);
        assert_in_range(n, 5, 6);
        assert_int_equal(whole.count, parts.count);
        assert_memory_equal(whole.ids, parts.ids, whole.count * sizeof *whole.ids);
        tokens_free(&whole);
        tokens_free(&parts);
        tokenizer_free(t);
    }
    buffer_free(&text);
}

static void real_books_come_in_pieces(void **state)
{
    (void)state;
    static const char *const names[] = {"war-and-peace.txt", "shakespeare.txt", "wiki2-test.txt"};
    const char *shared = getenv("LINNET_SHARED");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/data/%s", shared ? shared : "../shared", names[i]);
        if (!file_exists(path)) {
            print_message("skipped: no %s\n", path);
            skip();
        }
        struct buffer text = {0};
        struct error e;
        assert_ok(file_read(path, &text, 1 << 23, &e), e);
        for (size_t k = 0; k < 3; k++) {
            struct tokenizer *t = train_tokenizer(splitters[k], &text);
            struct tokens whole = {0}, parts = {0};
            size_t n;
            tokenizer_encode(t, text.data, text.size, false, &whole);
            encode_file(path, false, t, &parts, &n);
            assert_true(n > 1);
            assert_int_equal(whole.count, parts.count);
            assert_memory_equal(whole.ids, parts.ids, whole.count * sizeof *whole.ids);
            tokens_free(&whole);
            tokens_free(&parts);
            tokenizer_free(t);
        }
        buffer_free(&text);
    }
}

/* Nothing in it may be cut, so it is one piece although it is long; a fault late in a long file is
 * named by its offset in the file. */
static void long_files_without_a_cut(void **state)
{
    (void)state;
    struct buffer text = {0}, out = {0};
    while (text.size < 2 * CORPUS_PIECE + 100)
        buffer_string(&text, "1\r\n2\r\n");
    struct error e;
    const char *path = put("digits.txt", text.data, text.size);
    assert_ok(read_all(&path, 1, "text", 1 << 20, &out, NULL, &e), e);
    assert_int_equal(out.size, text.size + 1);
    text.data[2 * CORPUS_PIECE] = (char)0xFF;
    char offset[32];
    snprintf(offset, sizeof offset, "offset %d", 2 * CORPUS_PIECE);
    expect_error(put("late.txt", text.data, text.size), ERR_FORMAT, "late.txt", offset, "line ");
    buffer_clear(&text);
    while (text.size < 2 * CORPUS_PIECE + 100)
        buffer_string(&text, "two words\n");
    text.data[2 * CORPUS_PIECE] = (char)0xFF;
    char line[32];
    snprintf(line, sizeof line, "line %d)", 2 * CORPUS_PIECE / 10 + 1);
    expect_error(put("later.txt", text.data, text.size), ERR_FORMAT, "later.txt", offset, line);
    buffer_free(&text);
    buffer_free(&out);
}

static void checks_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n, fault;
    } cases[] = {
        {"plain ascii text, long enough for words", 39, 39},
        {"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 9, 9},
        {"abcdefgh\0ijklmnop", 17, 8},
        {"\xC0\x80", 2, 0},         /* overlong */
        {"a\xE0\x80\x80", 4, 1},    /* overlong */
        {"\xED\xA0\x80", 3, 0},     /* a surrogate */
        {"\xF4\x90\x80\x80", 4, 0}, /* above U+10FFFF */
        {"\xF4\x8F\xBF\xBF", 4, 4},
        {"ab\x80", 3, 2},
        {"ab\xE2\x82", 4, 2},
        {"12345678\xFF", 9, 8},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(text_find_fault(cases[i].text, cases[i].n), cases[i].fault);
}

#define WITH_DIR(f) cmocka_unit_test_setup_teardown(f, make_directory, remove_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIR(reads_text),
        WITH_DIR(reads_lines),
        WITH_DIR(reads_directories_in_order),
        WITH_DIR(fingerprint_follows_the_files),
        WITH_DIR(rewinds),
        WITH_DIR(refuses_bad_files),
        WITH_DIR(refuses_bad_json),
        WITH_DIR(refuses_damaged_gzip),
        WITH_DIR(long_files_come_in_pieces),
        WITH_DIR(long_files_without_a_cut),
        cmocka_unit_test(real_books_come_in_pieces),
        cmocka_unit_test(cuts_change_no_tokens),
        cmocka_unit_test(checks_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
