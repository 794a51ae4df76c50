/* A command of the command line is a row of the table in commands.c.
 *
 * To add one:
 *   1. Write cli/VERB.c: a static struct for its flags, the rows that fill it (base/options.h), an
 *      array of sections, a function `run`, and `const struct command command_verb = {...}`.
 *   2. Declare it below and put it into the table in commands.c, beside its group.
 *   3. Write tests/cli/VERB.sh: its output, its errors, its exit status.
 * What it gets for nothing: --help, --threads and --quiet; -c FILE and --set when one of its
 * sections has a name (is part of a configuration); a place in `linnet help`, and its sections in
 * docs/configuration.md.
 *
 * `run` writes results to stdout with stdio and everything else through base/log.h; it never prints
 * an error and never exits. main() prints the error, checks that stdout took everything, and turns
 * the code into the exit status: 0 success, 1 failure, 2 for ERR_USAGE. */
#ifndef LINNET_CLI_COMMAND_H
#define LINNET_CLI_COMMAND_H

#include "base/error.h"
#include "base/options.h"

#define LINNET_VERSION "0.1.0"

struct command_input {
    const struct options *options; /* for option_given, option_require, options_print_yaml, ... */
    struct option_strings positionals;
    int threads;
};

struct command {
    const char *name;    /* "info", or two words: "tokenizer train" */
    const char *group;   /* heading in `linnet help`; rows of a group stand together */
    const char *summary; /* one line without a full stop */
    const char *usage;   /* what follows the name: "--data PATH... --out FILE" */
    const char *notes;   /* below the flags: explanations and examples; may be NULL */
    void (*more)(size_t width, struct buffer *out); /* what is made of tables, below the notes; NULL: nothing */
    bool takes_positionals;
    struct option_section *sections; /* their objects are static structs of the command's file */
    size_t n_sections;
    int (*run)(const struct command_input *in, struct error *e);
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

extern const struct command command_bench_distill, command_bench_dpo, command_bench_gemm, command_bench_infer, command_bench_lora, command_bench_tokenizer,
    command_bench_train;
extern const struct command command_data_check, command_data_pairs, command_data_prepare, command_data_show, command_data_synth,
    command_data_synth_model, command_sft;
extern const struct command command_eval_answers, command_eval_choices, command_eval_export, command_eval_logits, command_eval_ppl;
extern const struct command command_chat, command_convert, command_export;
extern const struct command command_distill, command_dpo;
extern const struct command command_generate;
extern const struct command command_help;
extern const struct command command_imatrix;
extern const struct command command_info;
extern const struct command command_merge;
extern const struct command command_pretrain;
extern const struct command command_prune;
extern const struct command command_quantize;
extern const struct command command_reference;
extern const struct command command_sample;
extern const struct command command_sensitivity;
extern const struct command command_serve;
extern const struct command command_teacher, command_teacher_check;
extern const struct command command_tokenizer_decode, command_tokenizer_encode,
    command_tokenizer_train;

/* The table, NULL-terminated. */
extern const struct command *const commands[];

/* The command that `words` begin with, and how many of them its name takes. ERR_USAGE with the
 * nearest name, or with the second words there are. */
int command_find(int n_words, char *const *words, const struct command **command, int *used,
                 struct error *e);

/* help.c: screens, appended to `out`; `width` in columns. */
void help_overview(struct buffer *out);
/* The commands whose name begins with this word of two: "tokenizer"; false when there are none, or when the word is a
 * command itself. */
bool help_family(const char *word, struct buffer *out);
void help_command(const struct command *c, const struct options *o, size_t width,
                  struct buffer *out);
void help_configuration(struct buffer *out);
size_t help_width(void); /* of stdout: its own between 60 and 100, 80 when it is no terminal */

/* command.c: all options of a command, the common ones included, set to their defaults. */
struct command_options {
    struct option_section sections[16];
    struct options options;
};
void command_options_init(const struct command *c, struct command_options *o);
void command_options_free(struct command_options *o);

/* Whether --help or -h is among the words before a "--". */
bool command_wants_help(int argc, char *const *argv);
/* Parses what was typed after the command's name, then prints its help or runs it. */
int command_run(const struct command *c, int argc, char *const *argv, struct error *e);

#endif
