#include "train/trainer.h"

#include "base/check.h"
#include "base/file.h"
#include "base/log.h"
#include "base/rng.h"
#include "model/load.h"
#include "train/interrupt.h"
#include "train/trainer_private.h"

#include <math.h>
#include <string.h>

/* Everything a step needs beside weights, gradients and moments; measures when the arena does. */
static void take_work(struct trainer *t, struct arena *arena)
{
    const struct train_settings *s = t->settings;
    const struct model_config *c = &t->model->config;
    size_t n = s->batch_size * s->max_seq_length;
    activations_init(&t->activations, t->model, train_product_type(s), s->batch_size, s->max_seq_length,
                     s->grad_checkpoint ? KEEP_INPUTS : KEEP_ALL, arena);
    t->activations.stream_hook = t->stream_hook;
    t->scratch = arena_alloc(arena, trainer_scratch_floats(t, c, n), sizeof(float));
    t->batches = mem_zero(s->grad_accumulation, sizeof *t->batches);
    for (size_t i = 0; i < s->grad_accumulation; i++)
        batch_init(&t->batches[i], s->batch_size, s->max_seq_length, arena);
}

int trainer_init(struct trainer *t, struct error *e)
{
    struct arena gradients = {0}, moments = {0}, work = {0};
    enum dtype type = train_product_type(t->settings), gradient = trainer_gradient_type(t->settings);
    params_attach_gradients(t->params, gradient, &gradients);
    struct optimizer_settings settings = optim_optimizer(t->optim, type);
    optimizer_init(&t->optimizer, &settings, t->params, &moments);
    optimizer_free(&t->optimizer);
    take_work(t, &work);
    activations_free(&t->activations);
    mem_free(t->batches);
    t->batches = NULL;

    int code = arena_init(&t->gradients, gradients.used, "the gradients", e);
    if (!code)
        code = arena_init(&t->moments, moments.used, "the optimiser's moments", e);
    if (!code)
        code = arena_init(&t->work, work.used, "the activations", e);
    if (!code && t->objective->prepare)
        code = t->objective->prepare(t->objective, t->settings->batch_size, t->settings->max_seq_length, e);
    if (code) {
        trainer_free(t);
        return code;
    }
    params_attach_gradients(t->params, gradient, &t->gradients);
    optimizer_init(&t->optimizer, &settings, t->params, &t->moments);
    take_work(t, &t->work);
    model_reserve_positions(t->model, t->settings->max_seq_length);
    t->state.best_loss = INFINITY;
    return OK;
}

void trainer_free(struct trainer *t)
{
    metrics_close(&t->metrics);
    activations_free(&t->activations);
    optimizer_free(&t->optimizer);
    mem_free(t->batches);
    t->batches = NULL;
    arena_free(&t->gradients);
    arena_free(&t->moments);
    arena_free(&t->work);
}

/* Products read the model's matrices as they need them; everyone else wants them whole. */
static void begin_products(struct trainer *t)
{
    if (t->activations.type == DTYPE_BF16)
        model_split(t->model);
}

/* --- checkpoints --- */

static uint64_t view_hash(const struct trainer *t)
{
    return t->view ? t->view->hash(t->view->context) : 0;
}

static int save(struct trainer *t, const char *name, bool complete, struct error *e)
{
    char *path = run_file(t->run, name);
    t->state.rows_consumed = t->train.rows_consumed;
    t->state.iters = t->settings->iters;
    t->state.view_hash = view_hash(t);
    const struct checkpoint_addition computed = {t->view ? t->view->write : NULL, t->view ? t->view->context : NULL};
    model_join(t->model);
    int code = checkpoint_write(path, &t->optimizer, complete, t->view ? &computed : NULL, &t->state, t->config, e);
    begin_products(t);
    mem_free(path);
    if (code) {
        char old[sizeof e->message];
        memcpy(old, e->message, sizeof old);
        error_set(e, (enum error_code)code,
                  "step %llu: the checkpoint could not be written: %.700s; the one before is "
                  "untouched: make room and continue with --resume",
                  (unsigned long long)t->state.step, old);
    }
    return code;
}

/* Losses with weights of another kind, rounded to other blocks or not at all, say nothing of these: the best begins anew. */
static void forget_other_best(struct trainer *t)
{
    if (t->state.view_hash == view_hash(t))
        return;
    t->state.best_loss = INFINITY;
    t->state.evals_since_best = 0;
}

int trainer_resume(struct trainer *t, struct error *e)
{
    struct run_state expected = t->state;
    char *path = run_file(t->run, RUN_LAST);
    int code = checkpoint_read(path, &t->optimizer, &t->state, e);
    if (!code)
        code = run_state_check(&t->state, path, &expected, e);
    mem_free(path);
    t->resumed = !code;
    forget_other_best(t);
    t->train.rows_consumed = t->state.rows_consumed;
    if (t->state.iters > 0 && t->settings->iters > t->state.iters)
        t->state.evals_since_best = 0; /* a longer run: patience begins anew */
    return code;
}

/* --- one step --- */

/* The mask seed of a micro-batch; never 0, which would turn dropout off. */
static uint64_t dropout_seed(const struct trainer *t, size_t micro_batch)
{
    uint64_t i = t->state.step * t->settings->grad_accumulation + micro_batch;
    return rng_at(t->settings->seed ^ 0xD509, i) | 1;
}

/* Losses are divided by what all micro-batches have of what they are a mean over, so that accumulation equals one large
 * batch however it is spread. */
static struct train_step compute_step(struct trainer *t)
{
    const struct train_settings *s = t->settings;
    struct train_step r = {0};
    size_t count = 0;
    objective_clear(t->objective);
    for (size_t i = 0; i < s->grad_accumulation; i++) {
        loader_next(&t->train, &t->batches[i]);
        r.n_targets += t->batches[i].n_targets;
        count += objective_count(t->objective, &t->batches[i]);
    }
    if (t->view) /* not before, as what fills a batch may ask the model itself: that is use, not training */
        t->view->begin_step(t->view->context, t->state.step);
    float scale = count ? 1 / (float)count : 0;
    for (size_t i = 0; i < s->grad_accumulation; i++) {
        struct batch *b = &t->batches[i];
        uint64_t seed = dropout_seed(t, i);
        t->model->dropout_seed = 0; /* that of the micro-batch before */
        objective_begin(t->objective, &t->activations, b, t->scratch);
        t->model->dropout_seed = seed;
        const void *hidden = decoder_forward(t->model, &t->activations, b, NULL, seed);
        float *dhidden = t->activations.dnormed;
        r.loss += t->objective->loss(t->objective, t->model, b, hidden, t->activations.type, scale,
                                     dhidden, t->scratch);
        /* the experts' balancing loss, each micro-batch by its share of the targets */
        double share = r.n_targets ? (double)b->n_targets / (double)r.n_targets : 0;
        r.router_loss += share * t->activations.router_loss;
        t->activations.router_loss_scale = (float)(share * t->model->config.router_aux_loss_coef /
                                                   (double)t->model->config.num_hidden_layers);
        decoder_backward(t->model, &t->activations, b, dhidden, seed);
    }
    t->model->dropout_seed = 0;
    r.loss = count ? r.loss / (double)count : 0;
    if (t->view)
        t->view->gradients(t->view->context);
    r.grad_norm = gradient_norm(t->params);
    r.finite = isfinite(r.loss) && isfinite(r.grad_norm);
    struct schedule schedule = optim_schedule(t->optim, s->iters);
    r.learning_rate = schedule_at(&schedule, t->state.step);
    return r;
}

static int apply_step(struct trainer *t, const struct train_step *r, struct error *e)
{
    if (r->finite) {
        double clip = t->optim->grad_clip;
        double scale = clip > 0 && r->grad_norm > clip ? clip / (r->grad_norm + 1e-6) : 1;
        optimizer_update(&t->optimizer, r->learning_rate, scale);
        t->bad_steps = 0;
        return OK;
    }
    params_clear_gradients(t->params);
    t->bad_steps++;
    log_warn("step %llu skipped: loss %g, gradient norm %g; no weight was changed",
             (unsigned long long)t->state.step + 1, r->loss, r->grad_norm);
    if (t->bad_steps < t->settings->max_bad_steps)
        return OK;
    char *last = run_file(t->run, RUN_LAST);
    bool saved = file_exists(last);
    mem_free(last);
    return error_set(e, ERR_FORMAT,
                     "%zu steps in a row were not finite; %s with a lower --learning-rate or a "
                     "tighter optim.grad_clip", t->bad_steps,
                     saved ? "the last checkpoint is kept: resume from it" : "start again");
}

int trainer_step(struct trainer *t, struct train_step *r, struct error *e)
{
    double began = clock_seconds();
    *r = compute_step(t);
    int code = objective_check(t->objective, e);
    if (!code)
        code = apply_step(t, r, e);
    if (t->view)
        t->view->changed(t->view->context);
    if (code)
        return code;
    t->state.step++;
    t->state.seconds += clock_seconds() - began;
    if (r->finite)
        t->state.tokens_seen += r->n_targets;
    return OK;
}

/* --- evaluation --- */

enum { MEASURES_MOST = 12 };
struct measure_names {
    char text[MEASURES_MOST][64];
};

static struct evaluation run_evaluation(struct trainer *t, const struct objective *objective, struct loader *loader,
                                        size_t n_batches, const char *label)
{
    struct evaluator v = {t->model, objective, &t->activations, &t->batches[0], t->scratch};
    return evaluate(&v, loader, n_batches, label);
}

/* Of the objective's last evaluation. */
static void describe(const struct trainer *t, double loss, struct buffer *text)
{
    const struct objective *o = t->objective;
    buffer_printf(text, "validation loss %.4f", loss);
    if (o->is_likelihood)
        buffer_printf(text, ", perplexity %.2f", exp(loss));
    if (o->is_likelihood && t->bytes_per_token > 0)
        buffer_printf(text, ", %.3f bits per byte", loss / log(2) / t->bytes_per_token);
    for (size_t i = 0; i < o->n_measures; i++)
        if (o->measures[i].count > 0)
            buffer_printf(text, ", %s %.4f", o->measures[i].name, o->measures[i].sum / o->measures[i].count);
}

/* The means of the objective's measures, those that there are, from line[n] on. `names` holds what the line points to. */
static size_t add_measures(const struct trainer *t, const char *prefix, struct measure_names *names, struct metric *line,
                           size_t n)
{
    const struct objective *o = t->objective;
    CHECK(o->n_measures <= MEASURES_MOST);
    for (size_t i = 0; i < o->n_measures; i++) {
        const struct measure *m = &o->measures[i];
        if (!(m->count > 0))
            continue;
        snprintf(names->text[i], sizeof names->text[i], "%s%s", prefix, m->name);
        line[n++] = (struct metric){names->text[i], m->sum / m->count};
    }
    return n;
}

static int write_evaluation(struct trainer *t, const char *name, double loss, struct error *e)
{
    struct measure_names names;
    struct metric line[4 + MEASURES_MOST] = {{name, loss}};
    size_t n = 1;
    if (t->objective->is_likelihood)
        line[n++] = (struct metric){"perplexity", exp(loss)};
    if (t->objective->is_likelihood && t->bytes_per_token > 0)
        line[n++] = (struct metric){"bits_per_byte", loss / log(2) / t->bytes_per_token};
    add_measures(t, "validation_", &names, line, n);
    return metrics_write(&t->metrics, t->state.step, line, e);
}

static int evaluate_held_out(struct trainer *t, size_t n_batches, const char *label, struct evaluation *r,
                             struct error *e)
{
    *r = run_evaluation(t, t->objective, &t->validation, n_batches, label);
    return objective_check(t->objective, e);
}

/* Says what an evaluation gave, between `what` and `remark`, and writes its line of metrics. */
static int tell(struct trainer *t, const struct evaluation *r, const char *what, const char *remark, const char *name,
                struct error *e)
{
    struct buffer text = {0};
    describe(t, r->loss, &text);
    log_info("%s: %s%s", what, text.data, remark);
    buffer_free(&text);
    return write_evaluation(t, name, r->loss, e);
}

/* What the model knew before: its loss on the probe, at first, and how it changes. */
static int probe_now(struct trainer *t, struct error *e)
{
    if (!t->has_probe)
        return OK;
    double loss = run_evaluation(t, &language_model_objective, &t->probe, 0, NULL).loss, first = t->state.first_probe_loss;
    t->probe_loss = loss;
    struct metric line[] = {{"probe_loss", loss}, {NULL, 0}};
    if (first == 0) {
        t->state.first_probe_loss = loss;
        log_info("general text, %s: loss %.4f", t->state.step ? "now" : "before", loss);
    } else {
        log_info("general text: loss %.4f, %+.4f against before", loss, loss - first);
    }
    return metrics_write(&t->metrics, t->state.step, line, e);
}

static bool patience_is_out(const struct trainer *t)
{
    size_t patience = t->settings->early_stopping_patience;
    return patience > 0 && t->state.evals_since_best >= patience;
}

static int keep(struct trainer *t, struct error *e)
{
    if (!t->keep)
        return OK;
    model_join(t->model);
    int code = t->keep(t->keep_context, e);
    begin_products(t);
    return code;
}

/* The last are also what is kept for as long as there is no best. */
static int save_last(struct trainer *t, struct error *e)
{
    int code = save(t, RUN_LAST, true, e);
    return code || isfinite(t->state.best_loss) ? code : keep(t, e);
}

/* Evaluates, remembers and saves the best. *stop: patience has run out. */
static int evaluate_now(struct trainer *t, bool *stop, struct error *e)
{
    struct evaluation r;
    char what[32];
    int code = evaluate_held_out(t, t->settings->eval_iters, NULL, &r, e);
    bool best = r.loss < t->state.best_loss;
    snprintf(what, sizeof what, "step %llu", (unsigned long long)t->state.step);
    if (!code)
        code = tell(t, &r, what, best ? ", the best" : "", "validation_loss", e);
    if (code)
        return code;
    if (best) {
        t->state.best_loss = r.loss;
        t->state.best_step = t->state.step;
        t->state.evals_since_best = 0;
        code = save(t, RUN_BEST, false, e);
        return code ? code : keep(t, e);
    }
    t->state.evals_since_best++;
    *stop = patience_is_out(t);
    if (*stop)
        log_info("no better for %llu evaluations: stopping early; the best was step %llu",
                 (unsigned long long)t->state.evals_since_best,
                 (unsigned long long)t->state.best_step);
    return OK;
}

/* --- the loop --- */

/* Speed since the last line of metrics, of steps alone: what lies between them (evaluation, samples,
 * checkpoints) does not count. The loss since then is part of the state. */
struct window {
    double began; /* in seconds of training */
    size_t targets;
};

static int log_step(struct trainer *t, const struct train_step *r, struct window *w,
                    struct error *e)
{
    struct run_state *s = &t->state;
    if (r->finite) {
        s->window_loss += r->loss;
        s->window_steps++;
    } else {
        s->window_skipped++;
    }
    w->targets += r->n_targets;
    if (s->step % t->settings->log_interval != 0 && s->step < t->settings->iters)
        return OK;
    struct measure_names names;
    struct metric line[10 + MEASURES_MOST] = {
        {"loss", s->window_steps ? s->window_loss / (double)s->window_steps : NAN},
        {"learning_rate", r->learning_rate},
        {"grad_norm", r->grad_norm},
        {"tokens", (double)s->tokens_seen},
        {"tokens_per_s", (double)w->targets / (s->seconds - w->began)},
        {"seconds", s->seconds},
        {"resident_mb", (double)mem_resident() / 1e6},
    };
    size_t n = 7;
    if (t->model->config.num_experts)
        line[n++] = (struct metric){"router_loss", r->router_loss};
    if (s->window_skipped)
        line[n++] = (struct metric){"skipped_steps", (double)s->window_skipped};
    add_measures(t, "", &names, line, n);
    *w = (struct window){.began = s->seconds};
    s->window_loss = 0;
    s->window_steps = s->window_skipped = 0;
    return metrics_write(&t->metrics, s->step, line, e);
}

static void show_step(const struct trainer *t, struct progress *p, const struct train_step *r,
                      double smooth_loss, double tokens_per_second)
{
    char detail[160], speed[32], memory[32];
    snprintf(detail, sizeof detail,
             "step %llu/%zu · loss %.4f · lr %.2e · |g| %.2f · %s tok/s · %s",
             (unsigned long long)t->state.step, t->settings->iters, smooth_loss, r->learning_rate,
             r->grad_norm, format_count(tokens_per_second, speed),
             format_bytes((double)mem_resident(), memory));
    progress_update(p, (double)t->state.step, detail);
}

static bool due(uint64_t step, size_t interval)
{
    return interval > 0 && step % interval == 0;
}

/* What happens between steps. *stop: the run is over before its last step. */
static int after_step(struct trainer *t, bool *stop, struct error *e)
{
    const struct train_settings *s = t->settings;
    int code = OK;
    bool last = t->state.step >= s->iters;
    bool evaluates = due(t->state.step, s->eval_interval) || last;
    if (t->has_validation && evaluates)
        code = evaluate_now(t, stop, e);
    if (!code && evaluates)
        code = probe_now(t, e);
    if (!code && t->sample && (due(t->state.step, s->sample_interval))) {
        struct buffer text = {0};
        model_join(t->model);
        t->sample(t->sample_context, &text);
        begin_products(t);
        log_info("step %llu: %s", (unsigned long long)t->state.step, text.data ? text.data : "");
        buffer_free(&text);
    }
    if (!code && (due(t->state.step, s->checkpoint_interval) || last || *stop))
        code = save_last(t, e);
    if (!code && !last && !*stop && interrupt_requested()) {
        code = save_last(t, e);
        if (!code)
            code = error_set(e, ERR_INTERRUPTED,
                             "interrupted at step %llu of %zu, saved in %s; continue with --resume",
                             (unsigned long long)t->state.step, s->iters, t->run);
    }
    return code;
}

static int loop(struct trainer *t, struct progress *progress, struct error *e)
{
    struct window window = {.began = t->state.seconds};
    double smooth_loss = 0, first = t->state.seconds;
    uint64_t first_tokens = t->state.tokens_seen;
    bool stop = false;
    int code = OK;
    while (t->state.step < t->settings->iters && !stop && !code) {
        struct train_step r;
        code = trainer_step(t, &r, e);
        if (code)
            break;
        if (r.finite)
            smooth_loss = smooth_loss == 0 ? r.loss : smooth_loss + 0.1 * (r.loss - smooth_loss);
        show_step(t, progress, &r, smooth_loss,
                  (double)(t->state.tokens_seen - first_tokens) / (t->state.seconds - first));
        code = log_step(t, &r, &window, e);
        if (!code)
            code = after_step(t, &stop, e);
    }
    return code;
}

/* A model that was fine-tuned on little, for long or with a high learning rate no longer speaks as it did. */
static void warn_of_forgetting(const struct trainer *t)
{
    const double much = 0.2; /* nats a token: a perplexity a fifth higher */
    if (t->has_probe && t->probe_loss - t->state.first_probe_loss > much)
        log_warn("the loss on general text rose from %.4f to %.4f: the model forgets; train for fewer steps, with a "
                 "lower --learning-rate, or mix general text in", t->state.first_probe_loss, t->probe_loss);
}

static int finish(struct trainer *t, struct error *e)
{
    warn_of_forgetting(t);
    if (!t->has_validation)
        return OK;
    struct evaluation r;
    char what[64];
    int code = evaluate_held_out(t, 0, "evaluate", &r, e);
    snprintf(what, sizeof what, "all held-out data (%zu tokens)", r.n_targets);
    if (!code)
        code = tell(t, &r, what, "", "final_validation_loss", e);
    if (!code && t->state.best_step != t->state.step)
        log_info("the best checkpoint is of step %llu (%.4f)",
                 (unsigned long long)t->state.best_step, t->state.best_loss);
    return code;
}

/* What a run still owes that died between its last step and its end. */
static int evaluate_if_missing(struct trainer *t, struct error *e)
{
    bool evaluated, finished, stop;
    int code = metrics_hold(&t->metrics, t->state.step, "final_validation_loss", &finished, e);
    if (code || finished || !t->has_validation)
        return code;
    code = metrics_hold(&t->metrics, t->state.step, "validation_loss", &evaluated, e);
    if (!code && !evaluated) {
        code = evaluate_now(t, &stop, e);
        if (!code)
            code = save(t, RUN_LAST, true, e);
    }
    return code ? code : finish(t, e);
}

/* A resumed run that has no step left to do. */
static int close_run(struct trainer *t, struct error *e)
{
    const struct run_state *s = &t->state;
    if (s->step >= t->settings->iters)
        log_info("the run is complete: %llu of %zu steps; more --iters make it longer",
                 (unsigned long long)s->step, t->settings->iters);
    else
        log_info("the run stopped early, at step %llu of %zu: no better for %llu evaluations, the "
                 "best was step %llu; to go on, raise train.early_stopping_patience (now %zu; 0 is "
                 "never) or --iters", (unsigned long long)s->step, t->settings->iters,
                 (unsigned long long)s->evals_since_best, (unsigned long long)s->best_step,
                 t->settings->early_stopping_patience);
    return evaluate_if_missing(t, e);
}

/* How good the model is before the first step, where it is one that knows something already; of a resumed run whose probe
 * is new, what that is held against. */
static int begin(struct trainer *t, struct error *e)
{
    if (!t->has_probe || t->state.first_probe_loss != 0)
        return OK;
    if (t->has_validation && t->state.step == 0) {
        struct evaluation r;
        int code = evaluate_held_out(t, t->settings->eval_iters, "evaluate", &r, e);
        if (!code)
            code = tell(t, &r, "before the first step", "", "validation_loss", e);
        if (code)
            return code;
    }
    return probe_now(t, e);
}

static int run(struct trainer *t, struct error *e)
{
    struct progress progress;
    char *path = run_file(t->run, RUN_METRICS);
    int code = metrics_open(&t->metrics, path, t->state.step, e);
    mem_free(path);
    if (code)
        return code;
    if (t->state.step >= t->settings->iters || patience_is_out(t))
        return close_run(t, e);
    optim_warn(t->optim, t->settings->iters);
    if (t->settings->early_stopping_patience && !(t->has_validation && t->settings->eval_interval))
        log_warn("train.early_stopping_patience has no effect: nothing is evaluated before the end "
                 "(no held-out data, or --eval-interval 0)");
    code = begin(t, e);
    if (code)
        return code;
    interrupt_install();
    progress_start(&progress, "train", (double)t->settings->iters);
    progress.first = (double)t->state.step;
    code = loop(t, &progress, e);
    progress_finish(&progress, "");
    interrupt_restore();
    return code ? code : finish(t, e);
}

/* Shows the model what it is to compute with; a run that goes on, as it did. */
static int attach_view(struct trainer *t, struct error *e)
{
    const struct checkpoint_addition computed = {t->view->read, t->view->context};
    int code = t->view->attach(t->view->context, e);
    if (code || !t->resumed)
        return code;
    char *path = run_file(t->run, RUN_LAST);
    code = checkpoint_read_addition(path, &computed, e);
    mem_free(path);
    return code;
}

int trainer_run(struct trainer *t, struct error *e)
{
    int code = t->view ? attach_view(t, e) : OK;
    if (code)
        return code;
    begin_products(t);
    code = run(t, e);
    model_join(t->model);
    return code;
}
