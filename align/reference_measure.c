#include "align/reference_measure.h"

#include "align/answer_logps.h"
#include "data/example_rows.h"

const char *reference_products(const struct model *m, enum dtype type)
{
    for (size_t i = 0; i < m->n_params; i++)
        if (m->params[i].in_integers)
            return "int8";
    return dtype_info(type)->name;
}

int reference_measure(struct model *m, enum dtype type, const struct examples *x, size_t n_rows, size_t seq_len,
                      const char *label, struct reference_table *t, struct error *e)
{
    struct example_rows pairs;
    if (!x->count)
        return OK;
    example_rows_init_pairs(&pairs, x, seq_len, true, false, 0, true);
    struct loader loader = example_rows_loader(&pairs);
    double *logps = mem_zero(x->count, sizeof *logps);
    int code = answer_logps_measure(m, type, &loader.rows, n_rows, seq_len, label, logps, e);
    for (size_t i = 0; i < x->count && !code; i++)
        reference_table_add(t, example_key(x, i), logps[i], example_targets(x, i));
    mem_free(logps);
    example_rows_free(&pairs);
    return code;
}
