#define PCRE2_CODE_UNIT_WIDTH 8
#include "tokenizer/regex.h"

#include "base/buffer.h"
#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "tokenizer/regex_classes.h"

#include <pcre2.h>
#include <stdatomic.h>
#include <string.h>

#define PATTERN_OPTIONS (PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C)
enum {
    MATCH_LIMIT = 10000000,
    HEAP_LIMIT_KB = 1 << 20,
    STACK_LARGEST = 8 << 20,
    MOST_GROUPS = 250
};

struct regex {
    pcre2_code *code;
    bool trailing_blanks; /* \s+$, which would look at every blank of a run anew */
};

struct regex_scratch {
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
};

/* ---- Oniguruma's pattern to PCRE2's ---- */

#define BLANKS                                                                                     \
    "\\x09-\\x0D\\x20\\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}"        \
    "\\x{205F}\\x{3000}"
/* Letters, marks, digits, connectors, other alphabetic characters, and what Oniguruma's table of
 * Latin-1 has beside them. */
#define WORD                                                                                       \
    "\\p{L}" NEW_L "\\p{M}" NEW_M "\\p{Nd}" NEW_ND "\\p{Nl}\\p{Pc}\\x{B2}\\x{B3}\\x{B9}\\x{BC}-"   \
    "\\x{BE}\\x{24B6}-\\x{24E9}\\x{1F130}-\\x{1F149}\\x{1F150}-\\x{1F169}\\x{1F170}-\\x{1F189}"
#if PCRE2_MAJOR > 10 || PCRE2_MINOR >= 40 /* where \p{Han} became all that is used with Han */
#define HAN "\\p{sc:Han}"
#else
#define HAN "\\p{Han}"
#endif

static const struct {
    const char *name;    /* as written */
    const char *members; /* of a set in brackets */
    bool negative;       /* the name means all others */
} classes[] = {
    {"\\s", BLANKS, false},
    {"\\S", BLANKS, true},
    {"\\w", WORD, false},
    {"\\W", WORD, true},
    {"\\d", "\\p{Nd}" NEW_ND, false},
    {"\\D", "\\p{Nd}" NEW_ND, true},
    {"\\h", "0-9A-Fa-f", false},
    {"\\H", "0-9A-Fa-f", true},
    {"\\p{L}", "\\p{L}" NEW_L, false},
    {"\\P{L}", "\\p{L}" NEW_L, true},
    {"\\p{Lu}", "\\p{Lu}" NEW_LU, false},
    {"\\p{Ll}", "\\p{Ll}" NEW_LL, false},
    {"\\p{Lm}", "\\p{Lm}" NEW_LM, false},
    {"\\p{Lo}", "\\p{Lo}" NEW_LO, false},
    {"\\p{M}", "\\p{M}" NEW_M, false},
    {"\\p{Mn}", "\\p{Mn}" NEW_MN, false},
    {"\\p{N}", "\\p{N}" NEW_N, false},
    {"\\P{N}", "\\p{N}" NEW_N, true},
    {"\\p{Nd}", "\\p{Nd}" NEW_ND, false},
    {"\\p{P}", "\\p{P}" NEW_P, false},
    {"\\P{P}", "\\p{P}" NEW_P, true},
    {"\\p{S}", "\\p{S}" NEW_S, false},
    {"\\p{Han}", HAN NEW_HAN, false},
};

struct rewriter {
    const char *p;
    size_t n, i;
    bool in_set, set_begins;              /* between brackets; nothing of the set was read yet */
    size_t groups[MOST_GROUPS], n_groups; /* where open ones begin in the output */
    size_t atom;                          /* where the last whole piece begins in the output */
    struct buffer out;
};

/* One escape, from its backslash. */
static void rewrite_escape(struct rewriter *r)
{
    const char *p = r->p + r->i;
    size_t left = r->n - r->i;
    if (!r->in_set)
        r->atom = r->out.size;
    for (size_t k = 0; k < sizeof classes / sizeof *classes; k++) {
        size_t size = strlen(classes[k].name);
        if (size > left || memcmp(p, classes[k].name, size) != 0)
            continue;
        if (r->in_set && classes[k].negative)
            break; /* PCRE2's own meaning, one or two characters apart */
        if (r->in_set)
            buffer_string(&r->out, classes[k].members);
        else
            buffer_printf(&r->out, "[%s%s]", classes[k].negative ? "^" : "", classes[k].members);
        r->i += size;
        return;
    }
    size_t size = left > 1 ? 2 : 1;
    if (left > 2 && (p[1] == 'p' || p[1] == 'P' || p[1] == 'x' || p[1] == 'o' || p[1] == 'k') &&
        (p[2] == '{' || p[2] == '<')) {
        const char *end = memchr(p, p[2] == '{' ? '}' : '>', left);
        size = end ? (size_t)(end - p) + 1 : left;
    }
    buffer_append(&r->out, p, size);
    r->i += size;
}

static int rewrite_in_set(struct rewriter *r, struct error *e)
{
    char c = r->p[r->i];
    size_t left = r->n - r->i;
    if (c == '[' && left > 1 && r->p[r->i + 1] == ':') { /* [:alpha:] */
        const char *end = memmem(r->p + r->i, left, ":]", 2);
        size_t size = end ? (size_t)(end - (r->p + r->i)) + 2 : left;
        buffer_append(&r->out, r->p + r->i, size);
        r->i += size;
    } else if (c == '[' || (c == '&' && left > 1 && r->p[r->i + 1] == '&')) {
        return error_set(e, ERR_FORMAT,
                         "sets inside sets and intersections (&&) are not supported, offset %zu",
                         r->i);
    } else if (c == '\\') {
        rewrite_escape(r);
    } else {
        buffer_byte(&r->out, c);
        r->i++;
        r->in_set = c != ']' || r->set_begins;
        if (c == '^' && r->set_begins)
            return OK; /* a bracket may still come first */
    }
    r->set_begins = false;
    return OK;
}

/* {1,3} behind a piece: its size, or 0. */
static size_t counts(const char *p, size_t n)
{
    size_t i = 1 + strspn(p + 1, "0123456789,");
    return i > 1 && i < n && p[i] == '}' ? i + 1 : 0;
}

static int rewrite_one(struct rewriter *r, struct error *e)
{
    char c = r->p[r->i];
    size_t left = r->n - r->i, size = c == '{' ? counts(r->p + r->i, left) : 0;
    if (c == '\\') {
        rewrite_escape(r);
    } else if (c == '[') {
        r->atom = r->out.size;
        r->in_set = r->set_begins = true;
        buffer_byte(&r->out, c);
        r->i++;
    } else if (size) {
        buffer_append(&r->out, r->p + r->i, size);
        r->i += size;
        if (r->i < r->n && r->p[r->i] == '+') { /* repeated, where PCRE2 would be possessive */
            struct buffer tail = {0};
            buffer_append(&tail, r->out.data + r->atom, r->out.size - r->atom);
            r->out.size = r->atom;
            buffer_printf(&r->out, "(?:%s)", tail.data);
            buffer_free(&tail);
        }
    } else if (c == '(') {
        if (r->n_groups == MOST_GROUPS)
            return error_set(e, ERR_FORMAT, "more than %d groups inside each other", MOST_GROUPS);
        r->groups[r->n_groups++] = r->out.size;
        buffer_byte(&r->out, c);
        r->i++;
        size_t options = left > 2 && r->p[r->i] == '?' ? strspn(r->p + r->i + 1, "imsx-") : 0;
        const char *end = r->p + r->i + 1 + options;
        if (options && (*end == ':' || *end == ')') && memchr(r->p + r->i, 'm', options + 1))
            return error_set(e, ERR_FORMAT, "the option m is not supported, offset %zu", r->i);
    } else {
        if (c == ')' && r->n_groups)
            r->atom = r->groups[--r->n_groups];
        else if (!strchr("*+?", c) && ((unsigned char)c & 0xC0) != 0x80)
            r->atom = r->out.size;
        buffer_byte(&r->out, c);
        r->i++;
    }
    return OK;
}

static int rewrite(const char *pattern, size_t n, struct buffer *out, struct error *e)
{
    struct rewriter r = {.p = pattern, .n = n};
    int code = OK;
    buffer_append(&r.out, "", 0);
    while (!code && r.i < r.n)
        code = r.in_set ? rewrite_in_set(&r, e) : rewrite_one(&r, e);
    *out = r.out;
    return code;
}

/* ---- compiling ---- */

static int compile(const struct buffer *text, uint32_t options, struct regex *r, struct error *e)
{
    int why = 0;
    PCRE2_SIZE where = 0;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    CHECK(context);
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_set_parens_nest_limit(context, MOST_GROUPS);
    r->code = pcre2_compile((PCRE2_SPTR)text->data, text->size, options | PCRE2_UTF, &why, &where,
                            context);
    pcre2_compile_context_free(context);
    if (r->code) {
        pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE); /* without it matching is slower, no more */
        return OK;
    }
    PCRE2_UCHAR message[256];
    pcre2_get_error_message(why, message, sizeof message);
    return error_set(e, ERR_FORMAT, "%s, offset %zu", (const char *)message, (size_t)where);
}

int regex_compile(const char *pattern, size_t n, bool literal, struct regex **out, struct error *e)
{
    enum { LONGEST = 1 << 16 };
    *out = NULL;
    struct regex *r = mem_zero(1, sizeof *r);
    struct buffer text = {0};
    int code = OK;
    if (n == 0 || n > LONGEST || memchr(pattern, 0, n))
        code = error_set(e, ERR_FORMAT, "a pattern of %zu bytes: 1 to %d are taken, none of them 0",
                         n, LONGEST);
    else if (literal)
        buffer_append(&text, pattern, n);
    else
        code = rewrite(pattern, n, &text, e);
    r->trailing_blanks = !literal && n == 4 && memcmp(pattern, "\\s+$", 4) == 0;
    code = code ? code : compile(&text, literal ? PCRE2_LITERAL : PATTERN_OPTIONS, r, e);
    buffer_free(&text);
    if (code)
        regex_free(r);
    else
        *out = r;
    return code;
}

void regex_free(struct regex *r)
{
    if (!r)
        return;
    pcre2_code_free(r->code);
    mem_free(r);
}

/* ---- matching ---- */

struct regex_scratch *regex_scratch_new(void)
{
    struct regex_scratch *s = mem_zero(1, sizeof *s);
    s->data = pcre2_match_data_create(1, NULL);
    s->context = pcre2_match_context_create(NULL);
    s->stack = pcre2_jit_stack_create(1 << 15, STACK_LARGEST, NULL);
    CHECK(s->data && s->context);
    pcre2_set_match_limit(s->context, MATCH_LIMIT);
    pcre2_set_heap_limit(s->context, HEAP_LIMIT_KB);
    if (s->stack)
        pcre2_jit_stack_assign(s->context, NULL, s->stack);
    return s;
}

void regex_scratch_free(struct regex_scratch *s)
{
    if (!s)
        return;
    pcre2_match_data_free(s->data);
    pcre2_match_context_free(s->context);
    pcre2_jit_stack_free(s->stack);
    mem_free(s);
}

static void warn_of_runaway(void)
{
    static atomic_flag warned = ATOMIC_FLAG_INIT;
    if (!atomic_flag_test_and_set(&warned))
        log_warn("a pattern of this tokenizer takes too many steps on a text: what is left of that "
                 "text is not split by it");
}

/* \s+$ by hand: from the run's start when a line ends in or behind the run, up to its last line end
 * or the text's. The run must not be looked at again from each of its blanks. */
static bool is_blank_at(const char *p, size_t n, size_t *size)
{
    static const char *const wide[] = {"\xC2\x85",     "\xC2\xA0",     "\xE1\x9A\x80",
                                       "\xE2\x80\xA8", "\xE2\x80\xA9", "\xE2\x80\xAF",
                                       "\xE2\x81\x9F", "\xE3\x80\x80"};
    *size = 1;
    if (*p == ' ' || (*p >= 9 && *p <= 13))
        return true;
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
        *size = strlen(wide[i]);
        if (*size <= n && memcmp(p, wide[i], *size) == 0)
            return true;
    }
    *size = 3; /* U+2000 to U+200A */
    return n >= 3 && memcmp(p, "\xE2\x80", 2) == 0 && (unsigned char)p[2] >= 0x80 &&
           (unsigned char)p[2] <= 0x8A;
}

static bool next_trailing_blanks(struct regex_matches *m)
{
    for (size_t i = m->at, size; i < m->n;) {
        size_t begin = i, line_end = SIZE_MAX;
        while (i < m->n && is_blank_at(m->text + i, m->n - i, &size)) {
            if (m->text[i] == '\n' && i > begin)
                line_end = i;
            i += size;
        }
        if (i == m->n && i > begin)
            line_end = i;
        if (line_end != SIZE_MAX) {
            m->start = begin;
            m->at = m->end = line_end;
            return true;
        }
        i += i == begin;
    }
    m->at = m->n;
    return false;
}

bool regex_next(struct regex_matches *m)
{
    if (m->regex->trailing_blanks)
        return next_trailing_blanks(m);
    while (m->at <= m->n) {
        struct regex_scratch *s = m->scratch;
        int found = pcre2_match(m->regex->code, (PCRE2_SPTR)m->text, m->n, m->at,
                                PCRE2_NO_UTF_CHECK, s->data, s->context);
        if (found == PCRE2_ERROR_JIT_STACKLIMIT)
            found = pcre2_match(m->regex->code, (PCRE2_SPTR)m->text, m->n, m->at,
                                PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, s->data, s->context);
        if (found < 0) {
            if (found != PCRE2_ERROR_NOMATCH)
                warn_of_runaway();
            m->at = m->n + 1;
            return false;
        }
        const PCRE2_SIZE *at = pcre2_get_ovector_pointer(s->data);
        m->start = at[0];
        m->end = at[1];
        if (m->end < m->start || m->end < m->at) /* \K can do that */
            m->end = m->start = m->at;
        if (m->start == m->end && m->any && m->last == m->end) {
            m->at++;
            while (m->at < m->n && ((unsigned char)m->text[m->at] & 0xC0) == 0x80)
                m->at++;
            continue;
        }
        m->any = true;
        m->at = m->last = m->end;
        return true;
    }
    return false;
}
