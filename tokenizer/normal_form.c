/* Normalisation forms, lower case, grapheme clusters: what needs more of Unicode than classes. */
#include "tokenizer/unicode.h"

#include "base/check.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

struct codes {
    utf8proc_int32_t *items;
    size_t count, capacity;
};

/* The longest well-formed run from p. */
static size_t valid_run(const unsigned char *p, size_t n)
{
    size_t i = 0, size;
    uint32_t code;
    while (i < n && (size = utf8_decode(p + i, n - i, &code)) > 0)
        i += size;
    return i;
}

/* Hugging Face's library decomposes as of Unicode 13 (unicode-normalization-alignments 0.1.12) less
 * these: what came later, or was left out there, stays as it is. Found by asking it about every
 * code point. */
static bool stays(uint32_t c)
{
    static const uint32_t ranges[][2] = {
        {0x32FF, 0x32FF},   {0xA7F2, 0xA7F4},   {0xAB69, 0xAB69},   {0x10781, 0x107BA},
        {0x11938, 0x11938}, {0x1E030, 0x1E06D}, {0x1F16C, 0x1F16C}, {0x1FBF0, 0x1FBF9},
    };
    for (size_t i = 0; c >= ranges[0][0] && i < sizeof ranges / sizeof *ranges; i++)
        if (c >= ranges[i][0] && c <= ranges[i][1])
            return true;
    return false;
}

static void decompose(const unsigned char *p, size_t n, bool compatible, struct codes *c)
{
    enum { LONGEST = 32 }; /* U+FDFA has 18 */
    utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
    if (compatible)
        options |= UTF8PROC_COMPAT;
    uint32_t code = 0;
    for (size_t i = 0; i < n; i += utf8_decode(p + i, n - i, &code)) {
        utf8_decode(p + i, n - i, &code);
        void *items = c->items;
        mem_grow(&items, &c->capacity, c->count + LONGEST, sizeof *c->items);
        c->items = items;
        utf8proc_ssize_t got = 1;
        if (stays(code))
            c->items[c->count] = (utf8proc_int32_t)code;
        else
            got = utf8proc_decompose_char((utf8proc_int32_t)code, c->items + c->count, LONGEST,
                                          options, NULL);
        CHECK(got >= 0 && got <= LONGEST);
        c->count += (size_t)got;
    }
}

static int combining_class(utf8proc_int32_t code)
{
    return utf8proc_get_property(code)->combining_class;
}

struct mark {
    int class;
    size_t at;
    utf8proc_int32_t code;
};

static int by_class(const void *a, const void *b)
{
    const struct mark *x = a, *y = b;
    return x->class != y->class ? x->class - y->class : (x->at > y->at) - (x->at < y->at);
}

/* Marks behind a starter in the order of their classes, stably. utf8proc does this by exchanging
 * neighbours, which for a million marks takes a day. */
static void order_marks(struct codes *c)
{
    struct mark *marks = NULL;
    for (size_t i = 0, end; i < c->count; i = end + 1) {
        bool sorted = true;
        for (end = i; end < c->count && combining_class(c->items[end]); end++)
            sorted &=
                end == i || combining_class(c->items[end - 1]) <= combining_class(c->items[end]);
        if (sorted)
            continue;
        marks = mem_resize(marks, end - i, sizeof *marks);
        for (size_t k = i; k < end; k++)
            marks[k - i] = (struct mark){combining_class(c->items[k]), k, c->items[k]};
        qsort(marks, end - i, sizeof *marks, by_class);
        for (size_t k = i; k < end; k++)
            c->items[k] = marks[k - i].code;
    }
    mem_free(marks);
}

static void normalize_run(const unsigned char *p, size_t n, enum normal_form form,
                          struct buffer *out)
{
    struct codes c = {0};
    decompose(p, n, form == FORM_NFKC || form == FORM_NFKD, &c);
    order_marks(&c);
    if (form == FORM_NFC || form == FORM_NFKC) {
        utf8proc_ssize_t left = utf8proc_normalize_utf32(c.items, (utf8proc_ssize_t)c.count,
                                                         UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        CHECK(left >= 0);
        c.count = (size_t)left;
    }
    for (size_t i = 0; i < c.count; i++) {
        char utf8[4];
        buffer_append(out, utf8, utf8_encode((uint32_t)c.items[i], utf8));
    }
    mem_free(c.items);
}

void unicode_normalize(const char *text, size_t n, enum normal_form form, struct buffer *out)
{
    const unsigned char *p = (const unsigned char *)text;
    while (n > 0) {
        size_t run = valid_run(p, n);
        if (run) {
            normalize_run(p, run, form, out);
        } else {
            run = 1;
            buffer_append(out, p, 1);
        }
        p += run;
        n -= run;
    }
}

/* Pairs of Unicode 15.1 to 17, which Debian 12's utf8proc does not know. */
static uint32_t lower(uint32_t c)
{
    static const struct {
        uint32_t first, last;
        int32_t distance;
    } newer[] = {
        {0x1C89, 0x1C89, 1},      {0xA7CB, 0xA7CB, 0x264 - 0xA7CB},
        {0xA7CC, 0xA7CC, 1},      {0xA7CE, 0xA7CE, 1},
        {0xA7D2, 0xA7D2, 1},      {0xA7D4, 0xA7D4, 1},
        {0xA7DA, 0xA7DA, 1},      {0xA7DC, 0xA7DC, 0x19B - 0xA7DC},
        {0x10D50, 0x10D65, 0x20}, {0x16EA0, 0x16EB8, 0x1B},
    };
    for (size_t i = 0; c >= newer[0].first && i < sizeof newer / sizeof *newer; i++)
        if (c >= newer[i].first && c <= newer[i].last)
            return (uint32_t)((int32_t)c + newer[i].distance);
    return (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
}

uint32_t unicode_to_lower(uint32_t code)
{
    return (uint32_t)utf8proc_tolower((utf8proc_int32_t)code);
}

uint32_t unicode_to_upper(uint32_t code)
{
    return (uint32_t)utf8proc_toupper((utf8proc_int32_t)code);
}

void unicode_lower(const char *text, size_t n, struct buffer *out)
{
    for (size_t i = 0, size; i < n; i += size ? size : 1) {
        uint32_t code = 0;
        char utf8[4];
        size = utf8_decode(text + i, n - i, &code);
        if (!size)
            buffer_byte(out, text[i]);
        else if (code == 0x130) /* the one character whose lower case is two */
            buffer_string(out, "i\xCC\x87");
        else
            buffer_append(out, utf8, utf8_encode(lower(code), utf8));
    }
}

bool unicode_is_punctuation(uint32_t code)
{
    if (code < 0x80)
        return (code > 0x20 && code < 0x30) || (code > 0x39 && code < 0x41) ||
               (code > 0x5A && code < 0x61) || (code > 0x7A && code < 0x7F);
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)code);
    return c >= UTF8PROC_CATEGORY_PC && c <= UTF8PROC_CATEGORY_PO;
}

bool unicode_is_word(uint32_t code)
{
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)code);
    bool circled = (code >= 0x24B6 && code <= 0x24E9) || (code >= 0x1F130 && code <= 0x1F149) ||
                   (code >= 0x1F150 && code <= 0x1F169) || (code >= 0x1F170 && code <= 0x1F189);
    return (c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_NL) || c == UTF8PROC_CATEGORY_PC ||
           circled || code == 0x200C || code == 0x200D; /* Join_Control */
}

size_t unicode_grapheme(const char *text, size_t n)
{
    uint32_t before = 0, code = 0;
    utf8proc_int32_t state = 0;
    size_t i = utf8_decode(text, n, &before), size;
    while (i < n && (size = utf8_decode(text + i, n - i, &code)) > 0) {
        if (utf8proc_grapheme_break_stateful((utf8proc_int32_t)before, (utf8proc_int32_t)code,
                                             &state))
            break;
        before = code;
        i += size;
    }
    return i ? i : 1;
}
