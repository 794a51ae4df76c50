/* From the tensors of an adapter's file to an adapter: what both kinds of files have in common. Private to lora/. */
#ifndef LINNET_LORA_READER_H
#define LINNET_LORA_READER_H

#include "lora/adapter.h"
#include "model/tensors.h"

/* What a file may have for one tensor of the base: the halves of a pair, DoRA's magnitudes, or all of the tensor. */
enum lora_part { LORA_A, LORA_B, LORA_MAGNITUDE, LORA_WHOLE, LORA_PARTS };

struct lora_delta {
    struct stored_tensor part[LORA_PARTS]; /* type_name NULL: not there (yet) */
};

struct lora_reader {
    struct model *model;
    enum container container;
    struct tensor_list base;
    struct lora_delta *deltas; /* one for each tensor of the base */
    size_t n_deltas;
    bool magnitudes; /* every pair has magnitudes, else none: to be set */
};

void lora_reader_init(struct lora_reader *r, struct model *m, enum container container);
void lora_reader_free(struct lora_reader *r);

/* A tensor of the file, called `name` there: part of what it has for the base's tensor `base_name`. Its data must stay
 * until lora_reader_finish. ERR_FORMAT when the model has no such tensor, or none that an adapter can be of, when shape
 * or type do not fit, or when it was there already. */
int lora_reader_add(struct lora_reader *r, const char *name, const char *base_name, enum lora_part part,
                    const struct stored_tensor *t, struct error *e);

/* What a low-rank product of this tensor and rank is multiplied by. */
typedef int lora_scale(void *context, const struct tensor *base, size_t rank, double *scale, struct error *e);

/* Makes the adapter. ERR_FORMAT when a part is missing or one too many, there is nothing at all, or a number is none. */
int lora_reader_finish(const struct lora_reader *r, lora_scale *scale, void *context, struct lora_adapter *a,
                       struct error *e);

#endif
