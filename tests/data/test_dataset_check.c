/* What is found in a whole dataset, which rows are held out, and the templates for models without one. */
#include "base/file.h"
#include "chat/presets.h"
#include "data/dataset_check.h"
#include "data/dataset_options.h"
#include "data/hold_out.h"
#include "tests/folder.h"
#include "tests/test.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct tokenizer *bytes; /* a token a byte */
static struct chat_template *plain;
static char folder[64];

static int setup(void **state)
{
    (void)state;
    static const char *const special[] = {"</s>"};
    struct error e;
    strcpy(folder, "/tmp/linnet-check-XXXXXX");
    return !mkdtemp(folder) || tokenizer_new_bytes(special, 1, &bytes, &e) ||
           chat_template_parse("plain", chat_preset("plain"), strlen(chat_preset("plain")), &plain, &e);
}

static int teardown(void **state)
{
    (void)state;
    remove_files(folder);
    chat_template_free(plain);
    tokenizer_free(bytes);
    return 0;
}

static void read_text(struct dataset_check *c, const char *text, bool held, size_t max_tokens, size_t most_reasons)
{
    char *path = path_join(folder, held ? "held.jsonl" : "train.jsonl");
    const char *paths[] = {path};
    struct example_settings s = {.tokenizer = bytes, .chat_template = plain, .max_tokens = max_tokens};
    struct error e;
    assert_ok(file_write(path, text, strlen(text), &e), e);
    assert_ok(dataset_check_read(c, paths, 1, held, &s, most_reasons, &e), e);
    mem_free(path);
}

#define PAIR(prompt, completion) "{\"prompt\":\"" prompt "\",\"completion\":\"" completion "\"}\n"

/* "1:0 4:2": rows and the ones they are like, from 0. */
static void expect_pairs(const struct dataset_check *c, enum check_kind kind, const char *expected)
{
    struct check_pair *pairs;
    size_t n = dataset_check_pairs(c, kind, &pairs);
    char found[256] = "";
    for (size_t i = 0; i < n; i++)
        snprintf(found + strlen(found), sizeof found - strlen(found), "%s%zu:%zu", i ? " " : "", pairs[i].row,
                 pairs[i].other);
    mem_free(pairs);
    assert_string_equal(found, expected);
}

static void rows_that_are_like_others(void **state)
{
    (void)state;
    struct dataset_check c = {0};
    read_text(&c,
              PAIR("What is 1.5?", "a")                                                      /* 0 */
              PAIR("What  is 1.5?", " a\\n")                                                 /* 1: the same but for blanks */
              PAIR("what is 1.5", "b")                                                       /* 2: nearly the prompt of 0 */
              PAIR("What is 15?", "b")                                                       /* 3: another prompt */
              "{\"messages\":[{\"role\":\"user\",\"content\":\"What is 1.5?\"},"             /* 4: 0 in another schema */
              "{\"role\":\"assistant\",\"content\":\"a\"}]}\n"
              "{\"text\":\"What is 1.5? a\"}\n"                                              /* 5: a text is no prompt */
              "{\"prompt\":\"What is 15?\",\"completion\":\"b\",\"label\":false}\n"           /* 6: KTO */
              "no JSON\nno JSON\n",                                                          /* 7, 8 */
              false, 0, 10);
    expect_pairs(&c, CHECK_DUPLICATE, "1:0 4:0");
    expect_pairs(&c, CHECK_OTHER_ANSWER, "2:0");
    expect_pairs(&c, CHECK_LEAKED, "");
    read_text(&c,
              PAIR("What is 15?", "b")     /* 9: as 3 */
              PAIR("WHAT IS 15?", "c")     /* 10: nearly the prompt of 3 */
              PAIR("What is 1.5?", "b")    /* 11: the prompt of 0, the answer of 2 */
              PAIR("New", "b") PAIR("New", "b"), /* 12, 13: duplicates, but not to train on */
              true, 0, 10);
    expect_pairs(&c, CHECK_LEAKED, "9:3");
    expect_pairs(&c, CHECK_LEAKED_PROMPT, "10:3");
    expect_pairs(&c, CHECK_DUPLICATE, "1:0 4:0");
    assert_int_equal(c.count, 14);
    assert_int_equal(c.n_reasons, 2);
    assert_int_equal(c.reasons[1].row, 8);
    dataset_check_free(&c);
}

static void rows_one_by_one(void **state)
{
    (void)state;
    struct dataset_check c = {0};
    read_text(&c,
              "{\"text\":\"abc\",\"id\":1}\n\nbroken\nbroken\n"
              "{\"text\":\"abcdefgh\",\"id\":2,\"more\":true}\n" PAIR("a long prompt", "x")
              "{\"prompt\":\"p\",\"completion\":\"c\",\"label\":false}\n",
              false, 10, 1);
    assert_int_equal(c.count, 6);
    assert_int_equal(c.rows[0].tokens, 4);
    assert_int_equal(c.rows[0].learned, 3);
    assert_false(c.rows[0].bad || c.rows[3].bad);
    assert_true(c.rows[1].bad && c.rows[2].bad);
    assert_int_equal(c.rows[2].line, 4);
    assert_int_equal(c.n_reasons, 1);
    assert_int_equal(c.rows[3].tokens, 9);
    assert_false(c.rows[3].cut_off);
    assert_true(c.rows[4].tokens > 10 && c.rows[4].cut_off); /* what is learned lies behind the tenth token */
    assert_true(c.rows[5].unwanted && c.rows[5].tokens == 0);
    assert_int_equal(c.n_fields, 2);
    assert_string_equal(c.fields[0].name, "id");
    assert_int_equal(c.fields[0].rows, 2);
    assert_int_equal(c.fields[0].first, 0);
    assert_string_equal(c.fields[1].name, "more");
    assert_int_equal(c.fields[1].first, 3);
    dataset_check_free(&c);
}

/* The check and a run hold out the same rows, and what a run keeps is what was there before. */
static void the_same_rows_are_held_out(void **state)
{
    (void)state;
    struct buffer text = {0};
    for (int i = 0; i < 200; i++)
        buffer_printf(&text, i % 7 == 3 ? "broken\n" : "{\"text\":\"%0*d\"}\n", i % 50 + 1, i);
    struct dataset_check c = {0};
    struct examples all, whole, held;
    struct error e;
    char *path = path_join(folder, "train.jsonl");
    const char *paths[] = {path};
    struct example_settings s = {.tokenizer = bytes, .max_tokens = 40, .bad_rows = BAD_ROWS_REPORT};
    omp_set_num_threads(3);
    read_text(&c, text.data, false, 40, 0);
    dataset_check_hold_out(&c, 0.2, 7, 40, OVER_LONG_DROP);
    assert_ok(examples_read(paths, 1, &s, &all, &e), e);
    assert_ok(examples_read(paths, 1, &s, &whole, &e), e);
    examples_hold_out(&all, 0.2, 7, &held);
    assert_in_range(held.count, 15, 45);
    assert_int_equal(all.count + held.count, whole.count);
    assert_int_equal(all.report.tokens + held.report.tokens, whole.report.tokens);
    assert_int_equal(all.report.learned_tokens + held.report.learned_tokens, whole.report.learned_tokens);
    assert_int_equal(all.begin[all.count], all.report.tokens);
    for (size_t i = 0, a = 0, b = 0, row = 0; i < whole.count; i++) {
        bool out = b < held.count && held.origins[b].line == whole.origins[i].line;
        const struct examples *from = out ? &held : &all;
        size_t k = out ? b++ : a++, n = whole.begin[i + 1] - whole.begin[i];
        assert_int_equal(from->origins[k].line, whole.origins[i].line);
        assert_int_equal(from->begin[k + 1] - from->begin[k], n);
        assert_memory_equal(from->ids + from->begin[k], whole.ids + whole.begin[i], n * sizeof *whole.ids);
        assert_memory_equal(from->learned + from->begin[k], whole.learned + whole.begin[i], n);
        while (c.rows[row].line != whole.origins[i].line)
            row++;
        assert_int_equal(c.rows[row].held, out);
    }
    examples_free(&all);
    examples_free(&whole);
    examples_free(&held);
    dataset_check_free(&c);
    buffer_free(&text);
    mem_free(path);
}

static void a_few_examples(void **state)
{
    (void)state;
    const uint64_t draws[] = {UINT64_C(3) << 62, UINT64_C(1) << 63, UINT64_MAX};
    bool held[3];
    hold_out_pick(draws, 3, 0.5, held); /* none is low enough: the lowest */
    assert_true(!held[0] && held[1] && !held[2]);
    hold_out_pick(draws, 3, 0, held);
    assert_true(!held[0] && !held[1] && !held[2]);
    hold_out_pick(draws, 1, 0.5, held);
    assert_false(held[0]);
    const uint64_t low[] = {5, 9, 7};
    hold_out_pick(low, 3, 0.5, held); /* all are: not the highest */
    assert_true(held[0] && !held[1] && held[2]);
}

static void built_in_templates(void **state)
{
    (void)state;
    static const char talk[] = "[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\",\"content\":\"U\"},"
                               "{\"role\":\"assistant\",\"content\":\"A\"}]";
    static const char *const expected[] = {
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n"
        "<|im_start|>assistant\n",
        "<s>S\nUser: U\nAssistant: A</s>\nAssistant:",
    };
    struct error e;
    json_t *messages, *tools = json_pack("[{}]");
    assert_ok(json_parse(talk, strlen(talk), &messages, &e), e);
    for (size_t i = 0; chat_preset_names[i]; i++) {
        const char *source = chat_preset(chat_preset_names[i]);
        struct chat_template *t;
        struct buffer text = {0};
        struct chat_input in = {.messages = messages, .add_generation_prompt = true, .bos_token = "<s>", .eos_token = "</s>"};
        assert_ok(chat_template_parse("preset", source, strlen(source), &t, &e), e);
        assert_ok(chat_template_render(t, &in, &text, NULL, &e), e);
        assert_string_equal(text.data, expected[i]);
        in.tools = tools;
        assert_int_equal(chat_template_render(t, &in, &text, NULL, &e), ERR_FORMAT);
        assert_non_null(strstr(e.message, "has no form for tools"));
        buffer_free(&text);
        chat_template_free(t);
    }
    assert_null(chat_preset("no"));
    json_decref(messages);
    json_decref(tools);
}

static void dates(void **state)
{
    (void)state;
    static char good[] = "2026-03-01", *const bad[] = {"2026-02-31", "tomorrow", "2026-03-01 ", ""};
    struct dataset_options o = {.template_date = good};
    struct error e;
    int64_t now, later;
    assert_ok(dataset_options_time(&o, &now, &e), e);
    o.template_date = "2026-03-02";
    assert_ok(dataset_options_time(&o, &later, &e), e);
    assert_in_range(later - now, 86400 - 7200, 86400 + 7200);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        o.template_date = bad[i];
        assert_int_equal(dataset_options_time(&o, &now, &e), ERR_USAGE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_that_are_like_others), cmocka_unit_test(rows_one_by_one),
        cmocka_unit_test(the_same_rows_are_held_out), cmocka_unit_test(a_few_examples),
        cmocka_unit_test(built_in_templates), cmocka_unit_test(dates),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
