#include "kernels/attention.h"

#include "base/check.h"
#include "kernels/cached.h"
#include "kernels/profile.h"
#include "kernels/scratch.h"
#include "kernels/table.h"

#include <math.h>
#include <omp.h>
#include <string.h>

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

/* Few queries of a long sequence are what decoding has, and fewer key/value heads than threads: their keys are split
 * into pieces, whose shares are merged. Where does not depend on the number of threads, so that the bits do not. */
enum { SPLIT_ROWS = 64, SPLIT_KEYS = 512 };

/* How a job is split: tasks [first_task, ...), ordered by pieces of queries (or of keys), then batch rows and heads. */
struct plan {
    size_t first_task, n_tasks;
    size_t lanes;               /* batch rows times key/value heads */
    size_t n_queries, n_pieces; /* queries of a piece; pieces of queries, or of keys */
    size_t first_key;           /* where pieces of keys begin */
    bool by_keys;
    float *shares;              /* (lanes, n_pieces, rows, 2 + head_dim) where it is by keys */
};

static size_t rows_of(const struct attention_shape *s)
{
    return s->n_heads / s->n_kv_heads * s->n_queries;
}

static struct plan make_plan(const struct attention_job *job)
{
    const struct attention_shape *s = &job->shape;
    struct plan p = {.lanes = s->n_batch * s->n_kv_heads, .n_queries = piece_queries(s)};
    if (s->n_batch == 0 || s->n_queries == 0)
        return p;
    p.n_pieces = (s->n_queries + p.n_queries - 1) / p.n_queries;
    size_t end = s->n_past + s->n_queries;
    if (s->type == DTYPE_F32 && rows_of(s) <= SPLIT_ROWS && end > SPLIT_KEYS) {
        p.first_key = end;
        for (size_t i = 0; i < s->n_batch * s->n_queries; i++) {
            size_t first = job->first_key ? (size_t)job->first_key[i] : 0;
            p.first_key = first < p.first_key ? first : p.first_key;
        }
        size_t n_keys = end - p.first_key;
        p.by_keys = n_keys > SPLIT_KEYS;
        p.n_pieces = p.by_keys ? (n_keys + SPLIT_KEYS - 1) / SPLIT_KEYS : p.n_pieces;
    }
    p.n_tasks = p.lanes * p.n_pieces;
    return p;
}

/* Floats of what one piece leaves for another. */
static size_t share_size(const struct attention_shape *s)
{
    return rows_of(s) * (2 + s->head_dim);
}

static void run_task(const struct attention_job *job, const struct plan *p, size_t task, float *scratch)
{
    const struct attention_shape *s = &job->shape;
    size_t lane = task % p->lanes, i = task / p->lanes;
    struct attention_piece piece = {.b = lane / s->n_kv_heads, .g = lane % s->n_kv_heads, .to = s->n_queries,
                                    .key_end = s->n_past + s->n_queries};
    if (p->by_keys) {
        piece.key = p->first_key + i * SPLIT_KEYS;
        piece.key_end = piece.key + SPLIT_KEYS;
        piece.share = p->shares + (lane * p->n_pieces + i) * share_size(s);
    } else { /* late queries see the most keys: they go first, so that the threads finish together */
        piece.from = (p->n_pieces - 1 - i) * p->n_queries;
        piece.to = piece.from + p->n_queries < s->n_queries ? piece.from + p->n_queries : s->n_queries;
    }
    kernel_table()->attention_forward(job, &piece, scratch);
}

/* The output of one row of a lane, from what each piece of keys has of it: sums under different maxima. */
static void merge_row(const struct attention_job *job, const struct plan *p, size_t lane, size_t row)
{
    const struct attention_shape *s = &job->shape;
    const struct kernel_table *table = kernel_table();
    size_t d = s->head_dim, size = share_size(s), i = row % s->n_queries;
    size_t b = lane / s->n_kv_heads, h = lane % s->n_kv_heads * (s->n_heads / s->n_kv_heads) + row / s->n_queries;
    const float *share = p->shares + lane * p->n_pieces * size + row * (2 + d);
    float *out = (float *)job->out + (b * s->n_queries + i) * s->q_stride + h * d, max = share[0], total = 0;
    for (size_t k = 1; k < p->n_pieces; k++)
        max = share[k * size] > max ? share[k * size] : max;
    memset(out, 0, d * sizeof *out);
    for (size_t k = 0; k < p->n_pieces; k++) {
        float weight = exp2f(share[k * size] - max);
        total += weight * share[k * size + 1];
        table->axpy(out, weight, share + k * size + 2, d);
    }
    table->scale(out, total == 0 ? 0 : 1 / total, d);
    if (job->lse)
        job->lse[(b * s->n_heads + h) * s->n_queries + i] = max * (float)M_LN2 + logf(total);
}

/* The job that task `at` belongs to. */
static size_t job_of(const struct plan *plans, size_t n, size_t at)
{
    size_t low = 0;
    while (n > 1) {
        size_t half = n / 2;
        if (plans[low + half].first_task <= at)
            low += half;
        n -= half;
    }
    return low;
}

static void check_shape(const struct attention_shape *s)
{
    size_t block = dtype_info(s->kv_type)->block;
    CHECK(s->n_kv_heads > 0 && s->n_heads % s->n_kv_heads == 0);
    CHECK(s->kv_type == s->type || (s->type == DTYPE_F32 && cached_type(s->kv_type)));
    CHECK(s->head_dim % block == 0 && s->kv_stride % block == 0 && s->kv_batch_stride % block == 0 &&
          s->kv_head_stride % block == 0);
}

void attention_forward_jobs(const struct attention_job *jobs, size_t n)
{
    struct plan plans[ATTENTION_JOBS];
    const struct kernel_table *table = kernel_table();
    size_t work = 0, n_tasks = 0, n_scratch = 0, n_shares = 0;
    CHECK(n <= ATTENTION_JOBS);
    for (size_t i = 0; i < n; i++) {
        const struct attention_shape *s = &jobs[i].shape;
        check_shape(s);
        plans[i] = make_plan(&jobs[i]);
        plans[i].first_task = n_tasks;
        size_t scratch = table->attention_forward_scratch(s, plans[i].n_queries);
        n_tasks += plans[i].n_tasks;
        n_scratch = scratch > n_scratch ? scratch : n_scratch;
        n_shares += plans[i].by_keys ? plans[i].n_tasks * share_size(s) : 0;
        work += forward_work(s);
    }
    if (n_tasks == 0)
        return;
    enum profile_kind outer = profile_enter(PROFILE_ATTENTION);
    n_shares = (n_shares + 15) / 16 * 16;
    float *own = scratch_floats(n_shares + n_scratch), *shares = own;
    for (size_t i = 0; i < n; i++) {
        plans[i].shares = shares;
        shares += plans[i].by_keys ? plans[i].n_tasks * share_size(&jobs[i].shape) : 0;
    }
#pragma omp parallel if (work > WORTH_THREADS)
    {
        float *scratch = omp_get_thread_num() == 0 ? own + n_shares : scratch_floats(n_scratch);
#pragma omp for schedule(dynamic)
        for (size_t at = 0; at < n_tasks; at++) {
            size_t i = job_of(plans, n, at);
            run_task(&jobs[i], &plans[i], at - plans[i].first_task, scratch);
        }
#pragma omp for schedule(dynamic)
        for (size_t i = 0; i < n; i++)
            for (size_t at = 0; plans[i].by_keys && at < plans[i].lanes * rows_of(&jobs[i].shape); at++)
                merge_row(&jobs[i], &plans[i], at / rows_of(&jobs[i].shape), at % rows_of(&jobs[i].shape));
    }
    profile_leave(outer);
}

void attention_forward(void *out, float *lse, const void *q, const void *k, const void *v,
                       const int32_t *first_key, const int32_t *hidden_keys, const struct attention_shape *s)
{
    attention_forward_jobs(&(struct attention_job){*s, out, lse, q, k, v, first_key, hidden_keys}, 1);
}

void attention_backward(float *dq, float *dk, void *dv, float *delta, const void *dout,
                        const void *out, const float *lse, const void *q, const void *k,
                        const void *v, const int32_t *first_key, const int32_t *hidden_keys,
                        const struct attention_shape *s)
{
    enum profile_kind outer = profile_enter(PROFILE_ATTENTION);
    CHECK(s->n_past == 0 && s->kv_type == s->type && s->kv_head_stride == 0 && s->n_kv_heads > 0 &&
          s->n_heads % s->n_kv_heads == 0);
    const struct kernel_table *table = kernel_table();
    struct attention_backward_job job = {s, dq, dk, dv, delta, dout, out, lse, q, k, v, first_key, hidden_keys};
    size_t n_scratch = table->attention_backward_scratch(s);
#pragma omp parallel for schedule(dynamic)
    for (size_t at = 0; at < s->n_batch * s->n_kv_heads; at++)
        table->attention_backward(&job, at / s->n_kv_heads, at % s->n_kv_heads,
                                  scratch_floats(n_scratch));
    profile_leave(outer);
}
