#include "train/evaluate.h"

#include "base/log.h"

#include <math.h>
#include <stdio.h>

struct evaluation evaluate(const struct evaluator *v, struct loader *loader, size_t n_batches,
                           const char *label)
{
    struct evaluation r = {0};
    size_t rows = loader->rows.per_epoch;
    size_t all = (rows + v->batch->n_rows - 1) / v->batch->n_rows;
    if (n_batches == 0 || n_batches > all)
        n_batches = all;
    struct progress progress;
    if (label)
        progress_start(&progress, label, (double)n_batches);
    loader->rows_consumed = 0;
    objective_clear(v->objective);
    char detail[64] = "";
    for (size_t i = 0; i < n_batches; i++) {
        loader_next(loader, v->batch);
        objective_begin(v->objective, v->activations, v->batch, v->scratch);
        const void *hidden = decoder_forward(v->model, v->activations, v->batch, NULL, 0);
        r.loss_sum += v->objective->loss(v->objective, v->model, v->batch, hidden,
                                         v->activations->type, 0, NULL, v->scratch);
        r.n_targets += v->batch->n_targets;
        r.count += objective_count(v->objective, v->batch);
        snprintf(detail, sizeof detail, "loss %.4f", r.count ? r.loss_sum / (double)r.count : 0);
        if (label)
            progress_update(&progress, (double)(i + 1), detail);
    }
    if (label)
        progress_finish(&progress, detail);
    r.loss = r.count ? r.loss_sum / (double)r.count : NAN;
    return r;
}
