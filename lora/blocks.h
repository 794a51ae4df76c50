/* An adapter as tensors of a file: what both containers have in common when they are written. Private to lora/. */
#ifndef LINNET_LORA_BLOCKS_H
#define LINNET_LORA_BLOCKS_H

#include "lora/reader.h"

/* What is written for one tensor of the base: the pairs of its pieces, NULL where a piece has none, and how their ranks
 * lie beside each other. */
struct block {
    const struct tensor *base;
    const struct lora_pair **pairs; /* (n_pieces) */
    size_t *first;                  /* (n_pieces) the row of A where the pair's begins */
    size_t rank;
    double scale;                   /* above 0: a sign is B's */
};

struct blocks {
    const struct lora_adapter *adapter;
    enum container container;
    struct tensor_list list;
    struct block *items;    /* tensors with pairs */
    size_t n;
    struct block *wholes;   /* tensors that are written whole, which have neither pairs nor rank */
    size_t n_wholes;
    bool magnitudes;        /* of every pair, as some have them */
};
void blocks_init(struct blocks *b, const struct lora_adapter *a, enum container container);
void blocks_free(struct blocks *b);

/* One part of a block on its way into a file. */
struct source {
    const struct blocks *blocks;
    const struct block *block;
    enum lora_part part;
    double scale; /* what the file's reader will multiply B A by */
};
/* Rows and columns of it in the file; a vector has 1 column, but for a whole one, which has 1 row. */
void source_shape(const struct source *s, size_t shape[2]);
/* Its numbers, f32. The file's writer calls it with a struct source. ERR_FORMAT when one is none. */
int source_fill(void *source, void *bytes, struct error *e);

#endif
