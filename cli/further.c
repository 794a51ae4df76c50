#include "cli/further.h"

#include "base/log.h"
#include "base/memory.h"
#include "cli/plan.h"
#include "cli/run_directory.h"
#include "cli/shared.h"
#include "kernels/profile.h"
#include "model/load.h"

#define FIELD(member) offsetof(struct run_flags, member)
const struct option run_options[] = {
    {.key = "out", .flag = "--out", .type = OPTION_STRING, .offset = FIELD(out), .placeholder = "DIR",
     .help = "run directory to make"},
    {.key = "resume", .flag = "--resume", .type = OPTION_BOOL, .offset = FIELD(resume),
     .help = "go on from the last checkpoint in --out, with the configuration saved there; flags, "
             "--set and -c change what can change"},
    {.key = "plan", .flag = "--plan", .type = OPTION_BOOL, .offset = FIELD(plan),
     .help = "print parameters, memory and an estimate of the time, and exit"},
    {.key = "profile", .flag = "--profile", .type = OPTION_BOOL, .offset = FIELD(profile),
     .help = "print in the end where the time of the steps went"},
};
_Static_assert(sizeof run_options / sizeof *run_options == N_RUN_OPTIONS, "count the rows");

const char *const further_train_flags[] = {"iters", "batch_size", "grad_accumulation", "max_seq_length", "grad_checkpoint",
                                           "memory_limit", "seed", "dtype", "eval_interval", "eval_iters",
                                           "checkpoint_interval", NULL};

int further_settings(const struct command_input *in, const struct run_flags *f, struct stored_run *stored,
                     struct error *e)
{
    int code = f->plan && !f->resume ? OK : option_require(in->options, "", "out", e);
    if (!code && f->out && !f->plan)
        code = run_directory_check(f->out, f->resume, e);
    if (code || !f->resume)
        return code;
    char *saved = run_file(f->out, RUN_CONFIG);
    code = stored_run_read(f->out, stored, e);
    if (!code)
        code = options_read_stored((struct options *)in->options, saved, e);
    mem_free(saved);
    return code;
}

/* Whether the run to go on with had this model, tokenizer and data: said before anything is computed of others. */
static int check_stored(const struct further *r, struct error *e)
{
    char *last = run_file(r->flags->out, RUN_LAST);
    int code = run_state_check(&r->stored->state, last, &r->trainer->state, e);
    mem_free(last);
    return code;
}

static int begin(const struct further *r, struct error *e)
{
    const struct run_flags *f = r->flags;
    struct trainer *t = r->trainer;
    int code = run_directory_claim(f->out, e);
    if (!code && f->resume)
        code = stored_run_compare(r->stored, t->config, true, e);
    if (!code && f->resume)
        code = check_stored(r, e);
    if (!code)
        code = plan_fit(t, r->settings, e);
    if (!code)
        code = plan_check(t, e);
    if (!code && r->before)
        code = r->before(r->before_context, e);
    if (!code)
        code = trainer_init(t, e);
    if (!code && f->resume)
        code = trainer_resume(t, e);
    if (!code && f->resume && stored_run_changes(r->stored, t->config, "tune.probe"))
        t->state.first_probe_loss = 0; /* of another text */
    if (!code) /* not before: what the checkpoint does not fit must not become the run's */
        code = run_directory_write(f->out, f->resume ? NULL : r->tokenizer, r->context, t->config, e);
    return code;
}

static int train(const struct further *r, struct error *e)
{
    struct trainer *t = r->trainer;
    int code = begin(r, e);
    if (!code) {
        r->say(r->say_context);
        uint64_t first = t->state.step;
        profile_reset();
        code = trainer_run(t, e);
        if (r->flags->profile && t->state.step > first)
            print_profile_so_far(stderr, (size_t)(t->state.step - first)); /* with evaluations and checkpoints */
    }
    trainer_free(t);
    return code;
}

/* The plan's answer is the plan, also where the machine is too small for it. */
static void print_plan(const struct further *r, struct error *e)
{
    optim_warn(r->trainer->optim, r->settings->iters);
    if (plan_fit(r->trainer, r->settings, e))
        log_warn("%s", e->message);
    plan_print(r->trainer, stdout);
    if (plan_check(r->trainer, e))
        log_warn("%s", e->message);
}

int further_run(const struct further *r, struct error *e)
{
    if (!r->flags->plan)
        return train(r, e);
    print_plan(r, e);
    return OK;
}

void further_say_model(const struct trainer *t, size_t lora_rank, size_t n_pairs)
{
    size_t n = 0;
    char count[32];
    for (size_t i = 0; i < t->params->count; i++)
        n += t->params->items[i]->count;
    plan_summary_model(t);
    if (lora_rank)
        log_info("trains  %s parameters: adapters of rank %zu beside %zu matrices", format_count((double)n, count),
                 lora_rank, n_pairs);
    else
        log_info("trains  all of them");
}

enum { FEW_STEPS = 10 };

void further_say_steps(const struct trainer *t)
{
    const struct train_settings *s = t->settings;
    log_info("rate    up to %.3g, after %zu steps of warm-up", t->optim->learning_rate, t->optim->warmup_iters);
    plan_summary_memory(t);
    if (s->iters < FEW_STEPS)
        log_warn("%zu steps are few to learn from: a smaller --batch-size (now %zu rows of up to %zu tokens) or more --epochs "
                 "make more of them", s->iters, s->batch_size, s->max_seq_length);
}
