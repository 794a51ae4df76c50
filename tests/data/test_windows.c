/* Texts as datasets: .txt files, and what is too long cut into windows. */
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "data/dataset_check.h"
#include "data/hold_out.h"
#include "data/shard.h"
#include "data/synth.h"
#include "tests/directory.h"
#include "tests/test.h"
#include "tokenizer/train.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static struct tokenizer *bytes; /* a token a byte, EOS (256) behind a text */

static int setup(void **state)
{
    (void)state;
    static const char *const special[] = {"</s>"};
    struct error e;
    log_set_quiet(true);
    return tokenizer_new_bytes(special, 1, &bytes, &e);
}

static int teardown(void **state)
{
    (void)state;
    tokenizer_free(bytes);
    return 0;
}

static char *write_file(const char *name, const char *text, size_t n)
{
    char *path = path_join(directory, name);
    struct error e;
    if (path_has_suffix(name, ".gz")) {
        gzFile f = gzopen(path, "wb");
        assert_int_equal(gzwrite(f, text, (unsigned)n), (int)n);
        gzclose(f);
    } else {
        assert_ok(file_write(path, text, n, &e), e);
    }
    return path;
}

static void read_paths(const char *const *paths, size_t n, const struct example_settings *s, struct examples *all)
{
    struct error e;
    assert_ok(examples_read(paths, n, s, all, &e), e);
}

/* Examples [first, first + n) are the windows of one text, of the ids: at most `most` tokens each, one shared, and every
 * token but the text's first a target once. */
static void expect_windows(const struct examples *all, size_t first, size_t n, size_t most, const int32_t *ids,
                           size_t n_ids)
{
    unsigned char *targets = mem_zero(n_ids, 1);
    size_t at = 0;
    for (size_t w = 0; w < n; w++) {
        size_t begin = all->begin[first + w], length = all->begin[first + w + 1] - begin;
        const struct example_origin *o = &all->origins[first + w];
        assert_in_range(length, 2, most);
        assert_true(w + 1 == n || length == most);
        assert_true(o->split && o->window == w && !o->truncated && o->schema == SCHEMA_TEXT);
        assert_true(at + length <= n_ids);
        assert_memory_equal(all->ids + begin, ids + at, length * sizeof *ids);
        for (size_t k = 0; k < length; k++)
            targets[at + k] += all->learned[begin + k];
        at += length - 1;
    }
    assert_int_equal(at, n_ids - 1);
    assert_int_equal(targets[0], 0);
    for (size_t i = 1; i < n_ids; i++)
        assert_int_equal(targets[i], 1);
    mem_free(targets);
}

/* Every length around every width; a .txt file and a row of .jsonl give the same. */
static void every_token_is_a_target_once(void **state)
{
    (void)state;
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
    for (size_t n = 1; n <= 26; n++) {
        char *line = mem_printf("{\"text\":\"%.*s\"}\n", (int)n, letters);
        char *paths[] = {write_file("a.txt", letters, n), write_file("b.jsonl", line, strlen(line))};
        for (size_t most = 2; most <= 9; most++) {
            struct example_settings s = {.tokenizer = bytes, .max_tokens = most, .over_long = OVER_LONG_SPLIT};
            int32_t ids[27];
            struct examples all;
            for (size_t i = 0; i < n; i++)
                ids[i] = letters[i];
            ids[n] = 256;
            read_paths((const char *const *)paths, 2, &s, &all);
            size_t each = all.count / 2;
            assert_int_equal(all.report.rows, 2);
            assert_int_equal(all.report.turns, 2);
            assert_int_equal(all.report.unfinished, 0);
            assert_int_equal(all.report.tokens, all.begin[all.count]);
            assert_int_equal(all.report.learned_tokens, 2 * n);
            assert_int_equal(all.report.longest_row, n + 1);
            assert_int_equal(all.report.longest, n + 1 < most ? n + 1 : most);
            if (n + 1 > most) {
                assert_int_equal(all.count, 2 * example_windows(n + 1, most));
                assert_int_equal(all.report.split, 2);
                assert_int_equal(all.report.windows, all.count);
                expect_windows(&all, 0, each, most, ids, n + 1);
                expect_windows(&all, each, each, most, ids, n + 1);
            } else {
                assert_int_equal(all.count, 2);
                assert_true(!all.origins[0].split && !all.origins[1].split);
                assert_int_equal(all.report.split + all.report.windows, 0);
            }
            examples_free(&all);
        }
        mem_free(line);
        mem_free(paths[0]);
        mem_free(paths[1]);
    }
}

static void whole_files_are_rows(void **state)
{
    (void)state;
    static const char line[] = "{\"text\":\"x</s>y\"}\n", text[] = "\xEF\xBB\xBF" "first\n\nsecond </s>\n";
    char *paths[] = {
        write_file("a.txt", text, sizeof text - 1), write_file("b.jsonl", line, sizeof line - 1),
        write_file("c.txt.gz", text + 3, sizeof text - 4), write_file("d.txt", "", 0), write_file("e.md", "no", 2),
    };
    const char *here = directory;
    struct example_settings s = {.tokenizer = bytes};
    struct examples all;
    struct error e;
    read_paths(&here, 1, &s, &all);
    assert_int_equal(all.count, 3);
    assert_int_equal(all.n_files, 4);
    assert_int_equal(all.report.rows, 3);
    assert_int_equal(all.report.by_schema[SCHEMA_TEXT], 3);
    size_t n = sizeof text - 4;
    assert_int_equal(all.begin[1], n + 1); /* a special token written in a file is text */
    for (size_t i = 0; i < n; i++)
        assert_int_equal(all.ids[i], (unsigned char)text[i + 3]);
    assert_int_equal(all.ids[n], 256);
    assert_int_equal(all.begin[2] - all.begin[1], 4); /* and in a row it is special */
    assert_int_equal(all.begin[3] - all.begin[2], n + 1);
    assert_memory_equal(all.ids + all.begin[2], all.ids, (n + 1) * sizeof *all.ids);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(all.origins[i].file, i);
        assert_int_equal(all.origins[i].line, 1);
    }
    examples_free(&all);

    mem_free(write_file("c.txt", "fine so far\nbut \xFF", 17));
    s.bad_rows = BAD_ROWS_SKIP;
    assert_int_equal(examples_read(&here, 1, &s, &all, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "c.txt: invalid UTF-8 at offset 16 (line 2)"));
    examples_free(&all);
    assert_int_equal(examples_read((const char *const[]){paths[3]}, 1, &s, &all, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "d.txt is empty"));
    examples_free(&all);
    s.over_long = OVER_LONG_ERROR;
    s.max_tokens = 6;
    assert_int_equal(examples_read((const char *const[]){paths[2]}, 1, &s, &all, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "c.txt.gz:1: 20 tokens, and at most 6 are allowed"));
    examples_free(&all);
    s.over_long = OVER_LONG_SPLIT;
    s.max_tokens = 1;
    assert_int_equal(examples_read((const char *const[]){paths[2]}, 1, &s, &all, &e), ERR_USAGE);
    examples_free(&all);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        mem_free(paths[i]);
}

/* A file cut off, and one of no token that could be learned. */
static void bad_files(void **state)
{
    (void)state;
    static const char *const none[] = {NULL};
    struct tokenizer *endless;
    struct examples all;
    struct error e;
    struct buffer text = {0}, packed = {0};
    for (int i = 0; i < 5000; i++)
        buffer_printf(&text, "%d ", i * i);
    char *path = write_file("whole.txt.gz", text.data, text.size), *cut;
    struct example_settings s = {.tokenizer = bytes, .bad_rows = BAD_ROWS_SKIP};
    assert_ok(file_read(path, &packed, 1 << 20, &e), e);
    cut = path_join(directory, "cut.txt.gz");
    assert_ok(file_write(cut, packed.data, packed.size / 2, &e), e);
    assert_int_equal(examples_read((const char *const[]){cut}, 1, &s, &all, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "cut.txt.gz: damaged gzip data"));
    examples_free(&all);

    assert_ok(tokenizer_new_bytes(none, 0, &endless, &e), e);
    char *one = write_file("one.txt", "x", 1);
    s = (struct example_settings){.tokenizer = endless};
    assert_int_equal(examples_read((const char *const[]){one}, 1, &s, &all, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "one.txt:1: no token of it is learned"));
    examples_free(&all);
    s.bad_rows = BAD_ROWS_SKIP;
    read_paths((const char *const[]){one, path}, 2, &s, &all);
    assert_int_equal(all.count, 1);
    assert_int_equal(all.report.bad, 1);
    assert_int_equal(all.report.unfinished, 1); /* there is no EOS */
    assert_int_equal(all.begin[1], text.size);
    examples_free(&all);
    tokenizer_free(endless);
    buffer_free(&text);
    buffer_free(&packed);
    mem_free(path);
    mem_free(cut);
    mem_free(one);
}

static void other_rows_are_dropped(void **state)
{
    (void)state;
    static const char lines[] = "{\"prompt\":\"long prompt\",\"completion\":\"c\"}\n{\"text\":\"abcdefgh\"}\n{\"text\":\"abc\"}\n"
                                "{\"prompt\":\"p\",\"completion\":\"c\"}\n{\"prompt\":\"p\",\"completion\":\"long one\"}\n";
    char *path = write_file("a.jsonl", lines, sizeof lines - 1);
    struct example_settings s = {.tokenizer = bytes, .max_tokens = 5, .over_long = OVER_LONG_SPLIT};
    struct examples all;
    struct dataset_check c = {0};
    struct error e;
    read_paths((const char *const[]){path}, 1, &s, &all);
    assert_int_equal(all.count, 4); /* two windows, a short text, a short pair */
    assert_int_equal(all.report.dropped, 2);
    assert_int_equal(all.report.split, 1);
    assert_int_equal(all.report.windows, 2);
    assert_true(all.origins[0].line == 2 && all.origins[1].line == 2 && all.origins[2].line == 3);
    assert_true(all.origins[1].split && !all.origins[2].split && !all.origins[3].split);
    assert_ok(dataset_check_read(&c, (const char *const[]){path}, 1, false, &s, 9, &e), e);
    static const unsigned windows[] = {0, 2, 0, 0, 0};
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(c.rows[i].windows, windows[i]);
    dataset_check_free(&c);
    examples_free(&all);
    mem_free(path);
}

/* Bytes, <s> (256) before a text and </s> (257) behind it. */
static struct tokenizer *bytes_with_bos(void)
{
    static const char *const special[] = {"<s>", "</s>"};
    json_t *root, *processor = json_pack(
        "{s:s, s:[{s:{s:s}}, {s:{s:s}}], s:{s:{s:[s]}}}", "type", "TemplateProcessing", "single", "SpecialToken", "id",
        "<s>", "Sequence", "id", "A", "special_tokens", "<s>", "tokens", "<s>");
    struct tokenizer *t;
    struct error e;
    char *path = path_join(directory, "tokenizer.json");
    assert_ok(tokenizer_new_bytes(special, 2, &t, &e), e);
    assert_ok(tokenizer_write_json(t, path, &e), e);
    tokenizer_free(t);
    assert_ok(json_read(path, &root, &e), e);
    json_object_set_new(root, "post_processor", processor);
    char *text = json_dumps(root, 0);
    assert_ok(tokenizer_parse_json(text, strlen(text), &t, &e), e);
    assert_true(tokenizer_adds_bos(t) && tokenizer_bos(t) == 256 && tokenizer_eos(t) == 257);
    free(text);
    json_decref(root);
    mem_free(path);
    return t;
}

/* BOS and EOS belong to the text and not to its windows. */
static void begin_and_end(void **state)
{
    (void)state;
    static const int32_t ids[] = {256, 'a', 'b', 'c', 'd', 'e', 'f', 257};
    struct tokenizer *t = bytes_with_bos();
    char *path = write_file("a.txt", "abcdef", 6);
    for (size_t most = 2; most <= 7; most++) {
        struct example_settings s = {.tokenizer = t, .max_tokens = most, .over_long = OVER_LONG_SPLIT};
        struct examples all;
        read_paths((const char *const[]){path}, 1, &s, &all);
        assert_int_equal(all.count, (7 + most - 2) / (most - 1));
        expect_windows(&all, 0, all.count, most, ids, 8);
        examples_free(&all);
    }
    mem_free(path);
    tokenizer_free(t);
}

/* ---- long texts ---- */

static struct tokenizer *train_bpe(const struct buffer *text)
{
    static const char *const special[] = {"<|endoftext|>"};
    struct tokenizer_settings s = {.splitter = SPLITTER_GPT2, .vocab_size = 600, .min_frequency = 2,
                                   .special_tokens = special, .n_special_tokens = 1, .threads = 2};
    struct tokenizer_trainer *trainer;
    struct tokenizer *t;
    struct error e;
    assert_ok(tokenizer_trainer_new(&s, &trainer, &e), e);
    tokenizer_trainer_feed(trainer, text->data, (const size_t[]){0, text->size}, 1);
    assert_ok(tokenizer_trainer_finish(trainer, &t, &e), e);
    tokenizer_trainer_free(trainer);
    return t;
}

/* All ids that shards have of the files. */
static void shard_ids(const char *const *paths, size_t n_paths, const struct tokenizer *t, struct tokens *ids)
{
    struct shard_settings settings = {.paths = paths, .n_paths = n_paths, .text_field = "text", .threads = 2};
    struct shard shard;
    struct error e;
    char *path = path_join(directory, "s.h5");
    assert_ok(shard_prepare(&settings, t, path, NULL, &e), e);
    assert_ok(shard_open(path, t, &shard, &e), e);
    ids->ids = mem_alloc(shard.n_tokens, sizeof *ids->ids);
    ids->count = shard.n_tokens;
    shard_read(&shard, 0, ids->count, ids->ids);
    shard_close(&shard);
    mem_free(path);
}

/* Long files come in pieces, over several blocks, and none of that shows: the ids are a shard's, on any number of threads,
 * and those of the row made at once. */
static void long_texts_are_as_in_shards(void **state)
{
    (void)state;
    char *paths[] = {path_join(directory, "a.txt"), path_join(directory, "b.txt")};
    const char *const *files = (const char *const *)paths;
    struct buffer text = {0};
    struct tokens ids = {0};
    struct examples all;
    struct dataset_row row;
    struct example whole = {0};
    struct error e;
    uint64_t hash = 0;
    const size_t most = 257;
    assert_ok(synth_write(paths[0], 2, SYNTH_TRAIN, 18000000, NULL, &e), e); /* more than a block */
    assert_ok(synth_write(paths[1], 3, SYNTH_TRAIN, 1300000, NULL, &e), e);
    assert_ok(file_read(paths[1], &text, 1 << 23, &e), e);
    struct tokenizer *t = train_bpe(&text);
    assert_true(tokenizer_cuts_safely(t));
    shard_ids(files, 2, t, &ids);
    struct example_settings s = {.tokenizer = t, .max_tokens = most, .over_long = OVER_LONG_SPLIT};
    int threads = omp_get_max_threads();
    for (int n = 1; n <= 3; n++) {
        omp_set_num_threads(n);
        read_paths(files, 2, &s, &all);
        assert_true(hash == 0 || hash == examples_hash(&all));
        hash = examples_hash(&all);
        size_t first = 0, end = 0;
        while (all.origins[first].file == 0)
            first++;
        while (ids.ids[end++] != tokenizer_eos(t))
            ;
        expect_windows(&all, 0, first, most, ids.ids, end);
        expect_windows(&all, first, all.count - first, most, ids.ids + end, ids.count - end);
        assert_int_equal(all.report.split, 2);
        if (n < 3)
            examples_free(&all);
    }
    omp_set_num_threads(threads);
    dataset_row_from_text(text.data, text.size, &row);
    assert_ok(example_make(&row, &s, &whole, &e), e);
    assert_int_equal(whole.n_learned, whole.tokens.count - 1);
    assert_memory_equal(whole.tokens.ids, ids.ids + ids.count - whole.tokens.count, whole.tokens.count * sizeof *ids.ids);
    example_free(&whole);
    dataset_row_free(&row);
    examples_free(&all);
    tokens_free(&ids);
    buffer_free(&text);
    tokenizer_free(t);
    mem_free(paths[0]);
    mem_free(paths[1]);
}

/* SentencePiece puts a blank before a text, so one in pieces would have several. */
static void vocabularies_that_cannot_be_cut(void **state)
{
    (void)state;
    json_t *fixture, *root;
    struct buffer text = {0};
    struct tokenizer *t;
    struct tokens ids = {0};
    struct examples all;
    struct error e;
    assert_ok(json_read("tests/fixtures/tokenizer_stacks.json", &fixture, &e), e);
    root = json_object_get(json_object_get(json_object_get(fixture, "stacks"), "llama2"), "root");
    json_t *model = json_object_get(root, "model"), *shared = json_object_get(fixture, "shared");
    struct {
        json_t *object;
        const char *key;
    } parts[] = {{root, "added_tokens"}, {model, "vocab"}, {model, "merges"}};
    for (size_t i = 0; i < 3; i++) {
        const char *part = json_string_value(json_object_get(parts[i].object, parts[i].key));
        if (part)
            json_object_set(parts[i].object, parts[i].key, json_object_get(shared, part));
    }
    char *json = json_dumps(root, 0);
    assert_ok(tokenizer_parse_json(json, strlen(json), &t, &e), e);
    assert_false(tokenizer_cuts_safely(t));
    while (text.size < (3 << 19))
        buffer_string(&text, "the quick brown fox\n");
    tokenizer_encode(t, text.data, text.size, false, &ids);
    if (tokenizer_eos(t) != TOKEN_NONE)
        tokens_push(&ids, tokenizer_eos(t));
    char *path = write_file("a.txt", text.data, text.size);
    struct example_settings s = {.tokenizer = t, .max_tokens = 1000, .over_long = OVER_LONG_SPLIT};
    read_paths((const char *const[]){path}, 1, &s, &all);
    bool bos = all.ids[0] == tokenizer_bos(t);
    assert_int_equal(all.count, example_windows(ids.count + bos, 1000));
    if (!bos)
        expect_windows(&all, 0, all.count, 1000, ids.ids, ids.count);
    else
        assert_memory_equal(all.ids + 1, ids.ids, 999 * sizeof *ids.ids);
    examples_free(&all);
    tokens_free(&ids);
    buffer_free(&text);
    tokenizer_free(t);
    json_decref(fixture);
    free(json);
    mem_free(path);
}

/* ---- held out ---- */

static void one_text_is_held_out_in_part(void **state)
{
    (void)state;
    struct buffer text = {0};
    for (int i = 0; i < 3000; i++)
        buffer_printf(&text, "%d ", i * 7919 % 10007);
    char *path = write_file("a.txt", text.data, text.size);
    struct example_settings s = {.tokenizer = bytes, .max_tokens = 33, .over_long = OVER_LONG_SPLIT};
    struct examples all, held;
    read_paths((const char *const[]){path}, 1, &s, &all);
    size_t n = all.count, tokens = all.report.tokens, learned = all.report.learned_tokens, neighbours = 0;
    examples_hold_out(&all, 0.05, 7, &held);
    assert_int_equal(all.count + held.count, n);
    assert_in_range(held.count, n / 40, n / 12);
    assert_int_equal(all.report.tokens + held.report.tokens, tokens);
    assert_int_equal(all.report.learned_tokens + held.report.learned_tokens, learned);
    assert_true(all.report.split == 1 && all.report.windows == n);
    for (size_t i = 0; i < held.count; i++) { /* a window's draw does not depend on those around it */
        assert_true(held.origins[i].split);
        assert_true((double)hold_out_draw_window(7, 0, 1, held.origins[i].window) < 0.05 * 0x1p64);
        neighbours += i && held.origins[i].window == held.origins[i - 1].window + 1;
    }
    assert_true(neighbours < held.count / 2);
    for (size_t i = 0; i < all.count; i++)
        assert_false((double)hold_out_draw_window(7, 0, 1, all.origins[i].window) < 0.05 * 0x1p64);
    examples_free(&all);
    examples_free(&held);
    buffer_free(&text);
    mem_free(path);
}

/* What data check counts is what a run trains on, short rows among long ones. */
static void the_check_agrees(void **state)
{
    (void)state;
    struct buffer lines = {0}, text = {0};
    for (int i = 0; i < 300; i++)
        buffer_printf(&lines, i % 3 ? "{\"text\":\"%0*d\"}\n" : "{\"prompt\":\"%0*d\",\"completion\":\"c\"}\n", i % 90 + 1, i);
    for (int i = 0; i < 400; i++)
        buffer_printf(&text, "line %d\n", i);
    char *paths[] = {write_file("a.jsonl", lines.data, lines.size), write_file("b.txt", text.data, text.size)};
    const char *const *files = (const char *const *)paths;
    struct example_settings s = {.tokenizer = bytes, .max_tokens = 40, .over_long = OVER_LONG_SPLIT};
    struct dataset_check c = {0};
    struct examples all, held;
    struct error e;
    read_paths(files, 2, &s, &all);
    examples_hold_out(&all, 0.2, 11, &held);
    assert_ok(dataset_check_read(&c, files, 2, false, &s, 9, &e), e);
    dataset_check_hold_out(&c, 0.2, 11, 40, OVER_LONG_SPLIT);
    assert_int_equal(c.count, 301);
    size_t n_held = 0, held_tokens = 0, n_all = 0, tokens = 0;
    for (size_t i = 0; i < c.count; i++) {
        const struct check_row *row = &c.rows[i];
        if (row->windows) {
            n_held += row->held_windows;
            held_tokens += row->held_tokens;
            n_all += row->windows - row->held_windows;
            tokens += row->tokens + row->windows - 1 - row->held_tokens;
            assert_int_equal(row->held, row->held_windows == row->windows);
        } else if (row->tokens <= 40) {
            n_held += row->held;
            held_tokens += row->held ? row->tokens : 0;
            n_all += !row->held;
            tokens += row->held ? 0 : row->tokens;
        }
    }
    assert_true(c.rows[300].windows > 50 && c.rows[300].held_windows > 5 && !c.rows[300].held);
    assert_int_equal(n_held, held.count);
    assert_int_equal(held_tokens, held.report.tokens);
    assert_int_equal(n_all, all.count);
    assert_int_equal(tokens, all.report.tokens);
    dataset_check_free(&c);
    examples_free(&all);
    examples_free(&held);
    buffer_free(&lines);
    buffer_free(&text);
    mem_free(paths[0]);
    mem_free(paths[1]);
}

/* The hash of a file in pieces is that of the same text in a line: white space apart they are duplicates. */
static void long_duplicates_are_found(void **state)
{
    (void)state;
    struct buffer text = {0}, spaced = {0}, line = {0};
    while (text.size < (5 << 19)) {
        buffer_printf(&text, "%s word", text.size ? "\n\n and" : "and");
        buffer_printf(&spaced, "%s word \n", spaced.size ? "and" : "\n and");
    }
    buffer_string(&line, "{\"text\":\"");
    for (size_t i = 0; i < spaced.size; i++)
        buffer_string(&line, (char[]){spaced.data[i] == '\n' ? ' ' : spaced.data[i], 0});
    buffer_string(&line, "\"}\n{\"text\":\"other\"}\n");
    char *paths[] = {write_file("a.txt", text.data, text.size), write_file("b.jsonl", line.data, line.size),
                     write_file("c.txt.gz", spaced.data, spaced.size), write_file("d.txt", "and", 3),
                     write_file("e.txt", " and\n", 5)};
    struct example_settings s = {.tokenizer = bytes};
    struct dataset_check c = {0};
    struct check_pair *pairs;
    struct error e;
    assert_ok(dataset_check_read(&c, (const char *const *)paths, 5, false, &s, 9, &e), e);
    assert_int_equal(c.count, 6);
    assert_int_equal(c.rows[0].tokens, text.size + 1);
    assert_int_equal(c.rows[0].learned, text.size);
    assert_int_equal(dataset_check_pairs(&c, CHECK_DUPLICATE, &pairs), 3);
    assert_true(pairs[0].row == 1 && pairs[0].other == 0 && pairs[1].row == 3 && pairs[1].other == 0);
    assert_true(pairs[2].row == 5 && pairs[2].other == 4);
    mem_free(pairs);
    dataset_check_free(&c);
    buffer_free(&text);
    buffer_free(&spaced);
    buffer_free(&line);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        mem_free(paths[i]);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(every_token_is_a_target_once),
        IN_FOLDER(whole_files_are_rows),
        IN_FOLDER(bad_files),
        IN_FOLDER(other_rows_are_dropped),
        IN_FOLDER(begin_and_end),
        IN_FOLDER(long_texts_are_as_in_shards),
        IN_FOLDER(vocabularies_that_cannot_be_cut),
        IN_FOLDER(one_text_is_held_out_in_part),
        IN_FOLDER(the_check_agrees),
        IN_FOLDER(long_duplicates_are_found),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
