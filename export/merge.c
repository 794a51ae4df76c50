#include "export/merge.h"

#include "base/memory.h"

#include <math.h>

void merge_free(struct merge *g)
{
    mem_free(g->matrices);
    g->matrices = NULL;
    g->n_matrices = 0;
}

bool merge_unties(const struct merge *g, const struct model *m)
{
    return g && m->config.tie_word_embeddings && lora_merges(g->adapters, g->n_adapters, m->token_embd);
}

int merge_check(const struct merge *g, const struct model *m, enum container container, struct error *e)
{
    const struct architecture *a = model_architecture(&m->config);
    if (merge_unties(g, m) && container == CONTAINER_GGUF && a->never_head_in_gguf)
        return error_set(e, ERR_USAGE,
                         "%s is the embedding too, and a GGUF file of a %s model has no other output layer: the "
                         "adapter of the output layer can be merged into a Hugging Face directory, or stay a file",
                         m->token_embd->name, a->name);
    return OK;
}

bool merge_changes(const struct merge *g, const struct model *m, const struct tensor *t, size_t piece)
{
    const struct param *p = t->pieces[piece].param;
    return g && (p != m->token_embd || t->tied_head) && lora_merges(g->adapters, g->n_adapters, p);
}

/* --- what is kept --- */

static struct merged_matrix row_sums(const float *base, const float *merged, const float *stored_base,
                                     const float *stored, size_t n)
{
    struct merged_matrix x = {0};
    for (size_t i = 0; i < n; i++) {
        const double w = base[i], d = (double)merged[i] - w, r = (double)stored[i] - stored_base[i];
        x.weight += w * w;
        x.delta += d * d;
        x.moved += r * d;
        x.error += (r - d) * (r - d);
    }
    return x;
}

static void add_sums(struct merged_matrix *to, const struct merged_matrix *x)
{
    to->weight += x->weight;
    to->delta += x->delta;
    to->moved += x->moved;
    to->error += x->error;
}

void merged_matrix_add(struct merged_matrix *x, const float *base, const float *merged, const float *stored_base,
                       const float *stored, size_t n_rows, size_t cols)
{
    struct merged_matrix *rows = mem_alloc(n_rows, sizeof *rows);
#pragma omp parallel for if (n_rows * cols > 65536)
    for (size_t i = 0; i < n_rows; i++)
        rows[i] = row_sums(base + i * cols, merged + i * cols, stored_base + i * cols, stored + i * cols, cols);
    for (size_t i = 0; i < n_rows; i++)
        add_sums(x, &rows[i]);
    mem_free(rows);
}

double merged_size(const struct merged_matrix *x)
{
    return x->weight > 0 ? sqrt(x->delta / x->weight) : 0;
}

double merged_kept(const struct merged_matrix *x)
{
    return x->delta > 0 ? x->moved / x->delta : 1;
}

double merged_noise(const struct merged_matrix *x)
{
    return x->delta > 0 ? sqrt(x->error / x->delta) : 0;
}

enum merge_verdict merge_judge(const struct merged_matrix *x)
{
    if (merged_kept(x) < MERGE_KEPT)
        return MERGE_ERASED;
    return merged_noise(x) > MERGE_NOISE ? MERGE_DROWNED : MERGE_FINE;
}

const char *merge_verdict_name(enum merge_verdict v)
{
    static const char *const names[] = {[MERGE_FINE] = "fine", [MERGE_DROWNED] = "drowned", [MERGE_ERASED] = "erased"};
    return names[v];
}

struct merged_matrix merge_total(const struct merge *g)
{
    struct merged_matrix total = {0};
    for (size_t i = 0; i < g->n_matrices; i++)
        add_sums(&total, &g->matrices[i]);
    return total;
}

enum merge_verdict merge_outcome(const struct merge *g, size_t *n_erased)
{
    const struct merged_matrix total = merge_total(g);
    *n_erased = 0;
    for (size_t i = 0; i < g->n_matrices; i++)
        *n_erased += merge_judge(&g->matrices[i]) == MERGE_ERASED;
    return *n_erased ? MERGE_ERASED : merge_judge(&total);
}
