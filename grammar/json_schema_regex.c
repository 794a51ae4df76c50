/* A subset of ECMA-262's regular expressions: characters, ., classes, \d \w \s and their negations, groups that
 * do not look around, alternatives, quantifiers, and ^ and $ at the ends. Without ^ or $ any text may stand
 * there, as a pattern may match anywhere. */
#include "grammar/grammar_private.h"
#include "grammar/json_schema_private.h"

#include "base/memory.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

struct regex {
    struct schema_writer *w;
    const char *pattern, *at, *end;
    struct buffer *out;
    struct code_range *ranges; /* of the class that is read */
    size_t n_ranges, capacity;
    unsigned groups;
};

static int wrong(const struct regex *r, const char *what)
{
    return schema_error(r->w, "the pattern \"%.*s\", at \"%.*s\": %s", schema_cut(r->pattern, 200), r->pattern,
                        schema_cut(r->at, 20), r->at, what);
}

static void add(struct regex *r, uint32_t low, uint32_t high)
{
    mem_grow((void **)&r->ranges, &r->capacity, r->n_ranges, sizeof *r->ranges);
    r->ranges[r->n_ranges++] = (struct code_range){low, high};
}

static void class_code(struct buffer *out, uint32_t code)
{
    char text[4];
    if (code < 0x20 || code == 0x7F || (code < 0x7F && strchr("[]\\^-", (int)code)))
        buffer_printf(out, "\\x%02X", code);
    else
        buffer_append(out, text, utf8_encode(code, text));
}

/* One of the characters read, or none of them, as a string spells it. */
static int put_class(struct regex *r, bool negated)
{
    static const struct { unsigned char code; const char *spelled; } escaped[] = {
        {'"', "\\\""}, {'\\', "\\\\"}, {'\b', "\\b"}, {'\f', "\\f"}, {'\n', "\\n"}, {'\r', "\\r"}, {'\t', "\\t"}};
    struct grammar g = {0};
    struct buffer raw = {0};
    bool some = false;
    grammar_add_set(&g, r->ranges, r->n_ranges, negated);
    r->n_ranges = 0;
    buffer_byte(r->out, '(');
    for (size_t i = 0; i < g.n_ranges; i++) {
        uint32_t low = g.ranges[i].low, high = g.ranges[i].high;
        for (size_t k = 0; k < sizeof escaped / sizeof *escaped; k++)
            if (escaped[k].code >= low && escaped[k].code <= high) {
                buffer_string(r->out, some ? " | " : "");
                gbnf_literal(r->out, escaped[k].spelled, 2);
                some = true;
            }
        /* the rest, in up to three parts: below, between and above the two that need an escape */
        const uint32_t cuts[] = {0x20, '"', '\\', 0x110000};
        for (size_t k = 0; k + 1 < 4; k++) {
            uint32_t a = k == 0 ? cuts[0] : cuts[k] + 1, b = cuts[k + 1] - 1;
            a = low > a ? low : a, b = high < b ? high : b;
            if (a > b)
                continue;
            class_code(&raw, a);
            if (a < b)
                buffer_byte(&raw, '-'), class_code(&raw, b);
        }
    }
    if (raw.size > 0)
        buffer_printf(r->out, "%s[%s]", some ? " | " : "", raw.data);
    buffer_string(r->out, ") ");
    bool nothing = !some && raw.size == 0;
    buffer_free(&raw);
    mem_free(g.ranges), mem_free(g.sets);
    return nothing ? wrong(r, "a class of characters that no string is made of") : OK;
}

/* \d, \w, \s or one of their negations added to the class: whether c is such a letter. */
static bool add_named(struct regex *r, char c)
{
    static const struct { char name; struct code_range ranges[10]; size_t n; } named[] = {
        {'d', {{'0', '9'}}, 1},
        {'w', {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}, 4},
        {'s', {{9, 13}, {' ', ' '}, {0xA0, 0xA0}, {0x1680, 0x1680}, {0x2000, 0x200A}, {0x2028, 0x2029},
               {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}}, 10}};
    for (size_t i = 0; i < 3; i++) {
        uint32_t next = 0;
        bool negated = c == named[i].name - 'a' + 'A';
        if (c != named[i].name && !negated)
            continue;
        for (size_t k = 0; k < named[i].n; k++) {
            if (negated && named[i].ranges[k].low > next)
                add(r, next, named[i].ranges[k].low - 1);
            if (!negated)
                add(r, named[i].ranges[k].low, named[i].ranges[k].high);
            next = named[i].ranges[k].high + 1;
        }
        if (negated)
            add(r, next, 0x10FFFF);
        return true;
    }
    return false;
}

static int hex_code(struct regex *r, int digits, uint32_t *code)
{
    *code = 0;
    for (; digits > 0; digits--, r->at++) {
        const char *all = "0123456789abcdef", *found = *r->at ? strchr(all, *r->at | 0x20) : NULL;
        if (!found)
            return wrong(r, "hexadecimal digits are missing");
        *code = *code << 4 | (uint32_t)(found - all);
    }
    return *code >= 0xD800 && *code <= 0xDFFF ? wrong(r, "half a surrogate pair is no character") : OK;
}

/* A character, escaped or not; *named when it was \d and the like, which is added. */
static int read_code(struct regex *r, uint32_t *code, bool *named)
{
    static const char letters[] = "nrtfv0", codes[] = "\n\r\t\f\v";
    *named = false;
    if (*r->at != '\\') {
        size_t n = utf8_decode(r->at, (size_t)(r->end - r->at), code);
        if (n == 0)
            return wrong(r, "it ends too early");
        r->at += n;
        return OK;
    }
    char c = *++r->at;
    if (!c)
        return wrong(r, "it ends too early");
    r->at++;
    *named = add_named(r, c);
    const char *letter = strchr(letters, c);
    if (*named || c == 'x' || c == 'u')
        return *named ? OK : hex_code(r, c == 'x' ? 2 : 4, code);
    if (letter) {
        *code = (unsigned char)codes[letter - letters];
        return OK;
    }
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return r->at -= 2, wrong(r, "this escape is not supported");
    r->at--;
    size_t n = utf8_decode(r->at, (size_t)(r->end - r->at), code);
    r->at += n;
    return n ? OK : wrong(r, "not UTF-8");
}

static int read_class(struct regex *r)
{
    r->at++;
    bool negated = *r->at == '^', named, named_too;
    r->at += negated;
    while (*r->at != ']') {
        uint32_t low, high;
        if (!*r->at)
            return wrong(r, "[ has no closing ]");
        int code = read_code(r, &low, &named);
        if (code)
            return code;
        high = low;
        if (*r->at == '-' && r->at[1] && r->at[1] != ']') {
            r->at++;
            code = read_code(r, &high, &named_too);
            if (code)
                return code;
            if (named || named_too || low > high)
                return wrong(r, "no range of characters");
        }
        if (!named)
            add(r, low, high);
    }
    r->at++;
    return put_class(r, negated);
}

static int read_choice(struct regex *r);

static int read_group(struct regex *r)
{
    r->at++;
    if (*r->at == '?' && r->at[1] != ':')
        return wrong(r, "groups that look around or have names are not supported");
    if (*r->at == '?')
        r->at += 2;
    if (++r->groups > SCHEMA_MOST_DEPTH)
        return wrong(r, "too many groups within groups");
    buffer_byte(r->out, '(');
    int code = read_choice(r);
    if (code)
        return code;
    if (*r->at != ')')
        return wrong(r, "( has no closing )");
    r->at++, r->groups--;
    buffer_string(r->out, ") ");
    return OK;
}

static int read_atom(struct regex *r)
{
    uint32_t code;
    bool named;
    switch (*r->at) {
    case '(':
        return read_group(r);
    case '[':
        return read_class(r);
    case '.':
        r->at++;
        add(r, '\n', '\n'), add(r, '\r', '\r'), add(r, 0x2028, 0x2029);
        return put_class(r, true);
    case '*': case '+': case '?': case '{':
        return wrong(r, "nothing to repeat");
    case '^': case '$':
        return wrong(r, "^ and $ are supported at the ends of the whole pattern and its alternatives only");
    }
    int error = read_code(r, &code, &named);
    if (error)
        return error;
    if (!named)
        add(r, code, code);
    return put_class(r, false);
}

/* {m}, {m,} or {m,n}, all of it. */
static bool read_braces(struct regex *r)
{
    char *end;
    r->at++;
    if (!(*r->at >= '0' && *r->at <= '9'))
        return false;
    unsigned long low = strtoul(r->at, &end, 10), high = low;
    if (*end == ',' && end[1] == '}')
        end++;
    else if (*end == ',' && end[1] >= '0' && end[1] <= '9')
        high = strtoul(end + 1, &end, 10);
    r->at = end + 1;
    return *end == '}' && low <= high && high <= GRAMMAR_MOST_REPEATS;
}

/* A quantifier; the same texts match whether it is greedy or lazy. */
static int read_quantifier(struct regex *r)
{
    const char *from = r->at;
    if (*r->at == '*' || *r->at == '+' || *r->at == '?') {
        r->at++;
    } else if (*r->at == '{') {
        if (!read_braces(r))
            return r->at = from, wrong(r, "a quantifier is {m}, {m,} or {m,n}, of at most 65536");
    } else {
        return OK;
    }
    while (r->out->size > 0 && r->out->data[r->out->size - 1] == ' ')
        r->out->size--;
    buffer_append(r->out, from, (size_t)(r->at - from));
    buffer_byte(r->out, ' ');
    r->at += *r->at == '?';
    return *r->at && strchr("*+?{", *r->at) ? wrong(r, "nothing to repeat") : OK;
}

static int read_choice(struct regex *r)
{
    for (;;) {
        bool outermost = r->groups == 0, ended = false;
        if (outermost && *r->at == '^')
            r->at++;
        else if (outermost)
            buffer_printf(r->out, "%s* ", schema_shared(r->w, "char"));
        while (*r->at && *r->at != '|' && *r->at != ')') {
            if (outermost && *r->at == '$' && (r->at[1] == 0 || r->at[1] == '|')) {
                r->at++;
                ended = true;
                break;
            }
            int code = read_atom(r);
            if (!code)
                code = read_quantifier(r);
            if (!code)
                code = schema_step(r->w);
            if (code)
                return code;
        }
        if (outermost && !ended)
            buffer_printf(r->out, "%s*", schema_shared(r->w, "char"));
        if (*r->at != '|')
            return OK;
        r->at++;
        buffer_string(r->out, "| ");
    }
}

int gbnf_pattern(struct schema_writer *w, const char *pattern, struct buffer *out)
{
    struct regex r = {.w = w, .pattern = pattern, .at = pattern, .end = pattern + strlen(pattern), .out = out};
    buffer_string(out, "\"\\\"\" (");
    int code = read_choice(&r);
    if (!code && *r.at)
        code = wrong(&r, ") without (");
    buffer_string(out, ") \"\\\"\"");
    mem_free(r.ranges);
    return code;
}
