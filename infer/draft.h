/* Guesses of the next few tokens, for the model to check all at once (speculative decoding; Leviathan et al., 2023;
 * Chen et al., 2023). What is drawn is always drawn from the model's own logits, with the random numbers it would be
 * drawn with one by one: a guess decides only how many tokens a pass yields, never which. The text is the one
 * that the same seed gives without a draft, but for the rounding of logits: attention sums in another order when many
 * query heads share a key head, and so do products of other weights than interleaved blocks (kernels/quantized.h).
 *
 * Guesses come from a smaller model of the same vocabulary, or from the text itself: what followed the last time its
 * last few tokens stood there (prompt look-up; Saxena, 2023). */
#ifndef LINNET_INFER_DRAFT_H
#define LINNET_INFER_DRAFT_H

#include "tokenizer/tokenizer.h"

struct generator;

enum { DRAFT_MOST = 15 };

struct drafter {
    struct generator *model; /* drafts; NULL: tokens are looked up. Borrowed */
    size_t most;             /* tokens of a draft, 1..DRAFT_MOST; up to 7 a pass of products in integers sums as
                                without a draft (kernels/quantized.h) */
    size_t length;           /* private: of the next draft, by how much of the last ones was right */
    size_t n_drafted, n_accepted; /* so far, for whoever wants to know */
};

void drafter_init(struct drafter *d, struct generator *model, size_t most);

/* As after drafter_init, its model without a sequence. */
void drafter_reset(struct drafter *d);

/* Guesses what follows the text: at most `room` tokens, into out. Returns how many; none is no error. */
size_t drafter_propose(struct drafter *d, const struct tokens *text, size_t room, int32_t *out);
/* So many of n proposed tokens were right. */
void drafter_learn(struct drafter *d, size_t n, size_t accepted);

#endif
