#include "tokenizer/json_components.h"

#include "tokenizer/split.h"

#include <string.h>

static const char space[] = "\xE2\x96\x81"; /* U+2581, SentencePiece's space */

static const char *type_of(const json_t *component)
{
    const char *type = json_string_value(json_object_get(component, "type"));
    return type ? type : "";
}

static bool is(const json_t *component, const char *type)
{
    return strcmp(type_of(component), type) == 0;
}

static bool string_is(const json_t *object, const char *key, const char *expected)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s && strcmp(s, expected) == 0;
}

/* A switch that may be absent. */
static bool flag(const json_t *object, const char *key, bool otherwise)
{
    const json_t *v = json_object_get(object, key);
    return json_is_boolean(v) ? json_is_true(v) : otherwise;
}

static int unsupported(const char *where, const json_t *component, const char *why, struct error *e)
{
    const char *type = type_of(component);
    return error_set(e, ERR_FORMAT, "%s: \"%s\" %s", where, *type ? type : "?", why);
}

/* The members of a Sequence, or the component alone; NULL past the last. */
static const json_t *part(const json_t *component, const char *list, size_t i)
{
    if (!component || json_is_null(component))
        return NULL;
    if (is(component, "Sequence"))
        return json_array_get(json_object_get(component, list), i);
    return i == 0 ? component : NULL;
}

struct pipeline { /* what the components ask for, before it is judged as a whole */
    bool escapes_spaces, byte_level, byte_level_regex, has_pattern, metaspace, lone_digits;
    enum splitter pattern;
};

static int read_normalizer(const json_t *root, struct components *c, struct pipeline *p,
                           struct error *e)
{
    const json_t *whole = json_object_get(root, "normalizer"), *n;
    for (size_t i = 0; (n = part(whole, "normalizers", i)) != NULL; i++) {
        if (is(n, "NFC"))
            c->nfc = true;
        else if (is(n, "Prepend") && string_is(n, "prepend", space) && !p->escapes_spaces)
            c->space_prefix = true;
        else if (is(n, "Replace") && string_is(n, "content", space) &&
                 string_is(json_object_get(n, "pattern"), "String", " "))
            p->escapes_spaces = true;
        else
            return unsupported("normalizer", n,
                               "is not supported here (NFC is, and Prepend and "
                               "Replace as Llama 2 has them)",
                               e);
    }
    return OK;
}

static int read_metaspace(const json_t *m, struct components *c, struct pipeline *p,
                          struct error *e)
{
    if (flag(m, "split", true))
        return unsupported("pre_tokenizer", m, "with \"split\": true is not supported", e);
    if (!string_is(m, "replacement", space))
        return unsupported("pre_tokenizer", m, "must have the replacement U+2581", e);
    const char *scheme = json_string_value(json_object_get(m, "prepend_scheme"));
    bool prefix = scheme ? strcmp(scheme, "never") != 0 : flag(m, "add_prefix_space", true);
    c->space_prefix = prefix;
    p->metaspace = p->escapes_spaces = true;
    return OK;
}

static int read_split(const json_t *s, struct pipeline *p, struct error *e)
{
    const json_t *pattern = json_object_get(s, "pattern");
    const char *regex = json_string_value(json_object_get(pattern, "Regex"));
    if (!regex)
        return unsupported("pre_tokenizer", s, "needs a \"Regex\" pattern", e);
    if (!string_is(s, "behavior", "Isolated") || flag(s, "invert", false))
        return unsupported("pre_tokenizer", s,
                           "is supported with \"behavior\": \"Isolated\" and "
                           "\"invert\": false only",
                           e);
    if (!split_from_pattern(regex, &p->pattern))
        return error_set(e, ERR_FORMAT,
                         "pre_tokenizer: the Split pattern %.400s is none of gpt2, llama3, qwen2",
                         regex);
    p->has_pattern = true;
    return OK;
}

static int read_pre_tokenizer(const json_t *root, struct components *c, struct pipeline *p,
                              struct error *e)
{
    const json_t *whole = json_object_get(root, "pre_tokenizer"), *t;
    for (size_t i = 0; (t = part(whole, "pretokenizers", i)) != NULL; i++) {
        int code = OK;
        if (p->byte_level || p->metaspace ||
            ((p->has_pattern || p->lone_digits) && !is(t, "ByteLevel"))) {
            code = unsupported("pre_tokenizer", t, "cannot follow the step before it", e);
        } else if (is(t, "ByteLevel")) {
            if (flag(t, "add_prefix_space", true))
                return unsupported("pre_tokenizer", t,
                                   "with \"add_prefix_space\": true is not "
                                   "supported",
                                   e);
            p->byte_level = true;
            p->byte_level_regex = flag(t, "use_regex", true);
        } else if (is(t, "Digits") && flag(t, "individual_digits", false)) {
            p->lone_digits = true;
        } else if (is(t, "Split")) {
            code = read_split(t, p, e);
        } else if (is(t, "Metaspace")) {
            code = read_metaspace(t, c, p, e);
        } else {
            code = unsupported("pre_tokenizer", t,
                               "is not supported (ByteLevel is, Split with a "
                               "known pattern, Digits one by one, and "
                               "Metaspace)",
                               e);
        }
        if (code)
            return code;
    }
    return OK;
}

/* BOS is the one special token that may come before a text, and none may follow it. */
static int read_template(const json_t *t, struct components *c, struct error *e)
{
    const json_t *single = json_object_get(t, "single");
    size_t n = json_array_size(single);
    const json_t *first = json_object_get(json_array_get(single, 0), "SpecialToken"),
                 *last = json_object_get(json_array_get(single, n ? n - 1 : 0), "Sequence");
    if (n < 1 || n > 2 || !last || (n == 2 && !first))
        return unsupported("post_processor", t,
                           "may put one special token before a text, nothing "
                           "else",
                           e);
    c->bos = n == 2 ? json_string_value(json_object_get(first, "id")) : NULL;
    if (n == 2 && !c->bos)
        return unsupported("post_processor", t, "has a SpecialToken without \"id\"", e);
    return OK;
}

static int read_post_processor(const json_t *root, struct components *c, struct error *e)
{
    const json_t *whole = json_object_get(root, "post_processor"), *p;
    for (size_t i = 0; (p = part(whole, "processors", i)) != NULL; i++) {
        int code = OK;
        if (is(p, "TemplateProcessing"))
            code = read_template(p, c, e);
        else if (!is(p, "ByteLevel"))
            code = unsupported("post_processor", p,
                               "is not supported (ByteLevel and "
                               "TemplateProcessing are)",
                               e);
        if (code)
            return code;
    }
    return OK;
}

/* Decoding follows from the vocabulary's kind; the decoder is read to refuse what says otherwise.
 */
static int check_decoder(const json_t *root, bool byte_level, struct error *e)
{
    static const char *const sp[] = {"Replace", "ByteFallback", "Fuse", "Strip", "Metaspace"};
    const json_t *whole = json_object_get(root, "decoder"), *d;
    for (size_t i = 0; (d = part(whole, "decoders", i)) != NULL; i++) {
        bool known = byte_level && is(d, "ByteLevel");
        for (size_t k = 0; k < 5; k++)
            known |= !byte_level && is(d, sp[k]);
        if (!known)
            return unsupported("decoder", d,
                               byte_level ? "does not fit a ByteLevel vocabulary"
                                          : "does not fit a SentencePiece vocabulary",
                               e);
    }
    return OK;
}

static int empty_string(const json_t *model, const char *key, struct error *e)
{
    const char *s = NULL;
    int code = json_get_string(model, key, &s, e);
    if (!code && s && *s)
        code = error_set(e, ERR_FORMAT, "model.%s: \"%s\" is not supported", key, s);
    return code;
}

static int read_model(const json_t *root, struct components *c, const struct pipeline *p,
                      struct error *e)
{
    const json_t *model = json_object_get(root, "model");
    double dropout = 0;
    if (!json_is_object(model))
        return error_set(e, ERR_FORMAT, "\"model\" is missing: this is no tokenizer.json");
    if (json_object_get(model, "type") && !is(model, "BPE"))
        return unsupported("model", model, "is not supported, only BPE is", e);
    int code = json_get_double(model, "dropout", &dropout, e);
    if (!code && dropout != 0)
        code = error_set(e, ERR_FORMAT, "model.dropout: is not supported");
    code = code ? code : empty_string(model, "continuing_subword_prefix", e);
    code = code ? code : empty_string(model, "end_of_word_suffix", e);
    code = code ? code : json_get_bool(model, "ignore_merges", &c->ignore_merges, e);
    if (!p->byte_level)
        c->fuse_unknown = flag(model, "fuse_unk", false);
    if (!code && !p->byte_level && !flag(model, "byte_fallback", false))
        code = error_set(e, ERR_FORMAT, "model.byte_fallback: must be true without ByteLevel");
    return code;
}

/* Which of our splitters the steps amount to. */
static int judge(const json_t *root, struct components *c, const struct pipeline *p,
                 struct error *e)
{
    const json_t *model = json_object_get(root, "model");
    if (p->byte_level && p->escapes_spaces)
        return error_set(e, ERR_FORMAT,
                         "normalizer: replaces spaces, which ByteLevel does not "
                         "expect");
    if (!p->byte_level && p->has_pattern)
        return error_set(e, ERR_FORMAT, "pre_tokenizer: Split without ByteLevel is not supported");
    if (!p->byte_level && !p->escapes_spaces)
        return error_set(e, ERR_FORMAT,
                         "pre_tokenizer: neither ByteLevel nor SentencePiece's "
                         "spaces: nothing this program knows");
    if (!p->byte_level && c->nfc)
        return error_set(e, ERR_FORMAT, "normalizer: \"NFC\" is not supported without ByteLevel");
    if (p->has_pattern && p->byte_level_regex)
        return error_set(e, ERR_FORMAT, "pre_tokenizer: two patterns, Split's and ByteLevel's");
    if (p->lone_digits && !p->byte_level_regex)
        return error_set(e, ERR_FORMAT,
                         "pre_tokenizer: Digits is supported only before ByteLevel "
                         "with \"use_regex\": true");
    if (p->lone_digits)
        c->splitter = SPLITTER_SMOLLM;
    else if (p->has_pattern)
        c->splitter = p->pattern;
    else if (!p->byte_level)
        c->splitter = SPLITTER_NONE;
    else if (p->byte_level_regex)
        c->splitter = SPLITTER_GPT2;
    else if (json_array_size(json_object_get(model, "merges")) == 0 && !c->nfc)
        c->splitter = SPLITTER_BYTES;
    else
        return error_set(e, ERR_FORMAT,
                         "pre_tokenizer: ByteLevel without a pattern is supported "
                         "only for a vocabulary without merges");
    return OK;
}

int json_components_read(const json_t *root, struct components *c, struct error *e)
{
    *c = (struct components){0};
    struct pipeline p = {0};
    if (!json_is_object(root))
        return error_set(e, ERR_FORMAT, "must be a JSON object: this is no tokenizer.json");
    int code = read_normalizer(root, c, &p, e);
    code = code ? code : read_pre_tokenizer(root, c, &p, e);
    code = code ? code : read_post_processor(root, c, e);
    code = code ? code : check_decoder(root, p.byte_level, e);
    code = code ? code : read_model(root, c, &p, e);
    return code ? code : judge(root, c, &p, e);
}
