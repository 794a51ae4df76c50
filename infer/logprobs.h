/* Log probabilities of tokens in the model's own distribution: at temperature 1, before any filter or penalty. */
#ifndef LINNET_INFER_LOGPROBS_H
#define LINNET_INFER_LOGPROBS_H

#include <stddef.h>
#include <stdint.h>

struct token_logprob {
    int32_t id;
    double logprob; /* natural; -INFINITY for what cannot come */
};

/* ln of the sum of exp(logits[i]) over n > 0 of them. */
double logits_log_sum(const float *logits, size_t n);

/* The `n_top` likeliest of n tokens, likeliest first, of equals the one with the lower id; at most n. Returns how
 * many. */
size_t logits_top(const float *logits, size_t n, double log_sum, size_t n_top, struct token_logprob *top);

#endif
