#include "data/answer_check.h"

#include "base/memory.h"
#include "tokenizer/unicode.h"

#include <ctype.h>
#include <string.h>

/* ---- numbers ---- */

static const char *const currencies[] = {"$", "\u20AC", "\u00A3", "\u00A5", "\u20B9", "\u20A9"};
static const char *const spaces[] = {" ", "\t", "\n", "\r", "\u00A0", "\u202F", "\u2009"};

/* Bytes of the one of the texts that the n bytes begin with; 0: none. */
static size_t begins_with(const char *const *texts, size_t n_texts, const char *s, size_t n)
{
    for (size_t i = 0; i < n_texts; i++) {
        size_t size = strlen(texts[i]);
        if (size <= n && memcmp(s, texts[i], size) == 0)
            return size;
    }
    return 0;
}
#define SKIP(texts, s, n) begins_with(texts, sizeof texts / sizeof *texts, s, n)

static bool digit_at(const char *s, size_t n, size_t i)
{
    return i < n && s[i] >= '0' && s[i] <= '9';
}

/* Whether exactly three digits stand there. */
static bool group_at(const char *s, size_t n, size_t i)
{
    return digit_at(s, n, i) && digit_at(s, n, i + 1) && digit_at(s, n, i + 2) && !digit_at(s, n, i + 3);
}

/* Appends the characters of the number without what only makes it easier to read; what remains may still be none. */
static void strip_number(const char *s, size_t n, struct buffer *out)
{
    for (size_t i = 0, size; i < n; i += size) {
        bool within = i > 0 && digit_at(s, n, i - 1);
        if ((size = SKIP(currencies, s + i, n - i)) && (!within || !digit_at(s, n, i + size)))
            continue;
        if ((size = SKIP(spaces, s + i, n - i)) && (!within || !digit_at(s, n, i + size) || group_at(s, n, i + size)))
            continue;
        size = 1;
        if (!(s[i] == ',' && within && digit_at(s, n, i + 1)))
            buffer_byte(out, s[i]);
    }
}

/* What a number is made of. */
struct decimal {
    bool negative;
    struct buffer digits; /* without a point */
    long exponent;        /* of ten */
};

static bool parse_exponent(const char **at, long *exponent)
{
    const char *s = *at + 1;
    bool negative = *s == '-';
    long value = 0;
    s += *s == '-' || *s == '+';
    if (!isdigit((unsigned char)*s))
        return false;
    for (; isdigit((unsigned char)*s); s++)
        if ((value = value * 10 + (*s - '0')) > 1000000)
            return false;
    *exponent += negative ? -value : value;
    *at = s;
    return true;
}

/* [+-] digits [. digits] [e digits]; a point may end it, as that of a sentence does. */
static bool parse_decimal(const char *s, struct decimal *d)
{
    d->negative = *s == '-';
    s += *s == '-' || *s == '+';
    for (; isdigit((unsigned char)*s); s++)
        buffer_byte(&d->digits, *s);
    if (*s == '.')
        for (s++; isdigit((unsigned char)*s); s++, d->exponent--)
            buffer_byte(&d->digits, *s);
    if (d->digits.size && (*s == 'e' || *s == 'E') && !parse_exponent(&s, &d->exponent))
        return false;
    s += *s == '.';
    return d->digits.size && !*s;
}

/* The one spelling of its value: digits that neither begin nor end with a zero, times a power of ten. */
static void print_decimal(struct decimal *d, struct buffer *out)
{
    const char *digits = d->digits.data;
    size_t begin = strspn(digits, "0"), end = d->digits.size;
    while (end > begin && digits[end - 1] == '0')
        end--;
    if (begin == end) {
        buffer_string(out, "0");
        return;
    }
    buffer_string(out, d->negative ? "-" : "");
    buffer_append(out, digits + begin, end - begin);
    buffer_printf(out, "e%ld", d->exponent + (long)(d->digits.size - end));
}

static bool normalise_number(const char *text, size_t n, struct buffer *out)
{
    struct buffer plain = {0};
    struct decimal d = {0};
    strip_number(text, n, &plain);
    bool good = plain.size && strlen(plain.data) == plain.size && parse_decimal(plain.data, &d);
    if (good)
        print_decimal(&d, out);
    buffer_free(&plain);
    buffer_free(&d.digits);
    return good;
}

/* ---- texts ---- */

static bool is_white(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void trim(const char **text, size_t *n)
{
    while (*n > 0 && is_white(**text))
        (*text)++, (*n)--;
    while (*n > 0 && is_white((*text)[*n - 1]))
        (*n)--;
}

/* Compatibility forms stay apart: x squared, as one character, is not x2. */
static void normalise_text(const char *text, size_t n, struct buffer *out)
{
    struct buffer lower = {0}, same = {0};
    bool space = false;
    unicode_lower(text, n, &lower);
    unicode_normalize(lower.data ? lower.data : "", lower.size, FORM_NFC, &same);
    for (size_t i = 0, size; i < same.size; i += size) {
        uint32_t code = 0;
        size = utf8_decode(same.data + i, same.size - i, &code);
        if (size && unicode_is_space(code)) {
            space = true;
            continue;
        }
        if (space)
            buffer_byte(out, ' ');
        space = false;
        size = size ? size : 1;
        buffer_append(out, same.data + i, size);
    }
    buffer_free(&lower);
    buffer_free(&same);
}

void answer_normalise(const char *text, size_t n, struct buffer *out)
{
    trim(&text, &n);
    if (!normalise_number(text, n, out))
        normalise_text(text, n, out);
}

/* ---- regular expressions ---- */

/* How often what is repeated most is repeated, if every repetition stands within all others. */
static double repeats(const char *pattern)
{
    double product = 1;
    for (const char *at = pattern; (at = strchr(at, '{')); at++) {
        const char *comma = at + 1 + strspn(at + 1, "0123456789");
        double first = comma > at + 1 ? strtod(at + 1, NULL) : 1;
        double second = *comma == ',' && isdigit((unsigned char)comma[1]) ? strtod(comma + 1, NULL) : 1;
        double most = first > second ? first : second;
        product *= most > 1 ? most : 1;
    }
    return product;
}

/* \1 to \9, which POSIX does not have and the C library searches for in a time that may grow exponentially. */
static bool refers_back(const char *pattern)
{
    for (const char *at = pattern; (at = strchr(at, '\\')) && at[1]; at += 2)
        if (at[1] >= '1' && at[1] <= '9')
            return true;
    return false;
}

static int compile(const char *pattern, regex_t *out, struct error *e)
{
    char reason[128];
    if (strlen(pattern) > ANSWER_PATTERN_MOST)
        return error_set(e, ERR_FORMAT, "a regular expression of more than %d bytes", ANSWER_PATTERN_MOST);
    if (!(repeats(pattern) <= ANSWER_REPEATS_MOST))
        return error_set(e, ERR_FORMAT, "%.100s: it repeats more than %d times", pattern, ANSWER_REPEATS_MOST);
    if (refers_back(pattern))
        return error_set(e, ERR_FORMAT, "%.100s: back references (\\1) are not known", pattern);
    int code = regcomp(out, pattern, REG_EXTENDED | REG_NEWLINE);
    if (!code)
        return OK;
    regerror(code, NULL, reason, sizeof reason);
    return error_set(e, ERR_FORMAT, "%.100s: no regular expression: %s", pattern, reason);
}

int answer_check_open(struct answer_check *c, enum answer_rule rule, const char *field, const char *final,
                      const char *pattern, struct error *e)
{
    struct error inner;
    *c = (struct answer_check){.rule = rule, .field = field};
    if (final) {
        if (compile(final, &c->final, &inner))
            return error_set(e, ERR_USAGE, "--final %s", inner.message);
        c->has_final = true;
        if (c->final.re_nsub == 0)
            return error_set(e, ERR_USAGE, "--final %.100s: no group in it: the answer is what the first (...) matches",
                             final);
    }
    if (pattern) {
        if (compile(pattern, &c->pattern, &inner))
            return error_set(e, ERR_USAGE, "--pattern %s", inner.message);
        c->has_pattern = true;
    }
    return OK;
}

void answer_check_close(struct answer_check *c)
{
    if (c->has_final)
        regfree(&c->final);
    if (c->has_pattern)
        regfree(&c->pattern);
    *c = (struct answer_check){0};
}

/* ---- final answers ---- */

bool answer_final(const struct answer_check *c, const char *text, struct buffer *out)
{
    const char *found = NULL;
    size_t n = 0;
    if (!c->has_final) {
        found = text;
        for (const char *at = text; (at = strstr(at, "####")); at += 4)
            found = at + 4;
        n = found == text ? strlen(text) : strcspn(found, "\n");
    }
    regmatch_t m[2];
    for (const char *at = text; c->has_final;) {
        bool line = at == text || at[-1] == '\n';
        if (regexec(&c->final, at, 2, m, line ? 0 : REG_NOTBOL) != 0)
            break;
        if (m[1].rm_eo > m[1].rm_so) {
            found = at + m[1].rm_so;
            n = (size_t)(m[1].rm_eo - m[1].rm_so);
        }
        at += m[0].rm_eo;
        if (m[0].rm_eo == m[0].rm_so && !*at++) /* nothing was matched: the next one is further on */
            break;
    }
    if (!found)
        return false;
    trim(&found, &n);
    buffer_append(out, found, n);
    return true;
}

/* The row's reference as a text, which the caller frees. */
static int reference(const struct answer_check *c, const json_t *row, char **text, struct error *e)
{
    const json_t *value = json_object_get(row, c->field);
    if (!value || json_is_null(value))
        return error_set(e, ERR_FORMAT, "no \"%s\" to compare with; --answer-field names the member that holds the right "
                         "answer", c->field);
    if (json_is_string(value) && strlen(json_string_value(value)) == json_string_length(value))
        *text = mem_string(json_string_value(value));
    else if (json_is_integer(value))
        *text = mem_printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        *text = mem_printf("%.15g", json_real_value(value));
    else
        return error_set(e, ERR_FORMAT, "\"%s\" must be a text or a number", c->field);
    return OK;
}

static int check_exact(const struct answer_check *c, const json_t *row, const char *text, bool *right, struct error *e)
{
    struct buffer final = {0}, wanted = {0}, a = {0}, b = {0};
    char *whole = NULL;
    int code = reference(c, row, &whole, e);
    if (code)
        return code;
    if (!answer_final(c, whole, &wanted)) /* a reference is often the final answer alone */
        buffer_string(&wanted, whole);
    answer_normalise(wanted.data ? wanted.data : "", wanted.size, &b);
    if (b.size == 0)
        code = error_set(e, ERR_FORMAT, "\"%s\" has no answer in it", c->field);
    *right = !code && answer_final(c, text, &final);
    if (*right) {
        answer_normalise(final.data ? final.data : "", final.size, &a);
        *right = a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
    }
    mem_free(whole);
    buffer_free(&final);
    buffer_free(&wanted);
    buffer_free(&a);
    buffer_free(&b);
    return code;
}

static int check_pattern(const struct answer_check *c, const json_t *row, const char *text, bool *right, struct error *e)
{
    const json_t *own = json_object_get(row, "pattern");
    regex_t regex;
    if (!own || json_is_null(own)) {
        if (!c->has_pattern)
            return error_set(e, ERR_FORMAT, "no \"pattern\", and no --pattern for rows without one");
        *right = regexec(&c->pattern, text, 0, NULL, 0) == 0;
        return OK;
    }
    if (!json_is_string(own) || strlen(json_string_value(own)) != json_string_length(own))
        return error_set(e, ERR_FORMAT, "\"pattern\" must be a text");
    int code = compile(json_string_value(own), &regex, e);
    if (code)
        return error_prefix(e, "\"pattern\"");
    *right = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    return OK;
}

int answer_check(const struct answer_check *c, const json_t *row, const char *text, bool *right, struct error *e)
{
    *right = false;
    return c->rule == ANSWER_EXACT ? check_exact(c, row, text, right, e) : check_pattern(c, row, text, right, e);
}
