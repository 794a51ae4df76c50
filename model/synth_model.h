/* Models of random weights, of any architecture and shape: for measuring speed and memory, neither of which depends on
 * what the weights are.
 *
 * All matrices lie in one pool of random numbers as large as the largest of them, in bf16 and each from another place
 * on, so that a model of any size takes two bytes for each weight of its largest matrix (Llama 3.2 3B: 0.8 GB)
 * while a file is made of it. That one matrix holds parts of another shows in no speed.
 *
 * The numbers are normal with one standard deviation, the configuration's initializer_range. Its default of 0.02 is
 * 1/sqrt(in) for 2500 inputs, so that a product makes of numbers about 1 numbers between 0.3 and 3 for widths from a
 * few hundred to twenty thousand. Norms before or after each branch keep that from multiplying: the stream's deviation
 * grows with the square root of the blocks. Norms multiply by about 1 and biases are small: the same numbers, added to
 * what each begins with. */
#ifndef LINNET_MODEL_SYNTH_MODEL_H
#define LINNET_MODEL_SYNTH_MODEL_H

#include "model/model.h"

struct synth_model_settings {
    uint64_t seed;
    /* 0: nothing special. Else blocks from this one on add zero to the residual stream, and take as long as the others;
     * and the output norm is so much larger that logits have a deviation of 16: the likeliest token is mostly the only
     * one. Then a model of that many blocks, all of them active, and the same seed says the same, exactly: a draft that
     * is always right, and sure enough of it to be asked (infer/draft.h). */
    size_t active_blocks;
};

struct synth_model {
    struct model model;
    struct arena pool;
};

/* A parameter's values are a function of seed, name, size and initializer_range, but for what active_blocks says.
 * ERR_USAGE: a configuration that is not possible, or more active blocks than there are; ERR_MEMORY: no room for the
 * pool. On failure there is nothing to free. */
int synth_model_init(struct synth_model *s, const struct model_config *c, const struct synth_model_settings *o,
                     struct error *e);
void synth_model_free(struct synth_model *s);

#endif
