/* linnet quantize */
#include "base/file.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/export_check.h"
#include "cli/model_report.h"
#include "cli/shared.h"
#include "export/quantize.h"
#include "kernels/gemm.h"
#include "model/load.h"

#include <string.h>

static struct {
    char *model, *type, *out, *imatrix, *output_type, *embedding_type, *eval, *check, *name;
    struct option_strings tensor_types;
    bool pure, requantize, json, force;
} flags;

#define FIELD(member) offsetof(__typeof__(flags), member)

static const struct option rows[] = {
    {.key = "model", .flag = "--model", .type = OPTION_STRING, .offset = FIELD(model), .placeholder = "PATH",
     .help = "a run directory, a checkpoint, a Hugging Face directory, or a GGUF file"},
    {.key = "type", .flag = "--type", .type = OPTION_STRING, .offset = FIELD(type), .placeholder = "TYPE",
     .help = "the mix of types, in any case: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K_S, Q3_K_M, Q3_K_L, Q4_K_S, "
             "Q4_K_M, Q5_K_S, Q5_K_M, Q6_K, IQ4_NL, IQ4_XS, MXFP4, TQ1_0, TQ2_0, BF16, F16"},
    {.key = "out", .flag = "--out", .letter = 'o', .type = OPTION_STRING, .offset = FIELD(out),
     .placeholder = "FILE", .help = "the GGUF file to write"},
    {.key = "imatrix", .flag = "--imatrix", .type = OPTION_STRING, .offset = FIELD(imatrix), .placeholder = "FILE",
     .help = "an importance matrix of this model, from linnet imatrix or llama-imatrix: which columns to keep more "
             "exact"},
    {.key = "tensor_type", .flag = "--tensor-type", .type = OPTION_STRINGS, .offset = FIELD(tensor_types),
     .placeholder = "PATTERN=TYPE",
     .help = "matrices in whose GGUF name the regular expression is found get this type (q8_0, f16, ...); may be "
             "repeated, and the first that is found counts"},
    {.key = "output_tensor_type", .flag = "--output-tensor-type", .type = OPTION_STRING,
     .offset = FIELD(output_type), .placeholder = "TYPE",
     .help = "type of the output layer, also where it is the embedding"},
    {.key = "token_embedding_type", .flag = "--token-embedding-type", .type = OPTION_STRING,
     .offset = FIELD(embedding_type), .placeholder = "TYPE", .help = "type of the embedding"},
    {.key = "pure", .flag = "--pure", .type = OPTION_BOOL, .offset = FIELD(pure),
     .help = "all matrices of one type, instead of a mix"},
    {.key = "requantize", .flag = "--requantize", .type = OPTION_BOOL, .offset = FIELD(requantize),
     .help = "quantise what is quantised already, and lose twice"},
    {.key = "eval", .flag = "--eval", .type = OPTION_STRING, .offset = FIELD(eval), .placeholder = "TEXT",
     .help = "run both models over this .txt or .jsonl file: perplexity, KL divergence, share of equal likeliest "
             "tokens"},
    EXPORT_CHECK_ROW(FIELD(check)),
    {.key = "name", .flag = "--name", .type = OPTION_STRING, .offset = FIELD(name), .placeholder = "NAME",
     .help = "what the model is called in the file (default: the name of the path it is from)"},
    {.key = "json", .flag = "--json", .type = OPTION_BOOL, .offset = FIELD(json), .help = "print one JSON object"},
    {.key = "force", .flag = "--force", .type = OPTION_BOOL, .offset = FIELD(force), .help = "replace what is there"},
};
static struct option_section sections[] = {
    {.name = "", .rows = rows, .n_rows = COUNT(rows), .object = &flags, .help = "Flags"},
};

/* What the flags ask for. */
struct job {
    struct quantize_options options;
    struct type_override *overrides;
    char **patterns; /* those of the overrides */
    struct imatrix importance;
};

static void job_free(struct job *j)
{
    for (size_t i = 0; i < j->options.n_overrides; i++)
        mem_free(j->patterns[i]);
    mem_free(j->patterns);
    mem_free(j->overrides);
    imatrix_free(&j->importance);
}

/* PATTERN=TYPE, at the last "=". */
static int parse_override(struct job *j, const char *text, struct error *e)
{
    const char *equals = strrchr(text, '=');
    const size_t i = j->options.n_overrides;
    if (!equals || equals == text || !equals[1])
        return error_set(e, ERR_USAGE, "--tensor-type %s: expected PATTERN=TYPE, for example ffn_down=q8_0", text);
    int code = quantize_type_parse("--tensor-type", equals + 1, &j->overrides[i].type, e);
    if (code)
        return code;
    j->patterns[i] = mem_string_n(text, (size_t)(equals - text));
    j->overrides[i].pattern = j->patterns[i];
    j->options.n_overrides++;
    return OK;
}

static int parse_type(const char *flag, const char *text, int *type, struct error *e)
{
    enum dtype parsed = DTYPE_F32;
    *type = NO_TYPE;
    if (!text)
        return OK;
    int code = quantize_type_parse(flag, text, &parsed, e);
    *type = (int)parsed;
    return code;
}

static int job_init(struct job *j, struct error *e)
{
    *j = (struct job){.options = {.pure = flags.pure, .requantize = flags.requantize}};
    j->overrides = mem_zero(flags.tensor_types.count, sizeof *j->overrides);
    j->patterns = mem_zero(flags.tensor_types.count, sizeof *j->patterns);
    j->options.overrides = j->overrides;
    int code = mix_find(flags.type, &j->options.mix, e);
    if (!code)
        code = parse_type("--output-tensor-type", flags.output_type, &j->options.output_type, e);
    if (!code)
        code = parse_type("--token-embedding-type", flags.embedding_type, &j->options.embedding_type, e);
    for (size_t i = 0; i < flags.tensor_types.count && !code; i++)
        code = parse_override(j, flags.tensor_types.items[i], e);
    if (!code && flags.imatrix) {
        code = imatrix_read(flags.imatrix, &j->importance, e);
        j->options.importance = &j->importance;
        j->options.importance_name = path_basename(flags.imatrix);
    }
    return code;
}

static int check_paths(struct error *e)
{
    int code = check_not_itself(flags.out, flags.model, "the model", e);
    return code ? code : export_check_target(flags.out, false, flags.force, e);
}

/* Runs the original and the file that was written over the text. */
static int compare(struct model *original, const struct tokenizer *t, struct corpus *corpus,
                   struct divergence_sums *sums, struct error *e)
{
    struct model quantised = {0};
    int code = model_load(flags.out, WEIGHTS_MAPPED, &quantised, NULL, e);
    if (code)
        return code;
    code = compare_models(original, &quantised, t, corpus, sums, e);
    model_free(&quantised);
    return code;
}

static json_t *report_json(const struct mix *mix, const struct export_report *r, double seconds,
                           const struct divergence_sums *s)
{
    json_t *root = export_report_json(flags.out, mix->name, r, seconds);
    if (s)
        json_object_set_new(root, "eval",
                            json_pack("{s:I, s:f, s:f, s:f, s:f}", "tokens", (json_int_t)s->n, "perplexity_before",
                                      compared_perplexity(s, 0), "perplexity", compared_perplexity(s, 1),
                                      "kl_divergence", s->kl / (double)s->n, "same_top",
                                      (double)s->same_top / (double)s->n));
    return root;
}

static void print_report(const struct export_report *r, double seconds, const struct divergence_sums *s)
{
    print_export_report(r, seconds);
    if (s)
        printf("tokens compared  %zu\nperplexity       %.4f -> %.4f\nKL divergence    %.6f nats a token\n"
               "same top token   %.2f%%\n", s->n, compared_perplexity(s, 0), compared_perplexity(s, 1),
               s->kl / (double)s->n, 100 * (double)s->same_top / (double)s->n);
}

static int print_and_check(const struct job *j, const struct export_report *r, double seconds,
                           const struct divergence_sums *s, struct error *e)
{
    const struct option_strings no_adapters = {0};
    json_t *root = flags.json ? report_json(j->options.mix, r, seconds, s) : NULL;
    if (!root)
        print_report(r, seconds, s);
    if (!root && flags.check)
        putchar('\n');
    int code = export_check_written(flags.model, &no_adapters, flags.out, flags.check, root, e);
    if (root)
        print_json_line(root);
    return code;
}

static int quantize(struct model *m, const struct tokenizer *t, struct job *j, struct corpus *corpus,
                    struct error *e)
{
    struct export_report report;
    struct divergence_sums sums;
    char *name = flags.name ? mem_string(flags.name) : name_from_path(flags.model);
    const double start = clock_seconds();
    j->options.name = name;
    int code = quantize_model(m, t, &j->options, flags.out, &report, e);
    const double seconds = clock_seconds() - start;
    if (!code && corpus)
        code = compare(m, t, corpus, &sums, e);
    mem_free(name);
    return code ? code : print_and_check(j, &report, seconds, corpus ? &sums : NULL, e);
}

static int run(const struct command_input *in, struct error *e)
{
    static const char *const required[] = {"model", "type", "out"};
    struct model m = {0};
    struct tokenizer *t = NULL;
    struct job j = {0};
    struct corpus *corpus = NULL;
    int code = OK;
    kernels_set_threads(in->threads);
    for (size_t i = 0; i < COUNT(required) && !code; i++)
        code = option_require(in->options, "", required[i], e);
    if (!code) /* before a large model is read in vain */
        code = check_paths(e);
    if (!code)
        code = job_init(&j, e);
    if (!code)
        code = export_check_prepare(flags.check, e);
    if (!code && flags.eval)
        code = corpus_open((const char *const *)&flags.eval, 1, "text", &corpus, e);
    if (!code)
        code = model_load(flags.model, WEIGHTS_MAPPED, &m, &t, e);
    if (!code) {
        code = quantize(&m, t, &j, corpus, e);
        model_free(&m);
        tokenizer_free(t);
    }
    corpus_close(corpus);
    job_free(&j);
    return code;
}

const struct command command_quantize = {
    .name = "quantize",
    .group = "Models",
    .summary = "make a model smaller: weights of few bits, as a GGUF file",
    .usage = "--model PATH --type TYPE --out FILE [FLAGS]",
    .notes = "The file has the types, and bit for bit the weights, that llama.cpp's llama-quantize would give it. "
             "Q4_K_M\nis a good size for most models, Q8_0 next to lossless; an importance matrix helps most below "
             "four bits.\ndocs/quantisation.md says what each type costs.\n"
             "\n"
             "Examples:\n"
             "  linnet quantize --model llama-hf --type Q4_K_M --out llama-q4.gguf --eval held-out.txt\n"
             "  linnet imatrix --model llama-hf --data text.txt --out llama.imatrix.gguf\n"
             "  linnet quantize --model llama-hf --type Q3_K_M --imatrix llama.imatrix.gguf --out llama-q3.gguf\n"
             "  linnet quantize --model run --type Q4_K_M --tensor-type ffn_down=q6_k --out run-q4.gguf\n",
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
