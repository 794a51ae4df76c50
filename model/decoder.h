/* The decoder's one forward and one backward pass: embedding, blocks, final norm. */
#ifndef LINNET_MODEL_DECODER_H
#define LINNET_MODEL_DECODER_H

#include "data/batch.h"
#include "kernels/output_layer.h"
#include "model/activations.h"
#include "model/kv_cache.h"

/* Runs b->n_rows x b->seq_len tokens (at most the activations' capacity) and returns a->hidden, (N, C)
 * of the activations' type. With caches (activations in f32): one row, whose tokens follow those in the
 * caches and are added to them; there must be room for them. Rotary angles must have been reserved for every position. dropout_seed: of this
 * call's masks; 0 turns dropout off. */
const void *decoder_forward(const struct model *m, struct activations *a, const struct batch *b,
                             const struct kv_spans *caches, uint64_t dropout_seed);

/* The end of such a pass, without caches and dropout: from block `first` on, of which `stream` (N, C) is the input; behind
 * the last block it is what the final norm gets. What earlier blocks left in the activations is not looked at, so that a
 * part of the model can be changed and run again without what stands before it. */
const void *decoder_forward_from(const struct model *m, struct activations *a, const struct batch *b, size_t first,
                                 const float *stream);

/* The steps of decoder_forward without caches and dropout, for whoever takes a model block by block: embed fills
 * a->layers[0].input, block i reads a->layers[i].input and leaves its output in activations_stream(a, i, ...), and the last
 * norm makes what decoder_forward returns of a->last. */
void decoder_embed(const struct model *m, struct activations *a, const struct batch *b);
void decoder_block(const struct model *m, struct activations *a, const struct batch *b, size_t i);
const void *decoder_last_norm(const struct model *m, struct activations *a, const struct batch *b);

/* The derivative of the last decoder_forward on the same batch: adds to every parameter's gradient.
 * dhidden: (N, C), f32; it may be a->dnormed, which is free until this call. */
void decoder_backward(struct model *m, struct activations *a, const struct batch *b,
                      const float *dhidden, uint64_t dropout_seed);

/* The output layer, without gradients. */
struct output_layer decoder_output_layer(const struct model *m);

#endif
