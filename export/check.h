/* Whether a model that was written for other programs is still the model it was made from: the same tokens, the same
 * conversations, an end to its answers, the same predictions. What usually goes wrong between training and use is
 * none of the weights: another chat template, BOS missing or twice, an end token that ends nothing, another tokenizer.
 *
 * These functions find facts; what is bad about them, and what to do, is the caller's to say. In every pair the first
 * is the original's, the second that of the exported file. */
#ifndef LINNET_EXPORT_CHECK_H
#define LINNET_EXPORT_CHECK_H

#include "data/example.h"
#include "infer/divergence.h"

/* ---- the vocabulary ---- */

struct checked_tokens { /* ids that something is true of */
    size_t n;
    int32_t first; /* TOKEN_NONE: none */
};

struct checked_vocabulary {
    size_t n[2];
    struct checked_tokens texts;    /* with another text */
    struct checked_tokens kinds;    /* with the same text and of another kind (tokenizer_kind) */
    struct checked_tokens more;     /* only the file has them, and not as unused */
    struct checked_tokens ends_lost, ends_new; /* generation stops at them in one of the two alone */
};
void check_vocabulary(const struct tokenizer *original, const struct tokenizer *exported,
                      struct checked_vocabulary *v);

/* ---- rows of a dataset ---- */

/* Where two things are not the same: in how many rows, and the first of them. */
struct checked_place {
    size_t n;
    char *path; /* NULL: nowhere */
    uint64_t line;
    size_t at;        /* the byte of the text */
    char *around[2];  /* what the two have there; of one that has nothing: "" */
    char *reason;     /* why there is nothing, or NULL */
};

struct checked_row { /* a row to predict */
    char *path;
    uint64_t line;
    int32_t *ids;
    size_t n, n_prompt; /* tokens; those before the first one that is learned */
};

struct checked_rows {
    size_t rows, chats; /* that are examples; those that a chat template writes */
    size_t unwanted;    /* with the label false: left out */
    size_t tokens;      /* of the examples */
    struct checked_place bad;      /* rows that are no example: left out, with the reason */
    struct checked_place rendered; /* another text by the file's template, or none */
    struct checked_place opened;   /* the same with the conversation up to the last answer, opened for it */
    struct checked_place ids;      /* other ids for the same text */

    /* How often BOS stands at the beginning: as trained on, and as a program has it that renders with the file's
     * template and then puts BOS in front where the file says so and it is not there yet (llama.cpp). */
    size_t none[2], once[2], more[2];
    struct checked_place begins; /* rows in which the two numbers differ */

    size_t turns;     /* learned answers */
    size_t ended[2];  /* those whose last token (but for blanks) stops generation */
    int32_t open[2];  /* the last token of the first one that does not end so; TOKEN_NONE: none */

    struct checked_row *samples; /* spread over the rows */
    size_t n_samples;
};

struct checking {
    const struct tokenizer *tokenizers[2];
    const struct chat_template *templates[2]; /* NULL: none */
    struct example_settings settings; /* of the examples as they were trained on: the original's tokenizer and template */
    size_t n_samples; /* rows to keep for predictions, 0 for none ... */
    size_t sample_tokens; /* ... and of each at most so many tokens */
};

/* Reads all rows of the files (corpus_open_rows; .txt files whole). ERR_FORMAT without any example, with the first reason; errors of
 * files. checked_rows_free in any case. */
int check_rows(const struct checking *c, const char *const *paths, size_t n_paths, struct checked_rows *r,
               struct error *e);
void checked_rows_free(struct checked_rows *r);

/* ---- the shape ---- */

enum { CHECKED_NUMBERS = 16 };

struct checked_shape {
    size_t context[2];
    struct checked_number { /* numbers that decide what the model computes, and differ */
        const char *name;
        double values[2];
    } numbers[CHECKED_NUMBERS];
    size_t n_numbers;
    size_t layers; /* of other heads, sizes, windows or rotation */
    double rotation; /* how far rotary frequencies are apart at most, relative; INFINITY: there are more of them */
};
void check_shape(const struct model_config *original, const struct model_config *exported, struct checked_shape *s);

/* Bits of a weight in the coarsest of the model's matrices; *type is that type's name. */
double check_coarsest(const struct model *m, const char **type);

/* ---- predictions ---- */

/* Where two greedy answers part. */
struct checked_parting {
    const struct checked_row *row; /* NULL: they never do */
    size_t at;         /* tokens that both begin with */
    int32_t ids[2];    /* what each says then */
    double p[2][2];    /* probability of ids[j] by model i: p[i][j] */
};

struct checked_predictions {
    struct divergence_sums sums; /* of the rows' tokens, given those before them */
    size_t answers, same;        /* greedy ones, and those that are equal to their end */
    size_t tokens;               /* of the original's answers */
    size_t ended[2];             /* answers that ended by themselves */
    struct checked_parting parting; /* where the original was surest of its own token */
};

/* Both models' predictions of the samples, and at most n_tokens tokens of both after each sample's beginning, the
 * likeliest each time. The models have as many tokens (CHECK). ERR_FORMAT when an output is not a number; ERR_MEMORY. */
int check_predictions(struct model *models[2], const struct tokenizer *const tokenizers[2],
                      const struct checked_rows *rows, size_t n_tokens, struct checked_predictions *p, struct error *e);

#endif
