/* data/synth: the same bytes everywhere, held-out text that is never trained on, right answers,
 * clean English. */
#include "data/synth.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "tests/test.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TRAINING = 200000, HELD_OUT = 20000, DUPLICATES_OF = 100000 };

static void is_deterministic(void **state)
{
    (void)state;
    struct buffer a = {0}, b = {0}, other = {0};
    for (uint64_t i = 0; i < 300; i++)
        synth_document(1, SYNTH_TRAIN, i, &a, NULL, NULL);
    for (uint64_t i = 0; i < 300; i++)
        synth_document(1, SYNTH_TRAIN, i, &b, NULL, NULL);
    for (uint64_t i = 0; i < 300; i++)
        synth_document(2, SYNTH_TRAIN, i, &other, NULL, NULL);
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
    assert_true(a.size != other.size || memcmp(a.data, other.data, a.size));
    /* The same on every machine and in every build; new only when the generator changes. */
    assert_int_equal(hash64(a.data, a.size, 0), 0x34f4962d9a4c5156ull);
    buffer_free(&a);
    buffer_free(&b);
    buffer_free(&other);
}

static int compare_hashes(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void hash_documents(uint64_t seed, enum synth_split split, size_t n, uint64_t *hashes)
{
#pragma omp parallel for
    for (size_t i = 0; i < n; i++) {
        struct buffer text = {0};
        synth_document(seed, split, i, &text, NULL, NULL);
        hashes[i] = hash64(text.data, text.size, 0);
        buffer_free(&text);
    }
}

static void held_out_text_is_never_trained_on(void **state)
{
    (void)state;
    static uint64_t train[TRAINING], held[HELD_OUT];
    hash_documents(3, SYNTH_TRAIN, TRAINING, train);
    hash_documents(3, SYNTH_HELD_OUT, HELD_OUT, held);
    qsort(train, TRAINING, sizeof *train, compare_hashes);
    for (size_t i = 0; i < HELD_OUT; i++)
        assert_null(bsearch(&held[i], train, TRAINING, sizeof *train, compare_hashes));

    hash_documents(4, SYNTH_TRAIN, DUPLICATES_OF, train);
    qsort(train, DUPLICATES_OF, sizeof *train, compare_hashes);
    size_t duplicates = 0;
    for (size_t i = 1; i < DUPLICATES_OF; i++)
        duplicates += train[i] == train[i - 1];
    print_message("%zu duplicates in %d documents\n", duplicates, DUPLICATES_OF);
    assert_true(duplicates < DUPLICATES_OF / 50);
}

static void kinds_have_their_shares(void **state)
{
    (void)state;
    size_t bytes[SYNTH_KINDS] = {0}, total = 0;
    struct buffer text = {0};
    for (uint64_t i = 0; i < 20000; i++) {
        buffer_clear(&text);
        bytes[synth_document(5, SYNTH_TRAIN, i, &text, NULL, NULL)] += text.size;
        total += text.size;
    }
    print_message("story %zu, question %zu, arithmetic %zu per mille of the bytes\n",
                  1000 * bytes[SYNTH_STORY] / total, 1000 * bytes[SYNTH_QUESTION] / total,
                  1000 * bytes[SYNTH_ARITHMETIC] / total);
    assert_in_range(1000 * bytes[SYNTH_STORY] / total, 570, 630);
    assert_in_range(1000 * bytes[SYNTH_QUESTION] / total, 230, 270);
    assert_in_range(1000 * bytes[SYNTH_ARITHMETIC] / total, 130, 170);
    buffer_free(&text);
}

/* ---- arithmetic, worked out again from the text ---- */

static size_t numbers_in(const char *q, long n[8])
{
    static const char *const words[] = {
        "zero",     "one",     "two",     "three",     "four",     "five",     "six",
        "seven",    "eight",   "nine",    "ten",       "eleven",   "twelve",   "thirteen",
        "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"};
    size_t count = 0;
    for (const char *p = q; *p && count < 8;) {
        if (isdigit((unsigned char)*p)) {
            char *end;
            n[count++] = strtol(p, &end, 10);
            p = end;
            continue;
        }
        size_t length = strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
        for (size_t w = 0; w <= 20; w++)
            if (length == strlen(words[w]) && memcmp(p, words[w], length) == 0)
                n[count++] = (long)w;
        p += length ? length : 1;
    }
    return count;
}

static bool has(const char *q, const char *text)
{
    return strstr(q, text) != NULL;
}

static int by_size(const void *a, const void *b)
{
    long x = *(const long *)a, y = *(const long *)b;
    return (x > y) - (x < y);
}

static void work_out(const char *q, char answer[64])
{
    long n[8];
    size_t count = numbers_in(q, n);
    long result = -1;
    if (has(q, "next:")) {
        assert_int_equal(count, 4);
        assert_int_equal(n[2] - n[1], n[1] - n[0]);
        assert_int_equal(n[3] - n[2], n[1] - n[0]);
        result = n[3] + n[1] - n[0];
    } else if (has(q, "largest") || has(q, "smallest") || has(q, "order")) {
        assert_int_equal(count, 3);
        qsort(n, 3, sizeof *n, by_size);
        if (has(q, "order") || has(q, "Sort")) {
            snprintf(answer, 64, "%ld, %ld, %ld", n[0], n[1], n[2]);
            return;
        }
        result = has(q, "largest") ? n[2] : n[0];
    } else if (has(q, "half of")) {
        result = n[0] / 2;
    } else if (has(q, "ouble")) {
        result = 2 * n[0];
    } else {
        assert_int_equal(count, 2);
        if (has(q, " left?") || has(q, " than ") || has(q, " were left") ||
            has(q, "pages are left"))
            result = n[0] - n[1];
        else if (has(q, "altogether"))
            result = n[0] + n[1];
        else if (has(q, " in all?"))
            result = n[0] * n[1];
        else if (has(q, "each child get") || has(q, "in each"))
            result = n[0] / n[1];
        else if (has(q, "away from") || has(q, "go into"))
            result = has(q, "away") ? n[1] - n[0] : n[1] / n[0];
        else if (has(q, " + ") || has(q, "plus") || has(q, "Add") || has(q, "sum"))
            result = n[0] + n[1];
        else if (has(q, " - ") || has(q, "minus") || has(q, "difference"))
            result = n[0] - n[1];
        else if (has(q, " x ") || has(q, "times") || has(q, "Multiply") || has(q, "product"))
            result = n[0] * n[1];
        else if (has(q, " / ") || has(q, "ivide"))
            result = n[0] / n[1];
        else
            fail_msg("no known problem: %s", q);
    }
    snprintf(answer, 64, "%ld", result);
}

static void arithmetic_is_right(void **state)
{
    (void)state;
    struct buffer text = {0};
    size_t checked = 0;
    for (uint64_t i = 0; i < 20000; i++) {
        buffer_clear(&text);
        enum synth_split split = i % 4 ? SYNTH_TRAIN : SYNTH_HELD_OUT;
        if (synth_document(6, split, i, &text, NULL, NULL) != SYNTH_ARITHMETIC)
            continue;
        for (char *line = strtok(text.data, "\n"); line; line = strtok(NULL, "\n")) {
            assert_memory_equal(line, "Question: ", 10);
            char expected[64], *answer = strtok(NULL, "\n");
            assert_non_null(answer);
            assert_memory_equal(answer, "Answer: ", 8);
            work_out(line + 10, expected);
            if (strcmp(expected, answer + 8) != 0)
                fail_msg("%s -> %s, not %s", line, expected, answer);
            checked++;
        }
    }
    print_message("%zu answers worked out again\n", checked);
    assert_true(checked > 10000);
    buffer_free(&text);
}

/* No addition or subtraction family of the held-out text occurs in a training text. */
static void number_families_are_apart(void **state)
{
    (void)state;
    static unsigned char seen[2][100][100];
    struct buffer text = {0};
    for (int split = 0; split < 2; split++) {
        for (uint64_t i = 0; i < 20000; i++) {
            buffer_clear(&text);
            if (synth_document(8, (enum synth_split)split, i, &text, NULL, NULL) !=
                SYNTH_ARITHMETIC)
                continue;
            for (char *line = strtok(text.data, "\n"); line; line = strtok(NULL, "\n")) {
                long a, b;
                char sign;
                if (sscanf(line, "Question: %ld %c %ld =", &a, &sign, &b) != 3 &&
                    sscanf(line, "Question: What is %ld %c %ld?", &a, &sign, &b) != 3)
                    continue;
                if (sign == '-')
                    a -= b;
                if ((sign == '+' || sign == '-') && a < 100 && b < 100)
                    seen[split][a < b ? a : b][a < b ? b : a] = 1;
            }
        }
    }
    size_t train = 0, held = 0;
    for (int a = 0; a < 100; a++)
        for (int b = 0; b < 100; b++) {
            train += seen[0][a][b];
            held += seen[1][a][b];
            assert_false(seen[0][a][b] && seen[1][a][b]);
        }
    assert_true(train > 300 && held > 20);
    buffer_free(&text);
}

/* ---- English ---- */

static bool vowel_sound(const char *p)
{
    if (strncmp(p, "uni", 3) == 0 && strncmp(p, "unin", 4) != 0)
        return false;
    return strchr("aeiouAEIOU", *p) && strncmp(p, "one", 3) != 0 && strncmp(p, "use", 3) != 0;
}

static void check_line(const char *line)
{
    size_t n = strlen(line), quotes = 0;
    if (!strncmp(line, "Answer: ", 8) && line[8])
        return;
    if (!isupper((unsigned char)line[0]) && !isdigit((unsigned char)line[0]) && line[0] != '"')
        fail_msg("no capital: %s", line);
    if (!strchr(".!?\"", line[n - 1]))
        fail_msg("no full stop: %s", line);
    for (const char *p = line; *p; p++) {
        quotes += *p == '"';
        bool starts_word = p == line || !isalpha((unsigned char)p[-1]);
        if (strchr("[]{}<>|`#", *p))
            fail_msg("template left over: %s", line);
        if (p[0] == ' ' && (p[1] == ' ' || p[1] == '.' || p[1] == ',' || p[1] == '!'))
            fail_msg("stray space: %s", line);
        if (strchr(".!?,", *p) && strchr(".!?,", p[1]) && p[1])
            fail_msg("doubled punctuation: %s", line);
        if ((*p == '.' || *p == '!' || *p == '?') && p[1] == ' ' && islower((unsigned char)p[2]))
            fail_msg("sentence without a capital: %s", line);
        if (starts_word && tolower((unsigned char)*p) == 'a' && p[1] == ' ' && vowel_sound(p + 2))
            fail_msg("a for an: %s", line);
        if (starts_word && tolower((unsigned char)*p) == 'a' && p[1] == 'n' && p[2] == ' ' &&
            !vowel_sound(p + 3) && strncmp(p + 3, "hour", 4) != 0 &&
            strncmp(p + 3, "honest", 6) != 0)
            fail_msg("an for a: %s", line);
    }
    if (quotes % 2)
        fail_msg("open quotation: %s", line);
}

static void text_is_clean(void **state)
{
    (void)state;
    struct buffer text = {0};
    for (uint64_t i = 0; i < 30000; i++) {
        buffer_clear(&text);
        synth_document(9, i % 8 ? SYNTH_TRAIN : SYNTH_HELD_OUT, i, &text, NULL, NULL);
        for (size_t c = 0; c < text.size; c++)
            assert_true(text.data[c] == '\n' || (text.data[c] >= ' ' && text.data[c] <= '~'));
        assert_null(strstr(text.data, "\n\n"));
        for (char *line = strtok(text.data, "\n"); line; line = strtok(NULL, "\n"))
            check_line(line);
    }
    buffer_free(&text);
}

static void parts_are_in_the_text(void **state)
{
    (void)state;
    struct buffer text = {0}, question = {0}, answer = {0}, pair = {0};
    for (uint64_t i = 0; i < 3000; i++) {
        buffer_clear(&text);
        buffer_clear(&question);
        buffer_clear(&answer);
        buffer_clear(&pair);
        enum synth_kind kind = synth_document(10, SYNTH_TRAIN, i, &text, &question, &answer);
        if (kind == SYNTH_STORY) {
            assert_int_equal(question.size + answer.size, 0);
            continue;
        }
        buffer_printf(&pair, "Question: %s\nAnswer: %s", question.data, answer.data);
        assert_true(text.size >= pair.size);
        assert_memory_equal(text.data + text.size - pair.size, pair.data, pair.size);
    }
    buffer_free(&text);
    buffer_free(&question);
    buffer_free(&answer);
    buffer_free(&pair);
}

/* ---- files ---- */

static void kinds_are_known_beforehand(void **state)
{
    (void)state;
    struct buffer text = {0};
    for (uint64_t i = 0; i < 300; i++)
        assert_int_equal(synth_document_kind(12, SYNTH_HELD_OUT, i),
                         synth_document(12, SYNTH_HELD_OUT, i, &text, NULL, NULL));
    buffer_free(&text);
}

static void writes_jsonl_and_txt(void **state)
{
    (void)state;
    char dir[] = "/tmp/linnet-synth-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char *lines = path_join(dir, "a.jsonl"), *plain = path_join(dir, "a.txt");
    struct error e;
    uint64_t n = 0;
    assert_ok(synth_write(lines, 11, SYNTH_TRAIN, 50000, &n, &e), e);
    struct buffer file = {0}, text = {0}, all = {0}, question = {0}, answer = {0};
    assert_ok(file_read(lines, &file, 1 << 20, &e), e);
    uint64_t i = 0;
    for (char *line = strtok(file.data, "\n"); line; line = strtok(NULL, "\n"), i++) {
        json_t *root;
        assert_ok(json_parse(line, strlen(line), &root, &e), e);
        buffer_clear(&text);
        buffer_clear(&question);
        buffer_clear(&answer);
        enum synth_kind kind = synth_document(11, SYNTH_TRAIN, i, &text, &question, &answer);
        buffer_printf(&all, "%s%s\n", i ? "\n" : "", text.data);
        const char *value = NULL;
        assert_ok(json_get_string(root, "text", &value, &e), e);
        assert_string_equal(value, text.data);
        assert_ok(json_get_string(root, "kind", &value, &e), e);
        assert_string_equal(value, synth_kind_name(kind));
        value = NULL;
        assert_ok(json_get_string(root, "answer", &value, &e), e);
        if (kind == SYNTH_STORY)
            assert_null(value);
        else
            assert_string_equal(value, answer.data);
        json_decref(root);
    }
    assert_int_equal(i, n);
    assert_ok(synth_write(plain, 11, SYNTH_TRAIN, 50000, NULL, &e), e);
    buffer_clear(&file);
    assert_ok(file_read(plain, &file, 1 << 20, &e), e);
    assert_string_equal(file.data, all.data);
    assert_int_equal(synth_write("corpus.csv", 11, SYNTH_TRAIN, 10, NULL, &e), ERR_USAGE);
    assert_true(strstr(e.message, ".jsonl"));
    assert_int_equal(synth_write("/nowhere/a.txt", 11, SYNTH_TRAIN, 10, NULL, &e), ERR_IO);
    unlink(lines);
    unlink(plain);
    rmdir(dir);
    free(lines);
    free(plain);
    buffer_free(&file);
    buffer_free(&text);
    buffer_free(&all);
    buffer_free(&question);
    buffer_free(&answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_deterministic),
        cmocka_unit_test(held_out_text_is_never_trained_on),
        cmocka_unit_test(kinds_have_their_shares),
        cmocka_unit_test(arithmetic_is_right),
        cmocka_unit_test(number_families_are_apart),
        cmocka_unit_test(text_is_clean),
        cmocka_unit_test(parts_are_in_the_text),
        cmocka_unit_test(kinds_are_known_beforehand),
        cmocka_unit_test(writes_jsonl_and_txt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
