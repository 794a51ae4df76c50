/* Hidden-state matching: beside what a teacher says, a student learns what it thinks. The residual stream that leaves a
 * block of the student is drawn to the one that leaves a block of the teacher, through a learned linear projection
 * (Romero et al., "FitNets", 2015; Jiao et al., "TinyBERT", 2020), at the positions that have a target.
 *
 * Both models run in this process on the same tokens. The streams come and their gradients go through
 * struct stream_hook (model/activations.h): no more of the teacher is held than the rows of the matched layers that
 * have a target, and the backward pass is the decoder's one.
 *
 * Before training:
 *
 *     hidden_matching_init(&h, &settings, &student.config, &teacher.config, seed, e);
 *     hidden_matching_add_params(&h, &params);      the list that the trainer gets, behind the student's own
 *     hidden_matching_reserve(&h, n, e);            batch_size * max_seq_length
 *     trainer.stream_hook = &h.student_hook;        before trainer_init
 *     teacher_activations.stream_hook = &h.teacher_hook;      after activations_init
 *
 * For every micro-batch, of training and of evaluation, when the student's decoder_forward was run on it (in an
 * objective's `loss` it was):
 *
 *     hidden_matching_begin(&h);
 *     decoder_forward of the teacher;
 *     sum += hidden_matching_loss(&h, batch, scale, dhidden != NULL);
 *
 * with the scale that the objective itself got. The student's next decoder_backward then includes it.
 *
 * Each token of a batch costs as many floats as the teacher is wide, for each pair. hidden_matching_bytes is what the
 * trainer's hook_bytes, and so --plan, should count. */
#ifndef LINNET_DISTILL_HIDDEN_H
#define LINNET_DISTILL_HIDDEN_H

#include "model/activations.h"

/* How far a projected row y of the student is from the teacher's row t, both of the teacher's width. */
enum hidden_kind {
    HIDDEN_MSE,    /* mean over the width of (y - t)^2 */
    HIDDEN_COSINE, /* 1 - y t / (|y| |t|) */
    HIDDEN_KINDS,
};

struct hidden_settings {
    size_t n_pairs;      /* of layers, evenly spaced up to the last ones: 1 is the last ones alone */
    enum hidden_kind kind;
    double weight;       /* > 0 */
    bool always_project; /* also where both models are equally wide; else that needs no projection */
};

struct hidden_pair {
    size_t student_layer, teacher_layer; /* blocks, from 0: ceil((i + 1) layers / n_pairs) - 1 */
    struct param *projection;            /* (teacher's width, student's width); NULL: y is the student's row itself */
    /* private */
    float *rows;          /* (n_rows, teacher's width) the teacher's rows; then, in their place, the gradients of y */
    size_t n_rows;
    const float *student; /* (n_tokens, student's width) the student's stream; NULL: not seen yet */
    size_t n_tokens;
};

struct hidden_matching {
    struct hidden_settings settings;
    size_t student_width, teacher_width;
    struct hidden_pair *pairs; /* settings.n_pairs */
    struct stream_hook student_hook, teacher_hook;
    /* private */
    struct param *params;      /* the projections: n_pairs or none */
    size_t n_params;
    struct arena values, work;
    size_t capacity;           /* tokens of a batch */
    bool has_gradients;        /* the pairs' rows are gradients, which the backward pass fetches */
    float *x, *y;              /* a block of the student's rows, and of what is made of them; their gradients */
    double *distances;         /* of the block's rows */
    uint32_t *index;           /* their numbers in the batch */
};

/* The pairs, and their projections with numbers from the seed (normal, of deviation 1 / sqrt(student's width), so that y
 * is as large as x). They are parameters like an adapter's (PARAM_NONE, f32, own memory): for optimiser and checkpoints,
 * where they are "hidden_projection.N.weight"; what exports a model or loads one never sees them. ERR_USAGE: settings out
 * of range, as with more pairs than a model has layers. ERR_MEMORY. `h` must not move in memory afterwards.
 * hidden_matching_free in any case. */
int hidden_matching_init(struct hidden_matching *h, const struct hidden_settings *settings,
                         const struct model_config *student, const struct model_config *teacher, uint64_t seed,
                         struct error *e);
void hidden_matching_free(struct hidden_matching *h);

/* Appends the projections, which are borrowed. */
void hidden_matching_add_params(const struct hidden_matching *h, struct param_list *l);

/* Memory for batches of at most n tokens: how many bytes, for plans; and taking it. ERR_MEMORY. The projections are not
 * in it. */
size_t hidden_matching_bytes(const struct hidden_matching *h, size_t n);
int hidden_matching_reserve(struct hidden_matching *h, size_t n, struct error *e);

/* Forgets what the teacher said last. Its forward pass comes next, with teacher_hook: on the whole batch or, where that is
 * too much at once, on its rows in several passes, in order; it needs to keep nothing. */
void hidden_matching_begin(struct hidden_matching *h);

/* The sum over the batch's targets of weight * the mean over the pairs of the distance: unscaled, as an objective's. Both
 * forward passes were run on that batch (CHECK), the student's keeping something, with student_hook.
 * With `backward`, adds the gradient of scale * that sum to the projections (those that have one), and leaves that of the
 * student's streams to the decoder_backward that must follow, once: student_hook adds it. No sum depends on the number of
 * threads. */
double hidden_matching_loss(struct hidden_matching *h, const struct batch *b, float scale, bool backward);

#endif
