/* What commands that fine-tune or look at a dataset share: its settings, its chat template, its examples. */
#ifndef LINNET_CLI_DATASET_H
#define LINNET_CLI_DATASET_H

#include "data/dataset_options.h"
#include "train/options.h"

/* What a row has unless --max-seq-length is given; conversations are longer than stories. */
enum { DATASET_TOKENS = 2048 };

/* Before anything is read: requires dataset.paths, refuses settings that contradict each other, and fills what was not
 * given and must not change between a run and its continuation: train.max_seq_length (DATASET_TOKENS) and
 * dataset.template_date (today). */
int dataset_settle(const struct options *all, struct dataset_options *o, struct train_settings *train, struct error *e);

/* ERR_USAGE for settings that answers which are compared or judged cannot have: their prompts are not learned. */
int dataset_check_answers(const struct dataset_options *o, struct error *e);

/* The rows of `--model` and `--tokenizer` for two strings, where nothing but the tokenizer is needed. */
#define DATASET_MODEL_ROW(place)                                                                                     \
    {.key = "model", .flag = "--model", .type = OPTION_STRING, .offset = (place), .placeholder = "PATH",             \
     .help = "the model to be trained: its tokenizer and chat template"}
#define DATASET_TOKENIZER_ROW(place)                                                                                 \
    {.key = "tokenizer", .flag = "--tokenizer", .type = OPTION_STRING, .offset = (place), .placeholder = "PATH",     \
     .help = "a tokenizer instead: tokenizer.json, a GGUF file, or a directory with one"}

/* The row of `--objective` for an int, an enum example_answers: as what a dataset is looked at. */
extern const char *const dataset_objectives[];
#define DATASET_OBJECTIVE_ROW(place)                                                                                 \
    {.key = "objective", .flag = "--objective", .type = OPTION_ENUM, .offset = (place), .default_value = "sft",      \
     .choices = dataset_objectives,                                                                                  \
     .help = "what it is for: examples to imitate, answers to compare (pairs), or answers to judge, wanted or not"}

/* The tokenizer of --model or of --tokenizer (load_tokenizer), which wins. ERR_USAGE without either. */
int dataset_tokenizer(const char *model, const char *tokenizer, struct tokenizer **t, struct error *e);

/* The settings of making examples, borrowing all three; `report` is not set. ERR_USAGE as dataset_options_time. */
int dataset_example_settings(const struct dataset_options *o, enum example_answers answers,
                             const struct dataset_fields *fields, const struct tokenizer *t,
                             const struct chat_template *chat_template, size_t max_tokens, struct example_settings *s,
                             struct error *e);

/* The conversation's form: what was asked for, else the model's own, else none. */
struct dataset_template {
    struct chat_template *parsed; /* NULL: none */
    char *text;                   /* its source, for what is saved with a fine-tuned model; NULL: none */
    char *name;                   /* for reports: "the model's own", "chatml", a path, "none" */
};
/* `asked`: as dataset_options.chat_template. dataset_template_free in any case. */
int dataset_template_open(const char *asked, const struct tokenizer *t, struct dataset_template *out, struct error *e);
void dataset_template_free(struct dataset_template *t);

/* The files behind paths. A directory that holds train.jsonl (or train.jsonl.gz) stands for that file, and for its
 * valid.jsonl among what is held out unless validation_paths are given; every other path for itself. */
struct dataset_paths {
    struct option_strings train, validation;
};
void dataset_paths_find(const struct dataset_options *o, struct dataset_paths *p);
void dataset_paths_free(struct dataset_paths *p);

struct dataset {
    struct examples train;
    struct examples validation; /* count 0: nothing is held out */
    struct dataset_template chat_template;
    bool held_out_here; /* the held-out examples were picked from the rows of the training data: the report of `train`
                           has the rows of both, what it counts of examples (tokens, ...) is `train` alone */
    size_t n_leaked;    /* held-out examples whose tokens are also an example of `train`; where answers are compared or
                           judged, held-out prompts that are also one of `train` */
    size_t n_prompts, n_held_prompts; /* there, how many there are; else 0 */
};

/* Reads all of it: chooses the template, reads training data and what is held out (of its own files, or a share of the
 * rows, picked by a hash of seed, file and line, of texts that are split also by the window; of answers that are compared
 * or judged by a hash of seed and prompt, so that no prompt is on both sides), and says through log_info
 * what was read (rows by schema, examples, tokens, the share that is learned, what was left out or split) and through
 * log_warn what is suspicious: turns that do not end (the model would never stop), BOS twice or missing, hardly anything
 * learned, held-out examples that are trained on, fields of no use.
 *
 * `o` and `t` are only read, and `t` must outlive *d. max_tokens is an example's or a pair's, train.max_seq_length. Bad
 * rows go as o->on_bad_row says; "report" has a warning for each. Errors: as examples_read and dataset_template_open;
 * conversations without a template; a dataset without an example. dataset_free in any case. */
int dataset_load(const struct dataset_options *o, enum example_answers answers, const struct tokenizer *t,
                 size_t max_tokens, uint64_t seed, struct dataset *d, struct error *e);
void dataset_free(struct dataset *d);

/* A hash of all examples, trained and held out (examples_hash: of pairs also their labels). */
uint64_t dataset_hash(const struct dataset *d);

#endif
