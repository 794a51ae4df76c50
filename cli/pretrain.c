/* linnet pretrain: from text to a trained model in a run directory. */
#include "base/file.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/further.h"
#include "cli/plan.h"
#include "cli/qat.h"
#include "cli/run_directory.h"
#include "cli/shared.h"
#include "data/options.h"
#include "data/shard_rows.h"
#include "data/vocabulary.h"
#include "infer/generate.h"
#include "kernels/profile.h"
#include "model/load.h"
#include "tokenizer/options.h"
#include "train/trainer.h"

#include <string.h>

static struct run_flags flags;
static struct model_config model_section;
static struct tokenizer_options tokenizer_section;
static struct data_options data_section;
static struct optim_settings optim_section;
static struct train_settings train_section;
static struct qat_options qat_section;

static struct option_section sections[] = {
    {.name = "", .rows = run_options, .n_rows = N_RUN_OPTIONS, .object = &flags, .help = "Run"},
    {.name = "data", .rows = data_options, .n_rows = N_DATA_OPTIONS, .object = &data_section, .help = "Data"},
    {.name = "tokenizer", .rows = tokenizer_options, .n_rows = N_TOKENIZER_OPTIONS, .object = &tokenizer_section,
     .help = "Tokenizer"},
    {.name = "model", .rows = model_options, .n_rows = N_MODEL_OPTIONS, .object = &model_section, .help = "Model"},
    {.name = "optim", .rows = optim_options, .n_rows = N_OPTIM_OPTIONS, .object = &optim_section, .help = "Optimiser"},
    {.name = "train", .rows = train_options, .n_rows = N_TRAIN_OPTIONS, .object = &train_section, .help = "Training"},
    {.name = "qat", .rows = qat_options, .n_rows = N_QAT_OPTIONS, .object = &qat_section,
     .help = "Quantisation-aware training"},
};

static bool data_is_shard(void)
{
    return data_section.paths.count == 1 && path_has_suffix(data_section.paths.items[0], ".h5");
}

/* --- tokenizer and data --- */

/* Says what was asked for by flag or --set and cannot be had, because a shard or a tokenizer given as
 * such has it settled. A file may be written for several runs: its keys are not looked at. */
static void warn_of_settled(const struct options *o)
{
    static const struct {
        bool by_shard;
        const char *section, *key;
    } settled[] = {
        {true, "data", "text_field"},         {true, "data", "validation_paths"},
        {true, "data", "validation_fraction"}, {true, "data", "validation_split"},
        {false, "tokenizer", "splitter"},     {false, "tokenizer", "vocab_size"},
        {false, "tokenizer", "min_frequency"}, {false, "tokenizer", "special_tokens"},
    };
    for (size_t i = 0; i < COUNT(settled); i++) {
        bool by = settled[i].by_shard ? data_is_shard() : tokenizer_section.path != NULL;
        if (by && option_source(o, settled[i].section, settled[i].key) > OPTION_FROM_FILE)
            log_warn("%s.%s has no effect: %s", settled[i].section, settled[i].key,
                     settled[i].by_shard ? "the shard given as data has been made already"
                                         : "a tokenizer was given, none is trained");
    }
}

static int get_tokenizer(int threads, struct tokenizer **t, struct error *e)
{
    if (flags.resume) {
        char *path = run_file(flags.out, RUN_TOKENIZER);
        int code = tokenizer_read_json(path, t, e);
        mem_free(path);
        return code;
    }
    if (tokenizer_section.path)
        return load_tokenizer(tokenizer_section.path, t, e);
    if (data_is_shard())
        return error_set(e, ERR_USAGE,
                         "%s: give the tokenizer that this shard was made with, too: --tokenizer "
                         "PATH", data_section.paths.items[0]);
    struct tokenizer_settings s = tokenizer_options_settings(&tokenizer_section, threads, true);
    return vocabulary_train((const char *const *)data_section.paths.items,
                            data_section.paths.count, data_section.text_field, &s, t, e);
}

/* The shard that a resumed run was trained on, where the run directory still holds it: its text may
 * have changed or gone since. */
static bool open_own_shard(const struct tokenizer *t, const char *path, uint64_t data_hash,
                           struct shard *shard)
{
    if (!flags.resume || !file_exists(path) || shard_open(path, t, shard, NULL))
        return false;
    if (shard_hash(shard) == data_hash)
        return true;
    shard_close(shard);
    return false;
}

/* A shard given as data is used as it is; text is tokenized into the run directory. */
static int get_shard(const struct tokenizer *t, uint64_t data_hash, int threads,
                     struct shard *shard, struct error *e)
{
    if (data_is_shard())
        return shard_open(data_section.paths.items[0], t, shard, e);
    struct shard_settings s = data_options_shard(&data_section, train_section.seed, threads, true);
    char *path = run_file(flags.out, RUN_SHARD);
    int code = OK;
    if (!open_own_shard(t, path, data_hash, shard)) {
        code = shard_prepare(&s, t, path, NULL, e);
        if (!code)
            code = shard_open(path, t, shard, e);
    }
    mem_free(path);
    return code;
}

/* Fills what the configuration leaves to the tokenizer and to train.max_seq_length. */
static int settle_model(size_t tokens, struct error *e)
{
    if (model_section.vocab_size == 0)
        model_section.vocab_size = tokens;
    if (model_section.vocab_size < tokens)
        return error_set(e, ERR_USAGE,
                         "model.vocab_size is %zu, but the tokenizer has %zu tokens; raise it, or "
                         "set 0", model_section.vocab_size, tokens);
    if (model_section.max_position_embeddings == 0)
        model_section.max_position_embeddings = train_section.max_seq_length;
    if (model_section.max_position_embeddings < train_section.max_seq_length)
        return error_set(e, ERR_USAGE,
                         "model.max_position_embeddings is %zu, less than train.max_seq_length "
                         "(%zu); raise it, or set 0", model_section.max_position_embeddings,
                         train_section.max_seq_length);
    return plan_check_batch(&train_section, e);
}

/* --- samples --- */

struct sampler_context {
    struct generator generator;
    struct tokens prompt;
    struct generation result;
    size_t n_tokens;
};

static int sampler_context_init(struct sampler_context *c, struct model *m,
                                const struct tokenizer *t, struct error *e)
{
    const char *prompt = train_section.sample_prompt ? train_section.sample_prompt : "";
    c->n_tokens = train_section.sample_tokens;
    int code = generator_init(&c->generator, m, t,
                              &(struct generator_options){.capacity = train_section.max_seq_length}, e);
    if (!code)
        code = prompt_tokens(t, prompt, strlen(prompt), true, &c->prompt, e);
    return code;
}

static void sampler_context_free(struct sampler_context *c)
{
    generator_free(&c->generator);
    tokens_free(&c->prompt);
    generation_free(&c->result);
}

static void sample(void *context, struct buffer *out)
{
    struct sampler_context *c = context;
    struct generate_options o = {.sampler = sampler_defaults(), .max_tokens = c->n_tokens};
    struct error e;
    o.sampler.temperature = 0.8;
    o.sampler.seed = train_section.seed;
    generator_reset(&c->generator);
    if (generate(&c->generator, c->prompt.ids, c->prompt.count, &o, NULL, NULL, &c->result, &e)) {
        buffer_printf(out, "no sample: %s", e.message);
        return;
    }
    buffer_printf(out, "\"%s\" ...", train_section.sample_prompt ? train_section.sample_prompt : "");
    /* A model that has learned little says anything, and that goes to a terminal. */
    append_visible(out, c->result.text.data, c->result.text.size, c->result.text.size);
}

/* --- the command --- */

static struct trainer trainer_of(struct model *m)
{
    return (struct trainer){.model = m, .params = &m->all, .objective = &language_model_objective,
                            .settings = &train_section, .optim = &optim_section, .run = flags.out};
}

/* The plan's answer is the plan, also where the machine is too small for it. */
static int plan_without_data(struct error *e)
{
    struct tokenizer_settings s = tokenizer_options_settings(&tokenizer_section, 1, false);
    int code = settle_model(model_section.vocab_size ? model_section.vocab_size : s.vocab_size, e);
    struct model m;
    if (!code)
        code = model_init(&m, &model_section, e);
    if (code)
        return code;
    struct trainer t = trainer_of(&m);
    struct qat_run qat;
    code = qat_run_open(&qat, &qat_section, &t, NULL, e);
    if (!code) {
        optim_warn(&optim_section, train_section.iters);
        qat_run_say(&qat);
        if (plan_fit(&t, &train_section, e))
            log_warn("%s", e->message);
        plan_print(&t, stdout);
        if (plan_check(&t, e))
            log_warn("%s", e->message);
    }
    qat_run_close(&qat);
    model_free(&m);
    return code;
}

/* Before text is tokenized for hours. */
static int check_memory(struct error *e)
{
    struct model m;
    struct qat_run qat;
    int code = model_init(&m, &model_section, e);
    if (code)
        return code;
    struct trainer t = trainer_of(&m);
    code = qat_run_open(&qat, &qat_section, &t, NULL, e);
    if (!code)
        code = plan_fit(&t, &train_section, e);
    if (!code)
        code = plan_check(&t, e);
    qat_run_close(&qat);
    model_free(&m);
    return code;
}

static int train(struct trainer *t, const struct tokenizer *tokenizer, const struct shard *shard,
                 struct error *e)
{
    const struct train_settings *s = &train_section;
    struct shard_rows train, validation;
    int code = shard_rows_init(&train, shard, SHARD_TRAIN, s->max_seq_length, data_section.mask_documents,
                               true, s->seed, e);
    t->has_validation = shard->n_tokens > shard->n_train_tokens + 1;
    if (!code && t->has_validation) {
        code = shard_rows_init(&validation, shard, SHARD_VALIDATION, s->max_seq_length,
                               data_section.mask_documents, false, s->seed, e);
        t->bytes_per_token = (double)shard->n_validation_bytes /
                             (double)(shard->n_tokens - shard->n_train_tokens);
    }
    if (!code)
        code = trainer_init(t, e);
    if (code)
        return code;
    t->train = shard_rows_loader(&train);
    if (t->has_validation)
        t->validation = shard_rows_loader(&validation);
    if (flags.resume)
        code = trainer_resume(t, e);
    else
        model_initialize(t->model, s->seed);
    if (!code) /* not before: what the checkpoint does not fit must not become the run's */
        code = run_directory_write(flags.out, flags.resume ? NULL : tokenizer, model_section.max_position_embeddings,
                                   t->config, e);
    if (!code) {
        plan_summary(t, shard->n_train_tokens, shard->n_tokens - shard->n_train_tokens);
        uint64_t first = t->state.step;
        profile_reset();
        code = trainer_run(t, e);
        if (flags.profile && t->state.step > first)
            print_profile_so_far(stderr, (size_t)(t->state.step - first)); /* with evaluations and checkpoints */
    }
    trainer_free(t);
    return code;
}

static int train_with_samples(const struct tokenizer *tokenizer, const struct shard *shard,
                              const char *config, struct error *e)
{
    struct model model = {0};
    struct sampler_context sampler = {0};
    struct trainer trainer = trainer_of(&model);
    struct qat_run qat = {0};
    trainer.config = config;
    trainer.state = (struct run_state){.tokenizer_hash = tokenizer_hash(tokenizer), .data_hash = shard_hash(shard)};
    int code = model_init(&model, &model_section, e);
    if (!code)
        code = model_allocate(&model, e);
    if (!code)
        code = qat_run_open(&qat, &qat_section, &trainer, NULL, e);
    if (!code)
        qat_run_say(&qat);
    if (!code && train_section.sample_interval > 0) {
        code = sampler_context_init(&sampler, &model, tokenizer, e);
        trainer.sample = sample;
        trainer.sample_context = &sampler;
    }
    if (!code)
        code = train(&trainer, tokenizer, shard, e);
    sampler_context_free(&sampler);
    qat_run_close(&qat);
    model_free(&model);
    return code;
}

static int check_stored(const struct stored_run *stored, const struct tokenizer *t,
                        const char *config, struct error *e)
{
    char *last = run_file(flags.out, RUN_LAST);
    int code = run_state_check(&stored->state, last, &(struct run_state){.tokenizer_hash = tokenizer_hash(t)}, e);
    if (!code)
        code = stored_run_compare(stored, config, !run_directory_holds(flags.out, RUN_SHARD), e);
    mem_free(last);
    return code;
}

static int run(const struct command_input *in, struct error *e)
{
    struct tokenizer *tokenizer = NULL;
    struct shard shard = {0};
    struct buffer config = {0};
    struct stored_run stored = {0};
    int code = further_settings(in, &flags, &stored, e);
    if (!code)
        code = qat_options_settle(in->options, &qat_section, e);
    if (!code && flags.plan) {
        code = plan_without_data(e);
        goto done;
    }
    if (!code)
        code = option_require(in->options, "data", "paths", e);
    if (!code)
        warn_of_settled(in->options);
    if (!code)
        code = run_directory_claim(flags.out, e);
    if (!code)
        code = get_tokenizer(in->threads, &tokenizer, e);
    if (!code)
        code = settle_model(tokenizer_vocab_size(tokenizer), e);
    if (!code)
        code = model_config_check(&model_section, e);
    if (!code) {
        options_print_yaml(in->options, &config); /* before check_memory: a resumed run fits itself again */
        code = check_memory(e);
    }
    if (!code && flags.resume)
        code = check_stored(&stored, tokenizer, config.data, e);
    if (!code)
        code = get_shard(tokenizer, stored.state.data_hash, in->threads, &shard, e);
    if (!code)
        code = train_with_samples(tokenizer, &shard, config.data, e);
done:
    shard_close(&shard);
    tokenizer_free(tokenizer);
    buffer_free(&config);
    stored_run_free(&stored);
    return code;
}

const struct command command_pretrain = {
    .name = "pretrain",
    .group = "Train",
    .summary = "train a model from scratch on text",
    .usage = "--data PATH... --out DIR [-c FILE]",
    .notes =
        "The run directory holds config.yaml, tokenizer.json, metrics.jsonl and checkpoints; every\n"
        "command's --model takes it. Ctrl-C saves and stops; --resume goes on, to the bit.\n"
        "\n"
        "  linnet pretrain -c configs/quickstart.yaml --data corpus.jsonl --out runs/a\n"
        "  linnet pretrain --out runs/a --resume --iters 5000\n",
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
