/* linnet teacher: what a model holds likely at each position of a dataset, into a dump. */
#include "cli/teacher.h"

#include "base/log.h"
#include "cli/command.h"
#include "cli/dataset.h"
#include "cli/inference.h"
#include "cli/shared.h"
#include "train/interrupt.h"

static struct {
    char *out;
    size_t positions_per_part;
    bool resume, plan;
} flags;
static struct teacher_options teacher_section;
static struct dataset_options dataset_section;
static struct train_settings train_section;

#define FIELD(member) offsetof(__typeof__(flags), member)
#define TEACHER(member) offsetof(struct teacher_options, member)

static const struct option rows[] = {
    {.key = "out", .flag = "--out", .type = OPTION_STRING, .offset = FIELD(out), .placeholder = "DIR",
     .help = "the dump to make: a folder of HDF5 files"},
    {.key = "resume", .flag = "--resume", .type = OPTION_BOOL, .offset = FIELD(resume),
     .help = "go on behind the complete parts in --out, with the same flags"},
    {.key = "plan", .flag = "--plan", .type = OPTION_BOOL, .offset = FIELD(plan),
     .help = "print what it would take, in bytes and in time, and exit"},
    {.key = "positions_per_part", .flag = "--positions-per-part", .type = OPTION_SIZE,
     .offset = FIELD(positions_per_part), .minimum = 1, .maximum = 1e12,
     .help = "supervised tokens of one file (default: what takes three minutes)"},
};
static const struct option teacher_options[] = {
    {.key = "model", .flag = "--model", .type = OPTION_STRING, .offset = TEACHER(model), .placeholder = "PATH",
     .help = "the teacher: a run directory, a checkpoint, a Hugging Face directory, or a GGUF file"},
    ADAPTER_ROW(TEACHER(adapters)),
    EXACT_ROW(TEACHER(exact)),
    {.key = "k", .flag = "--k", .type = OPTION_SIZE, .offset = TEACHER(k), .minimum = 1, .maximum = 1 << 24,
     .default_value = "64", .help = "how many of the likeliest tokens are kept of each position"},
    {.key = "cumulative", .flag = "--cumulative", .type = OPTION_FLOAT, .offset = TEACHER(cumulative),
     .minimum = 1e-6, .maximum = 1, .placeholder = "P",
     .help = "keep fewer where their probabilities already sum to this"},
    {.key = "dense", .flag = "--dense", .type = OPTION_BOOL, .offset = TEACHER(dense),
     .help = "keep every token's probability: large, for small vocabularies"},
    {.key = "samples", .flag = "--samples", .type = OPTION_SIZE, .offset = TEACHER(samples), .minimum = 1,
     .maximum = 1 << 20, .help = "draw so many tokens from the others, as an unbiased estimate of them"},
    {.key = "temperature", .flag = "--temperature", .type = OPTION_FLOAT, .offset = TEACHER(temperature),
     .default_value = "1", .minimum = 0.01, .maximum = 100, .help = "of the distributions: above 1 they are flatter"},
    {.key = "limit", .flag = "--limit", .type = OPTION_SIZE, .offset = TEACHER(limit), .minimum = 1, .maximum = 1e15,
     .placeholder = "TOKENS", .help = "only as many sequences as have so many tokens together"},
};
static const char *const dataset_flags[] = {
    "paths", "text_field", "prompt_field", "completion_field", "messages_field", "chosen_field", "rejected_field",
    "label_field", "tools_field", "system_field", "chat_template", "template_date", "loss", "over_long", "on_bad_row", NULL,
};
static const char *const dataset_defaults[] = {"over_long", "split", NULL};
static const char *const train_flags[] = {"max_seq_length", "seed", NULL};
static const char *const train_defaults[] = {"max_seq_length", "the model's context, at most 2048", NULL};
static struct option_section sections[] = {
    {.name = "", .rows = rows, .n_rows = COUNT(rows), .object = &flags, .help = "Dump"},
    {.name = "teacher", .rows = teacher_options, .n_rows = COUNT(teacher_options), .object = &teacher_section,
     .help = "Teacher"},
    {.name = "dataset", .rows = dataset_options, .n_rows = N_DATASET_OPTIONS, .object = &dataset_section,
     .help = "Dataset", .flags_of = dataset_flags, .settled = dataset_defaults},
    {.name = "train", .rows = train_options, .n_rows = N_TRAIN_OPTIONS, .object = &train_section, .help = "Training",
     .flags_of = train_flags, .settled = train_defaults},
};

/* --- settings --- */

static int check_settings(const struct options *all, struct error *e)
{
    const struct teacher_options *o = &teacher_section;
    const char *other = o->cumulative > 0 ? "--cumulative" : option_given(all, "teacher", "k") ? "--k" : "--samples";
    int code = option_require(all, "teacher", "model", e);
    if (!code && (!flags.plan || flags.resume))
        code = option_require(all, "", "out", e);
    if (!code && o->dense && (o->cumulative > 0 || o->samples > 0 || option_given(all, "teacher", "k")))
        code = error_set(e, ERR_USAGE, "--dense keeps every token: leave out %s", other);
    if (!code && o->samples > 0 && o->cumulative > 0)
        code = error_set(e, ERR_USAGE, "--samples are drawn beside a fixed number of tokens: leave out --cumulative");
    if (!code && flags.out)
        code = teacher_check_out(flags.out, flags.resume, e);
    return code;
}

/* Everything that a capture needs. */
struct job {
    struct inference teacher;
    bool loaded;
    struct dataset data;
    struct examples *examples;
    struct dump stored; /* what --resume goes on behind; no sequences: nothing yet */
    struct dump_description description;
    struct capture capture;
    struct teacher_plan plan;
    struct dump_writer *writer;
    uint64_t bytes;      /* of the parts completed here, */
    size_t bytes_tokens; /* and about how many tokens are in them */
};

static void job_free(struct job *j)
{
    dump_writer_close(j->writer);
    capture_free(&j->capture);
    dump_description_free(&j->description);
    dump_close(&j->stored);
    dataset_free(&j->data);
    if (j->loaded)
        inference_free(&j->teacher);
}

static int settle_length(const struct options *all, const struct model_config *c, struct error *e)
{
    size_t most = c->max_position_embeddings, *n = &train_section.max_seq_length;
    if (!option_given(all, "train", "max_seq_length") && most > 0 && *n > most)
        *n = most;
    if (most > 0 && *n > most)
        return error_set(e, ERR_USAGE, "--max-seq-length %zu is more than the %zu tokens the model was made for", *n, most);
    if (*n < 2)
        return error_set(e, ERR_USAGE, "--max-seq-length %zu: a sequence needs two tokens, one to predict the other", *n);
    return OK;
}

/* All of it is captured: what a student is evaluated on is held out when it is trained. */
static int read_data(struct job *j, const struct options *all, struct error *e)
{
    struct dataset_options o = dataset_section;
    o.validation_fraction = 0;
    o.validation_paths = (struct option_strings){0};
    if (!option_given(all, "dataset", "over_long"))
        o.over_long = OVER_LONG_SPLIT;
    int code = dataset_load(&o, ANSWERS_IMITATED, j->teacher.tokenizer, train_section.max_seq_length, 0, &j->data,
                            e);
    if (code)
        return code;
    j->examples = &j->data.train;
    if (teacher_section.limit && !teacher_limit(j->examples, teacher_section.limit))
        code = error_set(e, ERR_USAGE, "--limit %zu: the first sequence alone has %zu tokens", teacher_section.limit,
                         j->examples->begin[1]);
    return code;
}

/* Opens what is there, so that the data can be made as it was. */
static int open_stored(struct job *j, struct error *e)
{
    int code = teacher_open_stored(flags.out, &j->stored, e);
    if (code)
        return code;
    if (j->stored.n_parts && !dataset_section.template_date)
        dataset_section.template_date = teacher_stored_date(&j->stored.description);
    return OK;
}

static void describe(struct job *j)
{
    const struct teacher_options *o = &teacher_section;
    const struct model_config *c = &j->teacher.model.config;
    struct error e;
    struct dump_description *d = &j->description;
    *d = (struct dump_description){
        .kind = o->dense ? DUMP_DENSE : o->samples ? DUMP_SAMPLED : DUMP_TOP,
        .vocab_size = c->vocab_size,
        .temperature = o->temperature,
        .cumulative = o->cumulative,
        .tokenizer_hash = tokenizer_hash(j->teacher.tokenizer),
        .teacher_hash = inference_hash(&j->teacher),
        .teacher = name_from_path(o->model),
    };
    d->most = o->dense ? c->vocab_size : selection_most(&j->capture.options.selection, c->vocab_size);
    if (tokenizer_print_json(j->teacher.tokenizer, &d->tokenizer_json, &e))
        log_warn("the dump will not hold the tokenizer itself: %s", e.message);
    const struct teacher_made made = {.options = o, .data = &dataset_section, .examples = j->examples,
                                      .max_seq_length = train_section.max_seq_length, .seed = train_section.seed};
    d->settings = teacher_settings(&made, d);
}

static struct capture_options capture_settings(void)
{
    const struct teacher_options *o = &teacher_section;
    return (struct capture_options){
        .dense = o->dense,
        .selection = {.k = o->k, .cumulative = o->cumulative, .samples = o->samples, .temperature = o->temperature,
                      .seed = train_section.seed},
        .context = train_section.max_seq_length,
    };
}

static int prepare(struct job *j, const struct options *all, struct error *e)
{
    int code = flags.resume ? open_stored(j, e) : OK;
    if (!code)
        code = dataset_settle(all, &dataset_section, &train_section, e);
    if (!code) {
        code = inference_load(teacher_section.model, &teacher_section.adapters, teacher_section.exact, &j->teacher, e);
        j->loaded = !code;
    }
    if (!code)
        code = settle_length(all, &j->teacher.model.config, e);
    if (!code)
        code = read_data(j, all, e);
    if (code)
        return code;
    const struct capture_options o = capture_settings();
    j->capture.options = o;
    describe(j);
    if (j->stored.n_parts)
        code = teacher_compare(flags.out, &j->stored, &j->description, j->examples, e);
    if (!code)
        code = capture_init(&j->capture, &j->teacher.model, j->examples, &o, j->stored.examples.count, e);
    if (!code)
        code = teacher_plan_make(&j->plan, &j->capture, &j->description, &j->stored, flags.out, e);
    dump_close(&j->stored); /* others write into its folder from here on */
    return code;
}

/* --- the capture --- */

enum { PART_SECONDS = 180 }; /* what a kill costs, about */

static int open_writer(struct job *j, struct error *e)
{
    size_t n_sequences, n_positions;
    const struct dump_writer_options o = {.path = flags.out, .positions_per_part = flags.positions_per_part,
                                          .compression = 1, .resume = flags.resume};
    int code = dump_writer_open(&o, &j->description, &j->writer, &n_sequences, &n_positions, e);
    if (!code && (n_sequences != j->plan.n_done || n_positions != j->plan.n_done_positions))
        code = error_set(e, ERR_IO, "%s was changed while it was looked at", flags.out);
    return code;
}

static void show(struct job *j, struct progress *p, double start)
{
    char detail[128], text[32];
    double seconds = clock_seconds() - start, done = (double)j->capture.n_tokens;
    uint64_t bytes = teacher_bytes(flags.out) - j->plan.done_bytes;
    int n = snprintf(detail, sizeof detail, "%s tokens/s", format_count(done / (seconds > 0 ? seconds : 1), text));
    if (bytes != j->bytes)
        j->bytes_tokens = j->capture.n_tokens;
    j->bytes = bytes;
    if (bytes > 0 && j->bytes_tokens > 0)
        snprintf(detail + n, sizeof detail - (size_t)n, " · %.0f bytes/token", (double)bytes / (double)j->bytes_tokens);
    progress_update(p, p->first + done, detail);
}

static int capture_all(struct job *j, struct error *e)
{
    struct progress p;
    double start = clock_seconds(), part = start;
    int code = OK;
    progress_start(&p, "teacher", (double)j->plan.n_tokens);
    p.first = p.done = (double)j->plan.n_done_tokens;
    while (!code && !capture_is_done(&j->capture) && !interrupt_requested()) {
        code = capture_pass(&j->capture, j->writer, e);
        if (!code && !flags.positions_per_part && clock_seconds() - part > PART_SECONDS) {
            code = dump_writer_finish(j->writer, e);
            part = clock_seconds();
        }
        show(j, &p, start);
    }
    if (!code && j->capture.first > 0)
        code = dump_writer_finish(j->writer, e);
    if (code)
        return code == ERR_IO ? error_prefix(e, "complete parts stay, and --resume goes on behind them") : code;
    if (!capture_is_done(&j->capture))
        return error_set(e, ERR_INTERRUPTED, "interrupted: %zu of %zu sequences are in %s; go on with --resume",
                         j->capture.first, j->examples->count, flags.out);
    double seconds = clock_seconds() - start;
    char count[32], bytes[32], rate[32], detail[64];
    snprintf(detail, sizeof detail, "%s tokens/s", format_count((double)j->capture.n_tokens / seconds, rate));
    progress_finish(&p, detail);
    uint64_t total = teacher_bytes(flags.out);
    log_info("%s: %zu sequences, %s positions, %s, %.0f bytes a position; look at it: linnet teacher check %s", flags.out,
             j->examples->count, format_count((double)j->plan.n_positions, count), format_bytes((double)total, bytes),
             (double)total / (double)(j->plan.n_positions ? j->plan.n_positions : 1), flags.out);
    return OK;
}

static int run(const struct command_input *in, struct error *e)
{
    struct job j = {0};
    int code = check_settings(in->options, e);
    if (!code)
        code = prepare(&j, in->options, e);
    if (!code)
        teacher_plan_say(&j.plan, flags.plan);
    if (!code)
        code = teacher_plan_check(&j.plan, e);
    if (!code && !flags.plan) {
        interrupt_install();
        code = open_writer(&j, e);
        if (!code)
            code = capture_all(&j, e);
        interrupt_restore();
    }
    job_free(&j);
    return code;
}

const struct command command_teacher = {
    .name = "teacher",
    .group = "Distil",
    .summary = "capture what a model holds likely, as a dump for students",
    .usage = "--model PATH --data PATH... --out DIR [FLAGS]",
    .notes =
        "A student learns from the dump without the teacher. Texts are split into windows of --max-seq-length\n"
        "tokens; prompts and conversations are given to the teacher as a student will see them, and what --loss\n"
        "says is kept of them. Ctrl-C completes the part at hand; --resume with the same flags goes on, and the\n"
        "dump is the same as without.\n"
        "\n"
        "  linnet teacher --model teacher.gguf --data texts/ --out dump --plan\n"
        "  linnet teacher --model teacher.gguf --data texts/ --out dump\n"
        "  linnet teacher check dump\n",
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
