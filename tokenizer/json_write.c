/* tokenizer.json and tokenizer_config.json as Hugging Face's libraries write them. */
#include "base/file.h"
#include "base/memory.h"
#include "tokenizer/pipeline.h"
#include "tokenizer/sentencepiece.h"
#include "tokenizer/split.h"
#include "tokenizer/unigram.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void quote(struct buffer *b, const char *text, size_t n)
{
    buffer_byte(b, '"');
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            buffer_printf(b, "\\%c", c);
        else if (c < 0x20)
            buffer_printf(b, "\\u%04x", c);
        else
            buffer_byte(b, text[i]);
    }
    buffer_byte(b, '"');
}

static void quote_token(struct buffer *b, const struct tokenizer *t, int32_t id)
{
    quote(b, t->text.data + t->tokens[id].text, t->tokens[id].n_text);
}

static bool is_added(const struct tokenizer *t, size_t id)
{
    int kind = t->tokens[id].kind;
    return kind == TOKEN_CONTROL || kind == TOKEN_USER_DEFINED || kind == TOKEN_UNKNOWN;
}

static const char *truth(bool b)
{
    return b ? "true" : "false";
}

/* The flags of an added token, with its braces. */
static void added_flags(struct buffer *b, const struct tokenizer *t, size_t id, const char *indent)
{
    const struct token *token = &t->tokens[id];
    const struct step *sp = t->pipeline ? pipeline_step(t->pipeline, STEP_SENTENCEPIECE) : NULL;
    const struct {
        const char *name;
        bool value;
    } flags[] = {
        {"single_word", token->flags & SINGLE_WORD},
        {"lstrip", token->flags & STRIP_LEFT},
        {"rstrip", token->flags & STRIP_RIGHT},
        /* A space put before the token's own text, as Prepend does, would hide it. */
        {"normalized", token->flags & NORMALIZED && !(sp && sp->prefix)},
        {"special", token->kind != TOKEN_USER_DEFINED},
    };
    for (size_t i = 0; i < 5; i++)
        buffer_printf(b, "%s  \"%s\": %s%s\n", indent, flags[i].name, truth(flags[i].value),
                      i < 4 ? "," : "");
    buffer_printf(b, "%s}", indent);
}

static void write_added_tokens(struct buffer *b, const struct tokenizer *t)
{
    const char *separator = "\n";
    buffer_string(b, "  \"added_tokens\": [");
    for (size_t id = 0; id < t->n_tokens; id++) {
        if (!is_added(t, id))
            continue;
        buffer_printf(b, "%s    {\n      \"id\": %zu,\n      \"content\": ", separator, id);
        quote_token(b, t, (int32_t)id);
        buffer_string(b, ",\n");
        added_flags(b, t, id, "    ");
        separator = ",\n";
    }
    buffer_string(b, *separator == ',' ? "\n  ],\n" : "],\n");
}

/* A component as it was read. */
static void write_component(struct buffer *b, const struct tokenizer *t, const char *name)
{
    char *text =
        json_dumps(json_object_get(t->pipeline->components, name), JSON_ENCODE_ANY | JSON_COMPACT);
    buffer_printf(b, "  \"%s\": %s,\n", name, text ? text : "null");
    free(text);
}

static void write_normalizer(struct buffer *b, const struct tokenizer *t)
{
    static const char replace[] =
        "{\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"\xE2\x96\x81\"}";
    static const char prepend[] = "{\"type\": \"Prepend\", \"prepend\": \"\xE2\x96\x81\"}, ";
    if (t->splitter == SPLITTER_NONE)
        buffer_printf(b, "  \"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [%s%s]},\n",
                      t->space_prefix ? prepend : "", replace);
    else
        buffer_printf(b, "  \"normalizer\": %s,\n", t->nfc ? "{\"type\": \"NFC\"}" : "null");
}

static void byte_level(struct buffer *b, bool prefix, bool trim, bool regex, const char *indent)
{
    buffer_printf(b,
                  "{\n%s  \"type\": \"ByteLevel\",\n%s  \"add_prefix_space\": %s,\n"
                  "%s  \"trim_offsets\": %s,\n%s  \"use_regex\": %s\n%s}",
                  indent, indent, truth(prefix), indent, truth(trim), indent, truth(regex), indent);
}

static void write_pre_tokenizer(struct buffer *b, const struct tokenizer *t)
{
    buffer_string(b, "  \"pre_tokenizer\": ");
    switch (t->splitter) {
    case SPLITTER_NONE:
    case SPLITTER_GENERAL:
        buffer_string(b, "null");
        break;
    case SPLITTER_BYTES:
    case SPLITTER_GPT2:
        byte_level(b, false, true, t->splitter == SPLITTER_GPT2, "  ");
        break;
    case SPLITTER_SMOLLM:
        buffer_string(b, "{\n    \"type\": \"Sequence\",\n    \"pretokenizers\": [\n      {\n"
                         "        \"type\": \"Digits\",\n        \"individual_digits\": true\n"
                         "      },\n      ");
        byte_level(b, false, true, true, "      ");
        buffer_string(b, "\n    ]\n  }");
        break;
    case SPLITTER_LLAMA3:
    case SPLITTER_QWEN2: {
        const char *pattern = split_pattern(t->splitter);
        buffer_string(b, "{\n    \"type\": \"Sequence\",\n    \"pretokenizers\": [\n      {\n"
                         "        \"type\": \"Split\",\n        \"pattern\": {\n"
                         "          \"Regex\": ");
        quote(b, pattern, strlen(pattern));
        buffer_string(b, "\n        },\n        \"behavior\": \"Isolated\",\n"
                         "        \"invert\": false\n      },\n      ");
        byte_level(b, false, true, false, "      ");
        buffer_string(b, "\n    ]\n  }");
        break;
    }
    }
    buffer_string(b, ",\n");
}

/* One form of the template: the texts with what stands around each. */
static void template(struct buffer *b, const char *key, const char *texts, const char *bos,
                     const char *eos)
{
    const char *separator = "\n";
    buffer_printf(b, "    \"%s\": [", key);
    for (int i = 0; texts[i]; i++) {
        if (bos) {
            buffer_printf(b, "%s      {\"SpecialToken\": {\"id\": %s, \"type_id\": %d}}", separator,
                          bos, i);
            separator = ",\n";
        }
        buffer_printf(b, "%s      {\"Sequence\": {\"id\": \"%c\", \"type_id\": %d}}", separator,
                      texts[i], i);
        separator = ",\n";
        if (eos)
            buffer_printf(b, ",\n      {\"SpecialToken\": {\"id\": %s, \"type_id\": %d}}", eos, i);
    }
    buffer_string(b, "\n    ],\n");
}

static void template_special(struct buffer *b, const char *quoted, int32_t id, bool last)
{
    buffer_printf(b, "      %s: {\"id\": %s, \"ids\": [%d], \"tokens\": [%s]}%s\n", quoted, quoted,
                  id, quoted, last ? "" : ",");
}

/* BOS before each text and EOS behind it, where the model expects them; else what changes only
 * offsets. */
static void write_post_processor(struct buffer *b, const struct tokenizer *t)
{
    bool with_bos = t->adds_bos && t->bos != TOKEN_NONE,
         with_eos = t->adds_eos && t->eos != TOKEN_NONE;
    buffer_string(b, "  \"post_processor\": ");
    if (with_bos || with_eos) {
        struct buffer bos = {0}, eos = {0};
        if (with_bos)
            quote_token(&bos, t, t->bos);
        if (with_eos)
            quote_token(&eos, t, t->eos);
        buffer_string(b, "{\n    \"type\": \"TemplateProcessing\",\n");
        template(b, "single", "A", bos.data, eos.data);
        template(b, "pair", "AB", bos.data, eos.data);
        buffer_string(b, "    \"special_tokens\": {\n");
        bool both = with_bos && with_eos && t->bos != t->eos;
        if (with_bos)
            template_special(b, bos.data, t->bos, !both);
        if (with_eos && (both || !with_bos))
            template_special(b, eos.data, t->eos, true);
        buffer_string(b, "    }\n  }");
        buffer_free(&bos);
        buffer_free(&eos);
    } else if (t->char_level) {
        buffer_string(b, "null");
    } else {
        byte_level(b, true, false, true, "  ");
    }
    buffer_string(b, ",\n");
}

static void write_decoder(struct buffer *b, const struct tokenizer *t)
{
    buffer_string(b, "  \"decoder\": ");
    if (t->splitter == SPLITTER_NONE)
        buffer_printf(
            b,
            "{\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Replace\", \"pattern\": "
            "{\"String\": \"\xE2\x96\x81\"}, \"content\": \" \"}, {\"type\": "
            "\"ByteFallback\"}, {\"type\": \"Fuse\"}%s]}",
            t->space_prefix ? ", {\"type\": \"Strip\", \"content\": \" \", \"start\": 1, "
                              "\"stop\": 0}"
                            : "");
    else
        byte_level(b, true, true, true, "  ");
    buffer_string(b, ",\n");
}

static bool is_gap(const struct tokenizer *t, size_t id)
{
    char text[32];
    int n = snprintf(text, sizeof text, "[PAD%zu]", id);
    const struct token *token = &t->tokens[id];
    return token->kind == TOKEN_UNUSED && token->n_text == (size_t)n &&
           memcmp(t->text.data + token->text, text, (size_t)n) == 0;
}

/* Whether the tokens that are only added can be left out of the vocabulary: Hugging Face's library
 * numbers them from the vocabulary's end on. */
static bool added_follow(const struct tokenizer *t)
{
    bool outside = false;
    for (size_t id = 0; id < t->n_tokens; id++) {
        if ((outside && !(t->tokens[id].flags & OUTSIDE)) || is_gap(t, id))
            return false;
        outside |= t->tokens[id].flags & OUTSIDE;
    }
    return true;
}

static void write_vocabulary(struct buffer *b, const struct tokenizer *t)
{
    bool follow = added_follow(t);
    const char *separator = "\n";
    buffer_string(b, "    \"vocab\": {");
    for (size_t id = 0; id < t->n_tokens; id++) {
        if (is_gap(t, id) ||
            (follow && t->tokens[id].flags & OUTSIDE)) /* reading makes a gap again */
            continue;
        buffer_printf(b, "%s      ", separator);
        quote_token(b, t, (int32_t)id);
        buffer_printf(b, ": %zu", id);
        separator = ",\n";
    }
    buffer_string(b, "\n    },\n    \"merges\": [");
    for (size_t i = 0; i < t->n_merges; i++) {
        buffer_string(b, i ? ",\n      [\n        " : "\n      [\n        ");
        quote_token(b, t, t->merges[i].left);
        buffer_string(b, ",\n        ");
        quote_token(b, t, t->merges[i].right);
        buffer_string(b, "\n      ]");
    }
    buffer_string(b, t->n_merges ? "\n    ]\n  }\n}" : "]\n  }\n}");
}

static void write_bpe(struct buffer *b, const struct tokenizer *t)
{
    buffer_string(b, "  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n"
                     "    \"unk_token\": ");
    if (t->char_level && t->unknown != TOKEN_NONE)
        quote_token(b, t, t->unknown);
    else
        buffer_string(b, "null");
    buffer_printf(b,
                  ",\n    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n"
                  "    \"fuse_unk\": %s,\n    \"byte_fallback\": %s,\n    \"ignore_merges\": %s,\n",
                  truth(t->fuse_unknown), truth(t->byte_fallback), truth(t->ignore_merges));
    write_vocabulary(b, t);
}

/* A piece's place is its id. What is only added stands behind the last piece or, with a score that
 * never wins, in its place. */
static void write_unigram(struct buffer *b, const struct tokenizer *t)
{
    bool follow = added_follow(t);
    buffer_printf(b,
                  "  \"model\": {\n    \"type\": \"Unigram\",\n    \"unk_id\": %d,\n"
                  "    \"vocab\": [",
                  t->unknown);
    for (size_t id = 0; id < t->n_tokens; id++) {
        if (follow && t->tokens[id].flags & OUTSIDE)
            break;
        buffer_string(b, id ? ",\n      [" : "\n      [");
        quote_token(b, t, (int32_t)id);
        char score[64];
        unigram_score_text(t->scores[id], score);
        buffer_printf(b, ", %s]", score);
    }
    buffer_printf(b, "\n    ],\n    \"byte_fallback\": %s\n  }\n}", truth(t->byte_fallback));
}

/* Merges name tokens; a SentencePiece vocabulary may merge characters that are none. */
static int check_writable(const struct tokenizer *t, struct error *e)
{
    for (size_t i = 0; i < t->n_merges; i++)
        if ((size_t)t->merges[i].left >= t->n_tokens || (size_t)t->merges[i].right >= t->n_tokens)
            return error_set(e, ERR_FORMAT,
                             "token \"%s\" is made of a character that is no token itself: "
                             "tokenizer.json cannot express that",
                             t->text.data + t->tokens[t->merges[i].id].text);
    return OK;
}

int tokenizer_print_json(const struct tokenizer *t, struct buffer *out, struct error *e)
{
    int code = check_writable(t, e);
    if (code)
        return code;
    buffer_string(out,
                  "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n");
    write_added_tokens(out, t);
    if (t->pipeline) {
        write_component(out, t, "normalizer");
        write_component(out, t, "pre_tokenizer");
    } else {
        write_normalizer(out, t);
        write_pre_tokenizer(out, t);
    }
    write_post_processor(out, t);
    if (t->pipeline)
        write_component(out, t, "decoder");
    else
        write_decoder(out, t);
    if (t->model == MODEL_UNIGRAM)
        write_unigram(out, t);
    else
        write_bpe(out, t);
    return OK;
}

int tokenizer_write_json(const struct tokenizer *t, const char *path, struct error *e)
{
    struct buffer b = {0};
    int code = tokenizer_print_json(t, &b, e);
    if (code)
        error_prefix(e, "%s", path);
    else
        code = file_write(path, b.data, b.size, e);
    buffer_free(&b);
    return code;
}

static void config_token(struct buffer *b, const struct tokenizer *t, const char *key, int32_t id)
{
    if (id == TOKEN_NONE)
        return;
    buffer_printf(b, "  \"%s\": ", key);
    quote_token(b, t, id);
    buffer_string(b, ",\n");
}

int tokenizer_write_config_json(const struct tokenizer *t, size_t max_length, const char *path,
                                struct error *e)
{
    struct buffer b = {0};
    buffer_printf(&b,
                  "{\n  \"add_bos_token\": %s,\n  \"add_eos_token\": %s,\n"
                  "  \"add_prefix_space\": false,\n  \"added_tokens_decoder\": {",
                  truth(t->adds_bos), truth(t->adds_eos));
    const char *separator = "\n";
    for (size_t id = 0; id < t->n_tokens; id++) {
        if (!is_added(t, id))
            continue;
        buffer_printf(&b, "%s    \"%zu\": {\n      \"content\": ", separator, id);
        quote_token(&b, t, (int32_t)id);
        buffer_string(&b, ",\n");
        added_flags(&b, t, id, "    ");
        separator = ",\n";
    }
    buffer_string(&b, *separator == ',' ? "\n  },\n" : "},\n");
    config_token(&b, t, "bos_token", t->bos);
    if (t->chat_template) {
        buffer_string(&b, "  \"chat_template\": ");
        quote(&b, t->chat_template, strlen(t->chat_template));
        buffer_string(&b, ",\n");
    }
    buffer_string(&b, "  \"clean_up_tokenization_spaces\": false,\n");
    config_token(&b, t, "eos_token", t->eos);
    buffer_printf(&b, "  \"model_max_length\": %zu,\n", max_length);
    config_token(&b, t, "pad_token", t->pad);
    buffer_string(&b, "  \"tokenizer_class\": \"PreTrainedTokenizerFast\"");
    if (t->char_level && t->unknown != TOKEN_NONE) {
        buffer_string(&b, ",\n  \"unk_token\": ");
        quote_token(&b, t, t->unknown);
    }
    buffer_string(&b, "\n}\n");
    int code = file_write(path, b.data, b.size, e);
    buffer_free(&b);
    return code;
}
