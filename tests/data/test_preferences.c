/* Answers that are compared or judged: what examples_read makes of preferences and of unpaired rows. */
#include "base/file.h"
#include "base/rng.h"
#include "data/answers.h"
#include "data/dataset_check.h"
#include "data/hold_out.h"
#include "data/pair.h"
#include "tests/folder.h"
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char zephyr[] = "{{ bos_token }}{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + eos_token }}"
                             "{% if loop.last and add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}{% endfor %}";

static struct tokenizer *bytes; /* a token a byte */
static char folder[64];

static int setup(void **state)
{
    (void)state;
    static const char *const special[] = {"</s>"};
    struct error e;
    strcpy(folder, "/tmp/linnet-preferences-XXXXXX");
    return mkdtemp(folder) ? tokenizer_new_bytes(special, 1, &bytes, &e) : -1;
}

static int teardown(void **state)
{
    (void)state;
    tokenizer_free(bytes);
    remove_files(folder);
    return 0;
}

#define M(role, content) "{\"role\":\"" role "\",\"content\":\"" content "\"}"
#define PAIR(p, a, b) "{\"prompt\":\"" p "\",\"chosen\":\"" a "\",\"rejected\":\"" b "\"}\n"
#define JUDGED(p, a, label) "{\"prompt\":\"" p "\",\"completion\":\"" a "\",\"label\":" label "}\n"

static int read_rows(const char *rows, const struct example_settings *s, struct examples *all, struct error *e)
{
    char *path = path_join(folder, "rows.jsonl");
    const char *paths[] = {path};
    assert_ok(file_write(path, rows, strlen(rows), e), *e);
    int code = examples_read(paths, 1, s, all, e);
    mem_free(path);
    return code;
}

/* An example as text: what is learned in brackets. */
static void expect_example(const struct examples *x, size_t i, const char *expected)
{
    struct buffer text = {0};
    bool learned = false;
    for (size_t k = x->begin[i]; k <= x->begin[i + 1]; k++) {
        bool now = k < x->begin[i + 1] && x->learned[k];
        if (now != learned)
            buffer_byte(&text, now ? '[' : ']');
        learned = now;
        if (k < x->begin[i + 1])
            tokenizer_decode(bytes, &x->ids[k], 1, true, &text);
    }
    assert_string_equal(text.data, expected);
    buffer_free(&text);
}

/* Two for each pair, the label in front of the first: '+' or '-'. */
static void expect_examples(const char *rows, const struct example_settings *s, const char *const *expected, size_t n)
{
    struct examples all;
    struct error e;
    assert_ok(read_rows(rows, s, &all, &e), e);
    assert_int_equal(all.count, n);
    assert_int_equal(all.answers, s->answers);
    for (size_t i = 0; i < n; i++) {
        expect_example(&all, i, expected[i] + 1);
        assert_int_equal(all.origins[i].wanted, expected[i][0] == '+');
    }
    examples_free(&all);
}

static void pairs_of_every_schema(void **state)
{
    (void)state;
    struct chat_template *t;
    struct error e;
    assert_ok(chat_template_parse("test", zephyr, strlen(zephyr), &t, &e), e);
    struct example_settings s = {.tokenizer = bytes, .answers = ANSWERS_COMPARED};
    static const char *const joined[] = {"+sky [blue</s>]", "-sky [red</s>]"};
    expect_examples(PAIR("sky ", "blue", "red"), &s, joined, 2);
    s.chat_template = t;
    static const char *const chats[] = {
        "+</s><|user|>q</s><|assistant|>[good</s>]",
        "-</s><|user|>q</s><|assistant|>[bad</s>]",
    };
    expect_examples(PAIR("q", "good", "bad"), &s, chats, 2);
    expect_examples("{\"prompt\":[" M("user", "q") "],\"chosen\":[" M("assistant", "good") "],\"rejected\":["
                    M("assistant", "bad") "]}", &s, chats, 2);
    expect_examples("{\"chosen\":[" M("user", "q") "," M("assistant", "good") "],\"rejected\":[" M("user", "q") ","
                    M("assistant", "bad") "]}", &s, chats, 2);
    chat_template_free(t);
}

/* Equal prompts have one hash, with a template and without, and of whatever schema; others have others. */
static void prompts_have_hashes(void **state)
{
    (void)state;
    struct chat_template *t;
    struct error e;
    assert_ok(chat_template_parse("test", zephyr, strlen(zephyr), &t, &e), e);
    for (int chat = 0; chat < 2; chat++) {
        struct example_settings s = {.tokenizer = bytes, .answers = ANSWERS_JUDGED, .chat_template = chat ? t : NULL};
        struct examples all;
        assert_ok(read_rows(PAIR("q", "a", "b") JUDGED("q", "other", "true") JUDGED("r", "a", "true"), &s, &all, &e), e);
        assert_int_equal(all.count, 8);
        for (size_t i = 1; i < 8; i++)
            assert_int_equal(all.origins[i].prompt == all.origins[0].prompt, i < 6);
        examples_free(&all);
    }
    chat_template_free(t);
}

/* A field that was named, a conversation that goes on before its answer, a call for an answer. */
static void pairs_of_odd_rows(void **state)
{
    (void)state;
    static const char calls[] = "{% for m in messages %}{{ m.role[0] }}{{ m.content or m.tool_calls[0].function.name }}"
                                "{{ eos_token }}{% endfor %}{% if add_generation_prompt %}a{% endif %}";
    struct chat_template *t;
    struct error e;
    assert_ok(chat_template_parse("test", calls, strlen(calls), &t, &e), e);
    const struct dataset_fields fields = {.chosen = "good", .rejected = "bad"};
    struct example_settings s = {.tokenizer = bytes, .answers = ANSWERS_COMPARED, .chat_template = t, .fields = &fields};
    static const char *const turns[] = {"+u1</s>a2</s>u3</s>a[4</s>]", "-u1</s>a2</s>u3</s>a[f</s>]"};
    expect_examples("{\"good\":[" M("user", "1") "," M("assistant", "2") "," M("user", "3") "," M("assistant", "4") "],"
                    "\"bad\":[" M("user", "1") "," M("assistant", "2") "," M("user", "3") ",{\"role\":\"assistant\","
                    "\"tool_calls\":[{\"name\":\"f\",\"arguments\":{}}]}]}", &s, turns, 2);
    s.loss = LOSS_LAST_TURN;
    static const char *const last[] = {"+u1</s>a[2</s>]", "-u1</s>a2</s>u3</s>a[4</s>]"};
    expect_examples("{\"prompt\":\"1\",\"good\":\"2\",\"bad\":[" M("assistant", "2") "," M("user", "3") ","
                    M("assistant", "4") "]}", &s, last, 2);
    chat_template_free(t);
}

static void borrowed_answers(void **state)
{
    (void)state;
    struct example_settings s = {.tokenizer = bytes, .answers = ANSWERS_JUDGED};
    static const char *const judged[] = {
        "+p[one</s>]", "+p[two</s>]", "-q[two</s>]", "-q[three</s>]", "+r[three</s>]", "+r[one</s>]",
    };
    expect_examples(JUDGED("p", "one", "true") JUDGED("q", "two", "false") JUDGED("r", "three", "true"), &s, judged,
                    6);
    static const char *const both[] = {
        "+p[a</s>]", "+p[c</s>]", "-p[b</s>]", "-p[d</s>]", "+q[c</s>]", "+q[e</s>]", "-q[d</s>]", "-q[e</s>]",
        "-r[e</s>]", "-r[a</s>]",
    };
    expect_examples(PAIR("p", "a", "b") PAIR("q", "c", "d") JUDGED("r", "e", "false"), &s, both, 10);
    static const char *const one_prompt[] = {"+p[a</s>]", "+p[b</s>]", "-p[b</s>]", "-p[a</s>]"};
    expect_examples(PAIR("p", "a", "b"), &s, one_prompt, 4);
    static const char *const alone[] = {"+p[a</s>]", "+p[a</s>]"};
    expect_examples(JUDGED("p", "a", "true"), &s, alone, 2);
}

/* Where a pair would be too long, the end of what is borrowed is cut, down to a token; and no more is asked for. */
static void borrowed_answers_are_cut(void **state)
{
    (void)state;
    static const char rows[] = JUDGED("ab", "c", "true") JUDGED("de", "fghijk", "false");
    struct example_settings s = {.tokenizer = bytes, .answers = ANSWERS_JUDGED, .max_tokens = 11};
    static const char *const eleven[] = {"+ab[c</s>]", "+ab[fghijk]", "-de[fghijk</s>]", "-de[c]"};
    expect_examples(rows, &s, eleven, 4);
    s.max_tokens = 12;
    static const char *const twelve[] = {"+ab[c</s>]", "+ab[fghijk</s>]", "-de[fghijk</s>]", "-de[c</s>]"};
    expect_examples(rows, &s, twelve, 4);
    s.max_tokens = 10; /* the second row has 9 tokens, and there is no room for two more */
    struct examples all;
    struct error e;
    assert_ok(read_rows(rows, &s, &all, &e), e);
    assert_int_equal(all.count, 2);
    assert_int_equal(all.report.dropped, 1);
    expect_example(&all, 1, "ab[c</s>]");
    examples_free(&all);
    s.over_long = OVER_LONG_TRUNCATE;
    static const char *const front[] = {"+ab[c</s>]", "+ab[fghij]", "-e[fghijk</s>]", "-e[c]"};
    expect_examples(rows, &s, front, 4);
}

/* ---- bad rows ---- */

static char *reason; /* the last one that was reported */

static void keep_reason(void *context, const char *path, uint64_t line, const char *why)
{
    (void)path;
    *(uint64_t *)context = line;
    mem_free(reason);
    reason = mem_string(why);
}

#define NO_ANSWER "is no preference: \"chosen\" and \"rejected\" are wanted, and this is "
#define NOT_JUDGED "is no answer that is judged: \"prompt\", \"completion\" and \"label\" are wanted (or \"chosen\" and " \
                   "\"rejected\"), and this is "
#define SAME "the chosen and the rejected answer are the same"

static const struct {
    const char *row, *compared, *judged; /* why it is bad; NULL where it is none */
} bad[] = {
    {"{\"text\":\"t\"}", NO_ANSWER "text", NOT_JUDGED "text"},
    {"{\"prompt\":\"p\",\"completion\":\"c\"}", NO_ANSWER "prompt/completion",
     "has no \"label\": true or false, whether this answer is wanted"},
    {"{\"prompt\":\"p\",\"completion\":\"c\",\"label\":1}", NO_ANSWER "prompt/completion",
     "\"label\" must be true or false"},
    {"{\"messages\":[" M("user", "q") "," M("assistant", "a") "]}", NO_ANSWER "messages", NOT_JUDGED "messages"},
    {JUDGED("p", "c", "true"),
     "is one answer with a label, and not \"chosen\" and \"rejected\": --loss kto takes it", NULL},
    {JUDGED("p", " \\n", "true"), "is one answer with a label, and not \"chosen\" and \"rejected\": --loss kto takes it",
     "the answer in \"completion\" is empty"},
    {PAIR("p", "a", "a"), SAME, SAME},
    {PAIR("p", "\\t ", "a"), "the answer in \"chosen\" is empty", "the answer in \"chosen\" is empty"},
    {PAIR("p", "a", "  "), "the answer in \"rejected\" is empty", "the answer in \"rejected\" is empty"},
    {PAIR("p", "a", ""), "\"rejected\" is empty", "\"rejected\" is empty"},
    {"{\"prompt\":\"p\",\"chosen\":\"a\"}", "\"chosen\" without \"rejected\"", "\"chosen\" without \"rejected\""},
    {"{\"chosen\":[" M("user", "p") "," M("assistant", "a") "],\"rejected\":[" M("user", "q") "," M("assistant", "b") "]}",
     "\"chosen\" and \"rejected\" share no message that could be the prompt",
     "\"chosen\" and \"rejected\" share no message that could be the prompt"},
    {"{\"chosen\":[" M("system", "s") "," M("user", "p") "," M("assistant", "a") "],\"rejected\":[" M("system", "s") ","
     M("user", "q") "," M("assistant", "b") "]}",
     "the prompts differ: behind what both sides begin with, \"chosen\" goes on with a message of the user",
     "the prompts differ: behind what both sides begin with, \"chosen\" goes on with a message of the user"},
    {"{\"chosen\":[" M("user", "p") "," M("assistant", "a") "],\"rejected\":[" M("user", "p") "," M("user", "q") ","
     M("assistant", "b") "]}",
     "the prompts differ: behind what both sides begin with, \"rejected\" goes on with a message of the user",
     "the prompts differ: behind what both sides begin with, \"rejected\" goes on with a message of the user"},
    {"{\"prompt\":\"p\",\"chosen\":[{\"role\":\"assistant\",\"content\":\" \"}],\"rejected\":\"b\"}",
     "the answer in \"chosen\" is empty", "the answer in \"chosen\" is empty"},
    {"{\"prompt\":\"p\",\"chosen\":\"a\",\"rejected\":[{\"role\":\"assistant\",\"content\":\"b\",\"weight\":0}]}",
     "the rejected answer: no token of it is learned", "the rejected answer: no token of it is learned"},
};

/* Each of them behind a good row, left out with a reason and its line, or the end of reading. */
static void bad_rows(void **state)
{
    (void)state;
    struct chat_template *t;
    struct error e;
    assert_ok(chat_template_parse("test", zephyr, strlen(zephyr), &t, &e), e);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (int mode = ANSWERS_COMPARED; mode <= ANSWERS_JUDGED; mode++) {
            uint64_t line = 0;
            const char *expected = mode == ANSWERS_COMPARED ? bad[i].compared : bad[i].judged;
            struct example_settings s = {.tokenizer = bytes, .chat_template = t, .answers = (enum example_answers)mode,
                                         .bad_rows = BAD_ROWS_REPORT, .report = keep_reason, .context = &line};
            struct examples all;
            char *rows = mem_printf("%s\n%s", PAIR("good", "x", "y"), bad[i].row);
            assert_ok(read_rows(rows, &s, &all, &e), e);
            assert_int_equal(all.report.bad, expected != NULL);
            assert_int_equal(line, expected ? 3 : 0);
            if (expected)
                assert_string_equal(reason, expected);
            examples_free(&all);
            s.bad_rows = BAD_ROWS_FAIL;
            assert_int_equal(read_rows(rows, &s, &all, &e), expected ? ERR_FORMAT : OK);
            if (expected)
                assert_non_null(strstr(e.message, "rows.jsonl:3: "));
            examples_free(&all);
            mem_free(rows);
            mem_free(reason);
            reason = NULL;
        }
    chat_template_free(t);
}

/* A .txt file is a text, and what is learned whole is no answer. */
static void no_answers_at_all(void **state)
{
    (void)state;
    char *path = path_join(folder, "book.txt");
    const char *paths[] = {path};
    struct error e;
    struct examples all;
    struct example_settings s = {.tokenizer = bytes, .answers = ANSWERS_COMPARED};
    assert_ok(file_write(path, "a book", 6, &e), e);
    assert_int_equal(examples_read(paths, 1, &s, &all, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "book.txt:1: " NO_ANSWER "text"));
    examples_free(&all);
    s.loss = LOSS_ALL;
    assert_int_equal(examples_read(paths, 1, &s, &all, &e), ERR_USAGE);
    examples_free(&all);
    assert_int_equal(unlink(path), 0);
    mem_free(path);
}

/* ---- too long ---- */

/* Prompts of 8 tokens, of which 7 are shared, and answers of 3 and 2 with their end: 14 in a row. The other pair has 5. */
static void over_long_pairs(void **state)
{
    (void)state;
    static const char rows[] = PAIR("abcdefgh", "XY", "Z") PAIR("p", "x", "y");
    struct example_settings s = {.tokenizer = bytes, .answers = ANSWERS_COMPARED, .max_tokens = 14};
    static const char *const whole[] = {"+abcdefgh[XY</s>]", "-abcdefgh[Z</s>]", "+p[x</s>]", "-p[y</s>]"};
    expect_examples(rows, &s, whole, 4);
    for (int over_long = OVER_LONG_DROP; over_long <= OVER_LONG_SPLIT; over_long++) {
        struct examples all;
        struct error e;
        s.over_long = (enum over_long)over_long;
        s.max_tokens = 13;
        int code = read_rows(rows, &s, &all, &e);
        assert_int_equal(code, over_long == OVER_LONG_ERROR ? ERR_FORMAT : OK);
        if (code)
            assert_non_null(strstr(e.message, "rows.jsonl:1: 14 tokens with both answers, and at most 13 are allowed"));
        assert_int_equal(all.report.dropped, over_long == OVER_LONG_DROP || over_long == OVER_LONG_SPLIT);
        assert_int_equal(all.report.truncated, over_long == OVER_LONG_TRUNCATE);
        assert_int_equal(all.report.longest_row, code ? 0 : 14);
        examples_free(&all);
    }
    s.over_long = OVER_LONG_TRUNCATE;
    s.max_tokens = 7;
    static const char *const front[] = {"+h[XY</s>]", "-h[Z</s>]", "+p[x</s>]", "-p[y</s>]"};
    expect_examples(rows, &s, front, 4);
    s.max_tokens = 6; /* no answer is ever cut */
    static const char *const dropped[] = {"+p[x</s>]", "-p[y</s>]"};
    expect_examples(rows, &s, dropped, 2);
}

static void truncation_keeps_bos(void **state)
{
    (void)state;
    struct chat_template *t;
    struct error e;
    assert_ok(chat_template_parse("test", zephyr, strlen(zephyr), &t, &e), e);
    struct example_settings s = {.tokenizer = bytes, .answers = ANSWERS_COMPARED, .chat_template = t,
                                 .over_long = OVER_LONG_TRUNCATE, .max_tokens = 11};
    assert_int_equal(tokenizer_bos(bytes), tokenizer_eos(bytes));
    static const char *const front[] = {"+</s>nt|>[XY</s>]", "-</s>nt|>[Z</s>]"};
    expect_examples(PAIR("abcdefgh", "XY", "Z"), &s, front, 2);
    s.answers = ANSWERS_JUDGED;
    static const char *const judged[] = {"+</s>ant|>[XY</s>]", "+</s>ant|>[Z]", "-</s>tant|>[Z</s>]", "-</s>tant|>[X]"};
    expect_examples(PAIR("abcdefgh", "XY", "Z"), &s, judged, 4);
    chat_template_free(t);
}

/* An example of n tokens, the last n_learned of them learned. */
static struct example made(const int32_t *ids, size_t n, size_t n_learned)
{
    struct example x = {.learned = mem_zero(n, 1), .n_learned = n_learned};
    for (size_t i = 0; i < n; i++)
        tokens_push(&x.tokens, ids[i]);
    memset(x.learned + n - n_learned, 1, n_learned);
    return x;
}

/* Prompts that part before their end, as tokenizers that join the prompt's last token with the answer make them: what is
 * behind there must go from both. Against trying every number of tokens. */
static void shortening_is_least(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, 1, 0);
    size_t kept = 0, refused = 0;
    for (int round = 0; round < 3000; round++) {
        int32_t ids[2][40], bos = tokenizer_bos(bytes);
        size_t shared = rng_below(&rng, 8), learned[2], n[2], prompt[2];
        bool with_bos = rng_below(&rng, 2);
        for (int i = 0; i < 2; i++) {
            learned[i] = 1 + rng_below(&rng, 6);
            prompt[i] = shared + 1 + rng_below(&rng, 6);
            n[i] = prompt[i] + learned[i];
            for (size_t k = 0; k < n[i]; k++)
                ids[i][k] = k == 0 && with_bos ? bos : (int32_t)(k < shared ? 60 + k : (i ? 100 : 140) + k);
        }
        struct example a = made(ids[0], n[0], learned[0]), b = made(ids[1], n[1], learned[1]);
        size_t most = 2 + rng_below(&rng, answers_length(&a, &b)), least = SIZE_MAX;
        size_t limit = (prompt[0] < prompt[1] ? prompt[0] : prompt[1]) - 1;
        for (size_t k = 0; (k == 0 || k + with_bos <= limit) && least == SIZE_MAX; k++) {
            size_t left = shared + (shared == 0 && with_bos); /* BOS is shared in any case, if something is behind it */
            left = left < limit ? left : limit;
            left = left > with_bos + k ? left - k : left > with_bos ? with_bos : left;
            left = left < limit - k ? left : limit - k;
            if (n[0] + n[1] - 2 * k - left <= most)
                least = k;
        }
        bool fits = answers_shorten(bytes, &a, &b, most);
        assert_int_equal(fits, least != SIZE_MAX);
        size_t k = fits ? least : 0;
        assert_int_equal(a.tokens.count, n[0] - k);
        assert_int_equal(b.tokens.count, n[1] - k);
        assert_true(!fits || answers_length(&a, &b) <= most);
        for (int i = 0; i < 2; i++) {
            const struct example *x = i ? &b : &a;
            size_t from = k ? with_bos : 0;
            assert_memory_equal(x->tokens.ids, ids[i], from * sizeof **ids);
            assert_memory_equal(x->tokens.ids + from, ids[i] + from + k, (n[i] - k - from) * sizeof **ids);
            for (size_t j = 0; j < n[i] - k; j++)
                assert_int_equal(x->learned[j], j >= prompt[i] - k);
        }
        kept += fits && k > shared;
        refused += !fits;
        example_free(&a);
        example_free(&b);
    }
    assert_true(kept > 100 && refused > 100);
}

/* ---- held out ---- */

/* 200 pairs of 50 prompts, with answers of many lengths; every tenth row is bad. */
static char *many_rows(void)
{
    struct buffer rows = {0};
    struct rng rng;
    rng_init(&rng, 2, 0);
    for (int i = 0; i < 200; i++)
        if (i % 10 == 9)
            buffer_string(&rows, "{\"text\":\"t\"}\n");
        else
            buffer_printf(&rows, "{\"prompt\":\"question number %d\",\"chosen\":\"%0*d\",\"rejected\":\"b%d\"}\n",
                          (int)rng_below(&rng, 50), 1 + (int)rng_below(&rng, 9), i, i);
    return rows.data;
}

static bool has_prompt(const struct examples *x, uint64_t prompt)
{
    for (size_t i = 0; i < x->count; i++)
        if (x->origins[i].prompt == prompt)
            return true;
    return false;
}

/* No prompt is on both sides, also where truncation left other ends of it to other answers; pairs stay pairs; and data
 * check says the same rows. */
static void prompts_are_held_out(void **state)
{
    (void)state;
    char *rows = many_rows(), *path = path_join(folder, "rows.jsonl");
    const char *paths[] = {path};
    for (int mode = ANSWERS_COMPARED; mode <= ANSWERS_JUDGED; mode++)
        for (int over_long = OVER_LONG_DROP; over_long <= OVER_LONG_TRUNCATE; over_long++) {
            struct example_settings s = {.tokenizer = bytes, .answers = (enum example_answers)mode, .max_tokens = 26,
                                         .over_long = (enum over_long)over_long, .bad_rows = BAD_ROWS_REPORT};
            struct examples all, whole, held;
            struct dataset_check c = {0};
            struct error e;
            assert_ok(read_rows(rows, &s, &all, &e), e);
            assert_ok(read_rows(rows, &s, &whole, &e), e);
            assert_ok(dataset_check_read(&c, paths, 1, false, &s, 0, &e), e);
            dataset_check_hold_out(&c, 0.3, 7, s.max_tokens, s.over_long);
            examples_hold_out(&all, 0.3, 7, &held);
            assert_int_equal(held.answers, mode);
            assert_true(held.count % 2 == 0 && all.count % 2 == 0);
            assert_in_range(held.count, whole.count / 10, whole.count * 2 / 3);
            assert_int_equal(all.count + held.count, whole.count);
            assert_int_equal(all.report.truncated + held.report.truncated, whole.report.truncated);
            assert_int_equal(whole.report.truncated > 0, over_long == OVER_LONG_TRUNCATE);
            assert_int_equal(all.report.tokens + held.report.tokens, whole.report.tokens);
            for (size_t i = 0; i < held.count; i++)
                assert_false(has_prompt(&all, held.origins[i].prompt));
            size_t at[2] = {0};
            for (size_t i = 0; i < whole.count; i++) {
                uint64_t line = whole.origins[i].line;
                bool out = at[1] < held.count && has_prompt(&held, whole.origins[i].prompt);
                const struct examples *from = out ? &held : &all;
                size_t k = at[out]++;
                assert_int_equal(from->origins[k].line, line);
                assert_int_equal(from->origins[k].wanted, whole.origins[i].wanted);
                assert_int_equal(example_length(from, k), example_length(&whole, i));
                assert_memory_equal(from->ids + from->begin[k], whole.ids + whole.begin[i],
                                    example_length(from, k) * sizeof *from->ids);
                assert_int_equal(c.rows[line - 1].held, out);
                assert_int_equal(c.rows[line - 1].prompt_text, whole.origins[i].prompt);
            }
            examples_free(&all);
            examples_free(&whole);
            examples_free(&held);
            dataset_check_free(&c);
        }
    mem_free(rows);
    mem_free(path);
}

static void equal_draws_stay_together(void **state)
{
    (void)state;
    const uint64_t high[] = {UINT64_MAX, UINT64_MAX - 1, UINT64_MAX, UINT64_MAX - 1}, low[] = {1, 2, 2, 1};
    const uint64_t same[] = {5, 5, 5};
    bool held[4];
    hold_out_pick(high, 4, 0.5, held); /* none is low enough: all of the lowest */
    assert_true(!held[0] && held[1] && !held[2] && held[3]);
    hold_out_pick(low, 4, 0.5, held); /* all are: none of the highest */
    assert_true(held[0] && !held[1] && !held[2] && held[3]);
    hold_out_pick(same, 3, 0.5, held); /* a single prompt is trained on */
    assert_true(!held[0] && !held[1] && !held[2]);
}

/* ---- the rest ---- */

static uint64_t hash_of(const char *rows, enum example_answers answers)
{
    struct example_settings s = {.tokenizer = bytes, .answers = answers};
    struct examples all;
    struct error e;
    assert_ok(read_rows(rows, &s, &all, &e), e);
    uint64_t hash = examples_hash(&all);
    examples_free(&all);
    return hash;
}

static void hashes_cover_labels(void **state)
{
    (void)state;
    uint64_t hash = hash_of(JUDGED("p", "a", "true") JUDGED("q", "b", "true"), ANSWERS_JUDGED);
    assert_true(hash == hash_of(JUDGED("p", "a", "true") JUDGED("q", "b", "true"), ANSWERS_JUDGED));
    assert_true(hash != hash_of(JUDGED("p", "a", "true") JUDGED("q", "b", "false"), ANSWERS_JUDGED));
    assert_true(hash_of(PAIR("p", "a", "b"), ANSWERS_COMPARED) != hash_of(PAIR("p", "b", "a"), ANSWERS_COMPARED));
}

/* What data check keeps of a row: lengths with the prompt once, answers, what becomes of them. */
static void rows_are_checked(void **state)
{
    (void)state;
    struct error e;
    char *path = path_join(folder, "rows.jsonl");
    const char *paths[] = {path};
    static const char rows[] = PAIR("abcdefgh", "XY", "Z") PAIR("p", "x", "x") JUDGED("p", "xyz", "false");
    assert_ok(file_write(path, rows, strlen(rows), &e), e);
    struct example_settings s = {.tokenizer = bytes, .answers = ANSWERS_COMPARED, .max_tokens = 13};
    struct dataset_check c = {0};
    assert_ok(dataset_check_read(&c, paths, 1, false, &s, 10, &e), e);
    assert_int_equal(c.rows[0].tokens, 14);
    assert_true(c.rows[0].answers == 1 && c.rows[0].too_long == 1 && c.rows[0].kept == 0 && c.rows[0].cut_off);
    assert_true(c.rows[0].chosen == 3 && c.rows[0].rejected == 2 && c.rows[0].learned == 5);
    assert_true(c.rows[1].bad && c.rows[2].bad);
    assert_string_equal(c.reasons[0].text, SAME);
    dataset_check_free(&c);
    s.answers = ANSWERS_JUDGED;
    s.max_tokens = 12;
    assert_ok(dataset_check_read(&c, paths, 1, false, &s, 10, &e), e);
    assert_true(c.rows[0].tokens == 11 && c.rows[0].second == 10 && c.rows[0].answers == 2);
    assert_true(c.rows[0].too_long == 1 && c.rows[0].kept == 1 && c.rows[0].cut_off);
    assert_true(c.rows[2].chosen == 0 && c.rows[2].rejected == 4 && !c.rows[2].unwanted && c.rows[2].kept == 1);
    dataset_check_free(&c);
    mem_free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_of_every_schema),
        cmocka_unit_test(prompts_have_hashes),
        cmocka_unit_test(pairs_of_odd_rows),
        cmocka_unit_test(borrowed_answers),
        cmocka_unit_test(borrowed_answers_are_cut),
        cmocka_unit_test(bad_rows),
        cmocka_unit_test(no_answers_at_all),
        cmocka_unit_test(over_long_pairs),
        cmocka_unit_test(truncation_keeps_bos),
        cmocka_unit_test(shortening_is_least),
        cmocka_unit_test(prompts_are_held_out),
        cmocka_unit_test(equal_draws_stay_together),
        cmocka_unit_test(hashes_cover_labels),
        cmocka_unit_test(rows_are_checked),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
