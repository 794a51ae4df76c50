/* linnet distill: a student learns what a teacher holds likely. */
#include "base/hash.h"
#include "base/log.h"
#include "base/rng.h"
#include "cli/command.h"
#include "cli/dataset.h"
#include "cli/distill_teacher.h"
#include "cli/further.h"
#include "cli/tuning.h"
#include "data/example_rows.h"
#include "data/hold_out.h"
#include "distill/objective.h"
#include "distill/on_policy.h"
#include "infer/complete_many.h"
#include "model/load.h"

static struct run_flags flags;
static struct distill_options distill_section;
static struct tune_options tune_section;
static struct dataset_options dataset_section;
static struct lora_options lora_section;
static struct optim_settings optim_section;
static struct train_settings train_section;
static struct qat_options qat_section;
static struct model_config model_section; /* of a new student; then of whatever trains */

static const char *const model_flags[] = {NULL};
static struct option_section sections[] = {
    {.name = "", .rows = run_options, .n_rows = N_RUN_OPTIONS, .object = &flags, .help = "Run"},
    {.name = "distill", .rows = distill_options, .n_rows = N_DISTILL_OPTIONS, .object = &distill_section,
     .help = "Teacher"},
    {.name = "tune", .rows = tune_options, .n_rows = N_TUNE_OPTIONS, .object = &tune_section, .help = "Student"},
    {.name = "dataset", .rows = dataset_options, .n_rows = N_DATASET_OPTIONS, .object = &dataset_section,
     .help = "Examples, for a teacher that is a model"},
    {.name = "lora", .rows = lora_options, .n_rows = N_LORA_OPTIONS, .object = &lora_section, .help = "Adapters"},
    {.name = "optim", .rows = optim_options, .n_rows = N_OPTIM_OPTIONS, .object = &optim_section, .help = "Optimiser",
     .settled = tune_optim_defaults},
    {.name = "train", .rows = train_options, .n_rows = N_TRAIN_OPTIONS, .object = &train_section, .help = "Training",
     .flags_of = further_train_flags, .settled = tune_train_defaults},
    {.name = "qat", .rows = qat_options, .n_rows = N_QAT_OPTIONS, .object = &qat_section,
     .help = "Quantisation-aware training"},
    {.name = "model", .rows = model_options, .n_rows = N_MODEL_OPTIONS, .object = &model_section,
     .help = "A new student", .flags_of = model_flags},
};

/* Everything that a run needs of the outside. */
struct run {
    struct distill_teacher teacher;
    struct soft_loss loss;
    struct distillation distillation;
    struct tuned student;
    struct hidden_matching hidden;      /* where hidden states are matched */
    struct complete_many writer;        /* where the student writes, */
    struct on_policy on_policy;         /* and what becomes of it */
    struct dataset dataset;             /* not of a dump */
    const struct examples *examples;    /* to train on, */
    const struct examples *held_out;    /* and to evaluate with; NULL: nothing, or a part of `examples` */
    struct example_rows train, validation;
    struct trainer trainer;
    struct buffer config;
    struct stored_run stored;
};

static void run_free(struct run *r)
{
    on_policy_free(&r->on_policy);
    complete_many_free(&r->writer);
    hidden_matching_free(&r->hidden);
    example_rows_free(&r->train);
    example_rows_free(&r->validation);
    dataset_free(&r->dataset);
    tuned_free(&r->student);
    distill_teacher_free(&r->teacher);
    buffer_free(&r->config);
    stored_run_free(&r->stored);
}

/* --- before the run --- */

/* What was asked for by flag or --set and changes nothing. A file may be written for several runs. */
static void warn_of_no_effect(const struct options *all)
{
    const struct distill_options *o = &distill_section;
    bool mixes = o->divergence == SYMMETRIC_KL || o->divergence == JENSEN_SHANNON;
    const struct {
        const char *key;
        bool useless;
        const char *why;
    } keys[] = {
        {"beta", !mixes, "only symmetric_kl and jensen_shannon mix"},
        {"hidden_layers", o->hidden_weight == 0, "--hidden-weight is 0"},
        {"hidden_loss", o->hidden_weight == 0, "--hidden-weight is 0"},
        {"max_new_tokens", o->on_policy == 0, "--on-policy is 0"},
        {"sampling_temperature", o->on_policy == 0, "--on-policy is 0"},
    };
    for (size_t i = 0; i < COUNT(keys); i++)
        if (keys[i].useless && option_source(all, "distill", keys[i].key) > OPTION_FROM_FILE)
            log_warn("distill.%s has no effect: %s", keys[i].key, keys[i].why);
}

static int check_settings(const struct command_input *in, struct run *r, struct error *e)
{
    const struct options *all = in->options;
    int code = further_settings(in, &flags, &r->stored, e);
    if (!code)
        code = option_require(all, "distill", "teacher", e);
    if (!code)
        code = distill_options_loss(&distill_section, &r->loss, e);
    if (code)
        return code;
    warn_of_no_effect(all);
    bool asked_for_lora = option_given(all, "tune", "method") && tune_section.method == TUNE_LORA;
    if (!tune_section.model && asked_for_lora)
        return error_set(e, ERR_USAGE, "--method lora trains beside the weights of a student: --model PATH; without one the "
                         "student is new, and all of it trains");
    if (!tune_section.model)
        tune_section.method = TUNE_FULL;
    tune_options_settle(all, &tune_section);
    return qat_options_settle(all, &qat_section, e);
}

/* --- the student --- */

static int open_new_student(struct run *r, struct error *e)
{
    const struct distill_teacher *t = &r->teacher;
    if (!t->tokenizer)
        return error_set(e, ERR_USAGE, "%s has no tokenizer in it: name the one its tokens are of, --tokenizer PATH, for the "
                         "new student to have", t->path);
    size_t tokens = tokenizer_vocab_size(t->tokenizer);
    if (model_section.vocab_size == 0)
        model_section.vocab_size = tokens;
    if (model_section.vocab_size < tokens)
        return error_set(e, ERR_USAGE, "model.vocab_size is %zu, but the tokenizer has %zu tokens; raise it, or set 0",
                         model_section.vocab_size, tokens);
    if (model_section.max_position_embeddings == 0)
        model_section.max_position_embeddings = train_section.max_seq_length;
    int code = model_config_check(&model_section, e);
    return code ? code : tuned_open_new(&tune_section, &model_section, t->tokenizer, train_section.seed, &r->student, e);
}

static int open_student(struct run *r, struct error *e)
{
    struct distill_teacher *t = &r->teacher;
    int code = tune_section.model ? tuned_open(&tune_section, &lora_section, train_section.seed, &r->student, e)
                                  : open_new_student(r, e);
    if (code)
        return code;
    t->pair.vocab_size = r->student.model.config.vocab_size;
    return distill_teacher_align(t, &distill_section, r->student.tokenizer, t->pair.vocab_size, e);
}

static int check_length(const struct command_input *in, const struct run *r, struct error *e)
{
    size_t most = r->student.model.config.max_position_embeddings;
    bool may_shorten = !r->teacher.is_dump && !option_given(in->options, "train", "max_seq_length");
    if (may_shorten && most > 0 && most < train_section.max_seq_length)
        train_section.max_seq_length = most;
    if (most > 0 && train_section.max_seq_length > most)
        return error_set(e, ERR_USAGE, "rows of %zu tokens (train.max_seq_length) are longer than the %zu the student was "
                         "made for", train_section.max_seq_length, most);
    return OK;
}

/* --- what is learned from --- */

static size_t longest_of(const struct examples *x)
{
    size_t longest = 0;
    for (size_t i = 0; i < x->count; i++)
        longest = x->begin[i + 1] - x->begin[i] > longest ? x->begin[i + 1] - x->begin[i] : longest;
    return longest;
}

/* A dump's sequences are not cut: the teacher was given them whole. */
static int settle_length(const struct command_input *in, struct run *r, struct error *e)
{
    const struct distill_teacher *t = &r->teacher;
    bool given = option_given(in->options, "train", "max_seq_length");
    if (!t->is_dump) {
        if (!given)
            train_section.max_seq_length = DATASET_TOKENS;
        size_t most = t->inference.model.config.max_position_embeddings;
        if (most && most < train_section.max_seq_length && given)
            return error_set(e, ERR_USAGE, "--max-seq-length %zu is more than the %zu tokens the teacher was made for",
                             train_section.max_seq_length, most);
        if (most && most < train_section.max_seq_length)
            train_section.max_seq_length = most;
        return plan_check_batch(&train_section, e);
    }
    size_t longest = longest_of(t->examples);
    if (t->held_out_examples && longest_of(t->held_out_examples) > longest)
        longest = longest_of(t->held_out_examples);
    if (!given)
        train_section.max_seq_length = (longest + EXAMPLE_ROWS_STEP - 1) / EXAMPLE_ROWS_STEP * EXAMPLE_ROWS_STEP;
    if (train_section.max_seq_length < longest)
        return error_set(e, ERR_USAGE, "--max-seq-length %zu: the dump's longest sequence is %zu tokens, and none is cut",
                         train_section.max_seq_length, longest);
    return plan_check_batch(&train_section, e);
}

/* Tokens of a dataset that is given with a dump are what the dump must be of. */
static int compare_texts(const struct examples *dump, const struct examples *text, const char *path, struct error *e)
{
    if (dump->count != text->count)
        return error_set(e, ERR_USAGE, "%s holds %zu sequences, but --data makes %zu examples: it was made from another text, "
                         "or with other settings", path, dump->count, text->count);
    for (size_t i = 0; i < dump->count; i++) {
        size_t n = dump->begin[i + 1] - dump->begin[i], n_text = text->begin[i + 1] - text->begin[i];
        for (size_t k = 0; k < n || k < n_text; k++) {
            size_t at = dump->begin[i] + k, at_text = text->begin[i] + k;
            if (k < n && k < n_text && dump->ids[at] == text->ids[at_text] && dump->learned[at] == text->learned[at_text])
                continue;
            return error_set(e, ERR_USAGE, "%s, sequence %zu, differs from --data at token %zu: it was made from another text, "
                             "or with other settings", path, i, k);
        }
    }
    return OK;
}

static int load_examples(struct run *r, const struct command_input *in, struct error *e)
{
    struct distill_teacher *t = &r->teacher;
    if (t->is_dump && !dataset_section.paths.count) {
        r->examples = t->examples;
        r->held_out = t->held_out_examples;
        return OK;
    }
    double fraction = dataset_section.validation_fraction;
    size_t length = train_section.max_seq_length, most = t->is_dump ? longest_of(t->examples) : length;
    if (t->is_dump) /* read to be compared, in the order of the rows */
        dataset_section.validation_fraction = 0;
    if (!option_given(in->options, "dataset", "over_long"))
        dataset_section.over_long = OVER_LONG_SPLIT;
    int code = dataset_settle(in->options, &dataset_section, &train_section, e);
    train_section.max_seq_length = length;
    if (!code)
        code = dataset_load(&dataset_section, ANSWERS_IMITATED, r->student.tokenizer, most, train_section.seed,
                            &r->dataset, e);
    dataset_section.validation_fraction = fraction;
    if (!code && t->is_dump)
        code = compare_texts(&t->dump.examples, &r->dataset.train, t->path, e);
    r->examples = t->is_dump ? t->examples : &r->dataset.train;
    r->held_out = t->is_dump ? t->held_out_examples
                  : r->dataset.validation.count ? &r->dataset.validation : NULL;
    return code;
}

/* Holds out a share of a dump's sequences, picked by their numbers. */
static void split_dump(struct run *r)
{
    const struct train_settings *s = &train_section;
    const struct examples *x = r->examples;
    uint64_t *draws = mem_alloc(x->count, sizeof *draws);
    bool *held = mem_alloc(x->count, sizeof *held);
    size_t *kept = mem_alloc(x->count, sizeof *kept), *out = mem_alloc(x->count, sizeof *out), n_kept = 0, n_out = 0;
    for (size_t i = 0; i < x->count; i++)
        draws[i] = hold_out_draw(s->seed, 0, i);
    hold_out_pick(draws, x->count, dataset_section.validation_fraction, held);
    for (size_t i = 0; i < x->count; i++)
        *(held[i] ? &out[n_out++] : &kept[n_kept++]) = i;
    example_rows_init(&r->train, x, kept, n_kept, s->max_seq_length, dataset_section.packing, true, s->seed);
    if (n_out)
        example_rows_init(&r->validation, x, out, n_out, s->max_seq_length, dataset_section.packing, false, 0);
    r->trainer.has_validation = n_out > 0;
    mem_free(draws);
    mem_free(held);
    mem_free(kept);
    mem_free(out);
}

static void make_rows(struct run *r, const struct options *all)
{
    const struct train_settings *s = &train_section;
    if (r->teacher.is_dump && !r->held_out) {
        split_dump(r);
    } else {
        example_rows_init(&r->train, r->examples, NULL, 0, s->max_seq_length, dataset_section.packing, true, s->seed);
        r->trainer.has_validation = r->held_out != NULL;
        if (r->held_out)
            example_rows_init(&r->validation, r->held_out, NULL, 0, s->max_seq_length, dataset_section.packing, false, 0);
        r->validation.first_number = r->teacher.is_dump ? dump_pair_train_positions(&r->teacher.pair) : 0;
    }
    r->trainer.train = example_rows_loader(&r->train);
    if (r->trainer.has_validation)
        r->trainer.validation = example_rows_loader(&r->validation);
    tuned_settle(all, &r->student, r->trainer.train.rows.per_epoch, tune_learning_rate(&tune_section), &train_section,
                 &optim_section);
}

/* --- what needs a teacher that is a model --- */

static int match_hidden_states(struct run *r, struct error *e)
{
    const struct hidden_settings s = distill_options_hidden(&distill_section);
    int code = hidden_matching_init(&r->hidden, &s, &r->student.model.config, &r->teacher.inference.model.config,
                                    train_section.seed, e);
    if (code)
        return code;
    hidden_matching_add_params(&r->hidden, &r->student.trains);
    r->trainer.stream_hook = &r->hidden.student_hook;
    r->teacher.model.stream_hook = &r->hidden.teacher_hook;
    r->distillation.hidden = &r->hidden;
    return OK;
}

enum { WRITE_AT_ONCE = 16 }; /* sequences that the student writes together */

static int let_student_write(struct run *r, struct error *e)
{
    struct complete_many_options o = {.n_at_once = WRITE_AT_ONCE, .context = train_section.max_seq_length,
                                      .cache_type = DTYPE_F32, .sampler = sampler_defaults()};
    o.sampler.temperature = distill_section.sampling_temperature;
    int code = complete_many_init(&r->writer, &r->student.model, r->student.tokenizer, &o, e);
    if (code)
        return code;
    r->distillation.other_bytes = complete_many_bytes(&r->student.model, &o);
    r->on_policy = (struct on_policy){.rows = &r->train, .lambda = distill_section.on_policy, .seed = train_section.seed,
                                      .max_new_tokens = distill_section.max_new_tokens,
                                      .student = complete_many_completer(&r->writer),
                                      .failure = r->distillation.objective.failure,
                                      .share = &r->distillation.measures[DISTILL_ON_POLICY]};
    on_policy_init(&r->on_policy);
    r->trainer.train = on_policy_loader(&r->on_policy);
    return OK;
}

static int check_online(const struct run *r, struct error *e)
{
    const struct distill_options *o = &distill_section;
    if (!r->teacher.is_dump || (o->hidden_weight == 0 && o->on_policy == 0))
        return OK;
    return error_set(e, ERR_USAGE, "%s needs a teacher that is a model; %s is a dump",
                     o->hidden_weight > 0 ? "--hidden-weight" : "--on-policy", r->teacher.path);
}

static int check_data(const struct command_input *in, const struct run *r, struct error *e)
{
    bool knows_all = !r->teacher.is_dump || r->teacher.dump.description.kind == DUMP_DENSE;
    if (knows_all && distill_section.align == ALIGN_NONE && option_source(in->options, "distill", "tail") > OPTION_FROM_FILE)
        log_warn("distill.tail has no effect: %s knows every token", r->teacher.path);
    if (r->teacher.is_dump && dataset_section.validation_paths.count)
        return error_set(e, ERR_USAGE, "--validation-data goes with a teacher that is a model; to evaluate with a dump give "
                         "another one, --validation-teacher");
    return OK;
}

static int check_align(struct error *e)
{
    if (distill_section.align == ALIGN_NONE)
        return OK;
    if (!tune_section.model)
        return error_set(e, ERR_USAGE, "--align text is for a student that has a tokenizer already, --model PATH; a new one gets "
                         "the teacher's");
    if (dataset_section.paths.count)
        return error_set(e, ERR_USAGE, "--align text goes without --data: the dump brings its texts with it, in the tokens of its "
                         "teacher");
    return OK;
}

static int prepare_online(struct run *r, struct error *e)
{
    const struct distill_options *o = &distill_section;
    int code = o->hidden_weight > 0 ? match_hidden_states(r, e) : OK;
    return code || o->on_policy == 0 ? code : let_student_write(r, e);
}

/* The texts, the teacher, and what of it is held out. */
static uint64_t data_hash(const struct run *r)
{
    const struct distill_teacher *t = &r->teacher;
    const struct packing *p = &r->validation.packing;
    const struct dump_description *s = &t->dump.description;
    if (!t->is_dump)
        return rng_at(dataset_hash(&r->dataset), inference_hash(&t->inference));
    const uint64_t parts[] = {
        examples_hash(r->examples), r->held_out ? examples_hash(r->held_out) : 0, t->dump.n_entries, (uint64_t)s->kind,
        s->most, s->teacher_hash, (uint64_t)(1e6 * s->temperature),
        p->n_rows ? hash64(p->items, p->begin[p->n_rows] * sizeof *p->items, 0) : 0,
    };
    return hash64(parts, sizeof parts, 0);
}

static int prepare(struct run *r, const struct command_input *in, struct error *e)
{
    int code = distill_teacher_open(&distill_section, &r->teacher, e);
    bool student_first = distill_section.align != ALIGN_NONE; /* rows are as long as they are in its tokens */
    if (!code)
        code = check_online(r, e);
    if (!code)
        code = check_data(in, r, e);
    if (!code)
        code = check_align(e);
    if (!code && student_first)
        code = open_student(r, e);
    if (!code)
        code = settle_length(in, r, e);
    if (!code && !student_first)
        code = open_student(r, e);
    if (!code)
        code = check_length(in, r, e);
    if (!code)
        code = distill_teacher_check(&r->teacher, r->student.tokenizer, &r->loss, e);
    if (!code)
        code = load_examples(r, in, e);
    if (code)
        return code;
    make_rows(r, in->options);
    model_section = r->student.model.config;
    options_print_yaml(in->options, &r->config); /* what was asked for, before plan_fit: a resumed run fits itself again */
    distillation_init(&r->distillation, &r->loss, r->teacher.teacher);
    r->trainer.config = r->config.data;
    r->trainer.objective = &r->distillation.objective;
    r->trainer.settings = &train_section;
    r->trainer.optim = &optim_section;
    r->trainer.run = flags.out ? flags.out : "";
    r->trainer.state.data_hash = data_hash(r);
    code = prepare_online(r, e);
    return code ? code : tuned_prepare(&r->student, &qat_section, &r->trainer, e);
}

/* --- the run --- */

static void say_plan(const void *context)
{
    const struct run *r = context;
    const struct train_settings *s = &train_section;
    const struct packing *p = &r->train.packing;
    size_t step = s->batch_size * s->grad_accumulation;
    further_say_model(&r->trainer, r->student.adapter_path ? lora_section.rank : 0, r->student.adapter.n_pairs);
    qat_run_say(&r->student.qat);
    distill_teacher_say(&r->teacher);
    log_info("rows    %zu of %zu tokens, %.0f%% full, %zu held out; %zu a step, %zu steps, %.2f epochs", p->n_rows,
             s->max_seq_length, 100 * packing_share(p), r->validation.packing.n_rows, step, s->iters,
             (double)(s->iters * step) / (double)p->n_rows);
    log_info("loss    %.3g of the teacher's (%s, temperature %g), %.3g of the text's", distill_section.alpha,
             divergence_names[distill_section.divergence], distill_section.temperature, 1 - distill_section.alpha);
    further_say_steps(&r->trainer);
}

static int run(const struct command_input *in, struct error *e)
{
    struct run r = {0};
    int code = check_settings(in, &r, e);
    if (!code)
        code = prepare(&r, in, e);
    if (!code) {
        if (r.dataset.chat_template.text)
            tokenizer_set_chat_template(r.student.tokenizer, r.dataset.chat_template.text);
        code = further_run(&(struct further){.flags = &flags, .trainer = &r.trainer, .settings = &train_section,
                                             .stored = &r.stored, .tokenizer = r.student.tokenizer,
                                             .context = model_section.max_position_embeddings, .say = say_plan,
                                             .say_context = &r}, e);
    }
    if (!code && flags.plan && r.teacher.is_dump)
        distill_teacher_say(&r.teacher);
    if (!code && !flags.plan)
        tuned_say_result(&r.student, flags.out, false);
    run_free(&r);
    return code;
}

const struct command command_distill = {
    .name = "distill",
    .group = "Distil",
    .summary = "train a student on what a teacher holds likely",
    .usage = "--teacher PATH --out DIR [--model STUDENT] [FLAGS]",
    .notes =
        "A teacher that is a dump (linnet teacher, or distill/dump.py from any other\n"
        "framework) brings its texts with it. One that is a model runs beside the\n"
        "student, on --data. Without --model the student is new: its shape is the\n"
        "configuration's `model` section, its tokenizer the teacher's.\n"
        "docs/distillation.md is a guide.\n"
        "\n"
        "  linnet teacher --model big.gguf --data text.jsonl --out dumps/big\n"
        "  linnet distill --teacher dumps/big -c student.yaml --out runs/student\n"
        "  linnet distill --teacher big.gguf --model small.gguf --data t.jsonl --out a\n",
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
