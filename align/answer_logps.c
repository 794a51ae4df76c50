#include "align/answer_logps.h"

#include "base/log.h"
#include "kernels/cross_entropy.h"
#include "model/decoder.h"
#include "train/interrupt.h"

size_t answer_logps_scratch(const struct model_config *c, size_t n)
{
    return linear_loss_scratch(n, c->hidden_size, c->vocab_size) + n;
}

void answer_logps_add_up(const struct batch *b, const float *row_losses, double *logps)
{
    for (size_t i = 0; i < b->n_examples; i++) {
        const struct batch_example *x = &b->examples[i];
        logps[i] = 0;
        for (size_t t = x->begin; t < x->end; t++)
            logps[i] -= row_losses[t];
    }
}

void answer_logps(struct model *m, struct activations *a, const struct batch *b, float *scratch, double *logps)
{
    size_t n = b->n_rows * b->seq_len;
    float *row_losses = scratch + linear_loss_scratch(n, m->config.hidden_size, m->config.vocab_size);
    const void *hidden = decoder_forward(m, a, b, NULL, 0);
    const struct output_layer layer = decoder_output_layer(m);
    linear_cross_entropy(&layer, a->type, hidden, b->targets, 0, row_losses, NULL, n, scratch);
    answer_logps_add_up(b, row_losses, logps);
}

/* --- a whole epoch --- */

struct pass {
    struct activations activations;
    struct batch batch;
    float *scratch;
};

static void take_memory(struct pass *p, struct model *m, enum dtype type, size_t n_rows, size_t seq_len,
                        struct arena *arena)
{
    activations_init(&p->activations, m, type, n_rows, seq_len, KEEP_NOTHING, arena);
    batch_init(&p->batch, n_rows, seq_len, arena);
    p->scratch = arena_alloc(arena, answer_logps_scratch(&m->config, n_rows * seq_len), sizeof *p->scratch);
}

static int run_epoch(struct pass *p, struct model *m, const struct rows *rows, const char *label, double *logps,
                     struct error *e)
{
    struct progress progress;
    struct loader loader = {.rows = *rows};
    double *some = NULL;
    size_t capacity = 0;
    int code = OK;
    progress_start(&progress, label, (double)rows->per_epoch);
    while (loader.rows_consumed < rows->per_epoch && !code) {
        loader_next(&loader, &p->batch);
        void *grown = some;
        if (p->batch.n_examples)
            mem_grow(&grown, &capacity, p->batch.n_examples - 1, sizeof *some);
        some = grown;
        answer_logps(m, &p->activations, &p->batch, p->scratch, some);
        for (size_t i = 0; i < p->batch.n_examples; i++)
            logps[p->batch.examples[i].number] = some[i];
        progress_update(&progress, (double)loader.rows_consumed, "");
        if (interrupt_requested())
            code = error_set(e, ERR_INTERRUPTED, "interrupted");
    }
    progress_finish(&progress, "");
    mem_free(some);
    return code;
}

int answer_logps_measure(struct model *m, enum dtype type, const struct rows *rows, size_t n_rows, size_t seq_len,
                         const char *label, double *logps, struct error *e)
{
    struct pass p = {0};
    struct arena size = {0}, arena = {0};
    take_memory(&p, m, type, n_rows, seq_len, &size);
    activations_free(&p.activations);
    int code = arena_init(&arena, size.used, "a forward pass", e);
    if (code)
        return code;
    take_memory(&p, m, type, n_rows, seq_len, &arena);
    model_reserve_positions(m, seq_len);
    if (type == DTYPE_BF16)
        model_split(m);
    code = run_epoch(&p, m, rows, label, logps, e);
    model_join(m);
    activations_free(&p.activations);
    arena_free(&arena);
    return code;
}
