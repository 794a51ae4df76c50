#include "tokenizer/pipeline.h"

#include "base/check.h"
#include "base/memory.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/split.h"

#include <string.h>

static const char space[] = "\xE2\x96\x81"; /* U+2581 */
enum { SPACE_SIZE = 3 };

struct step *steps_add(struct steps *s)
{
    void *items = s->items;
    mem_grow(&items, &s->capacity, s->count, sizeof *s->items);
    s->items = items;
    s->items[s->count] = (struct step){0};
    return &s->items[s->count++];
}

void steps_clear(struct steps *s)
{
    for (size_t i = 0; i < s->count; i++) {
        regex_free(s->items[i].regex);
        mem_free(s->items[i].pattern);
        mem_free(s->items[i].content);
        charsmap_free(s->items[i].map);
    }
    mem_free(s->items);
    *s = (struct steps){0};
}

void pipeline_free(struct pipeline *p)
{
    if (!p)
        return;
    steps_clear(&p->normalizers);
    steps_clear(&p->splitters);
    steps_clear(&p->decoders);
    json_decref(p->components);
    mem_free(p);
}

struct step *pipeline_step(const struct pipeline *p, enum step_kind kind)
{
    const struct steps *lists[] = {&p->normalizers, &p->splitters};
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < lists[k]->count; i++)
            if (lists[k]->items[i].kind == kind)
                return &lists[k]->items[i];
    return NULL;
}

bool pipeline_is_byte_level(const struct pipeline *p)
{
    size_t n = p->splitters.count;
    return n > 0 && p->splitters.items[n - 1].kind == STEP_BYTE_LEVEL;
}

bool pipeline_prefixes_all(const struct pipeline *p)
{
    for (size_t i = 0; i < p->normalizers.count; i++)
        if (p->normalizers.items[i].kind == STEP_PREPEND)
            return true;
    for (size_t i = 0; i < p->splitters.count; i++) {
        const struct step *s = &p->splitters.items[i];
        if ((s->kind == STEP_METASPACE && s->prepend == PREPEND_ALWAYS) ||
            (s->kind == STEP_BYTE_LEVEL && s->prefix))
            return true;
    }
    return false;
}

void pipeline_scratch_free(struct pipeline_scratch *s)
{
    buffer_free(&s->text);
    buffer_free(&s->other);
    buffer_free(&s->shadow);
    mem_free(s->pieces);
    mem_free(s->spare);
    regex_scratch_free(s->regex);
}

/* ---- normalizers ---- */

/* The text for a pattern to look at: each byte that is no UTF-8 is a control character there, which
 * is of no class, as such bytes are elsewhere in this program. */
static const char *readable(struct pipeline_scratch *s, const char *text, size_t n)
{
    if (utf8_valid(text, n))
        return text;
    buffer_clear(&s->shadow);
    for (size_t i = 0, size; i < n; i += size ? size : 1) {
        uint32_t code;
        size = utf8_decode(text + i, n - i, &code);
        if (size)
            buffer_append(&s->shadow, text + i, size);
        else
            buffer_byte(&s->shadow, 0x1A);
    }
    return s->shadow.data;
}

static struct regex_scratch *patterns(struct pipeline_scratch *s)
{
    if (!s->regex)
        s->regex = regex_scratch_new();
    return s->regex;
}

void step_replace(const struct step *step, struct pipeline_scratch *s, const char *text, size_t n,
                  struct buffer *out)
{
    struct regex_matches m = {
        .regex = step->regex, .scratch = patterns(s), .text = readable(s, text, n), .n = n};
    size_t at = 0;
    while (regex_next(&m)) {
        buffer_append(out, text + at, m.start - at);
        buffer_append(out, step->content, step->n_content);
        at = m.end;
    }
    buffer_append(out, text + at, n - at);
}

static void strip_blanks(const struct step *step, const char *text, size_t n, struct buffer *out)
{
    size_t begin = 0, end = 0, size;
    bool visible = false;
    for (size_t i = 0; i < n; i += size) { /* end follows the last character that is not blank */
        uint32_t code = 0;
        size = utf8_decode(text + i, n - i, &code);
        bool blank = size && unicode_is_space(code);
        size = size ? size : 1;
        if (!blank && !visible)
            begin = i;
        visible |= !blank;
        if (!blank)
            end = i + size;
    }
    if (!visible)
        begin = n; /* all of it goes, from whichever end */
    if (!step->left)
        begin = 0;
    if (!step->right)
        end = n;
    if (begin < end)
        buffer_append(out, text + begin, end - begin);
}

/* The longest protected string that the text begins with, or 0. */
static size_t protected_at(const struct trie *t, const char *text, size_t n)
{
    size_t longest = 0;
    uint32_t node = TRIE_ROOT;
    if (!t || !t->first[(unsigned char)text[0]])
        return 0;
    for (size_t i = 0; i < n && (node = trie_step(t, node, (unsigned char)text[i])); i++)
        if (t->values[node] != TRIE_NONE)
            longest = i + 1;
    return longest;
}

/* SentencePiece's Normalizer (https://github.com/google/sentencepiece, doc/normalization.md): what
 * the next characters become, and how many bytes they are. A byte that is no UTF-8 becomes U+FFFD.
 */
static const char *sp_next_part(const struct step *step, const char *p, size_t n, size_t *n_part,
                                size_t *used)
{
    uint32_t code;
    if ((*used = protected_at(step->protect, p, n)) > 0) {
        *n_part = *used;
        return p;
    }
    const char *found = step->map ? charsmap_find(step->map, p, n, false, used) : NULL;
    if (found) {
        *n_part = strlen(found);
        return found;
    }
    *n_part = *used = utf8_decode(p, n, &code);
    if (*used)
        return p;
    *n_part = 3;
    *used = 1;
    return "\xEF\xBF\xBD";
}

static void put_sp(const struct step *step, const char *part, size_t n, struct buffer *out)
{
    for (size_t i = 0; i < n; i++)
        if (part[i] == ' ' && step->escape)
            buffer_append(out, space, SPACE_SIZE);
        else
            buffer_byte(out, part[i]);
}

static void normalize_sentencepiece(const struct step *step, const char *text, size_t n,
                                    struct buffer *out)
{
    const char *blank = step->escape ? space : " ";
    size_t n_part, used, before = out->size, n_blank = strlen(blank);
    bool after_blank = step->collapse, begun = false;
    for (size_t i = 0; i < n; i += used) {
        const char *part = sp_next_part(step, text + i, n - i, &n_part, &used);
        while (after_blank && n_part && *part == ' ') {
            part++;
            n_part--;
        }
        if (!n_part)
            continue;
        if (!begun && step->prefix)
            buffer_append(out, blank, n_blank);
        begun = true;
        put_sp(step, part, n_part, out);
        after_blank = step->collapse && part[n_part - 1] == ' ';
    }
    while (step->collapse && out->size >= before + n_blank &&
           memcmp(out->data + out->size - n_blank, blank, n_blank) == 0)
        out->size -= n_blank;
}

static void normalize_one(const struct step *step, struct pipeline_scratch *s, const char *text,
                          size_t n, struct buffer *out)
{
    switch (step->kind) {
    case STEP_FORM:
        unicode_normalize(text, n, step->form, out);
        break;
    case STEP_LOWER:
        unicode_lower(text, n, out);
        break;
    case STEP_STRIP:
        strip_blanks(step, text, n, out);
        break;
    case STEP_PREPEND:
        if (n)
            buffer_append(out, step->content, step->n_content);
        buffer_append(out, text, n);
        break;
    case STEP_REPLACE:
        step_replace(step, s, text, n, out);
        break;
    case STEP_CHARSMAP:
        charsmap_apply(step->map, text, n, out);
        break;
    case STEP_SENTENCEPIECE:
        normalize_sentencepiece(step, text, n, out);
        break;
    default:
        CHECK(false);
    }
}

void pipeline_normalize(const struct pipeline *p, struct pipeline_scratch *s, const char *text,
                        size_t n, struct buffer *out)
{
    struct buffer *turn[2] = {&s->text, &s->other};
    size_t count = p->normalizers.count;
    if (count == 0)
        buffer_append(out, text, n);
    for (size_t i = 0; i < count; i++) {
        struct buffer *to = i + 1 < count ? turn[i % 2] : out;
        if (to != out)
            buffer_clear(to);
        size_t begin = to->size;
        buffer_append(to, "", 0); /* a text, were it an empty one */
        normalize_one(&p->normalizers.items[i], s, text, n, to);
        text = to->data + begin;
        n = to->size - begin;
    }
}

/* ---- pre-tokenizers ---- */

struct splitting { /* of one piece by one step */
    struct pipeline_scratch *s;
    const struct step *step;
    struct piece parent;
    size_t from; /* the parent's first part in s->spare */
    size_t n_spare;
    bool before, waits; /* the last part was a match; a match waits for what comes behind it */
};

static void put_part(struct splitting *x, size_t start, size_t end)
{
    struct pipeline_scratch *s = x->s;
    void *items = s->spare;
    mem_grow(&items, &s->spare_capacity, x->n_spare, sizeof *s->spare);
    s->spare = items;
    s->spare[x->n_spare++] =
        (struct piece){start, end, x->parent.first && start == x->parent.start};
}

/* The next part, from match or from between. Parts come without gaps. */
static void put_span(struct splitting *x, size_t start, size_t end, bool match)
{
    match ^= x->step->invert;
    bool merge = false;
    switch (x->step->behavior) {
    case ISOLATED:
        break;
    case REMOVED:
        if (match)
            return;
        break;
    case CONTIGUOUS:
        merge = match == x->before && x->n_spare > x->from;
        break;
    case MERGED_WITH_PREVIOUS:
        merge = match && !x->before && x->n_spare > x->from;
        break;
    case MERGED_WITH_NEXT:
        merge = !match && x->waits;
        x->waits = match;
        break;
    }
    x->before = match;
    if (merge)
        x->s->spare[x->n_spare - 1].end = end;
    else
        put_part(x, start, end);
}

static bool is_match(enum split_at at, uint32_t code, const char *p, size_t n)
{
    size_t size;
    switch (at) {
    case SPLIT_NUMBERS:
        return unicode_class((const unsigned char *)p, n, &size) == CLASS_NUMBER;
    case SPLIT_PUNCTUATION:
        return unicode_is_punctuation(code);
    case SPLIT_SPACES:
        return unicode_is_space(code);
    case SPLIT_PATTERN:
        break;
    }
    return false;
}

/* Every matching character is a match of its own. */
static void split_characters(struct splitting *x, const char *text)
{
    size_t begin = x->parent.start, end = x->parent.end, size;
    for (size_t i = begin; i < end; i += size) {
        uint32_t code = 0;
        size = utf8_decode(text + i, end - i, &code);
        bool match = size && is_match(x->step->at, code, text + i, end - i);
        size = size ? size : 1;
        if (!match)
            continue;
        if (begin < i)
            put_span(x, begin, i, false);
        put_span(x, i, i + size, true);
        begin = i + size;
    }
    if (begin < end)
        put_span(x, begin, end, false);
}

static void split_by_pattern(struct splitting *x, const char *text)
{
    size_t begin = x->parent.start, n = x->parent.end - begin, at = 0;
    struct regex_matches m = {
        .regex = x->step->regex, .scratch = patterns(x->s), .text = text + begin, .n = n};
    while (regex_next(&m)) {
        if (at != m.start)
            put_span(x, begin + at, begin + m.start, false);
        put_span(x, begin + m.start, begin + m.end, true);
        at = m.end;
    }
    if (at != n)
        put_span(x, begin + at, begin + n, false);
}

/* Before every U+2581, or whatever stands for a space here. */
static void split_at_marks(struct splitting *x, const char *text)
{
    const struct step *step = x->step;
    size_t begin = x->parent.start, end = x->parent.end;
    for (size_t i = begin + 1; i < end; i++)
        if (text[i] == step->content[0] && end - i >= step->n_content &&
            memcmp(text + i, step->content, step->n_content) == 0) {
            put_part(x, begin, i);
            begin = i;
        }
    put_part(x, begin, end);
}

static void split_words(struct splitting *x, const char *text)
{
    for (size_t i = x->parent.start, size; i < x->parent.end; i += size) {
        size = split_next(SPLITTER_GPT2, (const unsigned char *)text + i, x->parent.end - i);
        put_part(x, i, i + size);
    }
}

/* Metaspace and ByteLevel first change the text of every piece. */
static void rewrite_pieces(const struct step *step, struct pipeline_scratch *s)
{
    buffer_clear(&s->other);
    for (size_t i = 0; i < s->n_pieces; i++) {
        struct piece *p = &s->pieces[i];
        const char *text = s->text.data + p->start;
        size_t n = p->end - p->start;
        p->start = s->other.size;
        if (step->kind == STEP_BYTE_LEVEL) {
            if (text[0] != ' ')
                buffer_byte(&s->other, ' ');
            buffer_append(&s->other, text, n);
        } else {
            bool marked = text[0] == ' ' || (n >= step->n_content &&
                                             memcmp(text, step->content, step->n_content) == 0);
            if (!marked &&
                (step->prepend == PREPEND_ALWAYS || (step->prepend == PREPEND_FIRST && p->first)))
                buffer_append(&s->other, step->content, step->n_content);
            for (size_t k = 0; k < n; k++)
                if (text[k] == ' ')
                    buffer_append(&s->other, step->content, step->n_content);
                else
                    buffer_byte(&s->other, text[k]);
        }
        p->end = s->other.size;
    }
    struct buffer swap = s->text;
    s->text = s->other;
    s->other = swap;
}

static void split_pieces(const struct step *step, struct pipeline_scratch *s)
{
    struct splitting x = {.s = s, .step = step};
    bool by_pattern = step->kind == STEP_SPLIT && step->at == SPLIT_PATTERN;
    const char *text = by_pattern ? readable(s, s->text.data, s->text.size) : s->text.data;
    for (size_t i = 0; i < s->n_pieces; i++) {
        x.parent = s->pieces[i];
        x.from = x.n_spare;
        x.before = x.waits = false;
        if (step->kind == STEP_METASPACE)
            split_at_marks(&x, text);
        else if (step->kind == STEP_BYTE_LEVEL)
            split_words(&x, text);
        else if (by_pattern)
            split_by_pattern(&x, text);
        else
            split_characters(&x, text);
    }
    size_t left = 0;
    for (size_t i = 0; i < x.n_spare; i++)
        if (s->spare[i].start < s->spare[i].end)
            s->spare[left++] = s->spare[i];
    struct piece *swap = s->pieces;
    size_t capacity = s->capacity;
    s->pieces = s->spare;
    s->capacity = s->spare_capacity;
    s->spare = swap;
    s->spare_capacity = capacity;
    s->n_pieces = left;
}

void pipeline_split(const struct pipeline *p, struct pipeline_scratch *s, const char *text,
                    size_t n, bool first)
{
    buffer_clear(&s->text);
    buffer_append(&s->text, text, n);
    if (!s->pieces) {
        s->capacity = 64;
        s->pieces = mem_alloc(s->capacity, sizeof *s->pieces);
    }
    s->pieces[0] = (struct piece){0, n, first};
    s->n_pieces = 1;
    for (size_t i = 0; i < p->splitters.count && s->n_pieces; i++) {
        const struct step *step = &p->splitters.items[i];
        if (step->kind == STEP_METASPACE || (step->kind == STEP_BYTE_LEVEL && step->prefix))
            rewrite_pieces(step, s);
        if (step->kind == STEP_SPLIT || step->split)
            split_pieces(step, s);
    }
}
