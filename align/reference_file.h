/* A file of log-probabilities that a reference model gives to answers, for runs that then need not compute them. Written
 * once, it serves every loss, order and split of the data, and any part of them: answers are found by a key of their tokens.
 * See docs/file-formats.md. */
#ifndef LINNET_ALIGN_REFERENCE_FILE_H
#define LINNET_ALIGN_REFERENCE_FILE_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What made them. In a description that is written the strings are borrowed. */
struct reference_description {
    char *model;             /* its path, as it was given */
    uint64_t model_hash;     /* of weights and adapters: model_weights_hash, with adapters mixed with what they are */
    uint64_t tokenizer_hash; /* tokenizer_hash */
    char *products;          /* how matrices were multiplied: "f32", "bf16", "int8" */
    char *producer;          /* the program, with its version; written, NULL is "linnet" */
};

struct reference_table {
    size_t count, capacity;
    uint64_t *keys;      /* example_key */
    double *logps;       /* sums over an answer's targets, in nats */
    uint32_t *n_targets;
};
/* Zero a table before first use. A sum that rounding put above 0, by less than 1e-3, becomes 0. n_targets: more than 0,
 * in 32 bits (CHECK). */
void reference_table_add(struct reference_table *t, uint64_t key, double logp, size_t n_targets);
/* By key. Of answers with the same one the first that was added stays. */
void reference_table_sort(struct reference_table *t);
/* The place of a key in a sorted table, SIZE_MAX where it is not. */
size_t reference_table_find(const struct reference_table *t, uint64_t key);
void reference_table_free(struct reference_table *t);

/* A hash of everything in the file but the producer: its identity. */
uint64_t reference_hash(const struct reference_table *t, const struct reference_description *d);

/* A sorted table that is not empty (CHECK). Replaces what is at `path` at the end, at once. ERR_FORMAT for a number that is
 * no log-probability, and then nothing is written. */
int reference_file_write(const char *path, const struct reference_table *t, const struct reference_description *d,
                         struct error *e);
/* Reads all of it, sorted; every hash is verified. ERR_FORMAT names the file and what is wrong with it: another format,
 * damage, numbers that are none of log-probabilities. reference_table_free and reference_description_free, needless on
 * failure. */
int reference_file_read(const char *path, struct reference_table *t, struct reference_description *d, struct error *e);
void reference_description_free(struct reference_description *d);
/* Whether the file says of itself that it is one, of whatever version. */
bool reference_file_is(const char *path);

/* ERR_FORMAT unless the file at `path` was made with this model and this tokenizer; says which differs. A model that was
 * loaded with its weights turned into f32, to train them all, is another one than with the weights as they lie in the file. */
int reference_check(const struct reference_description *d, uint64_t model_hash, uint64_t tokenizer_hash, const char *path,
                    struct error *e);

#endif
