/* Attention by tiles of queries and keys. Included by the variant files after SIMD_WIDTH is
 * defined and after tile_body.h and widen_body.h.
 *
 * Scores are kept in base 2: queries are packed times scale * log2(e), so that p = 2^(s - max). */
#include "kernels/attention_visible.h"

enum {
    TILE_QUERIES = 96, /* of one head */
    FEW_QUERIES = 8,   /* at most STRIP */
};
static const float LOG2_E = 1.44269504f, LN_2 = 0.693147181f;

INLINE size_t whole_vectors(size_t n)
{
    return (n + W - 1) / W * W;
}

/* The cap of scores in base 2. */
INLINE float cap_of(const struct attention_shape *s)
{
    return s->softcap * LOG2_E;
}

/* Forward -------------------------------------------------------------------------------------*/

static struct sight forward_sight(const struct attention_job *job)
{
    return (struct sight){&job->shape, job->first_key, job->hidden_keys};
}

struct forward_scratch {
    float *keys;   /* (head_dim, TILE_KEYS) */
    float *rows;   /* (TILE_KEYS, padded head_dim): keys of other types, widened */
    float *values; /* (TILE_KEYS, padded head_dim) */
    float *scores; /* (STRIP, TILE_KEYS) */
    /* of every head of the group: */
    float *queries, *sums; /* (n, padded head_dim) */
    float *max;            /* (n), running maximum of the scores */
    float *total;          /* (n, W), running sums of p, by lane */
};

static size_t lay_out_forward(struct forward_scratch *f, const struct attention_shape *s, size_t n,
                              float *base)
{
    size_t padded = whole_vectors(s->head_dim), rows = n * (s->n_heads / s->n_kv_heads), used = 0;
    float **parts[] = {&f->keys, &f->rows, &f->values, &f->scores, &f->queries, &f->sums, &f->total, &f->max};
    size_t sizes[] = {s->head_dim * TILE_KEYS,
                      s->kv_type == s->type ? 0 : padded * TILE_KEYS,
                      padded * TILE_KEYS,
                      STRIP * TILE_KEYS,
                      rows * padded,
                      rows * padded,
                      rows * W,
                      rows};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        *parts[i] = base ? base + used : NULL;
        used += (sizes[i] + 15) / 16 * 16;
    }
    return used;
}

static size_t attention_forward_scratch(const struct attention_shape *s, size_t n_queries)
{
    struct forward_scratch f;
    return lay_out_forward(&f, s, n_queries, NULL);
}

/* Caps m rows of scores in whole vectors around `all`, if the shape wants it. */
static void forward_cap(float *scores, const struct attention_shape *s, size_t m, struct span all)
{
    if (s->softcap == 0)
        return;
    for (size_t r = 0; r < m; r++)
        for (size_t v = 0; v < span_vectors(all); v++) {
            float *at = scores + r * TILE_KEYS + v * W;
            vf_store(at, soft_cap(vf_load(at), cap_of(s)));
        }
}

/* Hides what rows do not see of the columns around `all`, and finds the largest score of each. */
static void forward_mask(float *largest, float *scores, const struct span *rows, size_t m,
                         struct span all)
{
    size_t from = span_start(all), n = span_vectors(all);
    for (size_t r = 0; r < m; r += W) {
        vf most[W];
        for (size_t i = 0; i < W; i++) {
            if (r + i >= m) {
                most[i] = vf_set(0);
                continue;
            }
            float *row = scores + (r + i) * TILE_KEYS;
            struct span see = rows[r + i];
            for (size_t v = 0; (see.lo > from || see.hi < from + n * W) && v < n; v++) {
                float at = (float)(from + v * W);
                vf_store(row + v * W, vf_keep(vf_load(row + v * W), vf_set(-INFINITY),
                                              (float)see.lo - at, (float)see.hi - at));
            }
            most[i] = vf_load(row);
            for (size_t v = 1; v < n; v++)
                most[i] = vf_max(most[i], vf_load(row + v * W));
        }
        if (m - r >= W / 2)
            largest_lanes(largest + r, most);
        else
            for (size_t i = 0; i < m - r; i++)
                largest[r + i] = vf_largest(most[i]);
    }
}

/* The softmax so far of m rows, whose scores begin with the first vector around strip->all: raises their running maxima, shrinks the sums made under the old
 * ones, and turns scores into p. */
static void forward_softmax(float *scores, const struct strip *strip, size_t m, float *max, float *total,
                            float *sums, size_t padded)
{
    size_t n = span_vectors(strip->all);
    float largest[STRIP + W] = {0}, shrink[STRIP + W], old[STRIP + W] = {0};
    for (size_t r = 0; strip->holed && r < m; r++)
        fill_hole(scores, r, strip, span_start(strip->all), -INFINITY);
    forward_mask(largest, scores, strip->rows, m, strip->all);
    memcpy(old, max, m * sizeof *old);
    for (size_t r = 0; r < m; r += W) {
        vf raised = vf_max(vf_load(old + r), vf_load(largest + r));
        vf_store(shrink + r, vf_exp2(vf_load(old + r) - raised));
        vf_store(largest + r, raised);
    }
    memcpy(max, largest, m * sizeof *max);
    for (size_t r = 0; r < m; r++) {
        float *row = scores + r * TILE_KEYS;
        vf sum = vf_load(total + r * W);
        if (shrink[r] != 1) {
            sum *= shrink[r];
            for (size_t i = 0; i < padded; i += W)
                vf_store(sums + r * padded + i, vf_load(sums + r * padded + i) * shrink[r]);
        }
        for (size_t v = 0; v < n; v++) {
            vf p = vf_exp2(vf_load(row + v * W) - max[r]);
            sum += p;
            vf_store(row + v * W, p);
        }
        vf_store(total + r * W, sum);
    }
}

/* One head's n queries from i on against the packed tile of keys. `row` is the first one's place in
 * the scratch. */
static void forward_tile(const struct attention_job *job, struct forward_scratch *f,
                         size_t b, size_t i, size_t n, size_t row, size_t key, size_t n_keys)
{
    size_t d = job->shape.head_dim, padded = whole_vectors(d);
    struct sight see = forward_sight(job);
    struct strip strip;
    for (size_t at = 0; at < n; at += STRIP) {
        size_t m = n - at < STRIP ? n - at : STRIP;
        visible_rows(&strip, &see, b, i + at, m, key, n_keys);
        struct span all = strip.all;
        if (all.hi == 0)
            continue;
        size_t from = span_start(all);
        float *queries = f->queries + (row + at) * padded, *sums = f->sums + (row + at) * padded;
        tile_product(m, span_vectors(all), d, (struct strided){queries, padded, 1}, f->keys + from,
                     TILE_KEYS, false, f->scores + from, TILE_KEYS);
        forward_cap(f->scores + from, &job->shape, m, all);
        forward_softmax(f->scores + from, &strip, m, f->max + row + at, f->total + (row + at) * W, sums, padded);
        tile_product(m, padded / W, all.hi - from, (struct strided){f->scores + from, TILE_KEYS, 1},
                     f->values + from * padded, padded, true, sums, padded);
    }
}

/* A tile of n keys from `key` on as forward_few reads it; strides in elements, whole vectors for the values. */
struct kv_tile {
    size_t key, n;
    enum dtype k_type; /* f32 or f16 */
    const void *k;
    const float *v;
    size_t k_stride, v_stride;
};

/* The few queries of decoding, of all heads of the group at once, read keys where they lie, of f32 or f16: packing
 * would take longer than the products. Rows are all_rows = group * n. */
static void forward_few(const struct attention_job *job, struct forward_scratch *f, size_t b, size_t i, size_t n,
                        size_t all_rows, struct kv_tile t)
{
    size_t d = job->shape.head_dim, padded = whole_vectors(d);
    struct sight see = forward_sight(job);
    struct strip strip;
    visible_rows(&strip, &see, b, i, n, t.key, t.n);
    struct span all = strip.all;
    if (all.hi == 0)
        return;
    size_t from = span_start(all);
    product_few_rows(all_rows, from, all.hi, d, f->queries, padded, t.k_type, t.k, t.k_stride, 0, f->scores,
                     TILE_KEYS);
    for (size_t r = n; r < all_rows; r++)
        strip.rows[r] = strip.rows[r - n];
    for (size_t r = n; strip.holed && r < all_rows; r++)
        strip.holes[r] = strip.holes[r - n];
    forward_cap(f->scores + from, &job->shape, all_rows, all);
    forward_softmax(f->scores + from, &strip, all_rows, f->max, f->total, f->sums, padded);
    tile_product(all_rows, padded / W, all.hi - from,
                 (struct strided){f->scores + from, TILE_KEYS, 1}, t.v + from * t.v_stride, t.v_stride, true,
                 f->sums, padded);
}

INLINE void forward_finish(const bool bf16, const struct attention_job *job,
                           struct forward_scratch *f, size_t b, size_t h, size_t i, size_t n,
                           size_t row)
{
    const struct attention_shape *s = &job->shape;
    size_t padded = whole_vectors(s->head_dim);
    for (size_t r = 0; r < n; r++) {
        float total = vf_sum(vf_load(f->total + (row + r) * W));
        unpack_row(bf16, job->out, (b * s->n_queries + i + r) * s->q_stride + h * s->head_dim,
                   f->sums + (row + r) * padded, s->head_dim, total == 0 ? 0 : 1 / total);
        if (job->lse)
            job->lse[(b * s->n_heads + h) * s->n_queries + i + r] =
                f->max[row + r] * LN_2 + logf(total);
    }
}

/* The first key that any query of [from, to) sees. */
static size_t first_visible(const struct attention_job *job, size_t b, size_t from,
                            size_t to)
{
    size_t first = to + job->shape.n_past;
    for (size_t i = from; i < to; i++) {
        size_t own = job->first_key ? (size_t)job->first_key[b * job->shape.n_queries + i] : 0;
        first = own < first ? own : first;
    }
    return first;
}

/* What a piece with only some of the keys has found: see struct attention_piece. */
static void forward_share(float *to, const struct forward_scratch *f, size_t n_rows, size_t d)
{
    size_t padded = whole_vectors(d);
    for (size_t r = 0; r < n_rows; r++, to += 2 + d) {
        to[0] = f->max[r];
        to[1] = vf_sum(vf_load(f->total + r * W));
        memcpy(to + 2, f->sums + r * padded, d * sizeof *to);
    }
}

/* Fetches the tile of keys and values after the one that begins at element `at`, up to `end` of the keys. */
INLINE void prefetch_tile(const struct attention_job *job, struct packing kv, size_t at, size_t key, size_t end)
{
    const struct attention_shape *s = &job->shape;
    size_t bytes = s->head_dim / kv.block * kv.bytes;
    for (size_t r = TILE_KEYS; r < 2 * TILE_KEYS && key + r < end; r++) {
        const char *k = packed_at(kv, job->k, at + r * s->kv_stride);
        const char *v = packed_at(kv, job->v, at + r * s->kv_stride);
        for (size_t i = 0; i < bytes; i += 64) {
            __builtin_prefetch(k + i);
            __builtin_prefetch(v + i);
        }
    }
}

/* All heads of the group against a tile that they read as rows of f32, or of f16. */
static void forward_few_tile(const struct attention_job *job, struct forward_scratch *f,
                             const struct attention_piece *p, struct packing kv, size_t at, size_t key, size_t n_keys)
{
    const struct attention_shape *s = &job->shape;
    enum dtype type = s->kv_type;
    size_t d = s->head_dim, padded = whole_vectors(d), n = p->to - p->from, stride = s->kv_stride / kv.block * kv.bytes;
    const char *k = packed_at(kv, job->k, at), *v = packed_at(kv, job->v, at);
    struct kv_tile t = {.key = key, .n = n_keys, .k_type = type, .k = k, .k_stride = s->kv_stride,
                        .v = (const float *)v, .v_stride = s->kv_stride};
    if (type == DTYPE_Q8_0 || type == DTYPE_Q4_0) {
        widen_rows(type, f->rows, padded, k, stride, n_keys, d);
        t.k_type = DTYPE_F32, t.k = f->rows, t.k_stride = padded;
    }
    if (type != DTYPE_F32) {
        widen_rows(type, f->values, padded, v, stride, n_keys, d);
        t.v = f->values, t.v_stride = padded;
    } else if (padded != d) {
        pack_rows(false, f->values, (struct rows){job->v, at, s->kv_stride, n_keys, d}, 1);
        t.v = f->values, t.v_stride = padded;
    }
    forward_few(job, f, p->b, p->from, n, s->n_heads / s->n_kv_heads * n, t);
}

/* Packs a tile as forward_tile reads it. */
INLINE void forward_pack(const bool bf16, const struct attention_job *job, struct forward_scratch *f,
                         struct packing kv, size_t at, size_t n_keys)
{
    const struct attention_shape *s = &job->shape;
    size_t d = s->head_dim, padded = whole_vectors(d), stride = s->kv_stride / kv.block * kv.bytes;
    if (s->kv_type == s->type) {
        pack_transposed(bf16, f->keys, TILE_KEYS, (struct rows){job->k, at, s->kv_stride, n_keys, d});
        pack_rows(bf16, f->values, (struct rows){job->v, at, s->kv_stride, n_keys, d}, 1);
        return;
    }
    widen_rows(s->kv_type, f->rows, padded, packed_at(kv, job->k, at), stride, n_keys, d);
    pack_transposed(false, f->keys, TILE_KEYS, (struct rows){f->rows, 0, padded, n_keys, d});
    widen_rows(s->kv_type, f->values, padded, packed_at(kv, job->v, at), stride, n_keys, d);
}

INLINE void attention_forward_as(const bool bf16, const struct attention_job *job, const struct attention_piece *p,
                                 float *scratch)
{
    const struct attention_shape *s = &job->shape;
    size_t group = s->n_heads / s->n_kv_heads, n = p->to - p->from, d = s->head_dim, padded = whole_vectors(d);
    size_t head = s->kv_head_stride ? s->kv_head_stride : d;
    struct packing kv = packing_of(s->kv_type);
    struct forward_scratch f;
    lay_out_forward(&f, s, n, scratch);
    for (size_t h = 0; h < group; h++) {
        size_t at = (p->b * s->n_queries + p->from) * s->q_stride + (p->g * group + h) * d;
        pack_rows(bf16, f.queries + h * n * padded, (struct rows){job->q, at, s->q_stride, n, d},
                  s->scale * LOG2_E);
    }
    memset(f.sums, 0, group * n * padded * sizeof *f.sums);
    memset(f.total, 0, group * n * W * sizeof *f.total);
    for (size_t r = 0; r < group * n; r++)
        f.max[r] = -3e38f; /* finite: infinity minus itself is no number */

    struct sight see = forward_sight(job);
    size_t end = p->to + s->n_past, key = first_visible(job, p->b, p->from, p->to);
    end = end < p->key_end ? end : p->key_end;
    for (key = key > p->key ? key : p->key; key < end; key += TILE_KEYS) {
        size_t n_keys = end - key < TILE_KEYS ? end - key : TILE_KEYS;
        if (see.hidden_keys && !any_visible(&see, p->b, p->from, n, key, n_keys))
            continue;
        size_t at = p->b * s->kv_batch_stride + key * s->kv_stride + p->g * head;
        prefetch_tile(job, kv, at, key, end);
        if (!bf16 && group * n <= FEW_QUERIES) {
            forward_few_tile(job, &f, p, kv, at, key, n_keys);
            continue;
        }
        forward_pack(bf16, job, &f, kv, at, n_keys);
        for (size_t h = 0; h < group; h++)
            forward_tile(job, &f, p->b, p->from, n, h * n, key, n_keys);
    }
    if (p->share)
        forward_share(p->share, &f, group * n, d);
    for (size_t h = 0; h < group && !p->share; h++)
        forward_finish(bf16, job, &f, p->b, p->g * group + h, p->from, n, h * n);
}

static void attention_forward_task(const struct attention_job *job, const struct attention_piece *piece,
                                   float *scratch)
{
    if (job->shape.type == DTYPE_BF16)
        attention_forward_as(true, job, piece, scratch);
    else
        attention_forward_as(false, job, piece, scratch);
}

/* Backward ------------------------------------------------------------------------------------
 *
 * p_ij = 2^(s_ij - lse_i), dv_j += p_ij dout_i, ds_ij = p_ij (dout_i . v_j - dout_i . out_i), times the cap's
 * slope where there is one, dq_i += scale ds_ij k_j, dk_j += scale ds_ij q_i. */

struct backward_scratch {
    float *keys_t, *values_t; /* (head_dim, TILE_KEYS) */
    float *keys;              /* (TILE_KEYS, padded), times scale */
    float *dkeys, *dvalues;   /* (TILE_KEYS, padded) */
    float *queries;           /* (TILE_QUERIES, padded), times scale log2 e */
    float *douts;             /* (TILE_QUERIES, padded) */
    float *dqueries;          /* (STRIP, padded) */
    float *p, *ds;            /* (TILE_QUERIES, TILE_KEYS) */
};

static size_t lay_out_backward(struct backward_scratch *f, const struct attention_shape *s,
                               float *base)
{
    size_t padded = whole_vectors(s->head_dim), used = 0;
    struct {
        float **part;
        size_t size;
    } parts[] = {
        {&f->keys_t, s->head_dim * TILE_KEYS}, {&f->values_t, s->head_dim * TILE_KEYS},
        {&f->keys, TILE_KEYS * padded},        {&f->dkeys, TILE_KEYS * padded},
        {&f->dvalues, TILE_KEYS * padded},     {&f->queries, TILE_QUERIES * padded},
        {&f->douts, TILE_QUERIES * padded},    {&f->dqueries, STRIP * padded},
        {&f->p, TILE_QUERIES * TILE_KEYS},     {&f->ds, TILE_QUERIES * TILE_KEYS},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        *parts[i].part = base ? base + used : NULL;
        used += (parts[i].size + 15) / 16 * 16;
    }
    return used;
}

static size_t attention_backward_scratch(const struct attention_shape *s)
{
    struct backward_scratch f;
    return lay_out_backward(&f, s, NULL);
}

/* p, with its ds beside it, of W scores x, for which ds holds dout . v; d (c tanh(x / c)) / d x = 1 - tanh^2. */
INLINE vf backward_scores(const bool capped, float cap, vf x, vf *ds, float lse, float delta)
{
    vf slope = vf_set(1);
    if (capped) {
        vf t = vf_tanh(x / cap);
        slope -= t * t;
        x = cap * t;
    }
    vf p = vf_exp2(x - lse);
    *ds = p * (*ds - delta);
    if (capped)
        *ds *= slope;
    return p;
}

/* p and ds of one row from its scores (in p) and dout . v (in ds); 0 where nothing is seen. */
INLINE void backward_row_as(const bool capped, float cap, float *p, float *ds, struct span row,
                            struct span all, float lse, float delta)
{
    size_t from = span_start(all), end = from + span_vectors(all) * W;
    bool whole = row.lo == from && row.hi == end && from == 0 && end == TILE_KEYS;
    for (size_t c = 0; whole && c < TILE_KEYS; c += W) {
        vf d = vf_load(ds + c);
        vf_store(p + c, backward_scores(capped, cap, vf_load(p + c), &d, lse, delta));
        vf_store(ds + c, d);
    }
    for (size_t c = 0; !whole && c < TILE_KEYS; c += W) {
        vf x = {0}, y = {0};
        if (c >= from && c < end) {
            float lo = (float)row.lo - (float)c, hi = (float)row.hi - (float)c;
            vf d = vf_load(ds + c);
            x = vf_keep(backward_scores(capped, cap, vf_load(p + c), &d, lse, delta), x, lo, hi);
            y = vf_keep(d, y, lo, hi);
        }
        vf_store(p + c, x);
        vf_store(ds + c, y);
    }
}

INLINE void backward_row(float cap, float *p, float *ds, struct span row, struct span all,
                         float lse, float delta)
{
    if (cap == 0)
        backward_row_as(false, 0, p, ds, row, all, lse, delta);
    else
        backward_row_as(true, cap, p, ds, row, all, lse, delta);
}

/* p, ds and dq of n queries of a head from i on; returns the union of what they see. */
static struct span backward_queries(const struct attention_backward_job *job,
                                    struct backward_scratch *f, size_t b, size_t h, size_t i,
                                    size_t n, size_t key, size_t n_keys)
{
    const struct attention_shape *s = job->shape;
    size_t d = s->head_dim, padded = whole_vectors(d), at_row = (b * s->n_heads + h) * s->n_queries;
    struct sight see = {s, job->first_key, job->hidden_keys};
    struct span tile = {0, 0};
    struct strip strip;
    for (size_t at = 0; at < n; at += STRIP) {
        size_t m = n - at < STRIP ? n - at : STRIP;
        visible_rows(&strip, &see, b, i + at, m, key, n_keys);
        struct span all = strip.all;
        float *p = f->p + at * TILE_KEYS, *ds = f->ds + at * TILE_KEYS;
        if (all.hi > 0) {
            size_t from = span_start(all), vectors = span_vectors(all);
            tile_product(m, vectors, d, (struct strided){f->queries + at * padded, padded, 1},
                         f->keys_t + from, TILE_KEYS, false, p + from, TILE_KEYS);
            tile_product(m, vectors, d, (struct strided){f->douts + at * padded, padded, 1},
                         f->values_t + from, TILE_KEYS, false, ds + from, TILE_KEYS);
        }
        for (size_t r = 0; r < m; r++)
            backward_row(cap_of(s), p + r * TILE_KEYS, ds + r * TILE_KEYS, strip.rows[r], all,
                         job->lse[at_row + i + at + r] * LOG2_E, job->delta[at_row + i + at + r]);
        for (size_t r = 0; strip.holed && r < m; r++) {
            fill_hole(p, r, &strip, 0, 0);
            fill_hole(ds, r, &strip, 0, 0);
        }
        tile = join(tile, all);
        if (all.hi == 0)
            continue;
        tile_product(m, padded / W, all.hi - all.lo, (struct strided){ds + all.lo, TILE_KEYS, 1},
                     f->keys + all.lo * padded, padded, false, f->dqueries, padded);
        add_rows(job->dq + (b * s->n_queries + i + at) * s->q_stride + h * d, s->q_stride,
                 f->dqueries, m, d);
    }
    return tile;
}

/* dv += p^T dout and dk += ds^T q for the keys of `tile`; a key after a query's own has p = 0, so
 * strips of keys begin at the first query that can see them. */
static void backward_keys(struct backward_scratch *f, struct span tile, size_t i, size_t n,
                          size_t key, size_t padded)
{
    for (size_t c = tile.lo; c < tile.hi; c += STRIP) {
        size_t m = tile.hi - c < STRIP ? tile.hi - c : STRIP;
        size_t skip = key + c > i ? key + c - i : 0;
        if (skip >= n)
            break;
        struct strided p = {f->p + skip * TILE_KEYS + c, 1, TILE_KEYS};
        struct strided ds = {f->ds + skip * TILE_KEYS + c, 1, TILE_KEYS};
        tile_product(m, padded / W, n - skip, p, f->douts + skip * padded, padded, true,
                     f->dvalues + c * padded, padded);
        tile_product(m, padded / W, n - skip, ds, f->queries + skip * padded, padded, true,
                     f->dkeys + c * padded, padded);
    }
}

INLINE void backward_key_tile(const bool bf16, const struct attention_backward_job *job,
                              struct backward_scratch *f, size_t b, size_t g, size_t key,
                              size_t n_keys)
{
    const struct attention_shape *s = job->shape;
    struct sight see = {s, job->first_key, job->hidden_keys};
    size_t d = s->head_dim, padded = whole_vectors(d), group = s->n_heads / s->n_kv_heads;
    size_t kv = b * s->kv_batch_stride + key * s->kv_stride + g * d;
    struct rows k = {job->k, kv, s->kv_stride, n_keys, d}, v = k;
    v.data = job->v;
    pack_transposed(bf16, f->keys_t, TILE_KEYS, k);
    pack_transposed(bf16, f->values_t, TILE_KEYS, v);
    pack_rows(bf16, f->keys, k, s->scale);
    memset(f->dkeys, 0, n_keys * padded * sizeof *f->dkeys);
    memset(f->dvalues, 0, n_keys * padded * sizeof *f->dvalues);
    for (size_t i = key / TILE_QUERIES * TILE_QUERIES; i < s->n_queries; i += TILE_QUERIES) {
        size_t n = s->n_queries - i < TILE_QUERIES ? s->n_queries - i : TILE_QUERIES;
        if (!any_visible(&see, b, i, n, key, n_keys))
            continue;
        for (size_t h = g * group; h < (g + 1) * group; h++) {
            size_t at = (b * s->n_queries + i) * s->q_stride + h * d;
            pack_rows(bf16, f->queries, (struct rows){job->q, at, s->q_stride, n, d},
                      s->scale * LOG2_E);
            pack_rows(bf16, f->douts, (struct rows){job->dout, at, s->q_stride, n, d}, 1);
            struct span tile = backward_queries(job, f, b, h, i, n, key, n_keys);
            backward_keys(f, tile, i, n, key, padded);
        }
    }
    /* the packed queries carry scale log2 e, of which dk wants scale */
    for (size_t r = 0; r < n_keys; r++) {
        unpack_row(false, job->dk, kv + r * s->kv_stride, f->dkeys + r * padded, d, LN_2);
        unpack_row(bf16, job->dv, kv + r * s->kv_stride, f->dvalues + r * padded, d, 1);
    }
}

/* delta_i = dout_i . out_i, and dq = 0, for the heads of group g. */
INLINE void backward_begin(const bool bf16, const struct attention_backward_job *job, size_t b,
                           size_t g)
{
    const struct attention_shape *s = job->shape;
    size_t group = s->n_heads / s->n_kv_heads, d = s->head_dim;
    for (size_t h = g * group; h < (g + 1) * group; h++) {
        float *delta = job->delta + (b * s->n_heads + h) * s->n_queries;
        for (size_t i = 0; i < s->n_queries; i++) {
            size_t at = (b * s->n_queries + i) * s->q_stride + h * d;
            if (i + AHEAD < s->n_queries) {
                prefetch_row(bf16, job->dout, at + AHEAD * s->q_stride, d);
                prefetch_row(bf16, job->out, at + AHEAD * s->q_stride, d);
            }
            delta[i] = bf16 ? row_dot_bf16((const uint16_t *)job->dout + at,
                                           (const uint16_t *)job->out + at, d)
                            : row_dot((const float *)job->dout + at, (const float *)job->out + at,
                                      d);
            memset(job->dq + at, 0, d * sizeof *job->dq);
        }
    }
}

INLINE void attention_backward_as(const bool bf16, const struct attention_backward_job *job,
                                  size_t b, size_t g, float *scratch)
{
    const struct attention_shape *s = job->shape;
    struct backward_scratch f;
    lay_out_backward(&f, s, scratch);
    backward_begin(bf16, job, b, g);
    for (size_t key = 0; key < s->n_queries; key += TILE_KEYS) {
        size_t n_keys = s->n_queries - key < TILE_KEYS ? s->n_queries - key : TILE_KEYS;
        backward_key_tile(bf16, job, &f, b, g, key, n_keys);
    }
}

static void attention_backward_task(const struct attention_backward_job *job, size_t b, size_t g,
                                    float *scratch)
{
    if (job->shape->type == DTYPE_BF16)
        attention_backward_as(true, job, b, g, scratch);
    else
        attention_backward_as(false, job, b, g, scratch);
}
