/* linnet bench infer */
#include "base/log.h"
#include "base/memory.h"
#include "cli/cache.h"
#include "cli/command.h"
#include "cli/draft.h"
#include "cli/shared.h"
#include "infer/generate.h"
#include "kernels/gemm.h"

static struct {
    char *model;
    struct option_strings adapters;
    size_t prompt_tokens, gen_tokens, chunk, repeat;
    bool json;
} flags;

#define FIELD(member) offsetof(__typeof__(flags), member)

static const struct option rows[] = {
    {.key = "model", .flag = "--model", .type = OPTION_STRING, .offset = FIELD(model), .placeholder = "PATH",
     .help = "a run directory, a checkpoint, a Hugging Face directory, or a GGUF file"},
    ADAPTER_ROW(FIELD(adapters)),
    {.key = "prompt_tokens", .flag = "--prompt-tokens", .type = OPTION_SIZE, .offset = FIELD(prompt_tokens),
     .default_value = "256", .minimum = 1, .maximum = 1 << 20, .help = "tokens of the prompt"},
    {.key = "gen_tokens", .flag = "--gen-tokens", .type = OPTION_SIZE, .offset = FIELD(gen_tokens),
     .default_value = "64", .minimum = 1, .maximum = 1 << 20, .help = "tokens generated after it, one by one"},
    {.key = "chunk", .flag = "--chunk", .type = OPTION_SIZE, .offset = FIELD(chunk), .default_value = "256",
     .minimum = 1, .maximum = 1 << 16, .help = "tokens of the prompt that are computed together"},
    {.key = "repeat", .flag = "--repeat", .type = OPTION_SIZE, .offset = FIELD(repeat), .default_value = "1",
     .minimum = 1, .maximum = 1000, .help = "measure so often, and report the fastest"},
    {.key = "json", .flag = "--json", .type = OPTION_BOOL, .offset = FIELD(json),
     .help = "print the figures as JSON"},
};
static struct cache_options cache;
static struct draft_flags draft_flags;
static struct option_section sections[] = {
    {.name = "", .rows = rows, .n_rows = COUNT(rows), .object = &flags, .help = "Flags"},
    {.name = "", .rows = cache_rows, .n_rows = 1, .object = &cache, .help = "Keys and values"},
    DRAFT_SECTION(&draft_flags),
};

/* Tokens per second, of the fastest of all runs. */
struct speed {
    double prefill, decode;
};

static int measure(struct generator *g, const int32_t *prompt, struct speed *s, struct error *e)
{
    struct generation r = {0};
    struct generate_options o = {.sampler = sampler_defaults(), .max_tokens = flags.gen_tokens + 1,
                                 .ignore_end = true};
    o.sampler.temperature = 0;
    generator_reset(g);
    if (g->drafter)
        drafter_reset(g->drafter);
    int code = generate(g, prompt, flags.prompt_tokens, &o, NULL, NULL, &r, e);
    double prefill = (double)r.n_prompt / r.prefill_seconds, decode = (double)r.n_decoded / r.decode_seconds;
    s->prefill = prefill > s->prefill ? prefill : s->prefill;
    s->decode = decode > s->decode ? decode : s->decode;
    generation_free(&r);
    return code;
}

static void report(const struct speed *s, const struct draft *d, int threads)
{
    double peak = (double)mem_resident_peak() / 1e6;
    if (flags.json)
        print_json(json_pack("{s:f, s:f, s:I, s:I, s:I, s:I, s:i, s:f}", "prefill_tokens_per_s", s->prefill,
                             "decode_tokens_per_s", s->decode, "prompt_tokens", (json_int_t)flags.prompt_tokens,
                             "gen_tokens", (json_int_t)flags.gen_tokens, "guessed_tokens",
                             (json_int_t)d->drafter.n_drafted, "right_guesses",
                             (json_int_t)d->drafter.n_accepted, "threads", threads, "peak_rss_mb", peak));
    else
        printf("prefill            %10.2f tokens/s, a prompt of %zu\n"
               "decoding           %10.2f tokens/s, %zu after it\n"
               "peak memory        %10.0f MB\n",
               s->prefill, flags.prompt_tokens, s->decode, flags.gen_tokens, peak);
    if (!flags.json && d->drafter.n_drafted)
        printf("guesses            %10.1f %% of %zu were right\n",
               100 * (double)d->drafter.n_accepted / (double)d->drafter.n_drafted, d->drafter.n_drafted);
}

static int bench(struct model *m, const struct tokenizer *t, int threads, struct error *e)
{
    struct generator g = {0};
    struct draft d = {0};
    struct speed s = {0};
    int32_t *prompt = mem_alloc(flags.prompt_tokens, sizeof *prompt);
    for (size_t i = 0; i < flags.prompt_tokens; i++)
        prompt[i] = (int32_t)(i * 7919 % m->config.vocab_size);
    struct generator_options o = {.capacity = flags.prompt_tokens + flags.gen_tokens + 1, .chunk = flags.chunk,
                                  .cache_type = cache_type(&cache)};
    int code = generator_init(&g, m, t, &o, e);
    if (!code)
        code = draft_open(&d, &draft_flags, &g, e);
    for (size_t i = 0; i < flags.repeat && !code; i++)
        code = measure(&g, prompt, &s, e);
    if (!code)
        report(&s, &d, threads);
    draft_close(&d);
    generator_free(&g);
    mem_free(prompt);
    return code;
}

static int run(const struct command_input *in, struct error *e)
{
    struct inference model;
    kernels_set_threads(in->threads);
    int code = option_require(in->options, "", "model", e);
    if (!code)
        code = inference_load(flags.model, &flags.adapters, false, &model, e);
    if (code)
        return code;
    code = bench(&model.model, model.tokenizer, in->threads, e);
    inference_free(&model);
    return code;
}

const struct command command_bench_infer = {
    .name = "bench infer",
    .group = "Measure",
    .summary = "speed of reading a prompt and of generating after it",
    .usage = "--model PATH [FLAGS]",
    .notes = "The prompt's tokens mean nothing: speed does not depend on them. The first run with a file "
             "waits\nfor the disk.\n",
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
