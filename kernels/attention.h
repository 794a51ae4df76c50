/* Causal attention with grouped key/value heads (Vaswani et al., 2017; Ainslie et al., 2023), tiled
 * with a running softmax (Milakov and Gimelshein, 2018; Dao, 2023): nothing of size T x T exists.
 *
 * Query i of a row of the batch stands at key position i + n_past and attends to the key positions
 * [first_key[i], i + n_past], except those of [hidden_keys[i][0], hidden_keys[i][1]). Document masks and sliding
 * windows are both just larger first_key; hidden keys are what lets several sequences of a row share their
 * beginning. A query that sees nothing (padding: its first_key lies behind its own position) has an output and
 * gradients of 0. Scores may be capped after scaling (Gemma Team, 2024). Results do not depend on the
 * number of threads. */
#ifndef LINNET_KERNELS_ATTENTION_H
#define LINNET_KERNELS_ATTENTION_H

#include "kernels/dtype.h"

#include <stddef.h>
#include <stdint.h>

struct attention_shape {
    size_t n_batch;             /* B */
    size_t n_queries;           /* Tq per batch row */
    size_t n_past;              /* keys before the first query; 0 in training */
    size_t n_heads, n_kv_heads; /* n_heads is a multiple of n_kv_heads */
    size_t head_dim;
    size_t q_stride, kv_stride; /* elements from one position to the next, of q/out and of k/v */
    size_t kv_batch_stride;     /* elements from one batch row's keys to the next's */
    float scale;                /* of the dot products, usually 1 / sqrt(head_dim) */
    float softcap;              /* scores become softcap * tanh(score / softcap); 0: they stay */
    enum dtype type;            /* of q, out, dout and dv: f32 or bf16; computed in f32 */
    enum dtype kv_type;         /* of k and v: `type`, or of a cache (kernels/cached.h) where that is f32 */
    size_t kv_head_stride;      /* elements from one head to the next, of k/v; 0: heads are adjacent */
};

/* One attention: what attention_forward takes. */
struct attention_job {
    struct attention_shape shape;
    void *out;
    float *lse;
    const void *q, *k, *v;
    const int32_t *first_key, *hidden_keys;
};

/* q, out: (B, Tq, n_heads, head_dim); k, v: (B, n_past + Tq, n_kv_heads, head_dim), or heads apart (kv_head_stride); lse: (B,
 * n_heads, Tq), log-sum-exp of the scaled and capped scores for the backward pass, or NULL. first_key: (B, Tq)
 * or NULL for 0. hidden_keys: (B, Tq, 2), anywhere, empty where the first is not the smaller; or NULL for none. Heads of one position are adjacent but for that. out may not overlap the inputs. */
void attention_forward(void *out, float *lse, const void *q, const void *k, const void *v,
                       const int32_t *first_key, const int32_t *hidden_keys, const struct attention_shape *shape);

/* The same of n jobs, at most ATTENTION_JOBS (CHECK), in one parallel region: each as if it were alone, bit for bit.
 * Blocks (q8_0, q4_0) need a head_dim of whole blocks, and strides too. */
enum { ATTENTION_JOBS = 64 };
void attention_forward_jobs(const struct attention_job *jobs, size_t n);

/* dq, dk (f32), dv are written, in the layouts of q, k, v; delta (B, n_heads, Tq) is scratch. n_past and
 * kv_head_stride must be 0, kv_type `type`. Parallel over batch rows and key/value heads, so that sums have a fixed order. */
void attention_backward(float *dq, float *dk, void *dv, float *delta, const void *dout,
                        const void *out, const float *lse, const void *q, const void *k,
                        const void *v, const int32_t *first_key, const int32_t *hidden_keys,
                        const struct attention_shape *shape);

#endif
