/* The components of tokenizer.json, read into steps. */
#include "base/memory.h"
#include "tokenizer/base64.h"
#include "tokenizer/pipeline.h"

#include <string.h>

enum { DEEPEST = 8, MOST_STEPS = 256, LARGEST_MAP = 1 << 24 };

static const char *type_of(const json_t *component)
{
    const char *type = json_string_value(json_object_get(component, "type"));
    return type ? type : "";
}

static int refuse(const char *where, const json_t *component, const char *why, struct error *e)
{
    const char *type = type_of(component);
    return error_set(e, ERR_FORMAT, "%s: \"%.100s\" %s", where, *type ? type : "?", why);
}

/* A string without zeroes that must be there; may_be_empty decides about "". */
static int get_text(const json_t *c, const char *key, bool may_be_empty, struct step *s,
                    struct error *e)
{
    const json_t *v = json_object_get(c, key);
    const char *text = json_string_value(v);
    if (!text || strlen(text) != json_string_length(v) || (!*text && !may_be_empty))
        return error_set(e, ERR_FORMAT, "\"%s\" must be a string%s", key,
                         may_be_empty ? "" : " that is not empty");
    s->content = mem_string(text);
    s->n_content = strlen(text);
    return OK;
}

static int get_choice(const json_t *c, const char *key, const char *const *names, size_t n,
                      int *choice, struct error *e)
{
    const char *name = NULL;
    int code = json_get_string(c, key, &name, e);
    if (code || !name)
        return code;
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0) {
            *choice = (int)i;
            return OK;
        }
    return error_set(e, ERR_FORMAT, "\"%s\": \"%.100s\" is not supported", key, name);
}

/* {"String": ...}, {"Regex": ...}, or in old files the string alone. */
static int get_pattern(const json_t *c, struct step *s, struct error *e)
{
    const json_t *pattern = json_object_get(c, "pattern");
    const json_t *regex = json_object_get(pattern, "Regex"),
                 *text = json_is_string(pattern) ? pattern : json_object_get(pattern, "String"),
                 *which = regex ? regex : text;
    if (!json_is_string(which))
        return error_set(e, ERR_FORMAT,
                         "\"pattern\" must be {\"String\": ...} or {\"Regex\": ...}");
    s->literal = !regex;
    s->pattern = mem_string(json_string_value(which));
    int code = regex_compile(json_string_value(which), json_string_length(which), s->literal,
                             &s->regex, e);
    if (code)
        error_prefix(e, "the pattern %.300s", s->pattern);
    return code;
}

/* ---- normalizers ---- */

static int read_form(const json_t *c, struct step *s, struct error *e)
{
    static const char *const names[] = {"NFC", "NFD", "NFKC", "NFKD"};
    (void)e;
    s->kind = STEP_FORM;
    for (int i = 0; i < 4; i++)
        if (strcmp(names[i], type_of(c)) == 0)
            s->form = (enum normal_form)i;
    return OK;
}

static int read_lowercase(const json_t *c, struct step *s, struct error *e)
{
    (void)c, (void)e;
    s->kind = STEP_LOWER;
    return OK;
}

static int read_strip(const json_t *c, struct step *s, struct error *e)
{
    s->kind = STEP_STRIP;
    int code = json_get_bool(c, "strip_left", &s->left, e);
    return code ? code : json_get_bool(c, "strip_right", &s->right, e);
}

static int read_prepend(const json_t *c, struct step *s, struct error *e)
{
    s->kind = STEP_PREPEND;
    return get_text(c, "prepend", false, s, e);
}

static int read_replace(const json_t *c, struct step *s, struct error *e)
{
    s->kind = STEP_REPLACE;
    int code = get_pattern(c, s, e);
    return code ? code : get_text(c, "content", true, s, e);
}

static int read_precompiled(const json_t *c, struct step *s, struct error *e)
{
    const json_t *map = json_object_get(c, "precompiled_charsmap");
    struct buffer bytes = {0};
    s->kind = STEP_CHARSMAP;
    int code = OK;
    if (!json_is_string(map) || json_string_length(map) > LARGEST_MAP ||
        !base64_decode(json_string_value(map), json_string_length(map), &bytes))
        code = error_set(e, ERR_FORMAT, "\"precompiled_charsmap\" is not base64");
    code = code ? code : charsmap_parse(bytes.data, bytes.size, &s->map, e);
    buffer_free(&bytes);
    return code;
}

/* ---- pre-tokenizers ---- */

static const char *const behaviors[] = {"Isolated", "Removed", "MergedWithPrevious",
                                        "MergedWithNext", "Contiguous"};

static int read_split(const json_t *c, struct step *s, struct error *e)
{
    int behavior = -1;
    s->kind = STEP_SPLIT;
    int code = get_pattern(c, s, e);
    code = code ? code : get_choice(c, "behavior", behaviors, 5, &behavior, e);
    if (!code && behavior < 0)
        code = error_set(e, ERR_FORMAT, "\"behavior\" is missing");
    s->behavior = (enum behavior)behavior;
    return code ? code : json_get_bool(c, "invert", &s->invert, e);
}

static int read_digits(const json_t *c, struct step *s, struct error *e)
{
    bool lone = false;
    int code = json_get_bool(c, "individual_digits", &lone, e);
    s->kind = STEP_SPLIT;
    s->at = SPLIT_NUMBERS;
    s->behavior = lone ? ISOLATED : CONTIGUOUS;
    return code;
}

static int read_punctuation(const json_t *c, struct step *s, struct error *e)
{
    int behavior = ISOLATED;
    s->kind = STEP_SPLIT;
    s->at = SPLIT_PUNCTUATION;
    int code = get_choice(c, "behavior", behaviors, 5, &behavior, e);
    s->behavior = (enum behavior)behavior;
    return code;
}

static int read_whitespace(const json_t *c, struct step *s, struct error *e)
{
    static const char words[] = "\\w+|[^\\w\\s]+";
    (void)c;
    s->kind = STEP_SPLIT;
    s->behavior = REMOVED;
    s->invert = true;
    s->pattern = mem_string(words);
    return regex_compile(words, sizeof words - 1, false, &s->regex, e);
}

static int read_whitespace_split(const json_t *c, struct step *s, struct error *e)
{
    (void)c, (void)e;
    s->kind = STEP_SPLIT;
    s->at = SPLIT_SPACES;
    s->behavior = REMOVED;
    return OK;
}

static int read_metaspace(const json_t *c, struct step *s, struct error *e)
{
    static const char *const schemes[] = {"always", "first", "never"};
    bool prefix = true;
    int scheme = -1;
    s->kind = STEP_METASPACE;
    s->split = true;
    int code = get_text(c, "replacement", false, s, e);
    uint32_t one;
    if (!code && utf8_decode(s->content, s->n_content, &one) != s->n_content)
        code = error_set(e, ERR_FORMAT, "\"replacement\" must be one character");
    code = code ? code : get_choice(c, "prepend_scheme", schemes, 3, &scheme, e);
    code = code ? code : json_get_bool(c, "add_prefix_space", &prefix, e); /* of old files */
    s->prepend = scheme >= 0 ? (enum prepend)scheme : prefix ? PREPEND_ALWAYS : PREPEND_NEVER;
    return code ? code : json_get_bool(c, "split", &s->split, e);
}

static int read_byte_level(const json_t *c, struct step *s, struct error *e)
{
    s->kind = STEP_BYTE_LEVEL;
    s->prefix = s->split = true;
    int code = json_get_bool(c, "add_prefix_space", &s->prefix, e);
    return code ? code : json_get_bool(c, "use_regex", &s->split, e);
}

/* ---- decoders ---- */

static int read_byte_decoder(const json_t *c, struct step *s, struct error *e)
{
    (void)c, (void)e;
    s->kind = STEP_BYTE_LEVEL;
    return OK;
}

static int read_byte_fallback(const json_t *c, struct step *s, struct error *e)
{
    (void)c, (void)e;
    s->kind = STEP_BYTE_FALLBACK;
    return OK;
}

static int read_fuse(const json_t *c, struct step *s, struct error *e)
{
    (void)c, (void)e;
    s->kind = STEP_FUSE;
    return OK;
}

static int read_strip_decoder(const json_t *c, struct step *s, struct error *e)
{
    s->kind = STEP_STRIP;
    int code = get_text(c, "content", false, s, e);
    code = code ? code : json_get_size(c, "start", &s->start, e);
    return code ? code : json_get_size(c, "stop", &s->stop, e);
}

static int read_wordpiece_decoder(const json_t *c, struct step *s, struct error *e)
{
    bool cleanup = true;
    s->kind = STEP_WORDPIECE;
    int code = get_text(c, "prefix", true, s, e);
    code = code ? code : json_get_bool(c, "cleanup", &cleanup, e);
    if (!code && cleanup)
        code = error_set(e, ERR_FORMAT, "\"cleanup\": true is not supported");
    return code;
}

struct reader {
    const char *type;
    int (*read)(const json_t *c, struct step *s, struct error *e);
};

static const struct reader normalizers[] = {
    {"NFC", read_form},
    {"NFD", read_form},
    {"NFKC", read_form},
    {"NFKD", read_form},
    {"Strip", read_strip},
    {"Lowercase", read_lowercase},
    {"Prepend", read_prepend},
    {"Replace", read_replace},
    {"Precompiled", read_precompiled},
    {NULL, NULL},
};

static const struct reader splitters[] = {
    {"Split", read_split},
    {"ByteLevel", read_byte_level},
    {"Digits", read_digits},
    {"Metaspace", read_metaspace},
    {"Punctuation", read_punctuation},
    {"Whitespace", read_whitespace},
    {"WhitespaceSplit", read_whitespace_split},
    {NULL, NULL},
};

static const struct reader decoders[] = {
    {"ByteLevel", read_byte_decoder},      {"Replace", read_replace},
    {"ByteFallback", read_byte_fallback},  {"Fuse", read_fuse},
    {"Strip", read_strip_decoder},         {"Metaspace", read_metaspace},
    {"WordPiece", read_wordpiece_decoder}, {NULL, NULL},
};

/* One component, or the members of a Sequence. */
static int read_steps(const char *where, const json_t *c, const char *list,
                      const struct reader *readers, int depth, struct steps *out, struct error *e)
{
    if (!c || json_is_null(c))
        return OK;
    if (!json_is_object(c))
        return error_set(e, ERR_FORMAT, "%s: must be an object or null", where);
    if (depth == DEEPEST || out->count == MOST_STEPS)
        return error_set(e, ERR_FORMAT, "%s: more than %d steps, or sequences %d deep", where,
                         MOST_STEPS, DEEPEST);
    if (strcmp(type_of(c), "Sequence") == 0) {
        const json_t *members = json_object_get(c, list);
        if (!json_is_array(members))
            return error_set(e, ERR_FORMAT, "%s: a Sequence without \"%s\"", where, list);
        int code = OK;
        for (size_t i = 0; !code && i < json_array_size(members); i++)
            code = read_steps(where, json_array_get(members, i), list, readers, depth + 1, out, e);
        return code;
    }
    for (; readers->type; readers++)
        if (strcmp(readers->type, type_of(c)) == 0) {
            int code = readers->read(c, steps_add(out), e);
            if (code)
                error_prefix(e, "%s: \"%s\"", where, readers->type);
            return code;
        }
    return refuse(where, c, "is not supported", e);
}

static bool is_one_character(const struct step *s)
{
    uint32_t one;
    return s->literal && utf8_decode(s->pattern, strlen(s->pattern), &one) == strlen(s->pattern);
}

/* What a stream of tokens cannot undo is refused: see pipeline_decode.c. A Replace of one character
 * behind Fuse gives the same before it and moves there. */
static int check_decoders(struct steps *d, struct error *e)
{
    size_t fuse = 0;
    while (fuse < d->count && d->items[fuse].kind != STEP_FUSE)
        fuse++;
    for (size_t i = fuse + 1; i < d->count; i++) {
        struct step s = d->items[i];
        if (s.kind == STEP_REPLACE && is_one_character(&s)) {
            memmove(&d->items[fuse + 1], &d->items[fuse], (i - fuse) * sizeof s);
            d->items[fuse++] = s;
        } else if (s.kind != STEP_STRIP || s.stop || i != fuse + 1) {
            return error_set(e, ERR_FORMAT,
                             "decoder: what may follow \"Fuse\" is a \"Strip\" at the start");
        }
    }
    return OK;
}

static int check_splitters(const struct steps *s, struct error *e)
{
    for (size_t i = 0; i + 1 < s->count; i++)
        if (s->items[i].kind == STEP_BYTE_LEVEL)
            return error_set(e, ERR_FORMAT,
                             "pre_tokenizer: \"ByteLevel\" is supported as the last step only");
    return OK;
}

int pipeline_read(const json_t *root, struct pipeline **out, struct error *e)
{
    static const char *const parts[] = {"normalizer", "pre_tokenizer", "post_processor", "decoder"};
    struct pipeline *p = mem_zero(1, sizeof *p);
    *out = NULL;
    int code = read_steps(parts[0], json_object_get(root, parts[0]), "normalizers", normalizers, 0,
                          &p->normalizers, e);
    if (!code)
        code = read_steps(parts[1], json_object_get(root, parts[1]), "pretokenizers", splitters, 0,
                          &p->splitters, e);
    if (!code)
        code = read_steps(parts[3], json_object_get(root, parts[3]), "decoders", decoders, 0,
                          &p->decoders, e);
    code = code ? code : check_splitters(&p->splitters, e);
    code = code ? code : check_decoders(&p->decoders, e);
    p->components = json_object();
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        json_t *part = json_object_get(root, parts[i]);
        json_object_set_new(p->components, parts[i], part ? json_incref(part) : json_null());
    }
    if (code)
        pipeline_free(p);
    else
        *out = p;
    return code;
}
