/* linnet generate */
#include "infer/generate.h"

#include "base/file.h"
#include "base/log.h"
#include "cli/cache.h"
#include "cli/command.h"
#include "cli/draft.h"
#include "cli/inference.h"
#include "cli/sampling.h"
#include "cli/shared.h"
#include "kernels/gemm.h"
#include "train/interrupt.h"

#include <string.h>

static struct {
    char *model, *prompt, *prompt_file;
    size_t max_tokens, context;
    struct option_strings stops, adapters;
    bool exact, echo, json, ignore_end, parse_special, show_special;
} flags;

#define FIELD(member) offsetof(__typeof__(flags), member)

static const struct option prompt_rows[] = {
    {.key = "model", .flag = "--model", .type = OPTION_STRING, .offset = FIELD(model),
     .placeholder = "PATH",
     .help = "a run directory, a checkpoint, a Hugging Face directory, or a GGUF file"},
    ADAPTER_ROW(FIELD(adapters)),
    EXACT_ROW(FIELD(exact)),
    {.key = "prompt", .flag = "--prompt", .letter = 'p', .type = OPTION_STRING,
     .offset = FIELD(prompt), .placeholder = "TEXT", .help = "the text to continue"},
    {.key = "prompt_file", .flag = "--prompt-file", .type = OPTION_STRING,
     .offset = FIELD(prompt_file), .placeholder = "FILE",
     .help = "read it from here, - for standard input; one newline at its end is left out"},
    {.key = "parse_special", .flag = "--parse-special", .type = OPTION_BOOL,
     .offset = FIELD(parse_special),
     .help = "special tokens written in the prompt count as such, instead of as plain text"},
    {.key = "max_tokens", .flag = "--max-tokens", .letter = 'n', .type = OPTION_SIZE,
     .offset = FIELD(max_tokens), .default_value = "256", .maximum = 1 << 24,
     .help = "tokens to generate at most; 0: until the context is full"},
    {.key = "stop", .flag = "--stop", .type = OPTION_STRINGS, .offset = FIELD(stops),
     .placeholder = "TEXT", .help = "end before this text comes up; may be repeated"},
    {.key = "ignore_eos", .flag = "--ignore-eos", .type = OPTION_BOOL, .offset = FIELD(ignore_end),
     .help = "go on when the model ends its text"},
    {.key = "context", .flag = "--context", .type = OPTION_SIZE, .offset = FIELD(context),
     .maximum = 1 << 24,
     .help = "tokens of prompt and continuation together (default: what the model was made for)"},
};

static const struct option output_rows[] = {
    {.key = "echo", .flag = "--echo", .type = OPTION_BOOL, .offset = FIELD(echo),
     .default_value = "true", .help = "print the prompt before its continuation"},
    {.key = "show_special", .flag = "--show-special", .type = OPTION_BOOL,
     .offset = FIELD(show_special), .help = "print special tokens too"},
    {.key = "json", .flag = "--json", .type = OPTION_BOOL, .offset = FIELD(json),
     .help = "print one JSON object at the end: ids of prompt and continuation, text, why it "
             "stopped"},
};

static struct sampler_options sampling;
static struct cache_options cache;
static struct constraint_flags constraints;
static struct draft_flags draft_flags;

static struct option_section sections[] = {
    {.name = "", .rows = prompt_rows, .n_rows = COUNT(prompt_rows), .object = &flags,
     .help = "Prompt"},
    SAMPLING_SECTION(&sampling),
    CACHE_SECTION(&cache),
    CONSTRAINT_SECTION(&constraints),
    DRAFT_SECTION(&draft_flags),
    {.name = "", .rows = output_rows, .n_rows = COUNT(output_rows), .object = &flags,
     .help = "Output"},
};

enum { MAX_PROMPT_BYTES = 1 << 28 };

static int read_prompt(struct buffer *text, struct error *e)
{
    if (!flags.prompt == !flags.prompt_file)
        return error_set(e, ERR_USAGE, flags.prompt ? "--prompt and --prompt-file: one of them, not both"
                                                    : "missing --prompt TEXT (or --prompt-file FILE)");
    if (flags.prompt) {
        buffer_string(text, flags.prompt);
        return OK;
    }
    bool standard = strcmp(flags.prompt_file, "-") == 0;
    int code = file_read(standard ? "/dev/stdin" : flags.prompt_file, text, MAX_PROMPT_BYTES, e);
    if (!code && text->size > 0 && text->data[text->size - 1] == '\n')
        text->data[--text->size] = 0;
    return code;
}

static int check_stops(struct error *e)
{
    for (size_t i = 0; i < flags.stops.count; i++)
        if (!*flags.stops.items[i])
            return error_set(e, ERR_USAGE, "--stop: an empty text is everywhere");
    return OK;
}

static struct generate_options generate_options(void)
{
    return (struct generate_options){
        .sampler = sampling,
        .max_tokens = flags.max_tokens,
        .stops = (const char *const *)flags.stops.items,
        .n_stops = flags.stops.count,
        .ignore_end = flags.ignore_end,
        .context_shift = cache.shift,
        .keep = cache.keep,
        .show_special = flags.show_special,
        .interrupted = interrupt_requested,
    };
}

/* The positions to make room for: no more than this prompt can use. */
static int choose_capacity(const struct model *m, size_t n_prompt, size_t *capacity,
                           struct error *e)
{
    size_t trained = m->config.max_position_embeddings;
    size_t context = flags.context ? flags.context : trained;
    if (context == 0)
        return error_set(e, ERR_USAGE, "the model says nothing about its context length; give one "
                                       "with --context");
    if (trained && context > trained)
        log_warn("--context %zu is more than the %zu tokens the model was made for", context,
                 trained);
    *capacity = context;
    if (flags.max_tokens && n_prompt + flags.max_tokens < context)
        *capacity = n_prompt + flags.max_tokens;
    return OK;
}

static void report(const struct generation *r, const struct draft *d)
{
    char text[128] = "", guesses[128];
    if (r->n_decoded)
        snprintf(text, sizeof text, " (%.1f tokens/s)", (double)r->n_decoded / r->decode_seconds);
    draft_report(d, guesses, sizeof guesses);
    log_info("prompt: %zu tokens (%.1f tokens/s); continuation: %zu%s%s; ended by: %s", r->n_prompt,
             (double)r->n_prompt / r->prefill_seconds, r->tokens.count, text, guesses,
             stop_reason_name(r->reason));
}

static int generate_text(struct model *m, const struct tokenizer *t, const struct buffer *text,
                         struct constraint *constraint, struct error *e)
{
    struct generator g = {0};
    struct draft draft = {0};
    struct generation r = {0};
    struct tokens prompt = {0};
    struct generate_options o = generate_options();
    size_t capacity = 0;
    constraint_apply(constraint, t, m->config.vocab_size, &o);
    int code = prompt_tokens(t, text->data, text->size, flags.parse_special, &prompt, e);
    if (!code)
        code = choose_capacity(m, prompt.count, &capacity, e);
    if (!code)
        code = generator_init(&g, m, t,
                              &(struct generator_options){.capacity = capacity, .cache_type = cache_type(&cache)},
                              e);
    if (!code)
        code = sampler_check(&o.sampler, g.n_choices, e);
    if (!code)
        code = draft_open(&draft, &draft_flags, &g, e);
    if (code)
        goto done;
    if (!flags.json && flags.echo)
        print_text(NULL, text->data, text->size);
    interrupt_install();
    code = generate(&g, prompt.ids, prompt.count, &o, flags.json ? NULL : print_text, NULL, &r, e);
    interrupt_restore();
    if (!flags.json && (!code || flags.echo))
        putchar('\n');
    if (code)
        goto done;
    if (flags.json)
        print_json_line(json_pack("{s:o, s:o, s:o, s:s}", "tokens", ids_json(&prompt),
                                  "continuation", ids_json(&r.tokens), "text",
                                  json_text(r.text.data ? r.text.data : "", r.text.size),
                                  "stop_reason", stop_reason_name(r.reason)));
    fflush(stdout);
    report(&r, &draft);
    if (r.reason == STOPPED_INTERRUPTED)
        code = error_set(e, ERR_INTERRUPTED, "interrupted");
done:
    tokens_free(&prompt);
    generation_free(&r);
    draft_close(&draft);
    generator_free(&g);
    return code;
}

static int run(const struct command_input *in, struct error *e)
{
    struct inference model;
    struct buffer text = {0};
    struct constraint constraint = {0};
    kernels_set_threads(in->threads);
    int code = option_require(in->options, "", "model", e);
    if (!code)
        code = read_prompt(&text, e);
    if (!code)
        code = check_stops(e);
    if (!code)
        code = constraint_open(&constraint, &constraints, e);
    if (!code)
        code = inference_load(flags.model, &flags.adapters, flags.exact, &model, e);
    if (!code) {
        code = generate_text(&model.model, model.tokenizer, &text, &constraint, e);
        inference_free(&model);
    }
    constraint_close(&constraint);
    buffer_free(&text);
    return code;
}

const struct command command_generate = {
    .name = "generate",
    .group = "Models",
    .summary = "continue a text",
    .usage = "--model PATH --prompt TEXT [FLAGS]",
    .notes = "The text goes to standard output as it comes, statistics to standard error. Ctrl-C ends "
             "it with\nwhat there is.\n"
             "\n"
             "Examples:\n"
             "  linnet generate --model runs/stories --prompt \"Once upon a time\"\n"
             "  linnet generate --model model.gguf --prompt \"Q: 2+3? A:\" --temperature 0 --stop \"Q:\"\n",
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
