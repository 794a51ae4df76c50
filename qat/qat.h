/* Quantisation-aware training: a model that computes with its weights as an exported file will hold them.
 *
 * Each matrix that the mix rounds gets a view (model/param.h): products and lookups read the blocks that quantize_rows
 * makes of its values, those of `linnet quantize`, bit for bit. The gradient goes to the values as if nothing had been
 * rounded (the straight-through estimator, Bengio et al., 2013, arXiv:1308.3432; Jacob et al., 2018, arXiv:1712.05877).
 * Where an adapter trains, what is rounded is the weight with the adapter merged into it, by the function that `linnet
 * merge` uses, and the adapter's own products are left out.
 *
 *     qat_init(&q, &options, &model, &trains, NULL, e);
 *     qat_attach(&q, e);                    the weights are there
 *     for (step = 0; ...; step++) {
 *         qat_begin_step(&q, step);
 *         ... forward, backward ...
 *         qat_gradients(&q);
 *         ... update ...
 *         qat_changed(&q);                  from here on, as in every use but a step, rounded whatever start and ramp say
 *     }
 *     qat_free(&q);
 *
 * Scales are searched for by each type's own function at every step, learned (qat/learned.h), or left as they are for some
 * steps or for good (scale_interval): then all blocks are kept, and weights get the nearest level of theirs.
 *
 * Blocks are made when they are asked for. Those for which there is memory are kept until the weights change; the others
 * are made in one place, each time again. */
#ifndef LINNET_QAT_QAT_H
#define LINNET_QAT_QAT_H

#include "lora/adapter.h"
#include "model/weight_view.h"
#include "qat/options.h"

struct hdf5_file;

/* One matrix of the model. */
struct qat_matrix {
    struct qat *qat;
    struct param *param;
    enum dtype type;
    const float *importance; /* (cols); NULL: none */
    const char *tensor;      /* its name in a GGUF file */
    bool frozen;             /* what it is rounded to never changes */
    bool merges;             /* the adapter has a part of it */
    void *kept;              /* memory for its blocks alone; NULL: it shares */
    bool made;               /* what `kept` holds is of the present weights */
    bool scaled;             /* its scales stay: the weights are rounded to its levels */
    const void *made_of;     /* the values that it is of: a whole parameter of an adapter has others while that is off */
    float strength;          /* of the adapter, when it was made */
    struct param *scale;     /* the scales of its blocks, learned: qat/learned.h; NULL: the type's own function finds them */
    struct param_view view;
};

struct qat {
    const struct qat_options *options;
    struct model *model;
    struct lora_adapter *adapter;   /* NULL: none */
    struct parsed_wishes wishes;
    struct tensor_list list;
    struct type_plan plan;
    struct qat_matrix *matrices;    /* those that are rounded at all */
    size_t n_matrices;
    const struct param_list *trains; /* what trains: with learned scales more than qat_init was told of */
    struct param *scales;           /* learned */
    size_t n_scales;
    struct param_list with_scales;
    struct arena scale_memory;
    bool scales_wait;               /* for the step at which rounding starts */
    bool attached;
    /* memory */
    size_t largest_matrix, budget; /* bytes: in f32; of blocks that are kept */
    struct arena arena;
    void *shared;                   /* the blocks of whichever matrix came last and is not kept */
    float *mixed;                   /* while they come in: the largest matrix in f32; in the memory of those kept */
    float *tile;                    /* rows as f32 on their way */
    float share;                    /* of the rounded in what the model computes with: 0, or up to 1 */
};

/* The types of all matrices (type_plan_warn(&q->plan) says what is out of the ordinary). Needs no weights. trains: what is not among it is
 * frozen. ERR_USAGE: as type_wishes_parse and type_plan_init; a matrix in blocks that trains; an adapter with magnitudes or
 * dropout, of which there is no one merged weight; with one, learned scales or clipping; learned scales where nothing has
 * any. What trains from then on is q->trains; where scales are learned the model has its memory already, or is there to
 * be planned with. The model, the adapter and `q` must not move. qat_free in any case. */
int qat_init(struct qat *q, const struct qat_options *o, struct model *m, const struct param_list *trains,
             struct lora_adapter *adapter, struct error *e);
void qat_free(struct qat *q); /* detaches */

/* Bytes that it will hold beside the weights. */
size_t qat_bytes(const struct qat *q);

/* Takes memory and shows the model its rounded weights; the options' activations hold for what is in blocks already, too. ERR_FORMAT names a matrix that holds a number that is none, or
 * numbers too large for its type; ERR_MEMORY. */
int qat_attach(struct qat *q, struct error *e);
void qat_detach(struct qat *q);

void qat_begin_step(struct qat *q, uint64_t step);
/* After the last backward pass of a step: gradients of learned scales, and weights beyond the levels clipped, as
 * qat/learned.h says. */
void qat_gradients(struct qat *q);
void qat_changed(struct qat *q);

/* What every matrix is rounded to, for a checkpoint (param_write_computed). Nothing where an adapter trains: the
 * matrices are not the checkpoint's. And how many bytes that is. */
int qat_write(struct qat *q, struct hdf5_file *f, struct error *e);
/* Goes on with the scales of a checkpoint's blocks, where scales are not searched for at each step and it has blocks of
 * these types: after qat_attach. */
int qat_read(struct qat *q, struct hdf5_file *f, struct error *e);
size_t qat_written_bytes(const struct qat *q);
/* Of what each matrix is rounded to, its type and importance, mixed into h. */
uint64_t qat_hash(const struct qat *q, uint64_t h);

/* All of the above for a trainer. */
struct weight_view qat_view(struct qat *q);

/* "28 matrices in q4_k, 7 matrices in q6_k": for whoever starts a run. */
void qat_describe(const struct qat *q, struct buffer *out);

#endif
