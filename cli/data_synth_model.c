/* linnet data synth-model */
#include "base/file.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/shared.h"
#include "export/quantize.h"
#include "kernels/gemm.h"
#include "model/presets.h"
#include "model/synth_model.h"

#include <strings.h>

static struct {
    char *out, *type, *name;
    int preset;
    size_t seed, active_blocks;
    bool json, force;
} flags;
static struct model_config model_section;

#define FIELD(member) offsetof(__typeof__(flags), member)

static const struct option rows[] = {
    {.key = "out", .flag = "--out", .letter = 'o', .type = OPTION_STRING, .offset = FIELD(out),
     .placeholder = "FILE", .help = "the GGUF file to write"},
    {.key = "type", .flag = "--type", .type = OPTION_STRING, .offset = FIELD(type), .default_value = "f16",
     .placeholder = "TYPE", .help = "type of the matrices: f32, f16, bf16, or what linnet quantize writes (q4_0, "
                                    "Q4_K_M, ...)"},
    {.key = "preset", .flag = "--preset", .type = OPTION_ENUM, .offset = FIELD(preset), .default_value = "none",
     .choices = model_preset_names, .placeholder = "NAME",
     .help = "the shape of a published model; what -c and --set say is stronger"},
    {.key = "active_blocks", .flag = "--active-blocks", .type = OPTION_SIZE, .offset = FIELD(active_blocks),
     .maximum = 512, .minimum = 1, .placeholder = "N",
     .help = "blocks after the first N add zero to the stream, in the same time, and the output is sure of its "
             "tokens: a model of N blocks made with the same N and seed is a draft that is always right"},
    {.key = "seed", .flag = "--seed", .type = OPTION_SIZE, .offset = FIELD(seed), .default_value = "1",
     .help = "another seed gives other weights"},
    {.key = "name", .flag = "--name", .type = OPTION_STRING, .offset = FIELD(name),
     .default_value = "random weights", .placeholder = "NAME", .help = "what the model is called in the file"},
    {.key = "json", .flag = "--json", .type = OPTION_BOOL, .offset = FIELD(json),
     .help = "print what was made as JSON"},
    {.key = "force", .flag = "--force", .type = OPTION_BOOL, .offset = FIELD(force), .help = "replace what is there"},
};
static struct option_section sections[] = {
    {.name = "", .rows = rows, .n_rows = COUNT(rows), .object = &flags, .help = "Flags"},
    {.name = "model", .rows = model_options, .n_rows = N_MODEL_OPTIONS, .object = &model_section, .help = "Model"},
};

/* The mix that --type names. F32 is none of llama-quantize's, but as a type of all matrices it serves as one. */
static int find_mix(struct quantize_options *o, struct error *e)
{
    static const struct mix f32 = {"F32", DTYPE_F32, 0};
    o->types.pure = strcasecmp(flags.type, f32.name) == 0;
    o->types.mix = &f32;
    return o->types.pure ? OK : mix_find("--type", flags.type, &o->types.mix, e);
}

/* What the configuration leaves to a tokenizer and to training. */
static int complete_config(const struct tokenizer *t, struct error *e)
{
    const size_t least = tokenizer_vocab_size(t);
    if (model_section.vocab_size == 0)
        model_section.vocab_size = least;
    if (model_section.max_position_embeddings == 0)
        model_section.max_position_embeddings = 8192;
    if (model_section.vocab_size < least)
        return error_set(e, ERR_USAGE, "model.vocab_size is %zu; it must be at least %zu: a token for every byte and "
                                       "one for the end of a text", model_section.vocab_size, least);
    return OK;
}

static void report(const struct quantize_options *o, const struct export_report *r, uint64_t bytes, double seconds)
{
    char count[32], size[32], time[32];
    const char *architecture = architecture_names[model_section.architecture];
    log_info("%s: %s, %s weights in %s, %s in %s", flags.out, architecture,
             format_count((double)r->n_weights, count), o->types.mix->name, format_bytes((double)bytes, size),
             format_duration(seconds, time));
    if (flags.json)
        print_json(json_pack("{s:s, s:s, s:s, s:I, s:I}", "path", flags.out, "architecture", architecture, "type",
                             o->types.mix->name, "weights", (json_int_t)r->n_weights, "bytes", (json_int_t)bytes));
}

static int write_model(struct synth_model *s, const struct tokenizer *t, struct quantize_options *o,
                       struct error *e)
{
    struct export_report made;
    uint64_t bytes;
    const double start = clock_seconds();
    int code = quantize_model(&s->model, t, o, flags.out, &made, e);
    if (!code)
        code = file_size(flags.out, &bytes, e);
    if (!code)
        report(o, &made, bytes, clock_seconds() - start);
    return code;
}

static int run(const struct command_input *in, struct error *e)
{
    static const char *const special[] = {"<|endoftext|>"};
    const struct synth_model_settings settings = {flags.seed, flags.active_blocks};
    struct quantize_options o = {.types = {.output_type = NO_TYPE, .embedding_type = NO_TYPE}, .name = flags.name};
    struct synth_model s = {0};
    struct tokenizer *t = NULL;
    int code = option_require(in->options, "", "out", e);
    if (!code)
        code = export_check_target(flags.out, false, flags.force, e);
    if (!code)
        code = find_mix(&o, e);
    if (!code) {
        model_preset_apply(flags.preset, (struct options *)in->options);
        code = tokenizer_new_bytes(special, COUNT(special), &t, e);
    }
    if (!code)
        code = complete_config(t, e);
    if (!code)
        code = synth_model_init(&s, &model_section, &settings, e);
    if (!code)
        code = write_model(&s, t, &o, e);
    synth_model_free(&s);
    tokenizer_free(t);
    return code;
}

const struct command command_data_synth_model = {
    .name = "data synth-model",
    .group = "Data",
    .summary = "write a model of random weights: for measuring speed and memory",
    .usage = "--out FILE [--preset NAME] [-c FILE] [FLAGS]",
    .notes =
        "A GGUF file of any architecture and shape that linnet and llama.cpp load, as\n"
        "fast and as large as the model it stands for. Its tokens are the bytes,\n"
        "<|endoftext|>, and unused ones up to model.vocab_size; its context is\n"
        "model.max_position_embeddings, or 8192. The same flags give the same bytes.\n"
        "Making it takes little memory: two bytes for each weight of the largest matrix,\n"
        "and that matrix once more in the file's type.\n"
        "\n"
        "Examples:\n"
        "  linnet data synth-model --preset llama-3.2-3b --type q4_0 --out 3b.gguf\n"
        "  linnet data synth-model --preset llama-3b --set model.num_hidden_layers=2 --out 2.gguf\n"
        "  linnet data synth-model -c configs/bench-29m.yaml --type bf16 --out 29m.gguf\n",
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
