#include "cli/tuning.h"

#include "base/file.h"
#include "base/log.h"
#include "cli/stored_qat.h"
#include "data/probe_text.h"
#include "infer/generate.h"
#include "lora/load.h"
#include "model/fingerprint.h"
#include "model/load.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FIELD(member) offsetof(struct tune_options, member)
static const char *const method_names[] = {"lora", "full", NULL};
const char *const tune_product_names[] = {"exact", "int8", NULL};

const struct option tune_options[] = {
    {.key = "model", .flag = "--model", .type = OPTION_STRING, .offset = FIELD(model), .placeholder = "PATH",
     .help = "the model to train further: a GGUF file, a Hugging Face directory, or a run directory"},
    {.key = "method", .flag = "--method", .type = OPTION_ENUM, .offset = FIELD(method), .choices = method_names,
     .help = "lora trains adapters beside weights that stay as they are in their file, whatever their type; full "
             "trains every weight, in f32"},
    {.key = "products", .flag = "--products", .type = OPTION_ENUM, .offset = FIELD(products), .choices = tune_product_names,
     .help = "how frozen weights in blocks (q4_0, ...) multiply in the forward pass: int8 rounds what they are "
             "multiplied with to 8 bits, as when the model runs, which is faster; the backward pass is exact in any case"},
    {.key = "epochs", .flag = "--epochs", .type = OPTION_FLOAT, .offset = FIELD(epochs), .default_value = "1",
     .minimum = 1e-6, .maximum = 1e6, .help = "passes over the training data, unless --iters says how many steps"},
    {.key = "probe", .flag = "--probe", .type = OPTION_STRING, .offset = FIELD(probe), .default_value = "builtin",
     .placeholder = "FILE", .help = "general text whose loss shows what the model forgets: a text file, builtin, or none"},
};
_Static_assert(sizeof tune_options / sizeof *tune_options == N_TUNE_OPTIONS, "count the rows");

/* --- opening --- */

static void warn_of_no_effect(const struct options *all, const struct tune_options *o)
{
    if (o->method == TUNE_LORA)
        return;
    for (size_t i = 0; i < N_LORA_OPTIONS; i++)
        if (option_source(all, "lora", lora_options[i].key) > OPTION_FROM_FILE)
            log_warn("lora.%s has no effect: --method full trains every weight, and no adapter", lora_options[i].key);
    if (option_source(all, "tune", "products") > OPTION_FROM_FILE && o->products == TUNE_INT8)
        log_warn("tune.products has no effect: --method full multiplies in f32 or bf16");
}

void tune_options_settle(const struct options *all, struct tune_options *o)
{
    char *real = !o->model || o->model[0] == '/' ? NULL : realpath(o->model, NULL);
    if (real) {
        mem_free(o->model);
        o->model = mem_string(real);
    }
    free(real);
    warn_of_no_effect(all, o);
}

int tuned_open(const struct tune_options *o, const struct lora_options *lora, uint64_t seed, struct tuned *t,
               struct error *e)
{
    bool full = o->method == TUNE_FULL;
    *t = (struct tuned){.options = o};
    int code = model_load(o->model, full ? WEIGHTS_F32 : WEIGHTS_MAPPED, &t->model, &t->tokenizer, e);
    if (code)
        return code;
    if (full) {
        for (size_t i = 0; i < t->model.n_params; i++)
            params_add(&t->trains, &t->model.params[i]);
        return OK;
    }
    if (o->products == TUNE_INT8 && !model_has_blocks(&t->model))
        log_warn("tune.products has no effect: no weight of %s is in blocks", o->model);
    if (o->products == TUNE_INT8)
        model_use_integers(&t->model);
    code = lora_create(lora, &t->model, seed, &t->adapter, e);
    if (code)
        return code;
    for (size_t i = 0; i < t->adapter.all.count; i++)
        params_add(&t->trains, t->adapter.all.items[i]);
    lora_attach(&t->adapter);
    return OK;
}

int tuned_open_new(const struct tune_options *o, const struct model_config *c, struct tokenizer *tokenizer, uint64_t seed,
                   struct tuned *t, struct error *e)
{
    *t = (struct tuned){.options = o, .is_new = true, .tokenizer = tokenizer};
    int code = model_init(&t->model, c, e);
    if (!code)
        code = model_allocate(&t->model, e);
    if (code)
        return code;
    model_initialize(&t->model, seed);
    for (size_t i = 0; i < t->model.n_params; i++)
        params_add(&t->trains, &t->model.params[i]);
    return OK;
}

void tuned_free(struct tuned *t)
{
    qat_run_close(&t->qat);
    if (t->adapter.attached)
        lora_detach(&t->adapter);
    lora_free(&t->adapter);
    params_free(&t->trains);
    shard_close(&t->probe_shard);
    model_free(&t->model);
    if (!t->is_new)
        tokenizer_free(t->tokenizer);
    mem_free(t->adapter_path);
    *t = (struct tuned){0};
}

/* --- settings --- */

const char *const tune_optim_defaults[] = {
    "learning_rate", "2e-4 for lora, 2e-5 for full", "warmup_iters", "3% of the run", "weight_decay", "0",
    "beta2", "0.999", NULL,
};
const char *const tune_train_defaults[] = {
    "iters", "what --epochs come to", "max_seq_length", "2048, or the model's context where that is less",
    "eval_interval", "a tenth of the run", "checkpoint_interval", "a tenth of the run", NULL,
};

int tuned_settle_length(const struct options *all, const struct tuned *t, struct train_settings *train, struct error *e)
{
    size_t most = t->model.config.max_position_embeddings;
    bool given = option_given(all, "train", "max_seq_length");
    if (!given && most > 0 && train->max_seq_length > most)
        train->max_seq_length = most;
    if (most > 0 && train->max_seq_length > most)
        return error_set(e, ERR_USAGE, "--max-seq-length %zu is more than the %zu tokens the model was made for",
                         train->max_seq_length, most);
    return plan_check_batch(train, e);
}

double tune_learning_rate(const struct tune_options *o)
{
    return o->method == TUNE_FULL ? 2e-5 : 2e-4;
}

/* A model that knows something already takes smaller steps than a new one. */
static void settle_optim(const struct options *all, double learning_rate, size_t iters, struct optim_settings *optim)
{
    if (!option_given(all, "optim", "learning_rate"))
        optim->learning_rate = learning_rate;
    if (!option_given(all, "optim", "weight_decay"))
        optim->weight_decay = 0;
    if (!option_given(all, "optim", "beta2"))
        optim->beta2 = 0.999;
    if (!option_given(all, "optim", "warmup_iters"))
        optim->warmup_iters = iters * 3 / 100;
}

void tuned_settle(const struct options *all, const struct tuned *t, size_t rows_per_epoch, double learning_rate,
                  struct train_settings *train, struct optim_settings *optim)
{
    size_t rows = train->batch_size * train->grad_accumulation;
    bool longer = option_source(all, "train", "iters") == OPTION_FROM_STORED &&
                  option_source(all, "tune", "epochs") > OPTION_FROM_STORED;
    if (longer || !option_given(all, "train", "iters"))
        train->iters = (size_t)fmax(1, ceil(t->options->epochs * (double)rows_per_epoch / (double)rows));
    if (!t->is_new)
        settle_optim(all, learning_rate, train->iters, optim);
    /* some ten evaluations in a run, however short */
    size_t interval = train->iters / 10 > 1 ? train->iters / 10 : 1;
    if (!option_given(all, "train", "eval_interval"))
        train->eval_interval = interval;
    if (!option_given(all, "train", "checkpoint_interval"))
        train->checkpoint_interval = interval;
}

/* --- the probe --- */

enum { PROBE_MOST = 16 << 20 }; /* bytes of its file */

static int probe_tokens(const struct tuned *t, struct tokens *out, struct error *e)
{
    struct buffer text = {0};
    int code = OK;
    if (strcmp(t->options->probe, "builtin") == 0)
        buffer_string(&text, probe_text);
    else
        code = file_read(t->options->probe, &text, PROBE_MOST, e);
    if (!code)
        code = prompt_tokens(t->tokenizer, text.data ? text.data : "", text.size, true, out, e);
    if (!code && out->count < 2)
        code = error_set(e, ERR_FORMAT, "%s: too short a text to probe with", t->options->probe);
    buffer_free(&text);
    return code;
}

static int prepare_probe(struct tuned *t, struct trainer *trainer, struct error *e)
{
    struct tokens tokens = {0};
    if (t->is_new || !t->options->probe || strcmp(t->options->probe, "none") == 0)
        return OK;
    int code = probe_tokens(t, &tokens, e);
    if (!code) {
        shard_of_tokens(&t->probe_shard, tokens.ids, tokens.count, 0, t->model.config.vocab_size);
        code = shard_rows_init(&t->probe_rows, &t->probe_shard, SHARD_VALIDATION, trainer->settings->max_seq_length,
                               false, false, 0, e);
    }
    if (!code) {
        trainer->probe = shard_rows_loader(&t->probe_rows);
        trainer->has_probe = true;
    }
    tokens_free(&tokens);
    return code;
}

/* --- what the run leaves --- */

/* The run that a model is, or a checkpoint of; it may be none. */
static char *run_of(const char *model)
{
    static const char *const checkpoints[] = {"/" RUN_LAST, "/" RUN_BEST};
    for (size_t i = 0; i < sizeof checkpoints / sizeof *checkpoints; i++)
        if (path_has_suffix(model, checkpoints[i]))
            return mem_string_n(model, strlen(model) - strlen(checkpoints[i]));
    return mem_string(model);
}

/* A run that trained all weights with --qat goes on from those behind its blocks. */
static void warn_of_blocks_lost(const struct tune_options *o)
{
    struct stored_qat stored = {0};
    char *run = run_of(o->model);
    if (file_is_directory(run) && !stored_qat_read(&stored, run, NULL) && stored.options.types.type)
        log_warn("%s was trained with --qat %s, and this goes on without: the weights behind its blocks train, and "
                 "nothing keeps them good to round", o->model, stored.options.types.type);
    stored_qat_free(&stored);
    mem_free(run);
}

static int keep_adapter(void *context, struct error *e)
{
    const struct tuned *t = context;
    return lora_write_peft(&t->adapter, t->options->model, t->adapter_path, e);
}

static size_t adapter_bytes(const void *context, size_t n)
{
    const struct tuned *t = context;
    return lora_scratch_bytes(&t->adapter, n);
}

int tuned_prepare(struct tuned *t, const struct qat_options *qat, struct trainer *trainer, struct error *e)
{
    trainer->model = &t->model;
    trainer->params = &t->trains;
    trainer->state.tokenizer_hash = tokenizer_hash(t->tokenizer);
    trainer->state.base_hash = t->is_new ? 0 : model_weights_hash(&t->model);
    if (t->options->method == TUNE_LORA) {
        t->adapter_path = run_file(trainer->run, ADAPTER_IN_RUN);
        trainer->keep = keep_adapter;
        trainer->keep_context = t;
        trainer->hook_bytes = adapter_bytes;
        trainer->hook_context = t;
    }
    if (t->options->method == TUNE_FULL && !t->is_new && (!qat || !qat->types.type))
        warn_of_blocks_lost(t->options);
    if (qat && qat->types.type && t->options->products == TUNE_INT8)
        log_warn("tune.products has no effect with --qat, which has --qat-activations int8");
    int code = qat ? qat_run_open(&t->qat, qat, trainer, t->options->method == TUNE_LORA ? &t->adapter : NULL, e) : OK;
    return code ? code : prepare_probe(t, trainer, e);
}

void tuned_say_result(const struct tuned *t, const char *out, bool has_template)
{
    const char *verb = has_template ? "chat" : "generate";
    if (t->adapter_path)
        log_info("the adapter: %s; try it: linnet %s --model %s", t->adapter_path, verb, out);
    else
        log_info("the best weights: %s/" RUN_BEST "; try them: linnet %s --model %s", out, verb, out);
}
