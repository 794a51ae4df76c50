/* linnet export and linnet convert: the same, but for what they take for granted. */
#include "base/file.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/export_check.h"
#include "cli/model_report.h"
#include "cli/shared.h"
#include "export/gguf.h"
#include "export/hf.h"
#include "lora/load.h"
#include "model/load.h"
#include "model/rope_scaling.h"

#include <string.h>

enum { FORMAT_GGUF, FORMAT_HF };
static const char *const formats[] = {"gguf", "hf", NULL};
static const char *const type_names[] = {"keep", "f32", "f16", "bf16", NULL};
static const enum dtype types[] = {DTYPE_F32 /* is not asked */, DTYPE_F32, DTYPE_F16, DTYPE_BF16};
enum { TYPE_KEEP };

static struct {
    char *model, *out, *name, *adapter, *check;
    int format, type;
    size_t context, max_shard_size;
    bool force;
} flags;

#define FIELD(member) offsetof(__typeof__(flags), member)

#define MODEL_ROW \
    {.key = "model", .flag = "--model", .type = OPTION_STRING, .offset = FIELD(model), \
     .placeholder = "PATH", \
     .help = "a run directory, a checkpoint, a Hugging Face directory, or a GGUF file"}
#define DTYPE_HELP(more) \
    .help = "type of the weights in the file; keep: as they are, but quantised ones as f16 in a directory" more ". " \
            "Norms in a GGUF file are always f32"
#define OTHER_ROWS \
    {.key = "name", .flag = "--name", .type = OPTION_STRING, .offset = FIELD(name), \
     .placeholder = "NAME", \
     .help = "what the model is called in a GGUF file (default: the name of the path it is from)"}, \
    {.key = "context", .flag = "--context", .type = OPTION_SIZE, .offset = FIELD(context), \
     .maximum = 1 << 24, .help = "context length to write (default: the model's)"}, \
    {.key = "max_shard_size", .flag = "--max-shard-size", .type = OPTION_SIZE, \
     .offset = FIELD(max_shard_size), .default_value = "5G", .placeholder = "BYTES", \
     .help = "larger weights of a directory are split into files of at most this size"}, \
    {.key = "force", .flag = "--force", .type = OPTION_BOOL, .offset = FIELD(force), \
     .help = "replace what is there"}

static const struct option rows[] = {
    MODEL_ROW,
    {.key = "format", .flag = "--format", .type = OPTION_ENUM, .offset = FIELD(format),
     .choices = formats, .default_value = "gguf",
     .help = "gguf: one file for llama.cpp, Ollama and LM Studio; hf: a directory as Hugging Face's "
             "libraries read it"},
    {.key = "dtype", .flag = "--dtype", .type = OPTION_ENUM, .offset = FIELD(type), .choices = type_names,
     .default_value = "f16", DTYPE_HELP("; what a model in blocks, as after training with --qat, gets in a GGUF file if nothing "
                                          "is asked for")},
    {.key = "out", .flag = "--out", .letter = 'o', .type = OPTION_STRING, .offset = FIELD(out),
     .placeholder = "PATH", .help = "the file or directory to write"},
    EXPORT_CHECK_ROW(FIELD(check)),
    OTHER_ROWS,
};
static const struct option convert_rows[] = {
    MODEL_ROW,
    {.key = "adapter", .flag = "--adapter", .type = OPTION_STRING, .offset = FIELD(adapter), .placeholder = "PATH",
     .help = "not the model itself but this LoRA adapter of it: to a GGUF file, or to a directory as PEFT has it"},
    {.key = "out", .flag = "--out", .letter = 'o', .type = OPTION_STRING, .offset = FIELD(out),
     .placeholder = "PATH", .help = "a file if it ends in .gguf, else a Hugging Face directory"},
    {.key = "dtype", .flag = "--dtype", .type = OPTION_ENUM, .offset = FIELD(type), .choices = type_names,
     .default_value = "keep", DTYPE_HELP("")},
    OTHER_ROWS,
};
static struct option_section sections[] = {
    {.name = "", .rows = rows, .n_rows = COUNT(rows), .object = &flags, .help = "Flags"},
};
static struct option_section convert_sections[] = {
    {.name = "", .rows = convert_rows, .n_rows = COUNT(convert_rows), .object = &flags, .help = "Flags"},
};

static struct export_options settings(void)
{
    const bool keep = flags.type == TYPE_KEEP;
    return (struct export_options){.keep_types = keep, .keep_blocks = keep && flags.format == FORMAT_GGUF,
                                   .type = types[flags.type], .force = flags.force,
                                   .max_shard_bytes = flags.max_shard_size};
}

static int write_model(struct model *m, const struct tokenizer *t, struct error *e)
{
    char *name = flags.name ? mem_string(flags.name) : name_from_path(flags.model);
    struct export_options o = settings();
    o.name = name;
    if (flags.context)
        model_set_context(&m->config, flags.context);
    if (flags.context && m->config.max_position_embeddings != flags.context)
        log_warn("--context: rotary angles of this model are derived from its context length, which stays %zu",
                 m->config.max_position_embeddings);
    int code = flags.format == FORMAT_GGUF ? export_gguf(m, t, &o, flags.out, e)
                                           : export_hf(m, t, &o, flags.out, e);
    mem_free(name);
    return code;
}

static int write_adapter(struct model *m, struct error *e)
{
    struct lora_adapter a;
    int code = lora_load(flags.adapter, m, &a, e);
    if (code)
        return code;
    char *name = name_from_path(flags.name ? flags.name : flags.adapter);
    code = flags.format == FORMAT_GGUF ? lora_write_gguf(&a, name, flags.out, e)
                                       : lora_write_peft(&a, flags.model, flags.out, e);
    if (!code)
        log_info("%s: an adapter of %zu layers", flags.out, a.n_pairs);
    mem_free(name);
    lora_free(&a);
    return code;
}

/* In blocks, or a run that trained for other types than f32, be they f16 or bf16: what it computed with. */
static bool has_types_to_keep(const struct model *m)
{
    bool other = false;
    for (size_t i = 0; i < m->n_params; i++)
        other |= m->params[i].type != DTYPE_F32;
    return model_has_blocks(m) || (!m->file && other);
}

static int run(const struct command_input *in, struct error *e)
{
    struct model m = {0};
    struct tokenizer *t = NULL;
    int code = option_require(in->options, "", "model", e);
    if (!code)
        code = option_require(in->options, "", "out", e);
    if (!code) /* before a large model is read in vain */
        code = export_check_target(flags.out, flags.format == FORMAT_HF, flags.force, e);
    if (!code)
        code = check_not_a_run(flags.out, e);
    if (!code)
        code = export_check_prepare(flags.check, e);
    if (!code)
        code = model_load(flags.model, WEIGHTS_MAPPED, &m, &t, e);
    if (code)
        return code;
    if (!option_given(in->options, "", "dtype") && flags.format == FORMAT_GGUF && has_types_to_keep(&m))
        flags.type = TYPE_KEEP;
    code = flags.adapter ? write_adapter(&m, e) : write_model(&m, t, e);
    if (!code && !flags.adapter) {
        char count[32];
        const struct export_options o = settings();
        log_info("%s: %s parameters, %s", flags.out, format_count((double)m.n_weights, count),
                 dtype_info(export_type(&m, &o))->name);
        if (model_has_blocks(&m) && !o.keep_blocks)
            log_info("the weights were in blocks, and are now what these stand for%s; a GGUF file with --dtype keep has the "
                     "blocks", export_type(&m, &o) == DTYPE_F32 ? "" : ", rounded once more");
    }
    model_free(&m);
    tokenizer_free(t);
    const struct option_strings no_adapters = {0};
    return code ? code : export_check_written(flags.model, &no_adapters, flags.out, flags.check, NULL, e);
}

static int run_convert(const struct command_input *in, struct error *e)
{
    flags.format = flags.out && !path_has_suffix(flags.out, ".gguf") ? FORMAT_HF : FORMAT_GGUF;
    return run(in, e);
}

const struct command command_convert = {
    .name = "convert",
    .group = "Models",
    .summary = "turn a model's files into another program's",
    .usage = "--model PATH --out PATH [FLAGS]",
    .notes = "From a Hugging Face directory to a GGUF file or the other way round, or to another type. "
             "With --dtype\nkeep (the default) weights of f32, f16 and bf16 are the same, bit for bit; tokens are "
             "the same in any case.\n"
             "\n"
             "Examples:\n"
             "  linnet convert --model Llama-3.2-1B --out llama.gguf\n"
             "  linnet convert --model llama.gguf --adapter runs/tuned --out adapter.gguf\n"
             "  linnet convert --model llama.gguf --out llama-hf --dtype bf16\n",
    .sections = convert_sections,
    .n_sections = COUNT(convert_sections),
    .run = run_convert,
};

const struct command command_export = {
    .name = "export",
    .group = "Models",
    .summary = "write a model for other programs",
    .usage = "--model PATH --out PATH [FLAGS]",
    .notes = "Nothing is lost when it fails: a file is replaced only once the new one is complete.\n"
             "\n"
             "Examples:\n"
             "  linnet export --model runs/stories --format gguf --dtype f16 --out stories.gguf\n"
             "  linnet export --model stories.gguf --format hf --dtype bf16 --out stories-hf\n",
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
