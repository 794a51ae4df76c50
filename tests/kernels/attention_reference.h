/* Attention problems with masks of every kind, and an f64 reference that does materialise the scores, forward and
 * backward. */
#ifndef LINNET_TESTS_KERNELS_ATTENTION_REFERENCE_H
#define LINNET_TESTS_KERNELS_ATTENTION_REFERENCE_H

#include "kernels/attention.h"
#include "tests/kernels/util.h"

enum mask {
    MASK_NONE,
    MASK_DOCUMENTS,
    MASK_WINDOW,
    MASK_SELF,
    MASK_BRANCHES, /* documents of a shared beginning and two ends, of which the second does not see the first */
    MASK_HOLES,    /* any first key, and hidden ones anywhere: some queries see nothing */
    MASK_COUNT,
};

static const char *const mask_names[] = {"causal", "documents", "window", "self", "branches", "holes"};

struct problem {
    struct attention_shape shape;
    size_t n_q, n_kv, n_rows; /* elements of q, of k, and of lse */
    float *q, *k, *v, *dout;
    int32_t *first_key;   /* NULL without a mask */
    int32_t *hidden_keys; /* NULL with none of the last two */
};

/* What the query at `at` does not see of its document of n keys. */
static void branch(int32_t *hidden, size_t at, size_t n)
{
    size_t begin = at / n * n, shared = begin + n / 4, second = begin + n * 5 / 8;
    if (at >= second)
        hidden[0] = (int32_t)shared, hidden[1] = (int32_t)second;
}

static void make_holes(struct problem *p)
{
    const struct attention_shape *s = &p->shape;
    struct rng r;
    rng_init(&r, 5, 5);
    for (size_t i = 0; i < s->n_batch * s->n_queries; i++) {
        size_t at = i % s->n_queries + s->n_past;
        p->first_key[i] = rng_below(&r, 2) ? 0 : (int32_t)rng_below(&r, at + 1);
        p->hidden_keys[2 * i] = rng_below(&r, 4) ? (int32_t)rng_below(&r, at + 5) : 0;
        p->hidden_keys[2 * i + 1] = rng_below(&r, 8) ? (int32_t)rng_below(&r, at + 5) : (int32_t)at + 1;
    }
}

static void make_mask(struct problem *p, enum mask mask)
{
    const struct attention_shape *s = &p->shape;
    p->first_key = mask == MASK_NONE ? NULL : mem_zero(s->n_batch * s->n_queries, sizeof(int32_t));
    p->hidden_keys = mask < MASK_BRANCHES ? NULL : mem_zero(2 * s->n_batch * s->n_queries, sizeof(int32_t));
    if (mask == MASK_HOLES) {
        make_holes(p);
        return;
    }
    for (size_t r = 0; p->first_key && r < s->n_batch * s->n_queries; r++) {
        size_t at = r % s->n_queries + s->n_past, b = r / s->n_queries;
        size_t first = at;
        if (mask == MASK_DOCUMENTS) /* lengths of no round number, differing by batch row */
            first = at / (29 + 10 * b) * (29 + 10 * b);
        if (mask == MASK_WINDOW)
            first = at > 20 ? at - 20 : 0;
        if (mask == MASK_BRANCHES) {
            first = at / (59 + 90 * b) * (59 + 90 * b);
            branch(p->hidden_keys + 2 * r, at, 59 + 90 * b);
        }
        p->first_key[r] = (int32_t)first;
    }
}

static struct problem make_problem(size_t n_batch, size_t n_queries, size_t n_past, size_t n_heads,
                                   size_t n_kv_heads, size_t head_dim, enum mask mask)
{
    struct problem p = {.shape = {n_batch, n_queries, n_past, n_heads, n_kv_heads, head_dim,
                                  n_heads * head_dim + 5, n_kv_heads * head_dim + 3, 0,
                                  1.3f / sqrtf((float)head_dim)}};
    struct attention_shape *s = &p.shape;
    s->kv_batch_stride = (n_past + n_queries + 2) * s->kv_stride;
    p.n_q = n_batch * n_queries * s->q_stride;
    p.n_kv = n_batch * s->kv_batch_stride;
    p.n_rows = n_batch * n_heads * n_queries;
    p.q = normals(p.n_q, 1, 1), p.k = normals(p.n_kv, 1, 2), p.v = normals(p.n_kv, 1, 3);
    p.dout = normals(p.n_q, 1, 4);
    make_mask(&p, mask);
    return p;
}

static void free_problem(struct problem *p)
{
    done_with(p->q, p->n_q), done_with(p->dout, p->n_q);
    done_with(p->k, p->n_kv), done_with(p->v, p->n_kv);
    mem_free(p->first_key);
    mem_free(p->hidden_keys);
}

struct reference {
    struct problem *p;
    double *q, *k, *v, *out, *lse, *scores, *slopes;
    double *dq, *dk, *dv; /* NULL: forward only */
    size_t *seen;         /* scratch: a query's keys */
};

/* The capped score, and its derivative. */
static double cap_score(const struct attention_shape *s, double score, double *slope)
{
    double cap = (double)s->softcap, t = cap > 0 ? tanh(score / cap) : 0;
    *slope = 1 - t * t;
    return cap > 0 ? cap * t : score;
}

static bool sees(const struct problem *p, size_t b, size_t i, size_t j)
{
    size_t at = b * p->shape.n_queries + i;
    const int32_t *hidden = p->hidden_keys ? p->hidden_keys + 2 * at : NULL;
    return (!p->first_key || j >= (size_t)p->first_key[at]) &&
           !(hidden && j >= (size_t)hidden[0] && j < (size_t)hidden[1]);
}

/* One query: scores, softmax, output, and the gradients by the chain rule written out. */
static double reference_query(struct reference *r, size_t b, size_t h, size_t i)
{
    const struct attention_shape *s = &r->p->shape;
    size_t at = (b * s->n_queries + i) * s->q_stride + h * s->head_dim;
    size_t kv = b * s->kv_batch_stride + h / (s->n_heads / s->n_kv_heads) * s->head_dim;
    size_t n = 0, *seen = r->seen;
    for (size_t j = 0; j <= i + s->n_past; j++)
        if (sees(r->p, b, i, j))
            seen[n++] = j;
    double max = -INFINITY, sum = 0, loss = 0, mean = 0;
    for (size_t l = 0; l < n; l++) {
        size_t j = seen[l];
        r->scores[j] = 0;
        for (size_t d = 0; d < s->head_dim; d++)
            r->scores[j] += r->q[at + d] * r->k[kv + j * s->kv_stride + d] * (double)s->scale;
        r->scores[j] = cap_score(s, r->scores[j], &r->slopes[j]);
        max = fmax(max, r->scores[j]);
    }
    for (size_t l = 0; l < n; l++)
        sum += exp(r->scores[seen[l]] - max);
    r->lse[(b * s->n_heads + h) * s->n_queries + i] = max + log(sum);
    memset(r->out + at, 0, s->head_dim * sizeof *r->out);
    for (size_t l = 0; l < n; l++) {
        size_t j = seen[l];
        r->scores[j] = exp(r->scores[j] - max) / sum;
        for (size_t d = 0; d < s->head_dim; d++)
            r->out[at + d] += r->scores[j] * r->v[kv + j * s->kv_stride + d];
    }
    for (size_t d = 0; d < s->head_dim; d++)
        loss += r->out[at + d] * r->p->dout[at + d];
    mean = loss;
    for (size_t l = 0; r->dq && l < n; l++) {
        size_t j = seen[l];
        double *key = r->k + kv + j * s->kv_stride, dp = 0;
        for (size_t d = 0; d < s->head_dim; d++)
            dp += r->p->dout[at + d] * r->v[kv + j * s->kv_stride + d];
        double ds = r->scores[j] * (dp - mean) * r->slopes[j] * (double)s->scale;
        for (size_t d = 0; d < s->head_dim; d++) {
            r->dq[at + d] += ds * key[d];
            r->dk[kv + j * s->kv_stride + d] += ds * r->q[at + d];
            r->dv[kv + j * s->kv_stride + d] += r->scores[j] * r->p->dout[at + d];
        }
    }
    return loss;
}

static double reference_loss(void *context)
{
    struct reference *r = context;
    const struct attention_shape *s = &r->p->shape;
    double loss = 0;
    for (size_t b = 0; b < s->n_batch; b++)
        for (size_t h = 0; h < s->n_heads; h++)
            for (size_t i = 0; i < s->n_queries; i++)
                loss += reference_query(r, b, h, i);
    return loss;
}

static struct reference make_reference(struct problem *p)
{
    struct reference r = {.p = p, .q = as_f64(p->q, p->n_q), .k = as_f64(p->k, p->n_kv)};
    r.v = as_f64(p->v, p->n_kv);
    r.out = mem_zero(p->n_q, sizeof(double)), r.lse = mem_zero(p->n_rows, sizeof(double));
    r.scores = mem_zero(p->shape.n_queries + p->shape.n_past, sizeof(double));
    r.slopes = mem_zero(p->shape.n_queries + p->shape.n_past, sizeof(double));
    r.seen = mem_zero(p->shape.n_queries + p->shape.n_past, sizeof *r.seen);
    r.dq = mem_zero(p->n_q, sizeof(double));
    r.dk = mem_zero(p->n_kv, sizeof(double)), r.dv = mem_zero(p->n_kv, sizeof(double));
    reference_loss(&r);
    return r;
}

static void free_reference(struct reference *r)
{
    double *all[] = {r->q, r->k, r->v, r->out, r->lse, r->scores, r->slopes, r->dq,
                     r->dk, r->dv};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        mem_free(all[i]);
    mem_free(r->seen);
}

#endif
