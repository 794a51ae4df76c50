#include "grammar/json_schema_private.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void literal_char(struct buffer *out, char c)
{
    if (c == '"' || c == '\\')
        buffer_byte(out, '\\'), buffer_byte(out, c);
    else if (c == '\n')
        buffer_string(out, "\\n");
    else if ((unsigned char)c < 0x20 || c == 0x7F)
        buffer_printf(out, "\\x%02X", c);
    else
        buffer_byte(out, c);
}

void gbnf_literal(struct buffer *out, const char *text, size_t n)
{
    buffer_byte(out, '"');
    for (size_t i = 0; i < n; i++)
        literal_char(out, text[i]);
    buffer_byte(out, '"');
}

/* Jansson writes reals with as many digits as it is told; the fewest that mean the same are wanted. */
static json_t *read_back(const char *text)
{
    return json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
}

void gbnf_json(struct buffer *out, const json_t *value)
{
    char *text = NULL;
    for (size_t digits = 15; digits <= 17; digits++) {
        free(text);
        text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(digits));
        CHECK(text != NULL);
        json_t *back = read_back(text);
        bool same = json_equal(back, value);
        json_decref(back);
        if (same)
            break;
    }
    gbnf_literal(out, text, strlen(text));
    free(text);
}

/* --- Ranges of integers --------------------------------------------------------------------------------- */

static bool all_are(const char *digits, size_t n, char digit)
{
    for (size_t i = 0; i < n; i++)
        if (digits[i] != digit)
            return false;
    return true;
}

static void one_digit(struct buffer *out, char low, char high)
{
    if (low == high)
        buffer_printf(out, "\"%c\"", low);
    else
        buffer_printf(out, "[%c-%c]", low, high);
}

static void any_digits(struct buffer *out, size_t n)
{
    if (n > 0)
        buffer_printf(out, n == 1 ? " [0-9]" : " [0-9]{%zu}", n);
}

/* Strings of n > 0 digits from low to high. */
static void digits_between(struct buffer *out, const char *low, const char *high, size_t n)
{
    char nines[20], zeros[20];
    memset(nines, '9', sizeof nines), memset(zeros, '0', sizeof zeros);
    if (*low == *high || (all_are(low + 1, n - 1, '0') && all_are(high + 1, n - 1, '9'))) {
        one_digit(out, *low, *high);
        if (all_are(low + 1, n - 1, '0') && all_are(high + 1, n - 1, '9')) {
            any_digits(out, n - 1);
        } else {
            buffer_string(out, " (");
            digits_between(out, low + 1, high + 1, n - 1);
            buffer_string(out, ")");
        }
        return;
    }
    char first = *low, last = *high; /* of the digits behind which all others are free */
    if (!all_are(low + 1, n - 1, '0')) {
        one_digit(out, first, first), buffer_string(out, " (");
        digits_between(out, low + 1, nines, n - 1);
        buffer_string(out, ")");
        if (++first <= last)
            buffer_string(out, " | ");
    }
    bool below = !all_are(high + 1, n - 1, '9');
    if (first <= last - below) {
        one_digit(out, first, (char)(last - below));
        any_digits(out, n - 1);
        if (below)
            buffer_string(out, " | ");
    }
    if (below) {
        one_digit(out, last, last), buffer_string(out, " (");
        digits_between(out, zeros, high + 1, n - 1);
        buffer_string(out, ")");
    }
}

/* 0 <= low <= high */
static void naturals(struct buffer *out, uint64_t low, uint64_t high)
{
    uint64_t power = 10; /* above the numbers of n digits */
    bool some = false;
    for (size_t n = 1; n <= 20; n++) {
        bool last = n >= 19 || high < power;
        if (low < power || n >= 19) {
            uint64_t top = last ? high : power - 1, from = low;
            char a[24], b[24];
            if (n > 1 && from < power / 10)
                from = power / 10;
            snprintf(a, sizeof a, "%" PRIu64, from);
            snprintf(b, sizeof b, "%" PRIu64, top);
            buffer_string(out, some ? " | " : "");
            digits_between(out, a, b, strlen(a));
            some = true;
        }
        if (last)
            return;
        power *= 10;
    }
}

void gbnf_integers(struct buffer *out, int64_t low, int64_t high)
{
    if (low < 0) {
        buffer_string(out, "\"-\" (");
        naturals(out, high < 0 ? (uint64_t)-high : 1, (uint64_t)-low);
        buffer_string(out, high < 0 ? ")" : ") | ");
    }
    if (high >= 0)
        naturals(out, low > 0 ? (uint64_t)low : 0, (uint64_t)high);
}

/* --- Names that are none of some -------------------------------------------------------------------------- */

/* What a raw name may hold beside the characters that are told apart. */
enum { TOLD_APART = 100 }; /* bytes; what shares that many with a name is left out */
static const char unspelled[] = "\"\\\\\\x00-\\x1F";

static void class_char(struct buffer *out, const char *c, size_t n)
{
    if (n == 1 && strchr("[]\\^-", *c))
        buffer_byte(out, '\\');
    buffer_append(out, c, n);
}

/* Names share the first `at` bytes, in order, each as often as it stands there. */
static void other_names(struct buffer *out, const char *const *names, size_t n, size_t at)
{
    struct buffer taken = {0};
    bool ends = false;
    buffer_byte(out, '(');
    for (size_t i = 0; i < n;) {
        uint32_t code;
        size_t size = utf8_decode(names[i] + at, strlen(names[i] + at), &code), j = i + 1;
        if (size == 0) {
            ends = true;
            i++;
            continue;
        }
        while (j < n && strncmp(names[i], names[j], at + size) == 0)
            j++;
        class_char(&taken, names[i] + at, size);
        if (at < TOLD_APART) {
            gbnf_literal(out, names[i] + at, size);
            buffer_byte(out, ' ');
            other_names(out, names + i, j - i, at + size);
            buffer_string(out, " | ");
        }
        i = j;
    }
    buffer_printf(out, "[^%s%s] [^%s]*)", unspelled, taken.data ? taken.data : "", unspelled);
    buffer_string(out, ends ? "" : "?");
    buffer_free(&taken);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void gbnf_other_names(struct buffer *out, const char *const *names, size_t n)
{
    const char **sorted = mem_alloc(n ? n : 1, sizeof *sorted);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) { /* what would need an escape is never spelled */
        bool plain = true;
        for (const char *c = names[i]; *c; c++)
            plain &= (unsigned char)*c >= 0x20 && *c != '"' && *c != '\\';
        if (plain)
            sorted[kept++] = names[i];
    }
    if (kept > 1)
        qsort(sorted, kept, sizeof *sorted, by_text);
    buffer_string(out, "\"\\\"\" ");
    other_names(out, sorted, kept, 0);
    buffer_string(out, " \"\\\"\"");
    mem_free(sorted);
}
