#include "infer/importance.h"

#include "base/check.h"
#include "kernels/linear_loss.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* --- adding up --- */

enum { COLUMNS = 256 }; /* at a time: their sums stay in the first cache */

/* sums (cols) += squares of x (n, cols), each row divided by its weight. Every sum is in the order of the rows,
 * however many threads there are. */
static void add_squares(double *sums, const float *x, const float *weight, size_t n, size_t cols)
{
#pragma omp parallel for schedule(static) if (n * cols > 65536)
    for (size_t from = 0; from < cols; from += COLUMNS) {
        size_t to = cols - from < COLUMNS ? cols : from + COLUMNS;
        for (size_t i = 0; i < n; i++) {
            const float *row = x + i * cols;
            double scale = weight ? 1 / ((double)weight[i] * (double)weight[i]) : 1;
            if (weight && weight[i] == 0) /* nothing is left of what this row was */
                continue;
            for (size_t j = from; j < to; j++)
                sums[j] += scale * (double)row[j] * (double)row[j];
        }
    }
}

static size_t count_rows(const float *weight, size_t n)
{
    size_t count = n;
    for (size_t i = 0; weight && i < n; i++)
        count -= weight[i] == 0;
    return count;
}

static void add_rows(struct importance *im, struct importance_input *to, size_t expert, const float *x,
                     const float *weight, size_t n)
{
    double *sums = to->sums + expert * to->n_cols;
    add_squares(sums, x, weight, n, to->n_cols);
    to->counts[expert] += count_rows(weight, n);
    for (size_t i = 0; i < to->n_cols && !im->broken; i++)
        if (!(sums[i] <= (double)FLT_MAX)) /* what a file can hold */
            im->broken = to;
}

/* What the rows that reach this layer are multiplied with already; NULL: nothing. */
static const float *row_weights(const struct importance *im, const struct param *p, size_t n)
{
    const struct activations *a = &im->activations;
    if (p->role == PARAM_SHARED_DOWN)
        return a->layers[p->layer].shared_weight;
    if (p->role != PARAM_EXPERT_DOWN)
        return NULL;
    const size_t *begin = a->routing.begin + p->expert;
    CHECK(n == begin[1] - begin[0]);
    return a->row_weight + begin[0];
}

static void see_input(void *context, const struct linear *l, void *y, enum dtype y_type, const void *x,
                      enum dtype type, size_t n)
{
    struct importance *im = context;
    const struct param *p = l->weight;
    struct importance_input *to = im->input_of[p - im->model->params];
    (void)y, (void)y_type;
    CHECK(type == DTYPE_F32);
    if (to)
        add_rows(im, to, to->n_experts > 1 ? (size_t)p->expert : 0, x, row_weights(im, p, n), n);
}

/* --- the layers --- */

static void hook_linear(struct linear *l, const struct linear_hook *from, const struct linear_hook *to)
{
    if (!l->weight)
        return;
    CHECK(l->hook == from);
    l->hook = to;
}

static void hook_feed_forward(struct feed_forward *f, const struct linear_hook *from,
                              const struct linear_hook *to)
{
    hook_linear(&f->gate, from, to);
    hook_linear(&f->up, from, to);
    hook_linear(&f->down, from, to);
}

/* Every linear layer of the blocks has the hook `from` and gets `to`. */
static void hook_layers(struct model *m, const struct linear_hook *from, const struct linear_hook *to)
{
    for (size_t i = 0; i < m->config.num_hidden_layers; i++) {
        struct layer *l = &m->layers[i];
        struct linear *attention[] = {&l->q, &l->k, &l->v, &l->output, &l->moe.router, &l->moe.shared_router};
        for (size_t j = 0; j < sizeof attention / sizeof *attention; j++)
            hook_linear(attention[j], from, to);
        hook_feed_forward(&l->ffn, from, to);
        for (size_t j = 0; l->moe.router.weight && j < m->config.num_experts; j++)
            hook_feed_forward(&l->moe.experts[j], from, to);
    }
}

/* Whether the parameter is a linear layer's weight, in a block or, with `head`, the output layer's. */
static bool is_measured(const struct importance *im, const struct param *p, bool head)
{
    if (p == im->model->head.weight)
        return head;
    return p->matrix && p->layer >= 0;
}

static void add_tensor(struct importance *im, const struct tensor *t)
{
    const struct param *first = t->pieces[0].param;
    bool experts = first->expert >= 0;
    struct importance_input *input = &im->inputs[im->n_inputs++];
    *input = (struct importance_input){.name = t->name, .n_cols = t->cols,
                                       .n_experts = experts ? t->n_pieces : 1};
    input->sums = mem_zero(input->n_experts * input->n_cols, sizeof *input->sums);
    input->counts = mem_zero(input->n_experts, sizeof *input->counts);
    for (size_t i = 0; i < (experts ? t->n_pieces : 1); i++)
        im->input_of[t->pieces[i].param - im->model->params] = input;
    if (first == im->model->head.weight)
        im->head = input;
}

/* The tensors of the model's GGUF file that are multiplied with. */
static void find_inputs(struct importance *im, bool head)
{
    struct model *m = im->model;
    tensor_list_init(&im->list, m, CONTAINER_GGUF, model_architecture(&m->config)->head_in_gguf);
    im->inputs = mem_zero(im->list.n_tensors, sizeof *im->inputs);
    im->input_of = mem_zero(m->n_params, sizeof *im->input_of);
    for (size_t i = 0; i < im->list.n_tensors; i++) {
        const struct tensor *t = &im->list.tensors[i];
        const struct tensor *last = &im->list.tensors[im->list.n_tensors - 1];
        /* an embedding that is written once more, as the output layer, is measured as that */
        bool again = t != last && last->pieces[0].param == t->pieces[0].param;
        if (is_measured(im, t->pieces[0].param, head) && !again)
            add_tensor(im, t);
    }
}

const double *importance_sums(const struct importance *im, const struct param *p, size_t *count)
{
    const struct importance_input *input = im->input_of[p - im->model->params];
    if (!input)
        return NULL;
    size_t expert = input->n_experts > 1 ? (size_t)p->expert : 0;
    if (count)
        *count = input->counts[expert];
    return input->sums + expert * input->n_cols;
}

/* --- layers --- */

/* Vectors of zeros have not turned. */
static double cosine(const float *x, const float *y, size_t n)
{
    double xy = 0, xx = 0, yy = 0;
    for (size_t i = 0; i < n; i++) {
        xy += (double)x[i] * y[i];
        xx += (double)x[i] * x[i];
        yy += (double)y[i] * y[i];
    }
    return xx == 0 || yy == 0 ? xx == yy : xy / sqrt(xx * yy);
}

/* After a pass over n tokens. Each layer has its own sum, in the order of the tokens. */
static void add_similarity(struct importance *im, size_t n)
{
    const struct activations *a = &im->activations;
    const size_t n_layers = im->model->config.num_hidden_layers, width = im->model->config.hidden_size;
#pragma omp parallel for schedule(static) if (n * width > 65536)
    for (size_t i = 0; i < n_layers; i++) {
        const float *in = a->layers[i].input, *out = i + 1 < n_layers ? a->layers[i + 1].input : a->last;
        for (size_t j = 0; j < n; j++)
            im->similarity[i] += cosine(in + j * width, out + j * width, width);
    }
}

/* --- running --- */

static void take_memory(struct importance *im)
{
    const struct model_config *c = &im->model->config;
    activations_init(&im->activations, im->model, DTYPE_F32, im->n_rows, im->context,
                     im->similarity ? KEEP_INPUTS : KEEP_NOTHING, &im->arena);
    batch_init(&im->batch, im->n_rows, im->context, &im->arena);
    im->scratch = arena_alloc(
        &im->arena, linear_loss_scratch(im->n_rows * im->context, c->hidden_size, c->vocab_size),
        sizeof(float));
}

int importance_init(struct importance *im, struct model *m, const struct importance_options *o,
                    struct error *e)
{
    CHECK(o->context >= 4 && o->n_rows > 0);
    *im = (struct importance){.model = m, .context = o->context, .n_rows = o->n_rows};
    if (o->similarity)
        im->similarity = mem_zero(m->config.num_hidden_layers, sizeof *im->similarity);
    take_memory(im);
    size_t size = im->arena.used;
    activations_free(&im->activations);
    int code = arena_init(&im->arena, size, "the activations of a batch", e);
    if (code) {
        mem_free(im->similarity);
        *im = (struct importance){0};
        return code;
    }
    take_memory(im);
    find_inputs(im, o->head);
    im->hook = (struct linear_hook){.context = im, .forward = see_input};
    hook_layers(m, NULL, &im->hook);
    model_reserve_positions(m, o->context);
    return OK;
}

void importance_free(struct importance *im)
{
    if (!im->model)
        return;
    hook_layers(im->model, &im->hook, NULL);
    for (size_t i = 0; i < im->n_inputs; i++) {
        mem_free(im->inputs[i].sums);
        mem_free(im->inputs[i].counts);
    }
    mem_free(im->inputs);
    mem_free(im->input_of);
    mem_free(im->similarity);
    tensor_list_free(&im->list);
    activations_free(&im->activations);
    arena_free(&im->arena);
    *im = (struct importance){0};
}

int importance_finish(struct importance *im, struct error *e)
{
    struct batch b = im->batch;
    b.n_rows = im->row;
    if (im->row == 0)
        return OK;
    const float *hidden = decoder_forward(im->model, &im->activations, &b, NULL, 0);
    if (im->head)
        add_rows(im, im->head, 0, hidden, NULL, b.n_rows * b.seq_len);
    im->score.nats += score_rows(im->model, hidden, b.targets, b.n_rows * b.seq_len, im->scratch);
    im->score.n_targets += b.n_rows * (im->context - 1 - im->context / 2);
    if (im->similarity)
        add_similarity(im, b.n_rows * b.seq_len);
    im->n_chunks += im->row;
    im->n_tokens += b.n_rows * b.seq_len;
    im->row = 0;
    if (im->broken)
        return error_set(e, ERR_FORMAT, "the inputs of %s are not finite numbers: the model is damaged, or too "
                         "large numbers were too much for its type", im->broken->name);
    for (size_t i = 0; im->similarity && i < im->model->config.num_hidden_layers; i++)
        if (!isfinite(im->similarity[i]))
            return error_set(e, ERR_FORMAT, "what layer %zu gives is not finite numbers: the model is damaged", i);
    return OK;
}

int importance_add(struct importance *im, const int32_t *ids, struct error *e)
{
    struct batch *b = &im->batch;
    size_t n = im->context, at = im->row * n;
    for (size_t i = 0; i < n; i++) {
        CHECK(ids[i] >= 0 && (size_t)ids[i] < im->model->config.vocab_size);
        b->input_ids[at + i] = ids[i];
        b->targets[at + i] = i >= n / 2 && i + 1 < n ? ids[i + 1] : TARGET_IGNORED;
        b->positions[at + i] = (int32_t)i;
        b->first_key[at + i] = 0;
    }
    return ++im->row == im->n_rows ? importance_finish(im, e) : OK;
}
