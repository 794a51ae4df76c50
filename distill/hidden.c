#include "distill/hidden.h"

#include "base/check.h"
#include "base/rng.h"
#include "kernels/gemm.h"
#include "kernels/profile.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- distances --- */

/* The distance of y from t, both (c). With `backward` t becomes factor * its gradient with respect to y. */
typedef double distance_row(const float *y, float *t, size_t c, double factor, bool backward);

static double squared_row(const float *y, float *t, size_t c, double factor, bool backward)
{
    double sum = 0;
    float slope = (float)(2 * factor / (double)c);
    for (size_t j = 0; j < c; j++) {
        float d = y[j] - t[j];
        sum += (double)d * d;
        if (backward)
            t[j] = slope * d;
    }
    return sum / (double)c;
}

/* With u = y t / (|y| |t|): du/dy = t / (|y| |t|) - u y / |y|^2. Norms are at least LEAST_NORM, as PyTorch has it, and
 * where y's is less the second term is none. */
#define LEAST_NORM 1e-8

static double cosine_row(const float *y, float *t, size_t c, double factor, bool backward)
{
    double yy = 0, tt = 0, yt = 0;
    for (size_t j = 0; j < c; j++) {
        yy += (double)y[j] * y[j];
        tt += (double)t[j] * t[j];
        yt += (double)y[j] * t[j];
    }
    double norm = fmax(sqrt(yy), LEAST_NORM), product = norm * fmax(sqrt(tt), LEAST_NORM), cosine = yt / product;
    float of_t = (float)(-factor / product), of_y = norm > LEAST_NORM ? (float)(factor * cosine / yy) : 0;
    for (size_t j = 0; j < c && backward; j++)
        t[j] = of_t * t[j] + of_y * y[j];
    return 1 - cosine;
}

static distance_row *const distance_rows[HIDDEN_KINDS] = {
    [HIDDEN_MSE] = squared_row,
    [HIDDEN_COSINE] = cosine_row,
};

/* --- rows with a target, by blocks --- */

enum { BLOCK = 256 }; /* rows at a time: packing a projection is paid once for each block */

static size_t block_rows(size_t n)
{
    return n < BLOCK ? n : BLOCK;
}

/* A walk over a batch, block by block: the block's rows are numbered first .. first + n among those with a target. */
struct walk {
    const struct batch *b;
    size_t at, first, n;
    bool begun;
};

static size_t batch_tokens(const struct batch *b)
{
    return b->n_rows * b->seq_len;
}

/* Goes to the next block, whose rows have these numbers in the batch; the first may be empty: what it writes is then 0. */
static bool next_block(struct walk *w, uint32_t *index)
{
    bool first = !w->begun;
    w->begun = true;
    w->first += w->n;
    for (w->n = 0; w->at < batch_tokens(w->b) && w->n < BLOCK; w->at++)
        if (w->b->targets[w->at] >= 0)
            index[w->n++] = (uint32_t)w->at;
    return first || w->n > 0;
}

/* --- the teacher's side --- */

static struct hidden_pair *pair_of(struct hidden_matching *h, size_t layer, bool of_teacher)
{
    for (size_t i = 0; i < h->settings.n_pairs; i++)
        if ((of_teacher ? h->pairs[i].teacher_layer : h->pairs[i].student_layer) == layer)
            return &h->pairs[i];
    return NULL;
}

static void see_teacher(void *context, const struct stream *s)
{
    struct hidden_matching *h = context;
    struct hidden_pair *p = pair_of(h, s->layer, true);
    size_t c = h->teacher_width;
    if (!p)
        return;
    CHECK(!h->has_gradients); /* hidden_matching_begin is missing */
    for (size_t i = 0; i < batch_tokens(s->batch); i++) {
        if (s->batch->targets[i] < 0)
            continue;
        CHECK(p->n_rows < h->capacity);
        memcpy(p->rows + p->n_rows++ * c, s->x + i * c, c * sizeof *p->rows);
    }
}

void hidden_matching_begin(struct hidden_matching *h)
{
    h->has_gradients = false;
    for (size_t i = 0; i < h->settings.n_pairs; i++)
        h->pairs[i].n_rows = 0;
}

/* --- the student's --- */

static void see_student(void *context, const struct stream *s)
{
    struct hidden_matching *h = context;
    struct hidden_pair *p = pair_of(h, s->layer, false);
    if (!p)
        return;
    p->student = s->stays ? s->x : NULL;
    p->n_tokens = batch_tokens(s->batch);
}

/* y of a block; h->x is the student's rows of it. */
static const float *project(struct hidden_matching *h, const struct hidden_pair *p, size_t n)
{
    size_t from = h->student_width, to = h->teacher_width;
    for (size_t i = 0; i < n; i++)
        memcpy(h->x + i * from, p->student + h->index[i] * from, from * sizeof *h->x);
    if (!p->projection)
        return h->x;
    gemm_f32(false, true, n, to, from, h->x, from, p->projection->value, from, 0, h->y, to);
    return h->y;
}

static double pair_loss(struct hidden_matching *h, struct hidden_pair *p, const struct batch *b, double factor,
                        bool backward)
{
    size_t from = h->student_width, to = h->teacher_width;
    distance_row *distance = distance_rows[h->settings.kind];
    bool trains = backward && p->projection && p->projection->grad;
    double total = 0;
    CHECK(p->student && p->n_tokens == batch_tokens(b));
    for (struct walk w = {.b = b}; next_block(&w, h->index);) {
        CHECK(w.first + w.n <= p->n_rows);
        const float *y = project(h, p, w.n);
        float *t = p->rows + w.first * to;
#pragma omp parallel for schedule(static) if (w.n * to > 4096)
        for (size_t i = 0; i < w.n; i++)
            h->distances[i] = distance(y + i * to, t + i * to, to, factor, backward);
        for (size_t i = 0; i < w.n; i++)
            total += h->distances[i];
        if (trains)
            gemm_f32(true, false, to, from, w.n, t, to, h->x, from, param_grad_beta(p->projection), p->projection->grad,
                     from);
    }
    return total;
}

double hidden_matching_loss(struct hidden_matching *h, const struct batch *b, float scale, bool backward)
{
    enum profile_kind outer = profile_enter(PROFILE_LOSS);
    double share = h->settings.weight / (double)h->settings.n_pairs, total = 0;
    CHECK(!h->has_gradients);
    for (size_t i = 0; i < h->settings.n_pairs; i++) {
        CHECK(h->pairs[i].n_rows == b->n_targets);
        total += share * pair_loss(h, &h->pairs[i], b, share * (double)scale, backward);
    }
    h->has_gradients = backward;
    profile_leave(outer);
    return total;
}

/* dx += dy P, or dy, at the rows that have a target. */
static void add_gradient(void *context, const struct stream *s, float *dx)
{
    struct hidden_matching *h = context;
    struct hidden_pair *p = pair_of(h, s->layer, false);
    size_t from = h->student_width, to = h->teacher_width;
    if (!p || !h->has_gradients)
        return;
    enum profile_kind outer = profile_enter(PROFILE_LOSS);
    CHECK(p->student == s->x && p->n_tokens == batch_tokens(s->batch));
    for (struct walk w = {.b = s->batch}; next_block(&w, h->index);) {
        const float *dy = p->rows + w.first * to;
        if (p->projection)
            gemm_f32(false, false, w.n, from, to, dy, to, p->projection->value, from, 0, h->x, from);
        const float *gradient = p->projection ? h->x : dy;
        for (size_t i = 0; i < w.n; i++)
            for (size_t j = 0; j < from; j++)
                dx[h->index[i] * from + j] += gradient[i * from + j];
    }
    p->student = NULL;
    profile_leave(outer);
}

/* --- pairs and memory --- */

static int check_settings(const struct hidden_settings *s, const struct model_config *student,
                          const struct model_config *teacher, struct error *e)
{
    size_t of_student = student->num_hidden_layers, of_teacher = teacher->num_hidden_layers;
    size_t most = of_student < of_teacher ? of_student : of_teacher;
    if (s->n_pairs < 1 || s->n_pairs > most)
        return error_set(e, ERR_USAGE, "%zu pairs of layers: the student has %zu layers and the teacher %zu; choose 1 to %zu",
                         s->n_pairs, of_student, of_teacher, most);
    if (!(s->weight > 0) || !isfinite(s->weight))
        return error_set(e, ERR_USAGE, "hidden states are matched with a weight of %g: it must be above 0, or leave the "
                                       "matching out", s->weight);
    CHECK(s->kind < HIDDEN_KINDS);
    return OK;
}

static size_t matched_layer(size_t i, size_t n_pairs, size_t n_layers)
{
    return ((i + 1) * n_layers + n_pairs - 1) / n_pairs - 1;
}

static void take_values(struct hidden_matching *h)
{
    for (size_t i = 0; i < h->n_params; i++)
        h->params[i].data = h->params[i].value = arena_alloc(&h->values, h->params[i].count, sizeof(float));
}

/* Projections belong to no block of the student, so that Muon leaves them to AdamW as it does the output layer. */
static void make_projection(struct hidden_matching *h, size_t i)
{
    struct param *p = &h->params[h->n_params++];
    *p = (struct param){.layer = -1, .expert = -1, .n_dims = 2, .rows = h->teacher_width, .cols = h->student_width,
                        .count = h->teacher_width * h->student_width, .matrix = true, .type = DTYPE_F32,
                        .init_std = 1 / sqrtf((float)h->student_width)};
    snprintf(p->name, sizeof p->name, "hidden_projection.%zu.weight", i);
    h->pairs[i].projection = p;
}

static int allocate_projections(struct hidden_matching *h, uint64_t seed, struct error *e)
{
    take_values(h);
    size_t size = h->values.used;
    h->values.used = 0;
    int code = h->n_params ? arena_init(&h->values, size, "the projections of hidden states", e) : OK;
    if (code)
        return code;
    take_values(h);
    for (size_t i = 0; i < h->n_params; i++) {
        struct rng rng;
        rng_init(&rng, seed, i);
        rng_fill_normal(&rng, h->params[i].value, h->params[i].count, h->params[i].init_std);
    }
    return OK;
}

int hidden_matching_init(struct hidden_matching *h, const struct hidden_settings *settings,
                         const struct model_config *student, const struct model_config *teacher, uint64_t seed,
                         struct error *e)
{
    *h = (struct hidden_matching){.student_width = student->hidden_size, .teacher_width = teacher->hidden_size};
    int code = check_settings(settings, student, teacher, e);
    if (code)
        return code;
    h->settings = *settings;
    h->pairs = mem_zero(settings->n_pairs, sizeof *h->pairs);
    h->params = mem_zero(settings->n_pairs, sizeof *h->params);
    h->student_hook = (struct stream_hook){.context = h, .see = see_student, .add_gradient = add_gradient};
    h->teacher_hook = (struct stream_hook){.context = h, .see = see_teacher};
    for (size_t i = 0; i < settings->n_pairs; i++) {
        h->pairs[i].student_layer = matched_layer(i, settings->n_pairs, student->num_hidden_layers);
        h->pairs[i].teacher_layer = matched_layer(i, settings->n_pairs, teacher->num_hidden_layers);
        if (settings->always_project || h->student_width != h->teacher_width)
            make_projection(h, i);
    }
    return allocate_projections(h, seed, e);
}

void hidden_matching_free(struct hidden_matching *h)
{
    arena_free(&h->values);
    arena_free(&h->work);
    mem_free(h->params);
    mem_free(h->pairs);
    *h = (struct hidden_matching){0};
}

void hidden_matching_add_params(const struct hidden_matching *h, struct param_list *l)
{
    for (size_t i = 0; i < h->n_params; i++)
        params_add(l, &h->params[i]);
}

static void take_work(struct hidden_matching *h, size_t n, struct arena *arena)
{
    size_t block = block_rows(n), teacher;
    if (!size_mul(n, h->teacher_width, &teacher))
        teacher = ARENA_MOST; /* which no arena gives */
    for (size_t i = 0; i < h->settings.n_pairs; i++)
        h->pairs[i].rows = arena_alloc(arena, teacher, sizeof(float));
    h->x = arena_alloc(arena, block * h->student_width, sizeof *h->x);
    h->y = h->n_params ? arena_alloc(arena, block * h->teacher_width, sizeof *h->y) : NULL;
    h->distances = arena_alloc(arena, block, sizeof *h->distances);
    h->index = arena_alloc(arena, block, sizeof *h->index);
}

size_t hidden_matching_bytes(const struct hidden_matching *h, size_t n)
{
    struct hidden_matching measured = *h;
    struct arena arena = {0};
    measured.pairs = mem_zero(h->settings.n_pairs, sizeof *measured.pairs);
    take_work(&measured, n, &arena);
    mem_free(measured.pairs);
    return arena.used;
}

int hidden_matching_reserve(struct hidden_matching *h, size_t n, struct error *e)
{
    CHECK(n <= UINT32_MAX && !h->work.base);
    int code = arena_init(&h->work, hidden_matching_bytes(h, n), "hidden states of the teacher", e);
    if (code)
        return code;
    take_work(h, n, &h->work);
    h->capacity = n;
    return OK;
}
