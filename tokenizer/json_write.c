/* tokenizer.json and tokenizer_config.json as Hugging Face's libraries write them. */
#include "base/file.h"
#include "base/memory.h"
#include "tokenizer/sentencepiece.h"
#include "tokenizer/split.h"
#include "tokenizer/tokenizer_internal.h"

#include <stdio.h>
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
    const struct {
        const char *name;
        bool value;
    } flags[] = {
        {"single_word", false},
        {"lstrip", token->strip & STRIP_LEFT},
        {"rstrip", token->strip & STRIP_RIGHT},
        {"normalized", false},
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

/* BOS before each text, where the model expects it; the other form changes only offsets. */
static void write_post_processor(struct buffer *b, const struct tokenizer *t)
{
    buffer_string(b, "  \"post_processor\": ");
    if (t->adds_bos && t->bos != TOKEN_NONE) {
        struct buffer bos = {0}, special = {0};
        quote_token(&bos, t, t->bos);
        buffer_printf(&special, "{\"SpecialToken\": {\"id\": %s, \"type_id\": ", bos.data);
        buffer_printf(b,
                      "{\n    \"type\": \"TemplateProcessing\",\n    \"single\": [\n      %s0}},\n"
                      "      {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}\n    ],\n"
                      "    \"pair\": [\n      %s0}},\n"
                      "      {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}},\n      %s1}},\n"
                      "      {\"Sequence\": {\"id\": \"B\", \"type_id\": 1}}\n    ],\n"
                      "    \"special_tokens\": {\n"
                      "      %s: {\"id\": %s, \"ids\": [%d], \"tokens\": [%s]}\n    }\n  }",
                      special.data, special.data, special.data, bos.data, bos.data, t->bos,
                      bos.data);
        buffer_free(&bos);
        buffer_free(&special);
    } else if (t->splitter == SPLITTER_NONE) {
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

static void write_model(struct buffer *b, const struct tokenizer *t)
{
    bool sp = t->splitter == SPLITTER_NONE;
    buffer_string(b, "  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n"
                     "    \"unk_token\": ");
    if (sp && t->unknown != TOKEN_NONE)
        quote_token(b, t, t->unknown);
    else
        buffer_string(b, "null");
    buffer_printf(b,
                  ",\n    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n"
                  "    \"fuse_unk\": %s,\n    \"byte_fallback\": %s,\n    \"ignore_merges\": %s,\n"
                  "    \"vocab\": {",
                  truth(t->fuse_unknown), truth(sp), truth(t->ignore_merges));
    const char *separator = "\n";
    for (size_t id = 0; id < t->n_tokens; id++) {
        if (is_gap(t, id)) /* reading makes it again */
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

int tokenizer_write_json(const struct tokenizer *t, const char *path, struct error *e)
{
    int code = check_writable(t, e);
    if (code) {
        error_prefix(e, "%s", path);
        return code;
    }
    struct buffer b = {0};
    buffer_string(&b,
                  "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n");
    write_added_tokens(&b, t);
    write_normalizer(&b, t);
    write_pre_tokenizer(&b, t);
    write_post_processor(&b, t);
    write_decoder(&b, t);
    write_model(&b, t);
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
                  "{\n  \"add_bos_token\": %s,\n  \"add_prefix_space\": false,\n"
                  "  \"added_tokens_decoder\": {",
                  truth(t->adds_bos));
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
    buffer_string(&b, "  \"clean_up_tokenization_spaces\": false,\n");
    config_token(&b, t, "eos_token", t->eos);
    buffer_printf(&b, "  \"model_max_length\": %zu,\n", max_length);
    config_token(&b, t, "pad_token", t->pad);
    buffer_string(&b, "  \"tokenizer_class\": \"PreTrainedTokenizerFast\"");
    if (t->splitter == SPLITTER_NONE && t->unknown != TOKEN_NONE) {
        buffer_string(&b, ",\n  \"unk_token\": ");
        quote_token(&b, t, t->unknown);
    }
    buffer_string(&b, "\n}\n");
    int code = file_write(path, b.data, b.size, e);
    buffer_free(&b);
    return code;
}
