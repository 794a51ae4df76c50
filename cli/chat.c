/* linnet chat */
#include "infer/chat.h"

#include "base/file.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/sampling.h"
#include "cli/shared.h"
#include "kernels/gemm.h"
#include "model/load.h"
#include "train/interrupt.h"

#include <string.h>
#include <unistd.h>

static struct {
    char *model, *system, *prompt, *template_file, *variables;
    size_t max_tokens, context;
    bool json;
} flags;
static struct sampler_options sampling;
static struct constraint_flags constraints;
static struct constraint constraint; /* of every answer */

#define FIELD(member) offsetof(__typeof__(flags), member)

static const struct option rows[] = {
    {.key = "model", .flag = "--model", .type = OPTION_STRING, .offset = FIELD(model),
     .placeholder = "PATH",
     .help = "a run directory, a checkpoint, a Hugging Face directory, or a GGUF file"},
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
    CONSTRAINT_SECTION(&constraints),
};

enum { USUAL_CONTEXT = 4096 };

static size_t choose_capacity(const struct model *m)
{
    size_t trained = m->config.max_position_embeddings;
    if (flags.context && trained && flags.context > trained)
        log_warn("--context %zu is more than the %zu tokens the model was made for", flags.context,
                 trained);
    if (flags.context)
        return flags.context;
    return trained && trained < USUAL_CONTEXT ? trained : USUAL_CONTEXT;
}

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

static int answer(struct chat_session *s, const char *text, size_t n, struct error *e)
{
    struct generation r = {0};
    struct generate_options o = {.sampler = sampling, .max_tokens = flags.max_tokens,
                                 .interrupted = interrupt_requested};
    constraint_apply(&constraint, s->generator.tokenizer, s->generator.n_choices, &o);
    chat_session_say(s, "user", text, n);
    interrupt_install();
    int code = chat_session_reply(s, &o, flags.json ? NULL : print_text, NULL, &r, e);
    interrupt_restore();
    if (!code && flags.json)
        print_json_line(json_pack("{s:i, s:o, s:o, s:s}", "prompt_tokens",
                                  (int)(s->fed.count - r.n_decoded), "tokens",
                                  ids_json(&r.tokens), "text",
                                  json_text(r.text.data ? r.text.data : "", r.text.size), "stop_reason",
                                  stop_reason_name(r.reason)));
    else if (!code)
        putchar('\n');
    fflush(stdout);
    if (!code)
        explain(r.reason);
    generation_free(&r);
    return code;
}

static void begin(struct chat_session *s)
{
    chat_session_clear(s);
    if (flags.system)
        chat_session_say(s, "system", flags.system, strlen(flags.system));
}

/* A line that is a command of this program's own; "//" begins a message with a slash. */
static bool is_command(const struct buffer *line)
{
    return line->size > 0 && line->data[0] == '/' && !(line->size > 1 && line->data[1] == '/');
}

static bool run_command(struct chat_session *s, const struct buffer *line)
{
    if (strcmp(line->data, "/exit") == 0 || strcmp(line->data, "/quit") == 0)
        return false;
    if (strcmp(line->data, "/clear") == 0) {
        begin(s);
        log_info("(a new conversation)");
    } else {
        log_info("/clear  begin a new conversation\n/exit   end; so does Ctrl-D\nA line that ends in \\ goes "
                 "on in the next; // begins a message with a slash; Ctrl-C stops an answer.");
    }
    return true;
}

/* A message: lines that end in a backslash and the one after them. False at the end of input. */
static bool read_message(bool ask, struct buffer *message)
{
    struct buffer line = {0};
    bool more = true, any = false;
    buffer_clear(message);
    while (more) {
        if (ask)
            fputs(any ? ". " : "> ", stderr);
        if (!read_line(stdin, &line))
            break;
        any = true;
        more = line.size > 0 && line.data[line.size - 1] == '\\';
        buffer_append(message, line.data ? line.data : "", line.size - more);
        if (more)
            buffer_byte(message, '\n');
    }
    buffer_free(&line);
    if (any)
        buffer_string(message, ""); /* data is not NULL */
    return any;
}

/* At a terminal what cannot be answered is said, and the conversation goes on. */
static int converse(struct chat_session *s, struct error *e)
{
    bool terminal = isatty(STDIN_FILENO);
    struct buffer message = {0};
    int code = OK;
    if (terminal)
        log_info("/help lists what can be done; Ctrl-D ends");
    while (!code && read_message(terminal, &message)) {
        if (message.size == 0)
            continue;
        if (is_command(&message)) {
            if (!run_command(s, &message))
                break;
            continue;
        }
        size_t skip = message.data[0] == '/' ? 1 : 0;
        code = answer(s, message.data + skip, message.size - skip, e);
        if (code && terminal) {
            log_warn("%s", e->message);
            code = OK;
        }
    }
    if (terminal)
        fputc('\n', stderr);
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
        code = chat_session_init(s, m, t, flags.template_file ? text.data : NULL, choose_capacity(m), e);
    buffer_free(&text);
    s->variables = *variables;
    return code;
}

static int run(const struct command_input *in, struct error *e)
{
    struct model m = {0};
    struct tokenizer *t = NULL;
    struct chat_session s = {0};
    json_t *variables = NULL;
    kernels_set_threads(in->threads);
    int code = option_require(in->options, "", "model", e);
    if (!code)
        code = constraint_open(&constraint, &constraints, e);
    if (!code)
        code = model_load(flags.model, WEIGHTS_MAPPED, &m, &t, e);
    if (code) {
        constraint_close(&constraint);
        return code;
    }
    model_use_integers(&m);
    code = start(&s, &m, t, &variables, e);
    if (!code) {
        begin(&s);
        code = flags.prompt ? answer(&s, flags.prompt, strlen(flags.prompt), e) : converse(&s, e);
        chat_session_free(&s);
    }
    json_decref(variables);
    constraint_close(&constraint);
    model_free(&m);
    tokenizer_free(t);
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
