/* linnet serve */
#include "serve/server.h"

#include "base/file.h"
#include "base/log.h"
#include "cli/cache.h"
#include "cli/command.h"
#include "cli/inference.h"
#include "cli/shared.h"
#include "kernels/gemm.h"
#include "train/interrupt.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct {
    char *model, *host, *api_key, *api_key_file, *cors, *template_file;
    size_t port, slots, context, queue, max_body, timeout;
    struct option_strings adapters;
} flags;
static struct cache_options cache;

#define FIELD(member) offsetof(__typeof__(flags), member)

static const struct option rows[] = {
    {.key = "model", .flag = "--model", .type = OPTION_STRING, .offset = FIELD(model),
     .placeholder = "PATH",
     .help = "a run directory, a checkpoint, a Hugging Face directory, or a GGUF file"},
    ADAPTER_ROW(FIELD(adapters)),
    {.key = "host", .flag = "--host", .type = OPTION_STRING, .offset = FIELD(host),
     .default_value = "127.0.0.1", .placeholder = "ADDRESS",
     .help = "where to listen; 0.0.0.0 lets other machines in"},
    {.key = "port", .flag = "--port", .type = OPTION_SIZE, .offset = FIELD(port), .default_value = "8080",
     .minimum = 0, .maximum = 65535, .help = "0: one that is free"},
    {.key = "slots", .flag = "--slots", .type = OPTION_SIZE, .offset = FIELD(slots), .default_value = "4",
     .minimum = 1, .maximum = 256, .help = "texts that are written at the same time"},
    {.key = "context", .flag = "--context", .type = OPTION_SIZE, .offset = FIELD(context),
     .maximum = 1 << 24,
     .help = "tokens of each text, prompt and answer together (default: what the model was made for, but at most "
             "4096)"},
    {.key = "queue", .flag = "--queue", .type = OPTION_SIZE, .offset = FIELD(queue), .default_value = "64",
     .maximum = 1 << 16, .help = "texts that may wait for a slot; what comes then is refused (429)"},
    {.key = "api_key", .flag = "--api-key", .type = OPTION_STRING, .offset = FIELD(api_key),
     .placeholder = "KEY",
     .help = "let in only who sends it; others on this machine can see it here: rather set LINNET_API_KEY"},
    {.key = "api_key_file", .flag = "--api-key-file", .type = OPTION_STRING, .offset = FIELD(api_key_file),
     .placeholder = "FILE", .help = "keys that are let in, one a line"},
    {.key = "max_body", .flag = "--max-body", .type = OPTION_SIZE, .offset = FIELD(max_body),
     .default_value = "4M", .minimum = 1, .maximum = 1e9, .placeholder = "BYTES",
     .help = "the largest request"},
    {.key = "timeout", .flag = "--timeout", .type = OPTION_SIZE, .offset = FIELD(timeout),
     .default_value = "60", .maximum = 86400, .placeholder = "SECONDS",
     .help = "a client that sends or takes nothing for so long is cut off; 0: never"},
    {.key = "cors", .flag = "--cors", .type = OPTION_STRING, .offset = FIELD(cors), .placeholder = "ORIGIN",
     .help = "let pages of this site use the server, as in https://example.org; * lets all"},
    {.key = "chat_template", .flag = "--chat-template", .type = OPTION_STRING,
     .offset = FIELD(template_file), .placeholder = "FILE",
     .help = "a Jinja template instead of the model's own"},
};

static struct option_section sections[] = {
    {.name = "", .rows = rows, .n_rows = COUNT(rows), .object = &flags, .help = "Server"},
    {.name = "", .rows = cache_rows, .n_rows = 1 /* --cache-type */, .object = &cache,
     .help = "Keys and values of the texts"},
};

enum { USUAL_CONTEXT = 4096, GRACE = 5 /* seconds */ };

/* Keys from everywhere they can be given. */
static int read_keys(struct option_strings *keys, struct error *e)
{
    enum { MOST = 1 << 20 };
    struct buffer text = {0};
    const char *environment = getenv("LINNET_API_KEY");
    if (flags.api_key)
        option_strings_add(keys, flags.api_key);
    if (environment && *environment)
        option_strings_add(keys, environment);
    size_t before = keys->count;
    int code = flags.api_key_file ? file_read(flags.api_key_file, &text, MOST, e) : OK;
    char *rest = text.data;
    for (char *line; !code && rest && (line = strsep(&rest, "\r\n"));)
        if (*line)
            option_strings_add(keys, line);
    if (!code && flags.api_key_file && keys->count == before)
        code = error_set(e, ERR_USAGE, "%s: holds no key", flags.api_key_file);
    for (size_t i = 0; !code && i < keys->count; i++)
        if (!*keys->items[i])
            code = error_set(e, ERR_USAGE, "--api-key: an empty key would let everyone in");
    buffer_free(&text);
    return code;
}

static void wait_for_signal(void)
{
    const struct timespec pause = {.tv_nsec = 100000000}; /* a signal ends it at once */
    while (!interrupt_requested())
        nanosleep(&pause, NULL);
}

/* Requests name adapters as they name the model. */
static int check_names(const struct inference *in, const char *model_name, struct error *e)
{
    for (size_t i = 0; i < in->n_adapters; i++)
        if (strcmp(in->adapters[i].name, model_name) == 0)
            return error_set(e, ERR_USAGE, "--adapter: \"%s\" is what the model is called; give the adapter another name: "
                             "--adapter NAME:%s", model_name, in->adapters[i].path);
    return OK;
}

static void run_server(const struct server *s, const struct inference *in)
{
    for (size_t i = 0; i < in->n_adapters; i++)
        log_info("adapter %zu: %s, times %g (%s)", i, in->adapters[i].name, (double)in->adapters[i].lora->strength,
                 in->adapters[i].path);
    log_info("serving %s at %s", flags.model, server_url(s));
    wait_for_signal();
    log_info("shutting down; once more ends it at once");
}

static int serve(struct server *s, struct inference *in, const char *model_name, int threads, struct error *e)
{
    struct lora_adapter **list = mem_zero(in->n_adapters, sizeof(struct lora_adapter *));
    struct api_adapter *adapters = mem_zero(in->n_adapters, sizeof *adapters);
    for (size_t i = 0; i < in->n_adapters; i++) {
        const struct inference_adapter *a = &in->adapters[i];
        adapters[i] = (struct api_adapter){a->name, a->path, a->scale};
        list[i] = a->lora;
    }
    const struct scheduler_options o = {
        .n_slots = flags.slots, .context = inference_context(&in->model, flags.context), .max_queued = flags.queue,
        .threads = threads, .cache_type = cache_type(&cache), .adapters = list, .n_adapters = in->n_adapters};
    int code = check_names(in, model_name, e);
    if (!code)
        code = server_start(s, &in->model, in->tokenizer, &o, adapters, e);
    if (!code)
        run_server(s, in);
    server_stop(s, GRACE);
    mem_free(adapters);
    mem_free(list);
    return code;
}

/* Strengths are each request's own, but what replaces weights is there for all. */
static void warn_of_whole_modules(const struct inference *in)
{
    for (size_t i = 0; i < in->n_adapters; i++)
        if (in->adapters[i].lora->n_wholes > 0)
            log_warn("adapter %s holds modules in full: they are in effect for every request, whatever its strengths; serve "
                     "the merged model, or a server of its own, where that matters", in->adapters[i].name);
}

static int load_and_serve(struct server_options *o, int threads, struct error *e)
{
    struct server *s = NULL;
    struct inference in;
    int code = server_bind(&s, o, e);
    if (!code)
        code = inference_load(flags.model, &flags.adapters, false, &in, e);
    if (code) {
        server_stop(s, 0);
        return code;
    }
    warn_of_whole_modules(&in);
    signal(SIGPIPE, SIG_IGN); /* a client that has gone ends its request, not the server */
    interrupt_install();
    code = serve(s, &in, o->model_name, threads, e);
    interrupt_restore();
    inference_free(&in);
    return code;
}

static int run(const struct command_input *in, struct error *e)
{
    enum { TEMPLATE_MOST = 1 << 20 };
    struct option_strings keys = {0};
    struct buffer template = {0};
    if (!server_available())
        return error_set(e, ERR_USAGE, "linnet was built without libmicrohttpd, which speaks HTTP; install "
                                       "libmicrohttpd-dev and build again");
    kernels_set_threads(in->threads);
    int code = option_require(in->options, "", "model", e);
    if (!code)
        code = read_keys(&keys, e);
    if (!code && flags.template_file)
        code = file_read(flags.template_file, &template, TEMPLATE_MOST, e);
    if (!code) {
        char *name = inference_name(flags.model);
        struct server_options o = {
            .host = flags.host, .port = (int)flags.port, .model_name = name,
            .chat_template = flags.template_file ? template.data : NULL,
            .keys = (const char *const *)keys.items, .n_keys = keys.count, .cors = flags.cors,
            .max_body = flags.max_body, .timeout = (unsigned)flags.timeout,
        };
        code = load_and_serve(&o, in->threads, e);
        mem_free(name);
    }
    buffer_free(&template);
    option_strings_free(&keys);
    return code;
}

const struct command command_serve = {
    .name = "serve",
    .group = "Models",
    .summary = "answer over HTTP, as OpenAI's API does",
    .usage = "--model PATH [FLAGS]",
    .notes = "Endpoints: /v1/chat/completions, /v1/completions, /v1/models, /lora-adapters, /health, /metrics,\n"
             "and a page to chat on at /. Ctrl-C ends it. docs/serving.md tells all.\n"
             "\n"
             "Examples:\n"
             "  linnet serve --model model.gguf\n"
             "  linnet serve --model model.gguf --adapter pirate:lora/a --adapter formal:lora/b.gguf=0\n"
             "  linnet serve --model model.gguf --host 0.0.0.0 --api-key-file keys.txt --slots 16\n",
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
