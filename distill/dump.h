/* Teacher dumps: what a teacher held likely at each position of a dataset, in HDF5 files that h5py alone can write and
 * read. docs/teacher-dumps.md is the format.
 *
 * A dump is one file, or a folder of them (parts), which are read in the order of their names and make one dataset: so
 * one can be written on several machines, grows by adding a part, and loses nothing to a kill but the part at hand.
 *
 * Its sequences are what the teacher was given, each on its own, from its first token on: texts or windows of them,
 * conversations. A token of a sequence, but for its first, may be supervised: then there is what the teacher expected in
 * its place, given all tokens before it. Positions number the supervised tokens of the whole dump, in order: they are the
 * target numbers of data/batch.h when a batch is made of dump_examples. */
#ifndef LINNET_DISTILL_DUMP_H
#define LINNET_DISTILL_DUMP_H

#include "base/error.h"
#include "data/example.h"
#include "kernels/soft_targets.h"

#include <stdbool.h>
#include <stdint.h>

enum dump_kind {
    DUMP_TOP,     /* the likeliest tokens: k of them, or fewer where they are as likely together as asked for */
    DUMP_DENSE,   /* every token */
    DUMP_SAMPLED, /* the likeliest and, as an unbiased estimate of the rest, tokens drawn from it with their weights */
};

struct dump_description {
    enum dump_kind kind;
    size_t vocab_size;      /* tokens the teacher has, padding included */
    size_t most;            /* entries of one position at most; dense: vocab_size */
    double temperature;     /* of the distributions: softmax(logits / temperature) */
    double cumulative;      /* entries end where their probabilities sum to this; 0: there are always `most` */
    uint64_t tokenizer_hash; /* tokenizer_hash of the tokens' tokenizer; 0: taken from tokenizer_json; without either not known */
    uint64_t teacher_hash;  /* model_weights_hash, or any other; 0: not known */
    char *teacher;          /* a name for people */
    char *settings;         /* how it was made, a JSON object for people; NULL: not said */
    struct buffer tokenizer_json; /* the tokenizer itself; empty: not in the dump */
};
void dump_description_free(struct dump_description *d);

/* --- reading --- */

struct dump {
    struct dump_description description; /* of the first part; those of all agree in what matters */
    struct examples examples;            /* its sequences; origins and report are not set */
    size_t n_positions;
    size_t n_entries;
    uint64_t n_bytes;                    /* of all files */
    /* private */
    struct dump_part *parts;
    size_t n_parts;
    uint64_t uses;
};

/* Whether `path` is a file that says it is a dump, or a folder whose first *.h5 file does. */
bool dump_is(const char *path);

/* Opens a file or a folder of parts (*.h5, those being written left out), reads tokens, sequences and which tokens are
 * supervised, and checks them: sizes against what the files hold, ids against vocab_size, parts against each other (the
 * first two whose vocabulary, kind, temperature or tokenizer differ are named). ERR_FORMAT names file and dataset. The
 * distributions are not read: dump_verify. dump_close in any case. */
int dump_open(const char *path, struct dump *d, struct error *e);
void dump_close(struct dump *d);

/* What dump_verify finds. Means are over positions. */
struct dump_statistics {
    double entries;        /* of a position, mean */
    double covered;        /* probability of the entries together, mean */
    double tail;           /* of all other tokens, mean */
    double entropy;        /* in nats, of entries and tail as one outcome: not more than the teacher's own */
    double top;            /* probability of the likeliest token, mean */
    double agreement;      /* share of positions whose likeliest token is the one that stands there */
    double cross_entropy;  /* mean of -log p of the tokens that stand there, where they are among the entries */
    double target_covered; /* share of positions where they are */
};

/* Reads all distributions once: checksums, ids (in the vocabulary, each once), log-probabilities (at most 0, numbers),
 * sums (entries and tail 1 within 0.01; those of DUMP_SAMPLED in the mean). The error names file, dataset, chunk and the
 * first position at fault, and what is wrong with it. Shows progress as `label`; NULL: none. statistics may be NULL. */
int dump_verify(struct dump *d, const char *label, struct dump_statistics *statistics, struct error *e);

/* Memory for what dump_read gives of up to n positions. */
struct dump_rows {
    size_t capacity, most;
    size_t *begin;     /* (capacity + 1) */
    int32_t *ids;      /* (capacity, most); dense: not set */
    float *log_probs;  /* (capacity, most) */
    float *log_tail;   /* (capacity) */
};

/* The distributions of n positions, in any order, fastest where neighbours follow each other. out borrows rows' memory,
 * where a dense dump's log-probabilities are its logits. Entries' ids ascend. ERR_FORMAT, ERR_IO as dump_verify. Not
 * thread-safe. */
int dump_read(struct dump *d, const size_t *positions, size_t n, struct dump_rows *rows, struct soft_targets *out,
              struct error *e);

/* --- writing --- */

struct dump_writer;

struct dump_writer_options {
    const char *path;          /* a folder, made here where it is not there */
    size_t positions_per_part; /* 0: some hundred megabytes */
    int compression;           /* of HDF5's deflate, 0 to 9 */
    bool resume;               /* go on behind the parts that are there; else there must be none */
};

/* Begins or, resuming, goes on: *n_sequences and *n_positions are then those that complete parts hold already, and
 * description must agree with theirs (ERR_USAGE names what differs). What a killed writer left of its last part is
 * removed. The description is copied. */
int dump_writer_open(const struct dump_writer_options *o, const struct dump_description *description,
                     struct dump_writer **w, size_t *n_sequences, size_t *n_positions, struct error *e);
/* Adds a sequence of n tokens, of which those with `supervised` (never the first) have a row of `rows` each, in order:
 * sparse ones with their tail, or dense ones as logits of any sum at temperature 1 (they are normalised here at the
 * description's temperature). A part that is full is completed behind a sequence. After an error only
 * dump_writer_close. */
int dump_writer_add(struct dump_writer *w, const int32_t *ids, const uint8_t *supervised, size_t n,
                    const struct soft_targets *rows, struct error *e);
/* Completes the part at hand (nothing of it is kept without). */
int dump_writer_finish(struct dump_writer *w, struct error *e);
void dump_writer_close(struct dump_writer *w);

#endif
