/* What stands beside a vocabulary in a folder: special tokens, added tokens, the chat template, the
 * ids that end a text. */
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "tokenizer/tokenizer_internal.h"

#include <stdlib.h>
#include <string.h>

enum { FILE_LIMIT = 1 << 30, TEMPLATE_LIMIT = 1 << 24, MOST_ENDS = 1024 };

/* The first of the names that is a special token, else the first special token there is. */
static int32_t special_named(const struct tokenizer *t, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int32_t id = tokenizer_find(t, names[i], strlen(names[i]));
        if (id != TOKEN_NONE && t->tokens[id].kind == TOKEN_CONTROL)
            return id;
    }
    for (size_t i = 0; i < t->n_tokens; i++)
        if (t->tokens[i].kind == TOKEN_CONTROL)
            return (int32_t)i;
    return TOKEN_NONE;
}

void tokenizer_guess_ends(struct tokenizer *t)
{
    static const char *const begin[] = {"<|begin_of_text|>", "<s>", "<bos>"};
    static const char *const end[] = {"<|end_of_text|>", "</s>", "<eos>", "<|endoftext|>"};
    if (t->bos == TOKEN_NONE)
        t->bos = special_named(t, begin, sizeof begin / sizeof *begin);
    if (t->eos == TOKEN_NONE)
        t->eos = special_named(t, end, sizeof end / sizeof *end);
}

/* A special token of tokenizer_config.json: a string, or an object with its content. */
static int config_token(const struct tokenizer *t, const json_t *config, const char *key,
                        int32_t *id, struct error *e)
{
    const json_t *v = json_object_get(config, key);
    if (json_is_object(v))
        v = json_object_get(v, "content");
    if (!v || json_is_null(v))
        return OK;
    if (!json_is_string(v))
        return error_set(e, ERR_FORMAT, "\"%s\" must be a string or an object with \"content\"",
                         key);
    *id = tokenizer_find(t, json_string_value(v), json_string_length(v));
    if (*id == TOKEN_NONE)
        return error_set(e, ERR_FORMAT, "\"%s\": \"%s\" is not in the vocabulary", key,
                         json_string_value(v));
    return OK;
}

static int special_tokens(struct tokenizer *t, const json_t *config, struct error *e)
{
    int code = config_token(t, config, "bos_token", &t->bos, e);
    code = code ? code : config_token(t, config, "eos_token", &t->eos, e);
    return code ? code : config_token(t, config, "pad_token", &t->pad, e);
}

/* A string, or a list of templates with names, of which the default is taken, else the first. */
static int read_template(struct tokenizer *t, const json_t *config, struct error *e)
{
    const json_t *v = json_object_get(config, "chat_template"), *chosen = v;
    if (!v || json_is_null(v))
        return OK;
    if (json_is_array(v)) {
        chosen = json_object_get(json_array_get(v, 0), "template");
        for (size_t i = 0; i < json_array_size(v); i++) {
            const json_t *one = json_array_get(v, i);
            const char *name = json_string_value(json_object_get(one, "name"));
            if (name && strcmp(name, "default") == 0)
                chosen = json_object_get(one, "template");
        }
    }
    if (!json_is_string(chosen) || strlen(json_string_value(chosen)) != json_string_length(chosen))
        return error_set(
            e, ERR_FORMAT,
            "\"chat_template\" must be a string or a list of {\"name\", \"template\"}");
    tokenizer_set_chat_template(t, json_string_value(chosen));
    return OK;
}

static int read_config(struct tokenizer *t, const json_t *config, struct error *e)
{
    int code = special_tokens(t, config, e);
    code = code ? code : json_get_bool(config, "add_bos_token", &t->adds_bos, e);
    code = code ? code : json_get_bool(config, "add_eos_token", &t->adds_eos, e);
    if (!code && t->adds_bos && t->bos == TOKEN_NONE)
        code = error_set(e, ERR_FORMAT, "\"add_bos_token\" is true but there is no \"bos_token\"");
    if (!code && t->adds_eos && t->eos == TOKEN_NONE)
        code = error_set(e, ERR_FORMAT, "\"add_eos_token\" is true but there is no \"eos_token\"");
    return code ? code : read_template(t, config, e);
}

/* eos_token_id: a number or a list. Ids beyond the vocabulary are never generated as text. */
static int read_generation(struct tokenizer *t, const json_t *config, struct error *e)
{
    const json_t *v = json_object_get(config, "eos_token_id");
    size_t n = json_is_array(v) ? json_array_size(v) : v && !json_is_null(v);
    if (n > MOST_ENDS)
        return error_set(e, ERR_FORMAT, "\"eos_token_id\" has %zu items, more than %d", n,
                         MOST_ENDS);
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_is_array(v) ? json_array_get(v, i) : v;
        if (!json_is_integer(id) || json_integer_value(id) < 0)
            return error_set(e, ERR_FORMAT,
                             "\"eos_token_id\" must be a token's id or a list of ids");
        if ((uint64_t)json_integer_value(id) < t->n_tokens)
            tokenizer_add_end(t, (int32_t)json_integer_value(id));
    }
    return OK;
}

/* Reads a file of the folder if it is there, with the function given. */
static int with_file(struct tokenizer *t, const char *folder, const char *name,
                     int (*read)(struct tokenizer *t, const json_t *root, struct error *e),
                     struct error *e)
{
    char *path = mem_printf("%s%s", folder, name);
    json_t *root = NULL;
    int code = OK;
    if (file_exists(path)) {
        code = json_read(path, &root, e);
        if (!code) {
            code = read(t, root, e);
            if (code)
                error_prefix(e, "%s", path);
        }
        json_decref(root);
    }
    mem_free(path);
    return code;
}

static int read_template_file(struct tokenizer *t, const char *folder, struct error *e)
{
    char *path = mem_printf("%schat_template.jinja", folder);
    struct buffer text = {0};
    int code = OK;
    if (!t->chat_template && file_exists(path)) {
        code = file_read(path, &text, TEMPLATE_LIMIT, e);
        if (!code && text.size && memchr(text.data, 0, text.size))
            code = error_set(e, ERR_FORMAT, "%s: holds a NUL character", path);
        if (!code && text.size)
            tokenizer_set_chat_template(t, text.data);
    }
    buffer_free(&text);
    mem_free(path);
    return code;
}

static int read_beside(struct tokenizer *t, const char *folder, struct error *e)
{
    int code = with_file(t, folder, "tokenizer_config.json", read_config, e);
    code = code ? code : with_file(t, folder, "generation_config.json", read_generation, e);
    return code ? code : read_template_file(t, folder, e);
}

/* The path up to and with its last slash; the caller's. */
static char *folder_of(const char *path)
{
    return mem_string_n(path, (size_t)(path_basename(path) - path));
}

int tokenizer_read_json(const char *path, struct tokenizer **out, struct error *e)
{
    *out = NULL;
    struct buffer text = {0};
    struct tokenizer *t = NULL;
    int code = file_read(path, &text, FILE_LIMIT, e);
    if (!code) {
        code = tokenizer_parse_json(text.data, text.size, &t, e);
        if (code)
            error_prefix(e, "%s", path);
    }
    buffer_free(&text);
    if (code)
        return code;
    char *folder = folder_of(path);
    code = read_beside(t, folder, e);
    mem_free(folder);
    if (code)
        tokenizer_free(t);
    else
        *out = t;
    return code;
}

/* ---- tokenizer.model ---- */

/* added_tokens.json: {"text": id}. */
static int read_added_list(struct tokenizer *t, const json_t *root, struct error *e)
{
    const char *text;
    json_t *id;
    int code = OK;
    /* In the order of ids, so that each follows the last. */
    for (size_t k = 0; !code && k < json_object_size(root); k++) {
        const char *next = NULL;
        json_int_t lowest = 0;
        json_object_foreach((json_t *)root, text, id)
        {
            if (!json_is_integer(id))
                return error_set(e, ERR_FORMAT, "\"%s\" has no id", text);
            bool new = tokenizer_find(t, text, strlen(text)) == TOKEN_NONE;
            if (new && (!next || json_integer_value(id) < lowest)) {
                next = text;
                lowest = json_integer_value(id);
            }
        }
        if (!next)
            break;
        code = tokenizer_add_outside(t, lowest, next, TOKEN_USER_DEFINED, 0, e);
    }
    return code;
}

/* tokenizer_config.json's added_tokens_decoder: {"id": {"content", flags}}. */
static int read_added_decoder(struct tokenizer *t, const json_t *root, struct error *e)
{
    const json_t *added = json_object_get(root, "added_tokens_decoder");
    const char *key, *content;
    json_t *v;
    int code = OK;
    json_object_foreach((json_t *)added, key, v)
    {
        char *end;
        long long id = strtoll(key, &end, 10);
        bool special = false, left = false, right = false, single = false;
        content = NULL;
        if (*end || end == key || id < 0)
            return error_set(e, ERR_FORMAT, "added_tokens_decoder: \"%s\" is no id", key);
        code = json_get_string(v, "content", &content, e);
        code = code ? code : json_get_bool(v, "special", &special, e);
        code = code ? code : json_get_bool(v, "lstrip", &left, e);
        code = code ? code : json_get_bool(v, "rstrip", &right, e);
        code = code ? code : json_get_bool(v, "single_word", &single, e);
        if (!code && (!content || !*content))
            code = error_set(e, ERR_FORMAT, "\"content\" is missing or empty");
        int flags =
            (left ? STRIP_LEFT : 0) | (right ? STRIP_RIGHT : 0) | (single ? SINGLE_WORD : 0);
        code = code ? code
                    : tokenizer_add_outside(t, id, content,
                                            special ? TOKEN_CONTROL : TOKEN_USER_DEFINED, flags, e);
        if (code) {
            error_prefix(e, "added_tokens_decoder: %s", key);
            return code;
        }
    }
    return OK;
}

static int add_from_folder(struct tokenizer *t, const char *folder, struct error *e)
{
    int code = with_file(t, folder, "added_tokens.json", read_added_list, e);
    return code ? code : with_file(t, folder, "tokenizer_config.json", read_added_decoder, e);
}

int tokenizer_read_sentencepiece(const char *path, struct tokenizer **out, struct error *e)
{
    *out = NULL;
    struct buffer bytes = {0};
    struct tokenizer *t = NULL;
    int code = file_read(path, &bytes, FILE_LIMIT, e);
    if (!code) {
        code = tokenizer_draft_sentencepiece((const unsigned char *)bytes.data, bytes.size, &t, e);
        if (code)
            error_prefix(e, "%s", path);
    }
    buffer_free(&bytes);
    if (code)
        return code;
    char *folder = folder_of(path);
    code = add_from_folder(t, folder, e);
    if (!code && (code = tokenizer_finish_sentencepiece(t, e)))
        error_prefix(e, "%s", path);
    code = code ? code : with_file(t, folder, "special_tokens_map.json", special_tokens, e);
    code = code ? code : read_beside(t, folder, e);
    mem_free(folder);
    if (code)
        tokenizer_free(t);
    else
        *out = t;
    return code;
}

int tokenizer_read_folder(const char *folder, struct tokenizer **t, struct error *e)
{
    *t = NULL;
    char *json = path_join(folder, "tokenizer.json"), *model = path_join(folder, "tokenizer.model");
    int code;
    if (file_exists(json) || !file_exists(model)) {
        code = file_exists(json) ? tokenizer_read_json(json, t, e)
                                 : error_set(e, ERR_IO,
                                             "%s: this directory holds neither tokenizer.json nor "
                                             "tokenizer.model",
                                             folder);
    } else {
        code = tokenizer_read_sentencepiece(model, t, e);
    }
    mem_free(json);
    mem_free(model);
    return code;
}
