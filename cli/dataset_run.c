#include "cli/dataset_run.h"

#include "base/log.h"

int dataset_run_settings(struct dataset_run *r, const struct dataset_run_settings *s, const struct command_input *in,
                         struct error *e)
{
    r->settings = s;
    int code = further_settings(in, s->flags, &r->stored, e);
    if (!code)
        code = option_require(in->options, "tune", "model", e);
    if (code)
        return code;
    tune_options_settle(in->options, s->tune);
    code = qat_options_settle(in->options, s->qat, e);
    return code ? code : dataset_settle(in->options, s->dataset, s->train, e);
}

static void init_rows(const struct dataset_run *r, struct example_rows *rows, const struct examples *x, bool shuffle)
{
    const struct train_settings *s = r->settings->train;
    bool packed = r->settings->dataset->packing;
    if (x->answers == ANSWERS_IMITATED)
        example_rows_init(rows, x, NULL, 0, s->max_seq_length, packed, shuffle, s->seed);
    else
        example_rows_init_pairs(rows, x, s->max_seq_length, packed, shuffle, s->seed, true);
}

static void make_rows(struct dataset_run *r)
{
    struct trainer *t = &r->trainer;
    init_rows(r, &r->train, &r->dataset.train, true);
    t->train = example_rows_loader(&r->train);
    t->has_validation = r->dataset.validation.count > 0;
    if (!t->has_validation)
        return;
    init_rows(r, &r->validation, &r->dataset.validation, false);
    r->validation.first_example = r->dataset.train.count;
    t->validation = example_rows_loader(&r->validation);
}

static void fill_trainer(struct dataset_run *r)
{
    const struct dataset_run_settings *s = r->settings;
    r->trainer.config = r->config.data;
    r->trainer.settings = s->train;
    r->trainer.optim = s->optim;
    r->trainer.run = s->flags->out ? s->flags->out : "";
    r->trainer.state.data_hash = dataset_hash(&r->dataset);
}

int dataset_run_open(struct dataset_run *r, const struct command_input *in, enum example_answers answers,
                     double learning_rate, struct error *e)
{
    const struct dataset_run_settings *s = r->settings;
    int code = tuned_open(s->tune, s->lora, s->train->seed, &r->tuned, e);
    if (!code)
        code = tuned_settle_length(in->options, &r->tuned, s->train, e);
    if (!code)
        code = dataset_load(s->dataset, answers, r->tuned.tokenizer, s->train->max_seq_length, s->train->seed, &r->dataset, e);
    if (code)
        return code;
    make_rows(r);
    tuned_settle(in->options, &r->tuned, r->trainer.train.rows.per_epoch, learning_rate, s->train, s->optim);
    *s->model = r->tuned.model.config;
    options_print_yaml(in->options, &r->config); /* what was asked for, before plan_fit: a resumed run fits itself again */
    fill_trainer(r);
    return tuned_prepare(&r->tuned, s->qat, &r->trainer, e);
}

int dataset_run_train(struct dataset_run *r, int (*before)(void *context, struct error *e),
                      void (*say)(const void *context), void *context, struct error *e)
{
    const struct dataset_run_settings *s = r->settings;
    tokenizer_set_chat_template(r->tuned.tokenizer, r->dataset.chat_template.text);
    int code = further_run(&(struct further){.flags = s->flags, .trainer = &r->trainer, .settings = s->train,
                                             .stored = &r->stored, .tokenizer = r->tuned.tokenizer,
                                             .context = s->model->max_position_embeddings, .before = before,
                                             .before_context = context, .say = say, .say_context = context}, e);
    if (!code && !s->flags->plan)
        tuned_say_result(&r->tuned, s->flags->out, r->dataset.chat_template.text != NULL);
    return code;
}

void dataset_run_free(struct dataset_run *r)
{
    example_rows_free(&r->train);
    example_rows_free(&r->validation);
    dataset_free(&r->dataset);
    tuned_free(&r->tuned);
    buffer_free(&r->config);
    stored_run_free(&r->stored);
}

void dataset_run_say(const struct dataset_run *r)
{
    const struct train_settings *s = r->settings->train;
    const struct packing *p = &r->train.packing;
    size_t step = s->batch_size * s->grad_accumulation;
    further_say_model(&r->trainer, r->tuned.adapter_path ? r->settings->lora->rank : 0, r->tuned.adapter.n_pairs);
    qat_run_say(&r->tuned.qat);
    log_info("rows    %zu of %zu tokens, %.0f%% full; %zu a step, %zu steps, %.2f epochs", p->n_rows, s->max_seq_length,
             100 * packing_share(p), step, s->iters, (double)(s->iters * step) / (double)p->n_rows);
}
