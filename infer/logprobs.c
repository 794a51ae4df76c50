#include "infer/logprobs.h"

#include <math.h>

double logits_log_sum(const float *logits, size_t n)
{
    float max = logits[0];
    double sum = 0;
    for (size_t i = 1; i < n; i++)
        max = logits[i] > max ? logits[i] : max;
    for (size_t i = 0; i < n; i++)
        sum += exp((double)logits[i] - max);
    return max + log(sum);
}

/* By insertion: few are wanted, and nearly all tokens fail the first comparison. */
size_t logits_top(const float *logits, size_t n, double log_sum, size_t n_top, struct token_logprob *top)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        double logprob = logits[i] - log_sum;
        if (count == n_top && (n_top == 0 || !(logprob > top[count - 1].logprob)))
            continue;
        size_t at = count < n_top ? count++ : count - 1;
        for (; at > 0 && logprob > top[at - 1].logprob; at--)
            top[at] = top[at - 1];
        top[at] = (struct token_logprob){.id = (int32_t)i, .logprob = logprob};
    }
    return count;
}
