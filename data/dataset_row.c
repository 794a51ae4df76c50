#include "data/dataset_row.h"

#include "base/buffer.h"
#include "data/messages.h"

#include <string.h>

static const struct {
    const char *name;
    enum row_kind kind;
} schemas[ROW_SCHEMAS] = {
    [SCHEMA_TEXT] = {"text", ROW_TEXT},
    [SCHEMA_COMPLETION] = {"prompt/completion", ROW_COMPLETION},
    [SCHEMA_COMPLETION_MESSAGES] = {"prompt/completion of messages", ROW_CHAT},
    [SCHEMA_MESSAGES] = {"messages", ROW_CHAT},
    [SCHEMA_SHAREGPT] = {"ShareGPT", ROW_CHAT},
    [SCHEMA_ALPACA] = {"Alpaca", ROW_CHAT},
    [SCHEMA_PREFERENCE] = {"prompt/chosen/rejected", ROW_PREFERENCE},
    [SCHEMA_PREFERENCE_MESSAGES] = {"prompt/chosen/rejected of messages", ROW_PREFERENCE},
    [SCHEMA_PREFERENCE_IMPLICIT] = {"chosen/rejected", ROW_PREFERENCE},
    [SCHEMA_UNPAIRED] = {"prompt/completion/label", ROW_UNPAIRED},
    [SCHEMA_UNPAIRED_MESSAGES] = {"prompt/completion/label of messages", ROW_UNPAIRED},
};

const char *row_schema_name(enum row_schema schema)
{
    return schemas[schema].name;
}

const char *row_warning_text(enum row_warning one)
{
    return one == ROW_TWO_ASSISTANTS ? "two messages of the assistant in a row"
           : one == ROW_TWO_USERS    ? "two messages of the user in a row"
           : one == ROW_LATE_SYSTEM  ? "a system message behind the first message"
           : one == ROW_UNANSWERED   ? "the last message is not the assistant's"
                                     : "chosen and rejected are the same";
}

/* ---- fields ---- */

/* A row in the making: its fields under the names that hold for it. */
struct reader {
    struct dataset_row *row;
    struct dataset_fields names; /* all of them set */
    bool named_completion, named_prompt, named_text, named_messages, named_label; /* the caller gave these names */
    bool asked; /* only the prompt is wanted: there may be no answer */
    const char *used[12];
    size_t n_used;
};

static const json_t *peek(const struct reader *r, const char *name)
{
    const json_t *value = json_object_get(r->row->root, name);
    return json_is_null(value) ? NULL : value;
}

/* The field's value or NULL; from here on it counts as used. */
static const json_t *take(struct reader *r, const char *name)
{
    const json_t *value = peek(r, name);
    if (value && r->n_used < sizeof r->used / sizeof *r->used)
        r->used[r->n_used++] = name;
    return value;
}

static void use_names(struct reader *r, const struct dataset_fields *given)
{
    static const struct dataset_fields none;
    const struct dataset_fields *f = given ? given : &none;
    r->names = (struct dataset_fields){
        .text = f->text ? f->text : "text",
        .prompt = f->prompt ? f->prompt : "prompt",
        .completion = f->completion ? f->completion : "completion",
        .messages = f->messages,
        .chosen = f->chosen ? f->chosen : "chosen",
        .rejected = f->rejected ? f->rejected : "rejected",
        .label = f->label ? f->label : "label",
        .tools = f->tools ? f->tools : "tools",
        .system = f->system ? f->system : "system",
    };
    r->named_completion = f->prompt || f->completion;
    r->named_prompt = f->prompt;
    r->named_text = f->text;
    r->named_messages = f->messages;
    r->named_label = f->label;
}

/* The conversation's field, or NULL. */
static const char *messages_field(const struct reader *r)
{
    static const char *const usual[] = {"messages", "conversations", "conversation"};
    if (r->names.messages)
        return peek(r, r->names.messages) ? r->names.messages : NULL;
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (peek(r, usual[i]))
            return usual[i];
    return NULL;
}

static int get_text(const json_t *value, const char *name, const char **text, struct error *e)
{
    if (!json_is_string(value))
        return error_set(e, ERR_FORMAT, "\"%s\" must be a string", name);
    if (json_string_length(value) == 0)
        return error_set(e, ERR_FORMAT, "\"%s\" is empty", name);
    *text = json_string_value(value);
    return OK;
}

/* A text as one message of the role, or a list of messages. */
static int add_side(const json_t *value, const char *name, const char *role, json_t *out, struct error *e)
{
    const char *text;
    if (!json_is_string(value) && !json_is_array(value))
        return error_set(e, ERR_FORMAT, "\"%s\" must be a string or a list of messages", name);
    if (json_is_array(value))
        return messages_normalise(value, name, out, e);
    int code = get_text(value, name, &text, e);
    if (!code)
        json_array_append_new(out, message_new(role, text, strlen(text)));
    return code;
}

static int add_system(struct reader *r, json_t *messages, bool first_is_system, struct error *e)
{
    const json_t *system = take(r, r->names.system);
    if (!system || (json_is_string(system) && json_string_length(system) == 0))
        return OK;
    if (!json_is_string(system))
        return error_set(e, ERR_FORMAT, "\"%s\" must be a string", r->names.system);
    if (first_is_system)
        return error_set(e, ERR_FORMAT, "both a field \"%s\" and a system message", r->names.system);
    json_array_insert_new(messages, 0, message_new("system", json_string_value(system), json_string_length(system)));
    return OK;
}

static int need_assistant(const json_t *messages, size_t from, const char *name, struct error *e)
{
    if (messages_have_assistant(messages, from))
        return OK;
    return error_set(e, ERR_FORMAT, "\"%s\" has no message of the assistant: nothing in it could be learned", name);
}

/* ---- one function a group of schemas ---- */

static int read_text(struct reader *r, struct error *e)
{
    r->row->schema = SCHEMA_TEXT;
    return get_text(take(r, r->names.text), r->names.text, &r->row->text, e);
}

/* Prompt and one completion: texts are kept as such too. */
static int read_pair(struct reader *r, const char *completion_name, bool *texts, struct error *e)
{
    struct dataset_row *row = r->row;
    const json_t *prompt = take(r, r->names.prompt), *completion = take(r, completion_name);
    row->messages = json_array();
    int code = add_side(prompt, r->names.prompt, "user", row->messages, e);
    row->n_prompt = json_array_size(row->messages);
    if (!code)
        code = add_side(completion, completion_name, "assistant", row->messages, e);
    if (!code)
        code = need_assistant(row->messages, row->n_prompt, completion_name, e);
    *texts = json_is_string(prompt) && json_is_string(completion);
    if (*texts) {
        row->prompt = json_string_value(prompt);
        row->completion = json_string_value(completion);
    }
    return code;
}

static int read_completion(struct reader *r, struct error *e)
{
    bool texts;
    int code = read_pair(r, r->names.completion, &texts, e);
    const json_t *label = peek(r, r->names.label);
    if (!code && label && r->named_label && !json_is_boolean(label))
        return error_set(e, ERR_FORMAT, "\"%s\" must be true or false", r->names.label);
    if (json_is_boolean(label)) {
        r->row->label = json_is_true(take(r, r->names.label));
        r->row->schema = texts ? SCHEMA_UNPAIRED : SCHEMA_UNPAIRED_MESSAGES;
    } else {
        r->row->schema = texts ? SCHEMA_COMPLETION : SCHEMA_COMPLETION_MESSAGES;
    }
    return code ? code : tools_normalise(take(r, r->names.tools), r->names.tools, &r->row->tools, e);
}

static int read_messages(struct reader *r, const char *name, struct error *e)
{
    struct dataset_row *row = r->row;
    const json_t *value = take(r, name);
    row->schema = json_object_get(json_array_get(value, 0), "from") ? SCHEMA_SHAREGPT : SCHEMA_MESSAGES;
    row->messages = json_array();
    int code = messages_normalise(value, name, row->messages, e);
    if (!code && !r->asked)
        code = need_assistant(row->messages, 0, name, e);
    if (!code)
        code = add_system(r, row->messages, message_has_role(row->messages, 0, "system"), e);
    return code ? code : tools_normalise(take(r, r->names.tools), r->names.tools, &row->tools, e);
}

static int add_turn(json_t *messages, const char *role, const json_t *value, const char *name, size_t number,
                    struct error *e)
{
    const char *text;
    if (get_text(value, name, &text, e))
        return number ? error_prefix(e, "\"history\", turn %zu", number) : ERR_FORMAT;
    json_array_append_new(messages, message_new(role, text, strlen(text)));
    return OK;
}

/* https://github.com/tatsu-lab/stanford_alpaca; history as in LLaMA-Factory: pairs of what was said before. */
static int read_alpaca(struct reader *r, struct error *e)
{
    struct dataset_row *row = r->row;
    const json_t *instruction = take(r, "instruction"), *input = take(r, "input"), *history = take(r, "history");
    row->schema = SCHEMA_ALPACA;
    row->messages = json_array();
    if (!json_is_string(instruction))
        return error_set(e, ERR_FORMAT, "\"instruction\" must be a string");
    if (input && !json_is_string(input))
        return error_set(e, ERR_FORMAT, "\"input\" must be a string");
    if (history && !json_is_array(history))
        return error_set(e, ERR_FORMAT, "\"history\" must be a list of pairs");
    int code = add_system(r, row->messages, false, e);
    for (size_t i = 0; !code && i < json_array_size(history); i++) {
        const json_t *pair = json_array_get(history, i);
        if (json_array_size(pair) != 2)
            return error_set(e, ERR_FORMAT, "\"history\", turn %zu: must be a question and its answer", i + 1);
        code = add_turn(row->messages, "user", json_array_get(pair, 0), "question", i + 1, e);
        if (!code)
            code = add_turn(row->messages, "assistant", json_array_get(pair, 1), "answer", i + 1, e);
    }
    if (code)
        return code;
    struct buffer user = {0};
    buffer_string(&user, json_string_value(instruction));
    if (input && json_string_length(input) && user.size)
        buffer_byte(&user, '\n');
    buffer_string(&user, input ? json_string_value(input) : "");
    if (user.size)
        json_array_append_new(row->messages, message_new("user", user.data, user.size));
    else
        code = error_set(e, ERR_FORMAT, "\"instruction\" is empty");
    buffer_free(&user);
    if (code || r->asked)
        return code;
    return add_turn(row->messages, "assistant", take(r, "output"), "output", 0, e);
}

/* ---- preferences ---- */

/* How many messages both conversations begin with; each keeps one of its own. */
static size_t common_messages(const json_t *a, const json_t *b)
{
    size_t n = 0;
    while (n + 1 < json_array_size(a) && n + 1 < json_array_size(b) &&
           json_equal(json_array_get(a, n), json_array_get(b, n)))
        n++;
    return n;
}

/* Two whole conversations. A prompt that is given as well must be in what they share. */
static int read_implicit(struct reader *r, const json_t *prompt, struct error *e)
{
    struct dataset_row *row = r->row;
    const char *chosen = r->names.chosen, *rejected = r->names.rejected;
    row->schema = SCHEMA_PREFERENCE_IMPLICIT;
    int code = messages_normalise(take(r, chosen), chosen, row->messages, e);
    if (!code)
        code = messages_normalise(take(r, rejected), rejected, row->rejected, e);
    if (code)
        return code;
    row->n_prompt = common_messages(row->messages, row->rejected);
    if (row->n_prompt == 0)
        return error_set(e, ERR_FORMAT, "\"%s\" and \"%s\" share no message that could be the prompt", chosen, rejected);
    const json_t *last = json_array_get(prompt, json_array_size(prompt) - 1);
    for (size_t i = 0; last; i++) {
        if (i == row->n_prompt)
            return error_set(e, ERR_FORMAT, "\"%s\" and \"%s\" are whole conversations that do not both begin with "
                             "\"%s\"", chosen, rejected, r->names.prompt);
        if (json_equal(last, json_array_get(row->messages, i)))
            break;
    }
    return OK;
}

/* A prompt and what follows it, either of them texts or messages. */
static int read_explicit(struct reader *r, const json_t *prompt, struct error *e)
{
    struct dataset_row *row = r->row;
    const json_t *chosen = take(r, r->names.chosen), *rejected = take(r, r->names.rejected);
    row->n_prompt = json_array_size(prompt);
    json_array_extend(row->messages, (json_t *)prompt);
    json_array_extend(row->rejected, (json_t *)prompt);
    int code = add_side(chosen, r->names.chosen, "assistant", row->messages, e);
    if (!code)
        code = add_side(rejected, r->names.rejected, "assistant", row->rejected, e);
    const json_t *given = peek(r, r->names.prompt);
    bool texts = json_is_string(given) && json_is_string(chosen) && json_is_string(rejected);
    row->schema = texts ? SCHEMA_PREFERENCE : SCHEMA_PREFERENCE_MESSAGES;
    if (texts) {
        row->prompt = json_string_value(given);
        row->completion = json_string_value(chosen);
        row->rejected_text = json_string_value(rejected);
    }
    return code;
}

/* A list that begins with a message that no assistant wrote. */
static bool begins_with_prompt(const json_t *side)
{
    const json_t *first = json_array_get(side, 0);
    const json_t *role = json_object_get(first, "role");
    const char *name = json_string_value(role ? role : json_object_get(first, "from"));
    return name && (strcmp(name, "user") == 0 || strcmp(name, "human") == 0 || strcmp(name, "system") == 0);
}

static int read_preference(struct reader *r, struct error *e)
{
    struct dataset_row *row = r->row;
    const json_t *given = take(r, r->names.prompt), *chosen = peek(r, r->names.chosen);
    const json_t *rejected = peek(r, r->names.rejected);
    if (!chosen || !rejected)
        return error_set(e, ERR_FORMAT, "\"%s\" without \"%s\"", chosen ? r->names.chosen : r->names.rejected,
                         chosen ? r->names.rejected : r->names.chosen);
    if (!given && (!json_is_array(chosen) || !json_is_array(rejected)))
        return error_set(e, ERR_FORMAT, "\"%s\" and \"%s\" are no lists of messages and there is no \"%s\"",
                         r->names.chosen, r->names.rejected, r->names.prompt);
    json_t *prompt = json_array();
    row->messages = json_array();
    row->rejected = json_array();
    int code = given ? add_side(given, r->names.prompt, "user", prompt, e) : OK;
    if (!code && (!given || (begins_with_prompt(chosen) && begins_with_prompt(rejected))))
        code = read_implicit(r, prompt, e);
    else if (!code)
        code = read_explicit(r, prompt, e);
    json_decref(prompt);
    if (!code)
        code = need_assistant(row->messages, row->n_prompt, r->names.chosen, e);
    if (!code)
        code = need_assistant(row->rejected, row->n_prompt, r->names.rejected, e);
    if (!code && json_equal(row->messages, row->rejected))
        row->warnings |= ROW_SAME_PREFERENCE;
    return code ? code : tools_normalise(take(r, r->names.tools), r->names.tools, &row->tools, e);
}

/* ---- the row ---- */

/* The names of all fields, as many as a line of error may have. */
static void list_fields(const struct reader *r, struct buffer *found)
{
    const char *key;
    json_t *value;
    json_object_foreach(r->row->root, key, value)
    {
        if (found->size > 200) {
            buffer_string(found, ", ...");
            return;
        }
        buffer_printf(found, "%s\"%.60s\"%s", found->size ? ", " : "", key, json_is_null(value) ? " (null)" : "");
    }
    if (!found->size)
        buffer_string(found, "none");
}

static int no_schema(const struct reader *r, struct error *e)
{
    struct buffer found = {0};
    list_fields(r, &found);
    int code = error_set(e, ERR_FORMAT, "no known schema: the fields are %s; needed are \"%s\" and \"%s\", \"%s\" (or "
                         "\"conversations\"), \"%s\" and \"%s\", \"instruction\" and \"output\", or \"%s\"; other names "
                         "can be given",
                         found.data, r->names.prompt, r->names.completion,
                         r->names.messages ? r->names.messages : "messages", r->names.chosen, r->names.rejected,
                         r->names.text);
    buffer_free(&found);
    return code;
}

/* The order of docs/datasets.md: names that were given first, then the schema that says most. */
static int read_row(struct reader *r, struct error *e)
{
    const char *messages = messages_field(r);
    bool pair = peek(r, r->names.prompt) && peek(r, r->names.completion), text = peek(r, r->names.text);
    if (r->named_completion && pair)
        return read_completion(r, e);
    if (r->named_messages && messages)
        return read_messages(r, messages, e);
    if (r->named_text && text)
        return read_text(r, e);
    if (peek(r, r->names.chosen) || peek(r, r->names.rejected))
        return read_preference(r, e);
    if (pair)
        return read_completion(r, e);
    if (messages)
        return read_messages(r, messages, e);
    if (peek(r, "instruction") && peek(r, "output"))
        return read_alpaca(r, e);
    if (text)
        return read_text(r, e);
    return no_schema(r, e);
}

/* A text ends at a NUL for most of what it will meet. */
static bool holds_nul(const json_t *value)
{
    const char *key;
    json_t *item;
    size_t i;
    if (json_is_string(value))
        return strlen(json_string_value(value)) != json_string_length(value);
    json_array_foreach(value, i, item)
        if (holds_nul(item))
            return true;
    json_object_foreach((json_t *)value, key, item)
        if (holds_nul(item))
            return true;
    return false;
}

static void note_unused(const struct reader *r)
{
    const char *key;
    json_t *value;
    json_object_foreach(r->row->root, key, value)
    {
        bool used = json_is_null(value); /* tables write every column in every row */
        for (size_t i = 0; i < r->n_used && !used; i++)
            used = strcmp(key, r->used[i]) == 0;
        if (!used && r->row->n_unused < ROW_UNUSED_MOST)
            r->row->unused[r->row->n_unused++] = key;
    }
}

/* The line as an object, before anything in it has a meaning. */
static int begin_row(struct reader *r, const char *line, size_t n, const struct dataset_fields *fields, struct error *e)
{
    struct dataset_row *row = r->row;
    *row = (struct dataset_row){0};
    use_names(r, fields);
    int code = json_parse_line(line, n, &row->root, e);
    if (code)
        return code;
    if (!json_is_object(row->root))
        return error_set(e, ERR_FORMAT, "not a JSON object");
    if (holds_nul(row->root))
        return error_set(e, ERR_FORMAT, "a text holds a NUL character (\\u0000)");
    return OK;
}

int dataset_row_parse(const char *line, size_t n, const struct dataset_fields *fields, struct dataset_row *row,
                      struct error *e)
{
    struct reader r = {.row = row};
    int code = begin_row(&r, line, n, fields, e);
    if (!code)
        code = read_row(&r, e);
    if (code)
        return code;
    row->kind = schemas[row->schema].kind;
    row->warnings |= messages_warnings(row->messages);
    note_unused(&r);
    return OK;
}

/* ---- the prompt alone ---- */

static int no_prompt(const struct reader *r, struct error *e)
{
    struct buffer found = {0};
    list_fields(r, &found);
    int code = error_set(e, ERR_FORMAT, "no prompt: the fields are %s; needed is \"%s\", \"%s\" or \"instruction\"; "
                         "other names can be given", found.data, r->names.prompt,
                         r->names.messages ? r->names.messages : "messages");
    buffer_free(&found);
    return code;
}

/* A prompt that nothing answers. */
static int read_prompt(struct reader *r, struct error *e)
{
    struct dataset_row *row = r->row;
    const json_t *prompt = take(r, r->names.prompt);
    row->schema = json_is_string(prompt) ? SCHEMA_COMPLETION : SCHEMA_COMPLETION_MESSAGES;
    row->prompt = json_string_value(prompt);
    row->messages = json_array();
    int code = add_side(prompt, r->names.prompt, "user", row->messages, e);
    row->n_prompt = json_array_size(row->messages);
    return code ? code : tools_normalise(take(r, r->names.tools), r->names.tools, &row->tools, e);
}

/* As read_row decides where there is an answer; where there is none by what asks. */
static int read_asked(struct reader *r, struct error *e)
{
    const struct dataset_fields *names = &r->names;
    const char *messages = messages_field(r);
    bool prompt = peek(r, names->prompt), instruction = peek(r, "instruction");
    if (peek(r, names->chosen) || peek(r, names->rejected) || (prompt && peek(r, names->completion)))
        return read_row(r, e);
    if (prompt && (r->named_prompt || (!messages && !(instruction && peek(r, "output")))))
        return read_prompt(r, e);
    if (messages)
        return read_messages(r, messages, e);
    return instruction ? read_alpaca(r, e) : no_prompt(r, e);
}

/* Leaves of a conversation what comes before the turn that is asked for. */
static int keep_prompt(struct reader *r, struct error *e)
{
    struct dataset_row *row = r->row;
    size_t n = row->n_prompt, all = json_array_size(row->messages);
    if (row->kind == ROW_TEXT)
        return no_prompt(r, e);
    if (n == 0)
        for (n = all; n > 0 && message_has_role(row->messages, n - 1, "assistant");)
            n--;
    else
        while (n < all && !message_has_role(row->messages, n, "assistant"))
            n++;
    if (n == 0)
        return error_set(e, ERR_FORMAT, "nothing is said before the assistant's turn");
    while (json_array_size(row->messages) > n)
        json_array_remove(row->messages, json_array_size(row->messages) - 1);
    json_decref(row->rejected);
    row->rejected = NULL;
    row->completion = row->rejected_text = NULL;
    row->n_prompt = n;
    return OK;
}

int dataset_prompt_parse(const char *line, size_t n, const struct dataset_fields *fields, struct dataset_row *row,
                         struct error *e)
{
    struct reader r = {.row = row, .asked = true};
    int code = begin_row(&r, line, n, fields, e);
    if (!code)
        code = read_asked(&r, e);
    if (code)
        return code;
    row->kind = schemas[row->schema].kind;
    return keep_prompt(&r, e);
}

void dataset_row_from_text(const char *text, size_t n, struct dataset_row *row)
{
    *row = (struct dataset_row){.kind = ROW_TEXT, .schema = SCHEMA_TEXT, .plain = true, .root = json_text(text, n)};
    row->text = json_string_value(row->root);
}

void dataset_row_free(struct dataset_row *row)
{
    json_decref(row->messages);
    json_decref(row->rejected);
    json_decref(row->tools);
    json_decref(row->root);
    *row = (struct dataset_row){0};
}
