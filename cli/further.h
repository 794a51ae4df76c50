/* The run of a command that trains a model further or a student: its flags, from the checked directory to the last step.
 * What is trained on, and for what, is the command's. */
#ifndef LINNET_CLI_FURTHER_H
#define LINNET_CLI_FURTHER_H

#include "cli/command.h"
#include "cli/resume.h"
#include "train/trainer.h"

struct run_flags {
    char *out;
    bool resume, plan, profile;
};
enum { N_RUN_OPTIONS = 4 };
extern const struct option run_options[N_RUN_OPTIONS];
extern const char *const further_train_flags[]; /* of the section `train`: all but those for samples, of which there are none */

/* The first thing: whether --out can be begun or continued. A resumed run's configuration fills what was not given now,
 * and *stored (zeroed before; stored_run_free in any case) has the rest of it. */
int further_settings(const struct command_input *in, const struct run_flags *f, struct stored_run *stored,
                     struct error *e);

/* The trainer is filled in but for what further_run does; all is borrowed. */
struct further {
    const struct run_flags *flags;
    struct trainer *trainer;
    struct train_settings *settings; /* the trainer's */
    const struct stored_run *stored;
    const struct tokenizer *tokenizer; /* written into the run directory */
    size_t context;                    /* longest text the model takes */
    /* Called in the run directory that is this run's, before the trainer takes memory and while the weights are those that the
     * run begins with; NULL: nothing is to do. */
    int (*before)(void *context, struct error *e);
    void *before_context;
    void (*say)(const void *context);  /* what trains and for how long, before the first step */
    const void *say_context;
};

/* Prints the plan if that is what was asked for; else trains to the end. ERR_USAGE where a resumed run was changed in what
 * cannot be. */
int further_run(const struct further *r, struct error *e);

/* What say() tells in every command: parameters, what of them trains, and the last lines about rate and memory. `lora_rank`
 * is 0 where no adapter trains. */
void further_say_model(const struct trainer *t, size_t lora_rank, size_t n_pairs);
void further_say_steps(const struct trainer *t);

#endif
