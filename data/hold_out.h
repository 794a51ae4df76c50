/* Which examples of a dataset are held out for evaluation. */
#ifndef LINNET_DATA_HOLD_OUT_H
#define LINNET_DATA_HOLD_OUT_H

#include "data/example.h"

/* A row's draw: what becomes of it depends on seed, file and line alone, and not on the rows around it. */
uint64_t hold_out_draw(uint64_t seed, size_t file, uint64_t line);
/* The draw of a window of a split text: each has its own, or a dataset of one text would be held out whole or not at all.
 * So of two neighbours, which share one token, one may be trained on and the other held out. */
uint64_t hold_out_draw_window(uint64_t seed, size_t file, uint64_t line, uint32_t window);

/* The draw of a pair of answers (all->answers): that of its prompt, by struct example's hash of it, so that all pairs with
 * one prompt are trained on or all are held out, and no question is on both sides. */
uint64_t hold_out_draw_prompt(uint64_t seed, uint64_t prompt);

/* held[i] for each of n draws: those in the lowest `fraction` of all numbers. Equal draws are treated alike. With a
 * fraction above 0 and two draws or more that differ at least one is held out and at least one is not. */
void hold_out_pick(const uint64_t *draws, size_t n, double fraction, bool *held);

/* Moves the examples so picked, or pairs where all->answers says so (both examples, by the prompt of the first), from
 * `all` to `held` (made here), both in their order. An answer that was borrowed may come from the other side. Tokens, learned tokens, longest and
 * truncated of all->report are those of the examples that stay, of held->report those that went; the rest of all->report
 * goes on counting the rows of both. examples_free for both. */
void examples_hold_out(struct examples *all, double fraction, uint64_t seed, struct examples *held);

#endif
