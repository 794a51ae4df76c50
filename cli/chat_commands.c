/* The commands of linnet chat. What they say goes to stderr, asked for as it is, also under --quiet. */
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "cli/chat.h"
#include "cli/command.h"

#include <stdlib.h>
#include <string.h>

/* --- the conversation --- */

static int run_clear(struct chat *c, const char *argument, struct error *e)
{
    (void)argument, (void)e;
    chat_begin(c);
    log_info("(a new conversation)");
    return OK;
}

static int run_exit(struct chat *c, const char *argument, struct error *e)
{
    (void)argument, (void)e;
    c->ended = true;
    return OK;
}

static int run_system(struct chat *c, const char *argument, struct error *e)
{
    (void)e;
    if (!*argument) {
        fprintf(stderr, "%s\n", c->system ? c->system : "(nothing)");
        return OK;
    }
    char *text = strcmp(argument, "none") == 0 ? NULL : mem_string(argument);
    mem_free(c->system);
    c->system = text;
    chat_session_set_system(&c->session, text);
    return OK;
}

static int run_regenerate(struct chat *c, const char *argument, struct error *e)
{
    (void)argument;
    c->n_again++;
    return chat_answer(c, true, e);
}

static int run_undo(struct chat *c, const char *argument, struct error *e)
{
    (void)argument;
    if (!chat_session_undo(&c->session))
        return error_set(e, ERR_USAGE, "/undo: there is nothing to take back");
    size_t n = json_array_size(c->session.messages);
    log_info("(taken back; messages left: %zu)", n);
    return OK;
}

/* --- files --- */

enum { MOST_BYTES = 64 << 20 };

static int read_messages(const char *path, json_t **messages, struct error *e)
{
    struct buffer text = {0};
    int code = file_read(path, &text, MOST_BYTES, e);
    if (!code) {
        code = json_parse(text.data ? text.data : "", text.size, messages, e);
        if (code)
            error_prefix(e, "%s", path);
    }
    buffer_free(&text);
    return code;
}

/* Nothing but an older conversation is replaced. */
static int check_replaced(const char *path, struct error *e)
{
    struct chat_session old = {.messages = json_array()};
    json_t *messages = NULL;
    int code = file_exists(path) ? read_messages(path, &messages, e) : OK;
    if (!code && messages)
        code = chat_session_set_messages(&old, messages, e);
    if (code)
        code = error_set(e, ERR_USAGE, "%s: already there, and not a conversation; choose another name", path);
    json_decref(old.messages);
    json_decref(messages);
    return code;
}

static int run_save(struct chat *c, const char *path, struct error *e)
{
    int code = check_replaced(path, e);
    if (code)
        return code;
    char *text = json_dumps(c->session.messages, JSON_INDENT(2));
    struct buffer out = {0};
    buffer_printf(&out, "%s\n", text);
    code = file_write(path, out.data, out.size, e);
    if (!code)
        log_info("(messages saved: %zu)", json_array_size(c->session.messages));
    buffer_free(&out);
    free(text);
    return code;
}

static int run_load(struct chat *c, const char *path, struct error *e)
{
    json_t *messages = NULL;
    int code = read_messages(path, &messages, e);
    if (!code) {
        code = chat_session_set_messages(&c->session, messages, e);
        if (code)
            error_prefix(e, "%s", path);
    }
    if (!code) {
        const json_t *first = json_array_get(messages, 0);
        const char *role = json_string_value(json_object_get(first, "role"));
        bool system = role && strcmp(role, "system") == 0;
        mem_free(c->system);
        c->system = system ? mem_string(json_string_value(json_object_get(first, "content"))) : NULL;
        log_info("(messages loaded: %zu)", json_array_size(messages));
    }
    json_decref(messages);
    return code;
}

/* --- settings --- */

void chat_show_adapters(const struct chat *c)
{
    for (size_t i = 0; i < c->model->n_adapters; i++) {
        const struct inference_adapter *a = &c->model->adapters[i];
        char strength[32] = "off";
        if (a->lora->strength != 0)
            snprintf(strength, sizeof strength, "%g", (double)a->lora->strength);
        fprintf(stderr, "%-20s %-6s %s\n", a->name, strength, a->path);
    }
}

/* The words of an argument; one word where the whole of it is an adapter's name or path, that may have spaces. */
static void split_adapters(const struct chat *c, const char *argument, struct option_strings *words)
{
    const char *equals = strrchr(argument, '=');
    size_t n = equals ? (size_t)(equals - argument) : strlen(argument);
    char *path = mem_string_n(argument, n);
    bool one = file_exists(argument) || file_exists(path);
    for (size_t i = 0; i < c->model->n_adapters; i++)
        one |= strcmp(c->model->adapters[i].name, path) == 0;
    mem_free(path);
    for (const char *word = argument; !one && *word; word += n + strspn(word + n, " \t")) {
        n = strcspn(word, " \t");
        char *copy = mem_string_n(word, n);
        option_strings_add(words, copy);
        mem_free(copy);
    }
    if (one)
        option_strings_add(words, argument);
}

static int run_adapter(struct chat *c, const char *argument, struct error *e)
{
    struct option_strings words = {0};
    if (!*argument) {
        chat_show_adapters(c);
        if (c->model->n_adapters == 0)
            fprintf(stderr, "(none)\n");
        return OK;
    }
    if (strcmp(argument, "none") != 0)
        split_adapters(c, argument, &words);
    int code = inference_use_adapters(c->model, "/adapter", &words, e);
    if (!code)
        chat_session_recompute(&c->session);
    option_strings_free(&words);
    return code;
}

static void show_settings(const struct chat *c)
{
    for (size_t i = 0; i < CHAT_SETTINGS; i++) {
        const struct chat_setting *s = &c->settings[i];
        struct buffer value = {0};
        option_print_value(s->row, s->object, &value);
        fprintf(stderr, "%-18s %s\n", s->row->key, strcmp(value.data, "null") == 0 ? "0" : value.data);
        buffer_free(&value);
    }
}

static int unknown_setting(const struct chat *c, const char *name, struct error *e)
{
    const char *names[CHAT_SETTINGS];
    for (size_t i = 0; i < CHAT_SETTINGS; i++)
        names[i] = c->settings[i].row->key;
    const char *nearest = nearest_name(name, names, CHAT_SETTINGS);
    return nearest ? error_set(e, ERR_USAGE, "/set: no \"%s\"; did you mean %s?", name, nearest)
                   : error_set(e, ERR_USAGE, "/set: no \"%s\"; /set alone lists what there is", name);
}

static int run_set(struct chat *c, const char *argument, struct error *e)
{
    size_t n = strcspn(argument, " ");
    const char *value = argument + n + strspn(argument + n, " ");
    const struct chat_setting *setting = NULL;
    if (!*argument) {
        show_settings(c);
        return OK;
    }
    char *name = mem_string_n(argument, n);
    for (char *p = name; *p; p++) /* as flags are written */
        *p = *p == '-' ? '_' : *p;
    for (size_t i = 0; i < CHAT_SETTINGS && !setting; i++)
        if (strcmp(c->settings[i].row->key, name) == 0)
            setting = &c->settings[i];
    int code = setting ? option_parse_value(setting->row, value, false, false, setting->object, e)
                       : unknown_setting(c, name, e);
    if (code && setting)
        code = error_prefix(e, "/set %s", name);
    mem_free(name);
    return code;
}

static int run_stats(struct chat *c, const char *argument, struct error *e)
{
    (void)argument, (void)e;
    if (c->last.any) {
        fprintf(stderr, "last answer    %zu tokens", c->last.n_tokens);
        if (c->last.n_decoded && c->last.decode_seconds > 0)
            fprintf(stderr, " (%.1f tokens/s)", (double)c->last.n_decoded / c->last.decode_seconds);
        fprintf(stderr, "\nread before it %zu tokens", c->last.n_prompt);
        if (c->last.prefill_seconds > 0)
            fprintf(stderr, " (%.1f tokens/s)", (double)c->last.n_prompt / c->last.prefill_seconds);
        fputc('\n', stderr);
    }
    fprintf(stderr, "messages       %zu\ncontext        %zu of %zu tokens\n", json_array_size(c->session.messages),
            c->session.fed.count, c->session.generator.capacity);
    return OK;
}

/* --- the table --- */

enum arguments { NO_ARGUMENT, MAY_HAVE, MUST_HAVE };

static int run_help(struct chat *c, const char *argument, struct error *e);

static const struct chat_command {
    const char *name, *arguments;
    enum arguments takes;
    int (*run)(struct chat *c, const char *argument, struct error *e);
    const char *help; /* NULL: another name of the one before */
} table[] = {
    {"/help", "", NO_ARGUMENT, run_help, "this list"},
    {"/clear", "", NO_ARGUMENT, run_clear, "begin a new conversation"},
    {"/regenerate", "", NO_ARGUMENT, run_regenerate, "another answer instead of the last one"},
    {"/undo", "", NO_ARGUMENT, run_undo, "take the last message and its answer back"},
    {"/system", "[TEXT|none]", MAY_HAVE, run_system, "what the model is told before the conversation"},
    {"/set", "[NAME VALUE]", MAY_HAVE, run_set, "how answers are drawn; alone: how they are now"},
    {"/adapter", "[NAME[=SCALE]|none]", MAY_HAVE, run_adapter,
     "another LoRA adapter or several, by name or PATH, or none; alone: which"},
    {"/save", "FILE", MUST_HAVE, run_save, "keep the conversation, as JSON"},
    {"/load", "FILE", MUST_HAVE, run_load, "go on with one that was kept"},
    {"/stats", "", NO_ARGUMENT, run_stats, "tokens, speed, and how full the context is"},
    {"/exit", "", NO_ARGUMENT, run_exit, "end; so does Ctrl-D"},
    {"/quit", "", NO_ARGUMENT, run_exit, NULL},
};

static int run_help(struct chat *c, const char *argument, struct error *e)
{
    (void)c, (void)argument, (void)e;
    for (size_t i = 0; i < COUNT(table); i++) {
        char left[64];
        snprintf(left, sizeof left, "%s %s", table[i].name, table[i].arguments);
        if (table[i].help)
            fprintf(stderr, "%-28s %s\n", left, table[i].help);
    }
    fprintf(stderr, "A line that ends in \\ goes on in the next; // begins a message with a slash; Ctrl-C stops an "
                    "answer.\n");
    return OK;
}

static int unknown_command(const char *name, struct error *e)
{
    const char *names[COUNT(table)];
    for (size_t i = 0; i < COUNT(table); i++)
        names[i] = table[i].name;
    const char *nearest = nearest_name(name, names, COUNT(table));
    return nearest ? error_set(e, ERR_USAGE, "%s: no such command; did you mean %s? // begins a message with a slash",
                               name, nearest)
                   : error_set(e, ERR_USAGE, "%s: no such command; /help lists them, // begins a message with a slash",
                               name);
}

int chat_command(struct chat *c, const char *line, struct error *e)
{
    size_t n = strcspn(line, " \t\n"), end = strlen(line);
    const char *from = line + n + strspn(line + n, " \t\n");
    const struct chat_command *command = NULL;
    while (end > (size_t)(from - line) && strchr(" \t\n", line[end - 1]))
        end--;
    for (size_t i = 0; i < COUNT(table) && !command; i++)
        if (strlen(table[i].name) == n && strncmp(table[i].name, line, n) == 0)
            command = &table[i];
    char *name = mem_string_n(line, n), *argument = mem_string_n(from, end - (size_t)(from - line));
    int code = !command ? unknown_command(name, e)
               : command->takes == NO_ARGUMENT && *argument ? error_set(e, ERR_USAGE, "%s takes no argument", name)
               : command->takes == MUST_HAVE && !*argument
                   ? error_set(e, ERR_USAGE, "missing argument: %s %s", name, command->arguments)
                   : command->run(c, argument, e);
    mem_free(argument);
    mem_free(name);
    return code;
}

/* `line` when it begins as the text does. */
static void offer(const char *text, size_t n, const char *command, const char *name, struct option_strings *out)
{
    char *line = mem_printf("%s%s", command, name);
    if (n > 0 && strncmp(line, text, n) == 0)
        option_strings_add(out, line);
    mem_free(line);
}

void chat_complete(void *chat, const char *text, size_t n, struct option_strings *out)
{
    static const char set[] = "/set ", adapter[] = "/adapter ";
    const struct chat *c = chat;
    for (size_t i = 0; i < COUNT(table); i++)
        offer(text, n, table[i].name, "", out);
    for (size_t i = 0; n >= sizeof set - 1 && i < CHAT_SETTINGS; i++)
        offer(text, n, set, c->settings[i].row->key, out);
    for (size_t i = 0; n >= sizeof adapter - 1 && i < c->model->n_adapters; i++)
        offer(text, n, adapter, c->model->adapters[i].name, out);
}
