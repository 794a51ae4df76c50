#include "kernels/attention.h"

#include "base/check.h"
#include "kernels/scratch.h"
#include "kernels/profile.h"
#include "kernels/table.h"

/* Multiply-adds below which waking the other threads takes longer than they would save. */
enum { WORTH_THREADS = 1 << 17 };

static size_t forward_work(const struct attention_shape *s)
{
    return 2 * s->n_batch * s->n_heads * s->n_queries * (s->n_past + s->n_queries) * s->head_dim;
}

/* Queries of a forward piece. A piece packs its keys once for all heads that share them, so fewer
 * queries do when there are more heads; the packed queries and sums should stay in the second-level
 * cache. Multiples of 24, the rows that the inner products take at once. */
static size_t piece_queries(const struct attention_shape *s)
{
    size_t group = s->n_heads / s->n_kv_heads;
    size_t strips = group <= 1 ? 6 : group <= 4 ? 4 : group <= 8 ? 2 : 1;
    size_t n = 24 * strips;
    return n < s->n_queries ? n : s->n_queries;
}

void attention_forward(void *out, float *lse, const void *q, const void *k, const void *v,
                       const int32_t *first_key, const struct attention_shape *s)
{
    CHECK(s->n_kv_heads > 0 && s->n_heads % s->n_kv_heads == 0);
    if (s->n_batch == 0 || s->n_queries == 0)
        return;
    enum profile_kind outer = profile_enter(PROFILE_ATTENTION);
    const struct kernel_table *table = kernel_table();
    struct attention_forward_job job = {s, out, lse, q, k, v, first_key};
    size_t n = piece_queries(s), pieces = (s->n_queries + n - 1) / n;
    size_t n_scratch = table->attention_forward_scratch(s, n), lanes = s->n_batch * s->n_kv_heads;
    /* late queries see the most keys: they go first, so that the threads finish together */
#pragma omp parallel for schedule(dynamic) if (forward_work(s) > WORTH_THREADS)
    for (size_t at = 0; at < pieces * lanes; at++) {
        size_t from = (pieces - 1 - at / lanes) * n, lane = at % lanes;
        size_t to = from + n < s->n_queries ? from + n : s->n_queries;
        table->attention_forward(&job, lane / s->n_kv_heads, lane % s->n_kv_heads, from, to,
                                 scratch_floats(n_scratch));
    }
    profile_leave(outer);
}

void attention_backward(float *dq, float *dk, void *dv, float *delta, const void *dout,
                        const void *out, const float *lse, const void *q, const void *k,
                        const void *v, const int32_t *first_key, const struct attention_shape *s)
{
    enum profile_kind outer = profile_enter(PROFILE_ATTENTION);
    CHECK(s->n_past == 0 && s->n_kv_heads > 0 && s->n_heads % s->n_kv_heads == 0);
    const struct kernel_table *table = kernel_table();
    struct attention_backward_job job = {s, dq, dk, dv, delta, dout, out, lse, q, k, v, first_key};
    size_t n_scratch = table->attention_backward_scratch(s);
#pragma omp parallel for schedule(dynamic)
    for (size_t at = 0; at < s->n_batch * s->n_kv_heads; at++)
        table->attention_backward(&job, at / s->n_kv_heads, at % s->n_kv_heads,
                                  scratch_floats(n_scratch));
    profile_leave(outer);
}
