#include "tokenizer/json_components.h"

#include "base/memory.h"
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

static int unsupported(const char *where, const json_t *component, const char *why, struct error *e)
{
    const char *type = type_of(component);
    return error_set(e, ERR_FORMAT, "%s: \"%.100s\" %s", where, *type ? type : "?", why);
}

/* ---- stacks that are done by hand ---- */

static bool replaces(const struct step *s, const char *what, const char *with)
{
    return s->kind == STEP_REPLACE && s->literal && strcmp(s->pattern, what) == 0 &&
           strcmp(s->content, with) == 0;
}

/* ByteLevel alone or behind one known split, at most composed before. */
static bool is_known_byte_level(const struct pipeline *p, bool has_merges, struct components *c)
{
    const struct steps *n = &p->normalizers, *s = &p->splitters, *d = &p->decoders;
    bool nfc = n->count == 1 && n->items[0].kind == STEP_FORM && n->items[0].form == FORM_NFC;
    if ((n->count && !nfc) || s->count == 0 || s->count > 2 || d->count > 1 ||
        (d->count && d->items[0].kind != STEP_BYTE_LEVEL))
        return false;
    const struct step *first = &s->items[0], *last = &s->items[s->count - 1];
    bool cuts =
        s->count == 2 && first->kind == STEP_SPLIT && first->behavior == ISOLATED && !first->invert;
    if (last->kind != STEP_BYTE_LEVEL || last->prefix)
        return false;
    c->nfc = nfc;
    if (s->count == 1 && last->split)
        c->splitter = SPLITTER_GPT2;
    else if (s->count == 1 && !has_merges && !nfc)
        c->splitter = SPLITTER_BYTES;
    else if (cuts && last->split && first->at == SPLIT_NUMBERS)
        c->splitter = SPLITTER_SMOLLM;
    else
        return cuts && !last->split && first->at == SPLIT_PATTERN && !first->literal &&
               split_from_pattern(first->pattern, &c->splitter);
    return true;
}

/* U+2581 for every space, and one before each stretch of text or none: Llama 2, Phi-3, Gemma. A
 * Split at spaces, which Gemma's file has, finds none any more. */
static bool is_known_sentencepiece(const struct pipeline *p, struct components *c)
{
    const struct steps *n = &p->normalizers, *s = &p->splitters, *d = &p->decoders;
    bool prefix = n->count == 2 && n->items[0].kind == STEP_PREPEND &&
                  strcmp(n->items[0].content, space) == 0;
    if (n->count != (prefix ? 2u : 1u) || !replaces(&n->items[n->count - 1], " ", space))
        return false;
    if (s->count > 1 ||
        (s->count == 1 &&
         !(s->items[0].kind == STEP_SPLIT && s->items[0].at == SPLIT_PATTERN &&
           s->items[0].literal && strcmp(s->items[0].pattern, " ") == 0 && !s->items[0].invert)))
        return false;
    const struct step *strip = d->count == 4 ? &d->items[3] : NULL;
    bool strips = strip && strip->kind == STEP_STRIP && strip->start == 1 && !strip->stop &&
                  strcmp(strip->content, " ") == 0;
    if (d->count != (prefix ? 4u : 3u) || strips != prefix || !replaces(&d->items[0], space, " ") ||
        d->items[1].kind != STEP_BYTE_FALLBACK || d->items[2].kind != STEP_FUSE)
        return false;
    c->splitter = SPLITTER_NONE;
    c->space_prefix = prefix;
    return c->byte_fallback && c->model == MODEL_BPE && !c->ignore_merges;
}

/* Where a file names no decoder, bytes are still bytes; other tokens are joined by spaces. */
static void complete_decoder(struct pipeline *p)
{
    if (p->decoders.count)
        return;
    bool bytes = pipeline_is_byte_level(p);
    steps_add(&p->decoders)->kind = bytes ? STEP_BYTE_LEVEL : STEP_WORDPIECE;
}

/* ---- the post-processor ---- */

static const char *special_of(const json_t *item)
{
    return json_string_value(json_object_get(json_object_get(item, "SpecialToken"), "id"));
}

/* BOS may come before a text, and EOS behind it. */
static int read_template(const json_t *t, struct components *c, struct error *e)
{
    const json_t *single = json_object_get(t, "single");
    size_t n = json_array_size(single), text = 0;
    while (text < n && !json_object_get(json_array_get(single, text), "Sequence"))
        text++;
    if (text == n || text > 1 || n - text > 2)
        return unsupported(
            "post_processor", t,
            "may put one special token before a text and one behind it, nothing else", e);
    c->bos = text == 1 ? special_of(json_array_get(single, 0)) : NULL;
    c->eos = n - text == 2 ? special_of(json_array_get(single, n - 1)) : NULL;
    if ((text == 1 && !c->bos) || (n - text == 2 && !c->eos))
        return unsupported("post_processor", t, "has a SpecialToken without \"id\"", e);
    return OK;
}

static int read_post_processor(const json_t *p, int depth, struct components *c, struct error *e)
{
    if (!p || json_is_null(p) || is(p, "ByteLevel"))
        return OK;
    if (is(p, "TemplateProcessing"))
        return read_template(p, c, e);
    if (!is(p, "Sequence") || depth > 8)
        return unsupported("post_processor", p,
                           "is not supported (ByteLevel and TemplateProcessing are)", e);
    const json_t *members = json_object_get(p, "processors");
    int code = OK;
    for (size_t i = 0; !code && i < json_array_size(members); i++)
        code = read_post_processor(json_array_get(members, i), depth + 1, c, e);
    return code;
}

/* ---- the model ---- */

static int empty_string(const json_t *model, const char *key, struct error *e)
{
    const char *s = NULL;
    int code = json_get_string(model, key, &s, e);
    if (!code && s && *s)
        code = error_set(e, ERR_FORMAT, "model.%s: \"%s\" is not supported", key, s);
    return code;
}

static int read_bpe(const json_t *model, struct components *c, struct error *e)
{
    double dropout = 0;
    int code = json_get_double(model, "dropout", &dropout, e);
    if (!code && dropout != 0)
        code = error_set(e, ERR_FORMAT, "model.dropout: is not supported");
    code = code ? code : empty_string(model, "continuing_subword_prefix", e);
    code = code ? code : empty_string(model, "end_of_word_suffix", e);
    code = code ? code : json_get_bool(model, "ignore_merges", &c->ignore_merges, e);
    code = code ? code : json_get_bool(model, "fuse_unk", &c->fuse_unknown, e);
    return code;
}

static int read_model(const json_t *root, struct components *c, struct error *e)
{
    const json_t *model = json_object_get(root, "model");
    if (!json_is_object(model))
        return error_set(e, ERR_FORMAT, "\"model\" is missing: this is no tokenizer.json");
    bool unigram = json_object_get(model, "type") ? is(model, "Unigram")
                                                  : json_is_array(json_object_get(model, "vocab"));
    if (!unigram && json_object_get(model, "type") && !is(model, "BPE"))
        return unsupported("model", model, "is not supported, only BPE and Unigram are", e);
    c->model = unigram ? MODEL_UNIGRAM : MODEL_BPE;
    int code = json_get_bool(model, "byte_fallback", &c->byte_fallback, e);
    return code || unigram ? code : read_bpe(model, c, e);
}

int json_components_read(const json_t *root, struct components *c, struct error *e)
{
    struct pipeline *p = NULL;
    *c = (struct components){0};
    if (!json_is_object(root))
        return error_set(e, ERR_FORMAT, "must be a JSON object: this is no tokenizer.json");
    int code = read_model(root, c, e);
    code = code ? code : read_post_processor(json_object_get(root, "post_processor"), 0, c, e);
    code = code ? code : pipeline_read(root, &p, e);
    if (code)
        return code;
    bool bytes = pipeline_is_byte_level(p);
    const json_t *merges = json_object_get(json_object_get(root, "model"), "merges");
    c->char_level = !bytes;
    if (bytes && c->model == MODEL_UNIGRAM)
        code = error_set(e, ERR_FORMAT, "pre_tokenizer: \"ByteLevel\" needs a BPE model");
    else if (bytes)
        c->byte_fallback = c->fuse_unknown = false; /* every byte is known */
    if (!code && ((bytes && is_known_byte_level(p, json_array_size(merges) > 0, c)) ||
                  (!bytes && is_known_sentencepiece(p, c)))) {
        pipeline_free(p);
        return OK;
    }
    if (code) {
        pipeline_free(p);
        return code;
    }
    c->splitter = SPLITTER_GENERAL;
    c->nfc = c->space_prefix = false;
    complete_decoder(p);
    c->pipeline = p;
    return OK;
}
