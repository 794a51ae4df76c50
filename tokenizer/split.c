#include "tokenizer/split.h"

#include "tokenizer/unicode.h"

#include <string.h>

/* The end of the run of characters of `class` that starts at i. */
static size_t run_of(enum char_class class, const unsigned char *p, size_t i, size_t n)
{
    while (i < n) {
        size_t size = 1;
        enum char_class c = class_of_byte[p[i]];
        if (c == CLASS_MULTIBYTE)
            c = unicode_class(p + i, n - i, &size);
        if (c != class)
            break;
        i += size;
    }
    return i;
}

/* (s|t|re|ve|m|ll|d) after an apostrophe: its length with the apostrophe, or 0. Where case is
 * ignored U+017F counts as s, as simple case folding has it. */
static size_t contraction(const unsigned char *p, size_t n, bool any_case)
{
    if (n < 2)
        return 0;
    unsigned char fold = any_case ? 0x20 : 0;
    unsigned a = p[1] | fold;
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return 2;
    if (n < 3)
        return 0;
    unsigned b = p[2] | fold;
    if (((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l'))
        return 3;
    if (any_case && p[1] == 0xC5 && p[2] == 0xBF)
        return 3;
    return 0;
}

struct spaces {
    size_t end;           /* of the whole run of \s */
    size_t last;          /* where its last character starts */
    size_t after_newline; /* the end of the last \r or \n in it, 0 if there is none */
};

static struct spaces scan_spaces(const unsigned char *p, size_t n)
{
    struct spaces s = {0};
    while (s.end < n) {
        size_t size;
        enum char_class c = unicode_class(p + s.end, n - s.end, &size);
        if (c != CLASS_SPACE && c != CLASS_NEWLINE)
            break;
        s.last = s.end;
        s.end += size;
        if (c == CLASS_NEWLINE)
            s.after_newline = s.end;
    }
    return s;
}

static bool is_number(const unsigned char *p, size_t n)
{
    size_t size;
    return unicode_class(p, n, &size) == CLASS_NUMBER;
}

/* \s+(?!\S)|\s+ : all at the end of the text; else all but the last, which may belong to the next
 * word; a single one alone. */
static size_t plain_spaces(const struct spaces *s, size_t n)
{
    return s->end == n || s->last == 0 ? s->end : s->last;
}

/* With `lone_digits` a number ends the text before it, and is a word of its own. */
static size_t next_gpt2(const unsigned char *p, size_t n, bool lone_digits)
{
    size_t size;
    enum char_class c = unicode_class(p, n, &size);
    if (p[0] == '\'') {
        size_t k = contraction(p, n, false);
        if (k)
            return k;
    }
    if (lone_digits && c == CLASS_NUMBER)
        return size;
    if (p[0] == ' ' && n > 1 && !(lone_digits && is_number(p + 1, n - 1))) {
        size_t more;
        enum char_class next = unicode_class(p + 1, n - 1, &more);
        if (next != CLASS_SPACE && next != CLASS_NEWLINE)
            return run_of(next, p, 1 + more, n);
    }
    if (c != CLASS_SPACE && c != CLASS_NEWLINE)
        return run_of(c, p, size, n);
    struct spaces s = scan_spaces(p, n);
    if (lone_digits && s.end < n && is_number(p + s.end, n - s.end))
        return s.end;
    return plain_spaces(&s, n);
}

static size_t newlines(const unsigned char *p, size_t i, size_t n)
{
    while (i < n && (p[i] == '\r' || p[i] == '\n'))
        i++;
    return i;
}

static size_t digits(const unsigned char *p, size_t i, size_t n, int most)
{
    for (int k = 1; k < most && i < n; k++) {
        size_t size;
        if (unicode_class(p + i, n - i, &size) != CLASS_NUMBER)
            break;
        i += size;
    }
    return i;
}

static size_t next_llama3(const unsigned char *p, size_t n, int most_digits)
{
    size_t size, more = 0;
    enum char_class c = unicode_class(p, n, &size), next = CLASS_NEWLINE;
    if (c == CLASS_LETTER)
        return run_of(CLASS_LETTER, p, size, n);
    if (c == CLASS_NUMBER)
        return digits(p, size, n, most_digits);
    if (p[0] == '\'') {
        size_t k = contraction(p, n, true);
        if (k)
            return k;
    }
    if (size < n)
        next = unicode_class(p + size, n - size, &more);
    if (next == CLASS_LETTER && c != CLASS_NEWLINE)
        return run_of(CLASS_LETTER, p, size + more, n);
    if (c == CLASS_OTHER)
        return newlines(p, run_of(CLASS_OTHER, p, size, n), n);
    if (p[0] == ' ' && next == CLASS_OTHER && size < n)
        return newlines(p, run_of(CLASS_OTHER, p, size + more, n), n);
    struct spaces s = scan_spaces(p, n);
    return s.after_newline ? s.after_newline : plain_spaces(&s, n);
}

size_t split_next(enum splitter splitter, const unsigned char *p, size_t n)
{
    switch (splitter) {
    case SPLITTER_GPT2:
        return next_gpt2(p, n, false);
    case SPLITTER_SMOLLM:
        return next_gpt2(p, n, true);
    case SPLITTER_LLAMA3:
        return next_llama3(p, n, 3);
    case SPLITTER_QWEN2:
        return next_llama3(p, n, 1);
    case SPLITTER_BYTES:
    case SPLITTER_NONE:
    case SPLITTER_GENERAL:
        break;
    }
    return n;
}

#define WORDS_GPT2 "| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define WORDS_LLAMA3(digits)                                                                       \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits                           \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const struct {
    enum splitter splitter;
    const char *pattern;
} patterns[] = {
    /* the first of a splitter is the one written */
    {SPLITTER_GPT2, "'s|'t|'re|'ve|'m|'ll|'d" WORDS_GPT2},
    {SPLITTER_GPT2, "'(?:[sdmt]|ll|ve|re)" WORDS_GPT2},
    {SPLITTER_LLAMA3, WORDS_LLAMA3("\\p{N}{1,3}")},
    {SPLITTER_QWEN2, WORDS_LLAMA3("\\p{N}")},
};

const char *split_pattern(enum splitter splitter)
{
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        if (patterns[i].splitter == splitter)
            return patterns[i].pattern;
    return NULL;
}

bool split_from_pattern(const char *pattern, enum splitter *splitter)
{
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        if (strcmp(patterns[i].pattern, pattern) == 0) {
            *splitter = patterns[i].splitter;
            return true;
        }
    return false;
}

static bool ascii_space(unsigned char c)
{
    return c == ' ' || (c >= 9 && c <= 13);
}

/* No alternative holds a blank after a non-blank (only line ends may follow punctuation), so a
 * space after a visible ASCII character starts a word; and none goes on after a line feed with a
 * visible ASCII character. Continuation bytes are left alone: they may belong to a wide blank. */
size_t split_safe_cut(const unsigned char *text, size_t n, size_t at)
{
    for (size_t i = at ? at : 1; i < n; i++) {
        unsigned char before = text[i - 1], here = text[i];
        if (here == ' ' && before < 0x80 && !ascii_space(before))
            return i;
        if (before == '\n' && here < 0x80 && !ascii_space(here))
            return i;
    }
    return n;
}
