/* A deterministic generator of curated, textbook-like text: short stories with cause and effect,
 * questions with checkable answers, small arithmetic. The same seed gives the same bytes, everywhere.
 *
 * Documents with an even hash of their index within a seed's enumeration... see synth.c for how
 * held-out text is kept apart from training text. */
#ifndef LINNET_DATA_SYNTH_H
#define LINNET_DATA_SYNTH_H

#include "base/buffer.h"

#include <stdint.h>

enum synth_kind { SYNTH_STORY, SYNTH_QUESTION, SYNTH_ARITHMETIC, SYNTH_KINDS };

/* Document `index` of the corpus `seed`. Appends its text to `out`; for questions and arithmetic,
 * `question` and `answer` (may be NULL) receive the two parts separately. Returns its kind. */
enum synth_kind synth_document(uint64_t seed, uint64_t index, struct buffer *out,
                               struct buffer *question, struct buffer *answer);

#endif
