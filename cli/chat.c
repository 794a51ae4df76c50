/* linnet chat */
#include "cli/chat.h"

#include "base/file.h"
#include "base/log.h"
#include "cli/cache.h"
#include "cli/command.h"
#include "cli/draft.h"
#include "cli/line_editor.h"
#include "cli/shared.h"
#include "kernels/gemm.h"
#include "train/interrupt.h"

#include <string.h>

static struct {
    char *model, *system, *prompt, *template_file, *variables;
    struct option_strings adapters;
    size_t max_tokens, context;
    bool json;
} flags;
static struct sampler_options sampling;
static struct cache_options cache;
static struct constraint_flags constraints;
static struct draft_flags draft_flags;
static struct constraint constraint; /* of every answer */

#define FIELD(member) offsetof(__typeof__(flags), member)

static const struct option rows[] = {
    {.key = "model", .flag = "--model", .type = OPTION_STRING, .offset = FIELD(model),
     .placeholder = "PATH",
     .help = "a run directory, a checkpoint, a Hugging Face directory, or a GGUF file"},
    ADAPTER_ROW(FIELD(adapters)),
    {.key = "system", .flag = "--system", .type = OPTION_STRING, .offset = FIELD(system),
     .placeholder = "TEXT", .help = "what the model is told before the conversation"},
    {.key = "prompt", .flag = "--prompt", .letter = 'p', .type = OPTION_STRING,
     .offset = FIELD(prompt), .placeholder = "TEXT",
     .help = "one message, answered; without it, messages are read from the terminal or standard input, "
             "one a line"},
    {.key = "max_tokens", .flag = "--max-tokens", .letter = 'n', .type = OPTION_SIZE,
     .offset = FIELD(max_tokens), .default_value = "1024", .maximum = 1 << 24,
     .help = "tokens of an answer at most; 0: until the context is full"},
    {.key = "context", .flag = "--context", .type = OPTION_SIZE, .offset = FIELD(context),
     .maximum = 1 << 24,
     .help = "tokens of the whole conversation (default: what the model was made for, but at most 4096)"},
    {.key = "chat_template", .flag = "--chat-template", .type = OPTION_STRING,
     .offset = FIELD(template_file), .placeholder = "FILE",
     .help = "a Jinja template instead of the model's own"},
    {.key = "template_variables", .flag = "--template-variables", .type = OPTION_STRING,
     .offset = FIELD(variables), .placeholder = "JSON",
     .help = "what the template sees beside the messages, as in '{\"enable_thinking\": false}'"},
    {.key = "json", .flag = "--json", .type = OPTION_BOOL, .offset = FIELD(json),
     .help = "print one JSON object for each answer: ids, text, why it stopped"},
};

static struct option_section sections[] = {
    {.name = "", .rows = rows, .n_rows = COUNT(rows), .object = &flags, .help = "Conversation"},
    SAMPLING_SECTION(&sampling),
    CACHE_SECTION(&cache),
    CONSTRAINT_SECTION(&constraints),
    DRAFT_SECTION(&draft_flags),
};

/* Said where the reader would wonder. */
static void explain(enum stop_reason reason)
{
    if (reason == STOPPED_LENGTH)
        log_info("(cut off after --max-tokens %zu)", flags.max_tokens);
    if (reason == STOPPED_CONTEXT)
        log_info("(the conversation fills the context; /clear begins a new one, --context makes room)");
    if (reason == STOPPED_INTERRUPTED)
        log_info("(interrupted)");
}

static void note_answer(struct chat *c, const struct generation *r)
{
    c->last.any = true;
    c->last.n_prompt = r->n_prompt;
    c->last.n_tokens = r->tokens.count;
    c->last.n_decoded = r->n_decoded;
    c->last.prefill_seconds = r->prefill_seconds;
    c->last.decode_seconds = r->decode_seconds;
}

static void print_answer(const struct chat *c, const struct generation *r)
{
    if (!flags.json)
        putchar('\n');
    else
        print_json_line(json_pack("{s:i, s:o, s:o, s:s}", "prompt_tokens",
                                  (int)(c->session.fed.count - r->n_decoded), "tokens", ids_json(&r->tokens), "text",
                                  json_text(r->text.data ? r->text.data : "", r->text.size), "stop_reason",
                                  stop_reason_name(r->reason)));
    fflush(stdout);
    explain(r->reason);
}

int chat_answer(struct chat *c, bool again, struct error *e)
{
    struct generation r = {0};
    struct generate_options o = {.sampler = sampling, .max_tokens = flags.max_tokens,
                                 .context_shift = cache.shift, .keep = cache.keep,
                                 .interrupted = interrupt_requested};
    generate_emit *emit = flags.json ? NULL : print_text;
    o.sampler.seed += c->n_again; /* another draw */
    constraint_apply(&constraint, c->model->tokenizer, c->session.generator.n_choices, &o);
    interrupt_install();
    int code = again ? chat_session_reply_again(&c->session, &o, emit, NULL, &r, e)
                     : chat_session_reply(&c->session, &o, emit, NULL, &r, e);
    interrupt_restore();
    if (!code) {
        note_answer(c, &r);
        print_answer(c, &r);
    }
    fflush(stdout);
    generation_free(&r);
    return code;
}

static int answer(struct chat *c, const char *text, size_t n, struct error *e)
{
    c->n_again = 0;
    chat_session_say(&c->session, "user", text, n);
    return chat_answer(c, false, e);
}

void chat_begin(struct chat *c)
{
    chat_session_clear(&c->session);
    chat_session_set_system(&c->session, c->system);
}

/* A line that is a command of this program's own; "//" begins a message with a slash. */
static bool is_command(const struct buffer *line)
{
    return line->size > 0 && line->data[0] == '/' && !(line->size > 1 && line->data[1] == '/');
}

/* A message: lines that end in a backslash and the one after them. False at the end of input. */
static bool read_message(struct line_editor *editor, struct buffer *message)
{
    struct buffer line = {0};
    bool more = true, any = false, cancelled;
    buffer_clear(message);
    while (more && line_editor_read(editor, any ? ". " : "> ", &line, &cancelled)) {
        any = true;
        if (cancelled) {
            buffer_clear(message);
            break;
        }
        more = line.size > 0 && line.data[line.size - 1] == '\\';
        buffer_append(message, line.data, line.size - more);
        if (more)
            buffer_byte(message, '\n');
    }
    buffer_free(&line);
    if (any)
        buffer_string(message, ""); /* data is not NULL */
    return any;
}

static int take_turn(struct chat *c, const struct buffer *message, struct error *e)
{
    if (message->size == 0)
        return OK;
    if (is_command(message))
        return chat_command(c, message->data, e);
    size_t skip = message->data[0] == '/' ? 1 : 0;
    return answer(c, message->data + skip, message->size - skip, e);
}

/* At a terminal what cannot be done is said, and the conversation goes on. */
static int converse(struct chat *c, struct error *e)
{
    char *history = state_file("chat-history");
    struct line_editor *editor = line_editor_new(history, chat_complete, c);
    bool terminal = line_editor_is_interactive(editor);
    struct buffer message = {0};
    int code = OK;
    if (terminal) {
        chat_show_adapters(c);
        log_info("/help lists what can be done; Ctrl-D ends");
    }
    while (!code && !c->ended && read_message(editor, &message)) {
        code = take_turn(c, &message, e);
        if (code && terminal) {
            log_warn("%s", e->message);
            code = OK;
        }
    }
    if (terminal)
        fputc('\n', stderr);
    line_editor_free(editor);
    mem_free(history);
    buffer_free(&message);
    return code;
}

static int start(struct chat_session *s, struct model *m, const struct tokenizer *t, json_t **variables,
                 struct error *e)
{
    enum { MOST = 1 << 20 };
    struct buffer text = {0};
    int code = flags.template_file ? file_read(flags.template_file, &text, MOST, e) : OK;
    if (!code && flags.variables) {
        code = json_parse(flags.variables, strlen(flags.variables), variables, e);
        if (!code && !json_is_object(*variables))
            code = error_set(e, ERR_USAGE, "not an object");
        if (code)
            code = error_prefix(e, "--template-variables");
    }
    if (!code)
        code = chat_session_init(s, m, t, flags.template_file ? text.data : NULL,
                                 &(struct generator_options){.capacity = inference_context(m, flags.context),
                                                             .cache_type = cache_type(&cache)}, e);
    buffer_free(&text);
    s->variables = *variables;
    return code;
}

static void init_settings(struct chat *c)
{
    for (size_t i = 0; i < SAMPLING_ROWS; i++)
        c->settings[i] = (struct chat_setting){&sampling_rows[i], &sampling};
    for (size_t i = 0; i < COUNT(rows); i++)
        if (strcmp(rows[i].key, "max_tokens") == 0)
            c->settings[SAMPLING_ROWS] = (struct chat_setting){&rows[i], &flags};
}

static int run(const struct command_input *in, struct error *e)
{
    struct inference model;
    struct chat c = {.model = &model};
    struct draft draft = {0};
    json_t *variables = NULL;
    kernels_set_threads(in->threads);
    init_settings(&c);
    int code = option_require(in->options, "", "model", e);
    if (!code)
        code = constraint_open(&constraint, &constraints, e);
    if (!code)
        code = inference_load(flags.model, &flags.adapters, false, &model, e);
    if (code) {
        constraint_close(&constraint);
        return code;
    }
    code = start(&c.session, &model.model, model.tokenizer, &variables, e);
    if (!code) {
        c.system = mem_string(flags.system);
        chat_begin(&c);
        code = draft_open(&draft, &draft_flags, &c.session.generator, e);
        if (!code)
            code = flags.prompt ? answer(&c, flags.prompt, strlen(flags.prompt), e) : converse(&c, e);
        draft_close(&draft);
        chat_session_free(&c.session);
        mem_free(c.system);
    }
    json_decref(variables);
    inference_free(&model);
    constraint_close(&constraint);
    return code;
}

const struct command command_chat = {
    .name = "chat",
    .group = "Models",
    .summary = "talk with a model",
    .usage = "--model PATH [FLAGS]",
    .notes = "In the words of the model's own chat template. Answers go to standard output, all else to "
             "standard\nerror. Ctrl-C stops an answer; /help at the prompt lists what else can be done.\n"
             "\n"
             "Examples:\n"
             "  linnet chat --model SmolLM2-135M-Instruct\n"
             "  linnet chat --model model.gguf --system \"Answer in one word.\" --prompt \"2 + 3?\"\n",
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
