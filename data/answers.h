/* Rows of preferences as answers: which rows are none, and how two answers fit into a row of tokens. */
#ifndef LINNET_DATA_ANSWERS_H
#define LINNET_DATA_ANSWERS_H

#include "data/example.h"

/* Makes both answers of a preference, or the one of an unpaired row (`rejected` then has no tokens), for ANSWERS_COMPARED
 * or JUDGED. ERR_FORMAT as example_make, and for what cannot be compared or judged: a row of another kind, a missing label,
 * an empty answer, prompts that differ, and two answers of the same tokens. Safe from several threads. */
int answers_make(const struct dataset_row *row, const struct example_settings *s, struct example *x,
                 struct example *rejected, struct error *e);
/* What a text is: a row of another kind. Always ERR_FORMAT. */
int answers_refuse_text(const struct example_settings *s, struct error *e);

/* The tokens that count against max_tokens: of a pair what it takes of a row with its prompt once; of one answer that is
 * judged (`rejected` NULL) its own and two more, the least that a borrowed answer needs behind it. */
size_t answers_length(const struct example *x, const struct example *rejected);
/* Takes tokens off the front of the prompt, of both alike, until answers_length is at most max_tokens: BOS stays, the last
 * token of the prompt too, and no answer is cut. False, and nothing is taken off, where that is not enough. */
bool answers_shorten(const struct tokenizer *t, struct example *x, struct example *rejected, size_t max_tokens);

/* Behind each of the examples, answers that are judged, comes its prompt with the answer of another: count doubles. Whose,
 * and where it is cut so that no pair is longer than max_tokens (0: any), is said at ANSWERS_JUDGED. None may have an
 * answers_length of more than that (CHECK). */
void answers_borrow(struct examples *all, size_t max_tokens);

#endif
