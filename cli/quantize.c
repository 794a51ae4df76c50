/* linnet quantize */
#include "base/file.h"
#include "base/log.h"
#include "cli/chunks.h"
#include "cli/command.h"
#include "cli/export_check.h"
#include "cli/model_report.h"
#include "cli/shared.h"
#include "export/quantize.h"
#include "kernels/gemm.h"
#include "model/load.h"

#include <string.h>

static struct {
    char *model, *out, *eval, *check, *name;
    struct type_request types;
    struct option_strings calibration;
    size_t context, chunks;
    double damping;
    bool requantize, json, force;
} flags;

#define FIELD(member) offsetof(__typeof__(flags), member)

static const struct option rows[] = {
    {.key = "model", .flag = "--model", .type = OPTION_STRING, .offset = FIELD(model), .placeholder = "PATH",
     .help = "a run directory, a checkpoint, a Hugging Face directory, or a GGUF file"},
    {.key = "type", .flag = "--type", .type = OPTION_STRING, .offset = FIELD(types.type), .placeholder = "TYPE",
     .help = "the mix of types, in any case: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K_S, Q3_K_M, Q3_K_L, Q4_K_S, "
             "Q4_K_M, Q5_K_S, Q5_K_M, Q6_K, IQ4_NL, IQ4_XS, MXFP4, TQ1_0, TQ2_0, BF16, F16"},
    {.key = "out", .flag = "--out", .letter = 'o', .type = OPTION_STRING, .offset = FIELD(out),
     .placeholder = "FILE", .help = "the GGUF file to write"},
    {.key = "imatrix", .flag = "--imatrix", .type = OPTION_STRING, .offset = FIELD(types.imatrix), .placeholder = "FILE",
     .help = "an importance matrix of this model, from linnet imatrix or llama-imatrix: which columns to keep more "
             "exact"},
    {.key = "calibration", .flag = "--calibration", .type = OPTION_STRINGS, .offset = FIELD(calibration),
     .placeholder = "PATH...",
     .help = "compensate for the error of each column in those behind it (GPTQ), by what the model's layers get of this "
             "text: .txt and .jsonl files, also gzipped, or directories of them"},
    {.key = "calibration_context", .flag = "--calibration-context", .type = OPTION_SIZE, .offset = FIELD(context),
     .maximum = 1 << 24,
     .help = "tokens of one chunk of that text (default: 512, or the model's context where that is less)"},
    {.key = "calibration_chunks", .flag = "--calibration-chunks", .type = OPTION_SIZE, .offset = FIELD(chunks),
     .default_value = "128", .minimum = 1, .maximum = 1 << 20, .help = "stop after so many; their inputs are kept in memory"},
    {.key = "damping", .flag = "--damping", .type = OPTION_FLOAT, .offset = FIELD(damping), .default_value = "0.01",
     .minimum = 1e-6, .maximum = 100,
     .help = "how careful compensation is: a share of the inputs' mean square that is added to each column's"},
    {.key = "tensor_type", .flag = "--tensor-type", .type = OPTION_STRINGS, .offset = FIELD(types.tensor_types),
     .placeholder = "PATTERN=TYPE",
     .help = "matrices in whose GGUF name the regular expression is found get this type (q8_0, f16, ...); may be "
             "repeated, and the first that is found counts; @FILE stands for the lines of a file (of linnet "
             "sensitivity)"},
    {.key = "output_tensor_type", .flag = "--output-tensor-type", .type = OPTION_STRING,
     .offset = FIELD(types.output_type), .placeholder = "TYPE",
     .help = "type of the output layer, also where it is the embedding"},
    {.key = "token_embedding_type", .flag = "--token-embedding-type", .type = OPTION_STRING,
     .offset = FIELD(types.embedding_type), .placeholder = "TYPE", .help = "type of the embedding"},
    {.key = "pure", .flag = "--pure", .type = OPTION_BOOL, .offset = FIELD(types.pure),
     .help = "all matrices of one type, instead of a mix"},
    {.key = "requantize", .flag = "--requantize", .type = OPTION_BOOL, .offset = FIELD(requantize),
     .help = "quantise what is quantised already into other types, and lose twice"},
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

static int print_and_check(const struct quantize_options *o, const struct export_report *r, double seconds,
                           const struct divergence_sums *s, struct error *e)
{
    const struct option_strings no_adapters = {0};
    json_t *root = flags.json ? report_json(o->types.mix, r, seconds, s) : NULL;
    if (!root)
        print_report(r, seconds, s);
    if (!root && flags.check)
        putchar('\n');
    int code = export_check_written(flags.model, &no_adapters, flags.out, flags.check, root, e);
    if (root)
        print_json_line(root);
    return code;
}

static int quantize(struct model *m, const struct tokenizer *t, const struct type_wishes *wishes, struct corpus *corpus,
                    const struct compensate_options *calibration, struct error *e)
{
    struct export_report report;
    struct divergence_sums sums;
    char *name = flags.name ? mem_string(flags.name) : name_from_path(flags.model);
    const struct quantize_options o = {.types = *wishes, .requantize = flags.requantize, .name = name,
                                       .calibration = *calibration};
    const double start = clock_seconds();
    int code = quantize_model(m, t, &o, flags.out, &report, e);
    const double seconds = clock_seconds() - start;
    if (!code && corpus)
        code = compare(m, t, corpus, &sums, e);
    if (!code)
        code = print_and_check(&o, &report, seconds, corpus ? &sums : NULL, e);
    mem_free(name);
    return code;
}

static int check_calibration(const struct options *all, struct error *e)
{
    static const char *const others[][2] = {{"calibration_context", "--calibration-context"},
                                            {"calibration_chunks", "--calibration-chunks"},
                                            {"damping", "--damping"}};
    for (size_t i = 0; i < COUNT(others) && flags.calibration.count == 0; i++)
        if (option_given(all, "", others[i][0]))
            return error_set(e, ERR_USAGE, "%s: has an effect only with --calibration", others[i][1]);
    return OK;
}

/* The text of --calibration, if there is one; `text` holds it. */
static int read_calibration(const struct model *m, const struct tokenizer *t, struct tokens *text,
                            struct compensate_options *o, struct error *e)
{
    size_t context;
    if (flags.calibration.count == 0)
        return OK;
    int code = choose_chunk(&m->config, flags.context, "--calibration-context", &context, e);
    const struct chunk_options chunks = {.paths = &flags.calibration, .text_field = "text", .context = context,
                                         .most = flags.chunks * context, .paths_flag = "--calibration",
                                         .context_flag = "--calibration-context"};
    if (!code)
        code = read_chunks(&chunks, t, text, e);
    if (!code)
        *o = (struct compensate_options){.ids = text->ids, .n_chunks = text->count / context, .context = context,
                                         .damping = flags.damping};
    return code;
}

static int run(const struct command_input *in, struct error *e)
{
    static const char *const required[] = {"model", "type", "out"};
    struct model m = {0};
    struct tokenizer *t = NULL;
    struct parsed_wishes wishes = {0};
    struct corpus *corpus = NULL;
    struct tokens text = {0};
    struct compensate_options calibration = {0};
    int code = OK;
    kernels_set_threads(in->threads);
    for (size_t i = 0; i < COUNT(required) && !code; i++)
        code = option_require(in->options, "", required[i], e);
    if (!code) /* before a large model is read in vain */
        code = check_paths(e);
    if (!code)
        code = check_calibration(in->options, e);
    if (!code)
        code = type_wishes_parse(&flags.types, "--type", "--", &wishes, e);
    if (!code)
        code = export_check_prepare(flags.check, e);
    if (!code && flags.eval)
        code = corpus_open((const char *const *)&flags.eval, 1, "text", &corpus, e);
    if (!code)
        code = model_load(flags.model, WEIGHTS_MAPPED, &m, &t, e);
    if (!code) {
        code = read_calibration(&m, t, &text, &calibration, e);
        if (!code)
            code = quantize(&m, t, &wishes.wishes, corpus, &calibration, e);
        model_free(&m);
        tokenizer_free(t);
    }
    tokens_free(&text);
    corpus_close(corpus);
    type_wishes_free(&wishes);
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
             "With --calibration the types stay, and the weights are what keeps the layers' outputs nearest to those\n"
             "before: slower to make, as fast to run, and the more worth the fewer bits there are.\n"
             "\n"
             "Examples:\n"
             "  linnet quantize --model llama-hf --type Q4_K_M --out llama-q4.gguf --eval held-out.txt\n"
             "  linnet imatrix --model llama-hf --data text.txt --out llama.imatrix.gguf\n"
             "  linnet quantize --model llama-hf --type Q3_K_M --imatrix llama.imatrix.gguf --out llama-q3.gguf\n"
             "  linnet quantize --model run --type Q4_0 --calibration text.txt --out run-q4.gguf\n"
             "  linnet quantize --model run --type Q4_K_M --tensor-type ffn_down=q6_k --out run-q4.gguf\n",
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
