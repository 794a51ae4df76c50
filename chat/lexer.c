/* From source to tokens, with the white space rules of jinja2 under trim_blocks and lstrip_blocks:
 * the first newline after a block or comment goes, white space between the beginning of a line and
 * a block or comment goes, a minus takes all white space on its side, a plus keeps it. */
#include "base/utf8.h"
#include "chat/ast.h"
#include "chat/strings.h"
#include "chat/template.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct lexer {
    struct engine *g;
    const char *s;
    size_t n, i;
    bool line_start; /* what came before ended a line */
    struct token *tokens;
    size_t count, capacity;
};

static struct token *add(struct lexer *x, enum token_kind kind, size_t begin, size_t end)
{
    if (x->count == x->capacity) {
        size_t capacity = x->capacity ? 2 * x->capacity : 256;
        struct token *tokens = engine_alloc(x->g, capacity, sizeof *tokens);
        if (x->count)
            memcpy(tokens, x->tokens, x->count * sizeof *tokens);
        x->tokens = tokens;
        x->capacity = capacity;
    }
    struct token *t = &x->tokens[x->count++];
    *t = (struct token){.kind = kind, .at = begin, .s = x->s + begin, .size = end - begin};
    return t;
}

_Noreturn static void fail_at(struct lexer *x, size_t at, const char *why)
{
    x->g->at = at;
    engine_fail(x->g, "%s", why);
}

static bool starts(const struct lexer *x, size_t i, const char *s)
{
    size_t n = strlen(s);
    return n <= x->n - i && memcmp(x->s + i, s, n) == 0;
}

static void skip_space(struct lexer *x)
{
    for (size_t n; (n = string_space_at(x->s + x->i, x->n - x->i)) != 0;)
        x->i += n;
}

/* The text up to `end`, where a tag begins with `sign` behind its two characters. */
static void add_data(struct lexer *x, size_t end, char sign, bool is_print)
{
    size_t begin = x->i, stop = end, n;
    if (sign == '-') {
        while ((n = string_space_before(x->s + begin, stop - begin)) != 0)
            stop -= n;
    } else if (sign != '+' && !is_print) {
        size_t line = stop;
        while ((n = string_space_before(x->s + begin, line - begin)) != 0 && x->s[line - 1] != '\n')
            line -= n;
        if (line > begin ? x->s[line - 1] == '\n' : x->line_start)
            stop = line;
    }
    if (stop > begin)
        add(x, T_DATA, begin, stop);
}

/* Behind `close` with an optional sign before it: what of the text that follows goes with it. */
static bool close_tag(struct lexer *x, const char *close, bool is_print)
{
    char sign = x->i < x->n ? x->s[x->i] : 0;
    size_t i = x->i;
    if (starts(x, i, close))
        sign = 0;
    else if ((sign == '-' || (sign == '+' && !is_print)) && starts(x, i + 1, close))
        i++;
    else
        return false;
    x->i = i + strlen(close);
    if (sign == '-')
        skip_space(x);
    else if (sign == 0 && !is_print && x->i < x->n && x->s[x->i] == '\n')
        x->i++;
    x->line_start = x->s[x->i - 1] == '\n';
    return true;
}

static void lex_comment(struct lexer *x, size_t begin)
{
    for (; x->i < x->n; x->i++)
        if (close_tag(x, "#}", false))
            return;
    fail_at(x, begin, "the comment has no end: #} is missing");
}

/* Behind "{%" and its sign: whether `word` and nothing else stands in the tag. *end: behind it. */
static bool only_word(const struct lexer *x, size_t i, const char *word, size_t *end)
{
    for (size_t n; (n = string_space_at(x->s + i, x->n - i)) != 0;)
        i += n;
    if (!starts(x, i, word))
        return false;
    i += strlen(word);
    for (size_t n; (n = string_space_at(x->s + i, x->n - i)) != 0;)
        i += n;
    *end = i;
    return starts(x, i, "%}") || starts(x, i, "-%}") || starts(x, i, "+%}");
}

static bool is_sign(char c)
{
    return c == '-' || c == '+';
}

/* Behind {% raw %}: the text as it is up to {% endraw %}. */
static void lex_raw(struct lexer *x, size_t begin)
{
    if (x->s[x->i] == '-') {
        x->i += 3;
        skip_space(x);
    } else {
        x->i += x->s[x->i] == '+' ? 3 : 2;
    }
    x->line_start = x->s[x->i - 1] == '\n';
    for (size_t i = x->i; i + 1 < x->n; i++) {
        if (!starts(x, i, "{%"))
            continue;
        char sign = i + 2 < x->n ? x->s[i + 2] : 0;
        size_t end;
        if (!only_word(x, i + 2 + is_sign(sign), "endraw", &end))
            continue;
        add_data(x, i, sign, false);
        x->i = end;
        close_tag(x, "%}", false);
        return;
    }
    fail_at(x, begin, "the raw block has no end: {% endraw %} is missing");
}

static uint32_t hex_digits(struct lexer *x, size_t *i, size_t count)
{
    uint32_t code = 0;
    for (size_t k = 0; k < count; k++) {
        char c = *i < x->n ? x->s[*i] : 0;
        if (!isxdigit((unsigned char)c))
            fail_at(x, *i, "a hexadecimal digit is missing here");
        code = code << 4 | (uint32_t)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
        ++*i;
    }
    return code;
}

/* One escape, i at the character behind the backslash. */
static void lex_escape(struct lexer *x, size_t *i, struct text *t)
{
    static const char simple[] = "n\nt\tr\ra\ab\bf\fv\v\\\\''\"\"";
    char c = x->s[(*i)++], bytes[4];
    uint32_t code = 0;
    if (c == '\n')
        return;
    for (size_t k = 0; k + 1 < sizeof simple; k += 2) {
        if (c == simple[k]) {
            text_byte(x->g, t, simple[k + 1]);
            return;
        }
    }
    if (c == 'N')
        fail_at(x, *i - 2, "\\N{...} is not supported; write the character itself");
    if (c == 'x' || c == 'u' || c == 'U') {
        code = hex_digits(x, i, c == 'x' ? 2 : c == 'u' ? 4 : 8);
    } else if (c >= '0' && c <= '7') {
        code = (uint32_t)(c - '0');
        for (int k = 0; k < 2 && *i < x->n && x->s[*i] >= '0' && x->s[*i] <= '7'; k++)
            code = code * 8 + (uint32_t)(x->s[(*i)++] - '0');
    } else { /* as in Python, what is no escape stays */
        text_byte(x->g, t, '\\');
        --*i;
        size_t n = utf8_decode(x->s + *i, x->n - *i, &code);
        *i += n;
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
        fail_at(x, *i, "the escape before this is no character");
    text_append(x->g, t, bytes, utf8_encode(code, bytes));
}

static void lex_string(struct lexer *x)
{
    size_t begin = x->i, i = begin + 1;
    char quote = x->s[begin];
    struct text t = {0};
    while (i < x->n && x->s[i] != quote) {
        if (x->s[i] == '\\' && i + 1 < x->n) {
            i++;
            lex_escape(x, &i, &t);
        } else {
            text_byte(x->g, &t, x->s[i++]);
        }
    }
    if (i >= x->n)
        fail_at(x, begin, "the string has no end");
    struct token *token = add(x, T_STRING, begin, i);
    token->s = t.data ? t.data : "";
    token->size = t.size;
    x->i = i + 1;
}

static void lex_number(struct lexer *x)
{
    char digits[64];
    size_t n = 0, begin = x->i, i = begin;
    bool is_float = false, hex = false;
    for (; i < x->n; i++) {
        char c = x->s[i], before = i > begin ? x->s[i - 1] : 0;
        if (c == '_' && isdigit((unsigned char)before))
            continue;
        hex = hex || (i == begin + 1 && before == '0' && (c == 'x' || c == 'X'));
        bool part = isdigit((unsigned char)c) || (hex && isalnum((unsigned char)c));
        if (!part && !hex && i > begin) {
            bool digit_next = i + 1 < x->n && isdigit((unsigned char)x->s[i + 1]);
            bool sign_next =
                i + 2 < x->n && is_sign(x->s[i + 1]) && isdigit((unsigned char)x->s[i + 2]);
            bool behind_dot = begin > 0 && x->s[begin - 1] == '.';
            part = (c == '.' && digit_next && !is_float && !behind_dot) ||
                   ((c == 'e' || c == 'E') && (digit_next || sign_next) && !behind_dot) ||
                   (is_sign(c) && (before == 'e' || before == 'E'));
            is_float = is_float || part;
        }
        if (!part)
            break;
        if (n + 1 == sizeof digits)
            fail_at(x, begin, "the number is too long");
        digits[n++] = c;
    }
    digits[n] = 0;
    char *end;
    errno = 0;
    struct value v = is_float ? value_float(strtod(digits, &end))
                              : value_int(strtoll(digits, &end, hex ? 16 : 10));
    if (*end || (errno && !is_float) || (!is_float && !hex && n > 1 && digits[0] == '0'))
        fail_at(x, begin, "the number is not written as Python would, or does not fit 64 bits");
    add(x, T_NUMBER, begin, i)->number = v;
    x->i = i;
}

static bool name_byte(const struct lexer *x, size_t i, bool first)
{
    unsigned char c = (unsigned char)x->s[i];
    return c == '_' || isalpha(c) || (!first && isdigit(c)) || c >= 0x80;
}

static void lex_operator(struct lexer *x, char *brackets, size_t *depth)
{
    static const char *const operators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                            "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                            ">",  "<",  "=",  ".",  ":",  "|",  ","};
    for (size_t k = 0; k < sizeof operators / sizeof *operators; k++) {
        const char *op = operators[k];
        if (!starts(x, x->i, op))
            continue;
        if (strchr("[({", *op)) {
            if (*depth == CHAT_NESTING_MOST)
                fail_at(x, x->i, "brackets are nested too deep");
            brackets[(*depth)++] = *op == '(' ? ')' : *op == '[' ? ']' : '}';
        } else if (strchr("])}", *op) && (*depth == 0 || brackets[--*depth] != *op)) {
            fail_at(x, x->i, "this bracket closes none");
        }
        add(x, T_OPERATOR, x->i, x->i + strlen(op));
        x->i += strlen(op);
        return;
    }
    fail_at(x, x->i, "this character means nothing here");
}

/* What stands within {{ }} or {% %}, and the end of the tag. */
static void lex_tag(struct lexer *x, bool is_print)
{
    char brackets[CHAT_NESTING_MOST];
    size_t depth = 0;
    for (;;) {
        skip_space(x);
        size_t begin = x->i;
        if (begin >= x->n)
            fail_at(x, begin,
                    is_print ? "the template ends within {{" : "the template ends within {%");
        if (depth == 0 && close_tag(x, is_print ? "}}" : "%}", is_print)) {
            add(x, is_print ? T_PRINT_END : T_BLOCK_END, begin, begin + 2);
            return;
        }
        if (isdigit((unsigned char)x->s[begin])) {
            lex_number(x);
        } else if (x->s[begin] == '\'' || x->s[begin] == '"') {
            lex_string(x);
        } else if (name_byte(x, begin, true)) {
            while (x->i < x->n && name_byte(x, x->i, false) &&
                   !string_space_at(x->s + x->i, x->n - x->i))
                x->i++;
            add(x, T_NAME, begin, x->i);
        } else {
            lex_operator(x, brackets, &depth);
        }
    }
}

struct token *lexer_tokens(struct engine *g)
{
    struct lexer lexer = {.g = g, .s = g->source, .n = g->source_size, .line_start = true};
    struct lexer *x = &lexer;
    while (x->i < x->n) {
        size_t tag = x->i;
        while (tag < x->n && !(x->s[tag] == '{' && tag + 1 < x->n && strchr("{%#", x->s[tag + 1]) &&
                               x->s[tag + 1]))
            tag++;
        if (tag == x->n) {
            add(x, T_DATA, x->i, x->n);
            break;
        }
        char kind = x->s[tag + 1], sign = tag + 2 < x->n ? x->s[tag + 2] : 0;
        add_data(x, tag, sign, kind == '{');
        x->i = tag + 2 + is_sign(sign);
        size_t end;
        if (kind == '#') {
            lex_comment(x, tag);
        } else if (kind == '%' && only_word(x, x->i, "raw", &end)) {
            x->i = end;
            lex_raw(x, tag);
        } else {
            add(x, kind == '{' ? T_PRINT_BEGIN : T_BLOCK_BEGIN, tag, tag + 2);
            lex_tag(x, kind == '{');
        }
    }
    add(x, T_END, x->n, x->n);
    return x->tokens;
}
