/* What `linnet sample` and `linnet eval answers` share: rows that ask something, and a model that answers them, many at a
 * time. */
#ifndef LINNET_CLI_ANSWERS_H
#define LINNET_CLI_ANSWERS_H

#include "base/log.h"
#include "cli/cache.h"
#include "cli/dataset.h"
#include "cli/inference.h"
#include "infer/complete_many.h"

struct answers_flags {
    char *model;
    struct option_strings adapters, data;
    bool exact;
    size_t max_tokens, context, at_once, limit;
    struct cache_options cache; /* its type */
};

enum { ANSWERS_ROWS = 8 };
extern const struct option answers_rows[ANSWERS_ROWS]; /* of a struct answers_flags */

/* The keys of the section `dataset` that say what a row asks, and in which form. */
extern const char *const answers_dataset_flags[], *const answers_cache_flags[];

/* The sections of all this, of a struct answers_flags and a struct dataset_options. */
#define ANSWERS_SECTIONS(answers, dataset)                                                                           \
    {.name = "", .rows = answers_rows, .n_rows = ANSWERS_ROWS, .object = (answers), .help = "Answers"},              \
    {.name = "dataset", .rows = dataset_options, .n_rows = N_DATASET_OPTIONS, .object = (dataset), .help = "Rows",   \
     .flags_of = answers_dataset_flags},                                                                             \
    {.name = "", .rows = cache_rows, .n_rows = CACHE_ROWS, .object = &(answers)->cache,                              \
     .help = "Keys and values of the context", .flags_of = answers_cache_flags}

/* A row that asks. */
struct asked {
    char *line;            /* (n) as it is in the file, without white space around it */
    size_t n;
    size_t file, number;   /* of the files; its line, from 1 */
    struct tokens prompt;
    struct buffer lead;    /* what the template writes before the answer: no part of it (example_answer_lead) */
};

struct answers {
    struct inference model;
    struct dataset_template chat_template;
    char **files;
    size_t n_files;
    struct asked *rows;
    size_t n_rows, capacity;
    size_t longest;        /* tokens of a prompt */
    size_t context;        /* tokens that a prompt and its answer have room for */
    struct complete_many writer;
    struct sampler_options sampler;
    size_t max_tokens;
    uint64_t settings;     /* a hash of everything that decides what is written but the seeds: model, rows, flags */
    struct progress progress;
    double began;
    size_t first, n_each;  /* of the call in work */
    uint64_t n_before;     /* answers before it */
};

/* Checks the flags that must be there, reads all rows (at most f->limit) and makes their prompts, loads the model and
 * reserves what is needed to answer. Errors: --model or --data missing; files as corpus_open; a row without a prompt, whose
 * prompt leaves no room in the context, or of a .txt file, as "path:line: reason"; no row at all. answers_close in any
 * case. */
int answers_open(struct answers *a, const struct options *all, const struct answers_flags *f,
                 const struct dataset_options *o, const struct sampler_options *sampler, struct error *e);
void answers_close(struct answers *a);

/* Rows that are answered in one call, so that few of the sequences that are computed together stand empty. */
size_t answers_chunk(const struct answers *a, size_t n_each);

/* Answers rows [first, first + n), each n_each times: samples[i] becomes a new list of {"text", "finished", "tokens"}. The
 * text is what the row's prompt and it are written with again, by the template where there is one: what was continued behind
 * the prompt but for the template's own blanks; special tokens are in it but for the one that ended it; NUL characters and bytes that
 * are not UTF-8 are U+FFFD. What answer k of row r is depends on the seed, r, k and on which rows are answered with it, on
 * these through the rounding of sums alone. ERR_INTERRUPTED after Ctrl-C (train/interrupt.h); on failure no list is left. */
int answers_write(struct answers *a, size_t first, size_t n, size_t n_each, uint64_t seed, json_t **samples,
                  struct error *e);
/* Before the first and after the last answers_write; `first` rows are there already. */
void answers_progress_start(struct answers *a, size_t first);
void answers_progress_finish(struct answers *a);

/* Appends the row, as it was but for a last member "samples", which this takes, and a newline. */
void answers_append_row(const struct asked *row, json_t *samples, struct buffer *out);
/* ERR_USAGE when `path` is one of the files that were read, or cannot become a file. */
int answers_check_out(const struct answers *a, const char *path, struct error *e);

#endif
