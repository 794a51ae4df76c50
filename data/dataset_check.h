/* What a whole dataset is like, row by row, without keeping its text or its tokens: about 130 bytes a row. */
#ifndef LINNET_DATA_DATASET_CHECK_H
#define LINNET_DATA_DATASET_CHECK_H

#include "data/example.h"

struct check_row {
    uint64_t line; /* from 1 */
    uint32_t file; /* of `files` */
    uint32_t tokens, learned;
    uint32_t unfinished; /* learned turns that do not end (struct example) */
    /* Hashes of texts, 0 where there is none. The whole row and the answer count as equal when they differ in white space
     * alone; a prompt (what is before the first answer) also in the case of ASCII letters and in punctuation at the end
     * of words. */
    uint64_t whole, prompt, answer;
    uint8_t schema, warnings; /* enum row_schema; of enum row_warning */
    bool held;     /* out */
    bool bad;      /* it is no example; what is above but for its place is nothing */
    bool unwanted; /* of a KTO row whose label is false; it has no tokens */
    bool cut_off;  /* truncated to max_tokens it has no learned token left */
    /* With OVER_LONG_SPLIT, of a text that is split: the examples it becomes, and how many of them are held out with how
     * many tokens. `held` when all of them are. Else 0. */
    uint32_t windows, held_windows, held_tokens;
    /* Where answers are compared or judged (settings.answers) `tokens` are those of the pair with its prompt once, or of
     * the longer judged answer, with `second` those of the other one that a preference has; a row is `cut_off` when
     * something of it is dropped. How many pairs or judged answers it is, how many are too long, and how many are kept; the
     * learned tokens of the answers that are wanted and not wanted (0: none); and struct example's hash of the prompt. Else 0. */
    uint8_t answers, too_long, kept;
    uint32_t second, chosen, rejected;
    uint64_t prompt_text;
};

enum { CHECK_FIELDS_MOST = 64 };

/* Zero it first. */
struct dataset_check {
    struct check_row *rows; /* in the order of reading */
    size_t count, capacity;
    char **files;
    size_t n_files;
    struct check_reason {
        size_t row;
        char *text;
    } *reasons; /* why rows are bad: of the first most_reasons of each reading */
    size_t n_reasons, reasons_capacity;
    struct check_field { /* that is of no use */
        char *name;
        size_t rows, first; /* how many have it; the first of them */
    } fields[CHECK_FIELDS_MOST];
    size_t n_fields;
};

/* Appends the rows of files and directories, all of them `held` or none. Of the settings max_tokens and over_long only decide
 * cut_off, windows and kept, and bad_rows nothing: a row that is no example is a bad row, and reading goes on.
 * Parallel; the result does not depend on the number of threads. While a .txt file is read its tokens are in memory.
 * Errors are of files (corpus_open_rows, corpus_next) and settings (examples_check_settings) alone. Shows progress.
 * dataset_check_free in any case. */
int dataset_check_read(struct dataset_check *c, const char *const *paths, size_t n_paths, bool held,
                       const struct example_settings *s, size_t most_reasons, struct error *e);
void dataset_check_free(struct dataset_check *c);

/* Marks as held out what examples_hold_out would pick from rows that were all read as one dataset, and are examples
 * there (as over_long says of rows of more than max_tokens). */
void dataset_check_hold_out(struct dataset_check *c, double fraction, uint64_t seed, size_t max_tokens,
                            enum over_long over_long);

enum check_kind {
    CHECK_DUPLICATE,     /* a row to train on like an earlier one */
    CHECK_OTHER_ANSWER,  /* a row to train on with the prompt of an earlier one and another answer */
    CHECK_LEAKED,        /* a held-out row like one to train on */
    CHECK_LEAKED_PROMPT, /* a held-out row with the prompt of one to train on and another answer */
};
/* Pairs of that kind in the order of `row`, each row at most once, `other` being the first one it is like. Their number;
 * the caller frees *pairs. */
struct check_pair {
    size_t row, other;
};
size_t dataset_check_pairs(const struct dataset_check *c, enum check_kind kind, struct check_pair **pairs);

#endif
