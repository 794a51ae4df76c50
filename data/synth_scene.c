#include "data/synth_internal.h"

#include "base/check.h"
#include "base/hash.h"

#include <string.h>

/* Separate streams of one document's seed. */
enum { STREAM_FREE = 1, STREAM_BIND, STREAM_LINKED, STREAM_FIELD };

struct span {
    const char *begin, *end;
};

static bool span_is(struct span s, const char *text)
{
    size_t n = (size_t)(s.end - s.begin);
    return strlen(text) == n && memcmp(s.begin, text, n) == 0;
}

static struct span span_of(const char *text)
{
    return (struct span){text, text + strlen(text)};
}

/* Field number `index` of "a;b;c". */
static struct span field_at(const char *item, size_t index)
{
    const char *p = item;
    while (index--) {
        p = strchr(p, ';');
        CHECK(p);
        p++;
    }
    return (struct span){p, p + strcspn(p, ";")};
}

static bool field_index(const struct synth_list *list, struct span name, size_t *index)
{
    struct span s = span_of(list->fields);
    for (size_t i = 0;; i++) {
        struct span field = {s.begin, s.begin + strcspn(s.begin, ";")};
        if (field.end - field.begin == name.end - name.begin &&
            memcmp(field.begin, name.begin, (size_t)(name.end - name.begin)) == 0) {
            *index = i;
            return true;
        }
        if (*field.end == 0)
            return false;
        s.begin = field.end + 1;
    }
}

static const struct synth_list *find_in(const struct synth_list *lists, size_t n, struct span name)
{
    for (size_t i = 0; i < n; i++)
        if (span_is(name, lists[i].name))
            return &lists[i];
    return NULL;
}

static const struct synth_list *find_list(struct span name)
{
    const struct synth_list *list = find_in(synth_people_lists, synth_people_count, name);
    if (!list)
        list = find_in(synth_thing_lists, synth_thing_count, name);
    if (!list)
        list = find_in(synth_fact_lists, synth_fact_count, name);
    CHECK(list);
    return list;
}

/* ---- people ---- */

static bool is_female(const struct synth_scene *s, size_t v)
{
    size_t index;
    const struct synth_list *list = s->variables[v].list;
    CHECK(field_index(list, span_of("sex"), &index));
    return *field_at(list->items[s->variables[v].item], index).begin == 'f';
}

static bool is_person(char variable)
{
    return variable >= 'A' && variable <= 'Z';
}

static const char *gendered(struct span word, bool female)
{
    static const char *const forms[][2] = {
        {"he", "she"},     {"him", "her"},        {"his", "her"},         {"himself", "herself"},
        {"boy", "girl"},   {"brother", "sister"}, {"son", "daughter"},    {"man", "woman"},
        {"uncle", "aunt"}, {"king", "queen"},     {"prince", "princess"},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (span_is(word, forms[i][0]))
            return forms[i][female];
    return NULL;
}

/* ---- binding ---- */

static bool may_bind(const struct synth_scene *s, size_t v)
{
    for (size_t i = 0; i < v; i++)
        if (s->variables[i].list == s->variables[v].list &&
            s->variables[i].item == s->variables[v].item)
            return false;
    if (v > 0 && is_person(s->variables[v].name) && is_person(s->variables[0].name))
        return is_female(s, v) != is_female(s, 0);
    return true;
}

void synth_scene_begin(struct synth_scene *s, uint64_t seed, const char *bindings)
{
    s->seed = seed;
    s->n_variables = s->n_always = 0;
    bool always = true;
    rng_init(&s->rng, seed, STREAM_BIND);
    for (const char *p = bindings; *p;) {
        const char *end = p + strcspn(p, " ");
        if (*p == '|') {
            always = false;
            p = end + strspn(end, " ");
            continue;
        }
        size_t v = s->n_variables++;
        s->n_always += always;
        CHECK(v < SYNTH_MAX_VARIABLES && p[1] == ':');
        s->variables[v].name = p[0];
        s->variables[v].list = find_list((struct span){p + 2, end});
        do
            s->variables[v].item = rng_below(&s->rng, s->variables[v].list->count);
        while (!may_bind(s, v));
        p = end + strspn(end, " ");
    }
    rng_init(&s->rng, seed, STREAM_FREE);
}

uint64_t synth_scene_key(const struct synth_scene *s, uint64_t id, size_t n)
{
    uint64_t key = rng_at(0x6C696E6E6574, id);
    for (size_t i = 0; i < n && i < s->n_variables; i++) {
        const char *word = s->variables[i].list->items[s->variables[i].item];
        key = hash64_combine(key, hash64(word, strcspn(word, ";"), 0));
    }
    return key;
}

/* ---- telling ---- */

static void tell(const struct synth_scene *s, struct span text, struct rng *rng, int depth,
                 struct buffer *out);

static void tell_rule(const struct synth_scene *s, struct span name, struct rng *rng, int depth,
                      struct buffer *out)
{
    for (size_t i = 0; i < synth_rule_count; i++)
        if (span_is(name, synth_rules[i].name)) {
            tell(s, span_of(synth_rules[i].text), rng, depth + 1, out);
            return;
        }
    CHECK(!"a rule of this name");
}

/* `body` is "o" or "o.look". A field that offers alternatives must tell the same one every time, so
 * it draws from a sequence of its own. */
static void tell_variable(const struct synth_scene *s, struct span body, int depth,
                          struct buffer *out)
{
    size_t v = 0;
    while (v < s->n_variables && s->variables[v].name != *body.begin)
        v++;
    CHECK(v < s->n_variables);
    const struct synth_list *list = s->variables[v].list;
    size_t index = 0;
    if (body.end - body.begin > 1) {
        CHECK(body.begin[1] == '.');
        struct span field = {body.begin + 2, body.end};
        if (!field_index(list, field, &index)) {
            const char *form = is_person(*body.begin) ? gendered(field, is_female(s, v)) : NULL;
            CHECK(form);
            buffer_string(out, form);
            return;
        }
    }
    struct rng own;
    rng_init(&own, s->seed, STREAM_FIELD + 16 * (v * 16 + index));
    tell(s, field_at(list->items[s->variables[v].item], index), &own, depth + 1, out);
}

/* `body` is what stands between the brackets. */
static void tell_choice(const struct synth_scene *s, struct span body, struct rng *rng, int depth,
                        struct buffer *out)
{
    int linked = 0;
    if (body.end - body.begin > 1 && body.begin[1] == ':' && *body.begin >= '0' &&
        *body.begin <= '9') {
        linked = *body.begin;
        body.begin += 2;
    }
    struct span options[48];
    size_t n = 0;
    int nesting = 0;
    const char *begin = body.begin;
    for (const char *p = body.begin; p <= body.end; p++) {
        if (p == body.end || (*p == '|' && nesting == 0)) {
            CHECK(n < sizeof options / sizeof *options);
            options[n++] = (struct span){begin, p};
            begin = p + 1;
        } else if (*p == '[') {
            nesting++;
        } else if (*p == ']') {
            nesting--;
        }
    }
    size_t i;
    if (linked)
        i = rng_at(s->seed ^ STREAM_LINKED, (uint64_t)linked) % n;
    else
        i = rng_below(rng, n);
    tell(s, options[i], rng, depth + 1, out);
}

static const char *matching_bracket(const char *open, const char *end)
{
    int nesting = 0;
    for (const char *p = open; p < end; p++) {
        nesting += *p == '[';
        nesting -= *p == ']';
        if (nesting == 0)
            return p;
    }
    CHECK(!"a closing bracket");
    return NULL;
}

static void tell(const struct synth_scene *s, struct span text, struct rng *rng, int depth,
                 struct buffer *out)
{
    CHECK(depth < 32);
    for (const char *p = text.begin; p < text.end; p++) {
        const char *begin = p + 1;
        switch (*p) {
        case '[':
            p = matching_bracket(p, text.end);
            tell_choice(s, (struct span){begin, p}, rng, depth, out);
            break;
        case '{':
            p = memchr(p, '}', (size_t)(text.end - p));
            CHECK(p);
            tell_variable(s, (struct span){begin, p}, depth, out);
            break;
        case '<':
            p = memchr(p, '>', (size_t)(text.end - p));
            CHECK(p);
            tell_rule(s, (struct span){begin, p}, rng, depth, out);
            break;
        case '`':
            buffer_byte(out, '"');
            break;
        default:
            buffer_byte(out, *p);
        }
    }
}

/* ---- polishing ---- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static size_t word_length(const char *p, const char *end)
{
    size_t n = 0;
    while (p + n < end && (is_letter(p[n]) || p[n] == '\''))
        n++;
    return n;
}

/* `"Stop!" shouted Tom` and `"Stop!" he shouted`: after a question or a cry these do not begin a
 * sentence. */
static bool is_speech_verb(const char *p, const char *end)
{
    static const char *const verbs[] = {"said",      "asked",   "cried",    "shouted", "called",
                                        "whispered", "replied", "answered", "laughed", "thought",
                                        "begged",    "sang",    "warned",   "sighed",  "sobbed",
                                        "came",      "counted"};
    struct span word = {p, p + word_length(p, end)};
    if ((span_is(word, "he") || span_is(word, "she")) && word.end < end)
        word = (struct span){word.end + 1, word.end + 1 + word_length(word.end + 1, end)};
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (span_is(word, verbs[i]))
            return true;
    return false;
}

static bool begins_with_vowel_sound(const char *p, const char *end)
{
    static const char *const consonant_sound[] = {"use", "uni", "one", "once", "eu"};
    size_t left = (size_t)(end - p);
    if ((left >= 4 && memcmp(p, "hour", 4) == 0) || (left >= 6 && memcmp(p, "honest", 6) == 0))
        return true;
    for (size_t i = 0; i < sizeof consonant_sound / sizeof *consonant_sound; i++) {
        size_t n = strlen(consonant_sound[i]);
        if (left >= n && memcmp(p, consonant_sound[i], n) == 0)
            return false;
    }
    return left && strchr("aeiouAEIOU", *p) != NULL;
}

struct polisher {
    bool sentences, begins, in_speech;
    bool interrupted; /* the sentence holds a speech that ended with a comma: "No," said Tom, "not
                         now." */
    size_t start;
    struct buffer *out;
};

static char last_char(const struct polisher *p)
{
    return p->out->size > p->start ? p->out->data[p->out->size - 1] : '\n';
}

static void polish_quote(struct polisher *p, const char *next, const char *end)
{
    char before = last_char(p);
    p->in_speech = !p->in_speech;
    buffer_byte(p->out, '"');
    if (p->in_speech)
        p->begins = !p->interrupted;
    else if (before == '.')
        p->begins = true;
    else
        p->begins =
            (before == '!' || before == '?') && next + 1 < end && !is_speech_verb(next + 1, end);
    if (!p->in_speech)
        p->interrupted = before == ',';
}

/* Drops the spaces that empty alternatives leave behind. */
static bool space_is_needed(const struct polisher *p, const char *next, const char *end)
{
    char before = last_char(p);
    return before != ' ' && before != '\n' && next < end &&
           (before == '=' || !strchr(".,!?;: \n", *next));
}

static void polish(const struct buffer *raw, bool sentences, struct buffer *out)
{
    struct polisher p = {.sentences = sentences, .begins = true, .start = out->size, .out = out};
    const char *end = raw->data + raw->size;
    for (const char *s = raw->data; s < end;) {
        if (is_letter(*s)) {
            size_t n = word_length(s, end);
            char first = *s;
            if (p.sentences && p.begins && first >= 'a' && first <= 'z')
                first = (char)(first - 'a' + 'A');
            buffer_byte(out, first);
            buffer_append(out, s + 1, n - 1);
            const char *next = s + n;
            while (next < end && *next == ' ')
                next++;
            if (n == 1 && (*s == 'a' || *s == 'A') && next > s + 1 &&
                begins_with_vowel_sound(next, end))
                buffer_byte(out, 'n');
            p.begins = false;
            s += n;
            continue;
        }
        if (*s == '"') {
            polish_quote(&p, s + 1, end);
        } else if (*s == ' ') {
            if (space_is_needed(&p, s + 1, end))
                buffer_byte(out, ' ');
        } else if (*s == '\n') {
            buffer_byte(out, '\n');
            p.begins = true;
            p.in_speech = false;
        } else {
            buffer_byte(out, *s);
            p.begins = *s == '.' || *s == '!' || *s == '?';
            p.interrupted = p.interrupted && !p.begins;
        }
        s++;
    }
}

void synth_scene_tell(struct synth_scene *s, const char *text, bool sentences, struct buffer *out)
{
    struct buffer raw = {0};
    tell(s, span_of(text), &s->rng, 0, &raw);
    if (raw.size)
        polish(&raw, sentences, out);
    buffer_free(&raw);
}
