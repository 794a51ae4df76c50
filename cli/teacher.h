/* What the parts of `linnet teacher` share: how a dump is made, and what it will take. */
#ifndef LINNET_CLI_TEACHER_H
#define LINNET_CLI_TEACHER_H

#include "base/options.h"
#include "data/dataset_options.h"
#include "distill/capture.h"

struct teacher_options {
    char *model;
    struct option_strings adapters;
    bool exact, dense;
    size_t k, samples, limit;
    double cumulative, temperature;
};

/* --- teacher_settings.c: what a dump is made with --- */

/* ERR_USAGE where --out cannot be begun, or with `resume` not be gone on with. */
int teacher_check_out(const char *out, bool resume, struct error *e);

/* Opens the complete parts in `out`; where there are none yet the dump is all zeros. */
int teacher_open_stored(const char *out, struct dump *stored, struct error *e);
/* The template_date it was made with, or NULL; the caller frees it. */
char *teacher_stored_date(const struct dump_description *stored);

/* The description's `settings`, a JSON object; the caller frees it. */
struct teacher_made {
    const struct teacher_options *options;
    const struct dataset_options *data;
    const struct examples *examples;
    size_t max_seq_length, seed;
};
char *teacher_settings(const struct teacher_made *made, const struct dump_description *d);

/* ERR_USAGE, naming what differs, when what is asked for now does not go on with what is in `out`. */
int teacher_compare(const char *out, const struct dump *stored, const struct dump_description *now,
                    const struct examples *examples, struct error *e);

/* Keeps only the first examples, of at most `tokens` tokens together; false when that is not even one. */
bool teacher_limit(struct examples *x, size_t tokens);

/* --- teacher_plan.c: what it will take --- */

struct teacher_plan {
    const char *out; /* borrowed, NULL: none */
    const struct dump_description *description; /* borrowed */
    size_t samples;
    double n_weights;
    size_t n_sequences, n_tokens, n_positions, longest;
    size_t n_done, n_done_tokens, n_done_positions; /* of them, in the parts that are there */
    uint64_t done_bytes, free_bytes;
    double entries;           /* of a position, in the trial */
    double bytes_per_position;
    double tokens_per_second; /* in the trial */
};

/* Counts, and runs the model on some hundred tokens for a measure of its speed. ERR_FORMAT as capture_pass. */
int teacher_plan_make(struct teacher_plan *p, struct capture *c, const struct dump_description *d,
                      const struct dump *stored, const char *out, struct error *e);
/* To stdout, or as notes. */
void teacher_plan_say(const struct teacher_plan *p, bool to_stdout);
/* ERR_IO when the disk has not enough room. */
int teacher_plan_check(const struct teacher_plan *p, struct error *e);

/* Bytes of the complete parts in a folder; 0 where there is none. */
uint64_t teacher_bytes(const char *out);

#endif
