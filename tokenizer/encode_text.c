/* A text to words: added tokens are found first, what lies between them is normalised, added tokens
 * that are looked for in normalised text are found there, the rest is cut into words. */
#include "tokenizer/encode.h"
#include "tokenizer/sentencepiece.h"

static bool is_ascii(const char *p, size_t n)
{
    unsigned char all = 0;
    for (size_t i = 0; i < n; i++)
        all |= (unsigned char)p[i];
    return all < 0x80;
}

/* ---- added tokens ---- */

struct added {
    size_t start, end;
    int32_t id;
};

/* The longest added token written at p, and in *size its length; or TOKEN_NONE. */
static int32_t added_at(const struct tokenizer *t, const struct trie *trie, const char *p, size_t n,
                        bool parse_special, size_t *size)
{
    int32_t found = TOKEN_NONE;
    uint32_t node = TRIE_ROOT;
    for (size_t i = 0; i < n && (node = trie_step(trie, node, (unsigned char)p[i])); i++) {
        int32_t id = trie->values[node];
        if (id == TRIE_NONE || (t->tokens[id].kind != TOKEN_USER_DEFINED && !parse_special))
            continue;
        found = id;
        *size = i + 1;
    }
    return found;
}

/* Where the character before `at` begins. */
static size_t before(const char *text, size_t at)
{
    size_t i = at - 1;
    while (i > 0 && at - i < 4 && ((unsigned char)text[i] & 0xC0) == 0x80)
        i--;
    return i;
}

static uint32_t character(const char *text, size_t n, size_t *size)
{
    uint32_t code = 0xFFFD;
    *size = utf8_decode(text, n, &code);
    return code;
}

static bool stands_alone(const char *text, size_t n, const struct added *a)
{
    size_t size, i = a->start ? before(text, a->start) : 0;
    if (a->start && unicode_is_word(character(text + i, a->start - i, &size)))
        return false;
    return a->end == n || !unicode_is_word(character(text + a->end, n - a->end, &size));
}

/* The leftmost, there the longest, added token at or after *at, which moves behind it. One that
 * must be a word and is not hides what overlaps it, as in Hugging Face's library. */
static bool next_added(const struct tokenizer *t, const struct trie *trie, const char *text,
                       size_t n, size_t *at, bool parse_special, struct added *found)
{
    for (size_t i = *at; i < n;) {
        size_t size = 0;
        int32_t id = trie->first[(unsigned char)text[i]]
                         ? added_at(t, trie, text + i, n - i, parse_special, &size)
                         : TOKEN_NONE;
        *found = (struct added){i, i + size, id};
        i += size ? size : 1;
        if (id == TOKEN_NONE ||
            (t->tokens[id].flags & SINGLE_WORD && !stands_alone(text, n, found)))
            continue;
        *at = i;
        return true;
    }
    return false;
}

/* The token with the blanks it swallows; `from` is where the text not yet used begins. */
static void swallow(const struct tokenizer *t, const char *text, size_t n, size_t from,
                    struct added *a)
{
    int flags = t->tokens[a->id].flags;
    size_t size, i;
    while (flags & STRIP_LEFT && a->start > from) {
        i = before(text, a->start);
        if (!unicode_is_space(character(text + i, a->start - i, &size)) || i + size != a->start)
            break;
        a->start = i;
    }
    while (flags & STRIP_RIGHT && a->end < n &&
           unicode_is_space(character(text + a->end, n - a->end, &size)) && size)
        a->end += size;
}

/* ---- the text between them ---- */

struct job {
    const struct tokenizer *t;
    struct encoder *c;
    bool parse_special;
    struct tokens *out;
};

typedef void stretch(const struct job *j, const char *p, size_t n, bool first);

/* Hands what lies between the added tokens of `trie` to `rest`; `first` is said of the very start.
 */
static void between_added(const struct job *j, const struct trie *trie, const char *text, size_t n,
                          bool first, stretch *rest)
{
    size_t at = 0, from = 0;
    struct added a;
    while (next_added(j->t, trie, text, n, &at, j->parse_special, &a)) {
        swallow(j->t, text, n, from, &a);
        if (from < a.start)
            rest(j, text + from, a.start - from, first && from == 0);
        tokens_push(j->out, a.id);
        from = a.end;
    }
    if (from < n)
        rest(j, text + from, n - from, first && from == 0);
}

static void encode_normal(const struct job *j, const char *p, size_t n, bool first)
{
    const struct tokenizer *t = j->t;
    if (t->splitter == SPLITTER_BYTES) {
        for (size_t i = 0; i < n; i++)
            tokens_push(j->out, t->byte_id[(unsigned char)p[i]]);
        return;
    }
    if (t->splitter != SPLITTER_GENERAL) {
        encode_words(t, j->c, p, n, j->out);
        return;
    }
    struct pipeline_scratch *s = &j->c->pipeline;
    pipeline_split(t->pipeline, s, p, n, first);
    for (size_t i = 0; i < s->n_pieces; i++)
        encode_words(t, j->c, s->text.data + s->pieces[i].start,
                     s->pieces[i].end - s->pieces[i].start, j->out);
}

static void encode_plain(const struct job *j, const char *p, size_t n, bool first)
{
    const struct tokenizer *t = j->t;
    struct buffer *normal = &j->c->normal;
    buffer_clear(normal);
    if (t->splitter == SPLITTER_NONE) {
        if (t->space_prefix)
            sp_escape(" ", 1, normal);
        sp_escape(p, n, normal);
    } else if (t->splitter == SPLITTER_GENERAL) {
        pipeline_normalize(t->pipeline, &j->c->pipeline, p, n, normal);
        if (!normal->size)
            return;
    } else if (t->nfc && !is_ascii(p, n)) {
        unicode_normalize(p, n, FORM_NFC, normal);
    }
    if (normal->size) {
        p = normal->data;
        n = normal->size;
    }
    if (t->added_normal.n_edges)
        between_added(j, &t->added_normal, p, n, first, encode_normal);
    else
        encode_normal(j, p, n, first);
}

void tokenizer_encode(const struct tokenizer *t, const char *text, size_t n, bool parse_special,
                      struct tokens *out)
{
    struct job j = {t, encoder_take(t->pool), parse_special, out};
    if (t->added.n_edges && (parse_special || t->has_user_defined))
        between_added(&j, &t->added, text, n, true, encode_plain);
    else if (n)
        encode_plain(&j, text, n, true);
    encoder_give_back(t->pool, j.c);
}
