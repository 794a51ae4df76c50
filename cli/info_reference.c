/* A file of a reference's log-probabilities at a glance. All of it is read and checked in any case. */
#include "align/reference_file.h"
#include "cli/info.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static json_t *rounded(double x)
{
    double y = round(x * 1e4) / 1e4;
    return isfinite(y) ? json_real(y) : json_null(); /* a sum may be more than fits */
}

static void add_description(json_t *file, const struct reference_description *d)
{
    const struct {
        const char *name, *value;
    } rows[] = {{"model", d->model}, {"products", d->products}, {"producer", d->producer}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        info_add(file, rows[i].name, json_text(rows[i].value, strlen(rows[i].value)));
    info_add(file, "model_hash", json_sprintf("%016" PRIx64, d->model_hash));
    info_add(file, "tokenizer_hash", json_sprintf("%016" PRIx64, d->tokenizer_hash));
}

static void add_table(json_t *file, const struct reference_table *t)
{
    double sum = 0, targets = 0, least = t->logps[0], most = least;
    for (size_t i = 0; i < t->count; i++) {
        sum += t->logps[i];
        targets += t->n_targets[i];
        least = fmin(least, t->logps[i]);
        most = fmax(most, t->logps[i]);
    }
    info_add(file, "answers", json_integer((json_int_t)t->count));
    info_add(file, "targets", json_integer((json_int_t)targets));
    info_add(file, "mean_logp", rounded(sum / (double)t->count));
    info_add(file, "lowest_logp", rounded(least));
    info_add(file, "highest_logp", rounded(most));
    info_add(file, "loss_a_target", rounded(-sum / targets));
}

int info_describe_reference(const char *path, json_t *file, struct error *e)
{
    struct reference_description d;
    struct reference_table t;
    int code = reference_file_read(path, &t, &d, e);
    if (code)
        return code;
    json_object_set_new(file, "kind", json_string("reference log-probabilities"));
    add_description(file, &d);
    info_add(file, "content_hash", json_sprintf("%016" PRIx64, reference_hash(&t, &d)));
    add_table(file, &t);
    reference_table_free(&t);
    reference_description_free(&d);
    return OK;
}
