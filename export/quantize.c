#include "export/quantize.h"

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "export/gguf.h"

#include <string.h>

static int check_piece(const struct param *p, enum dtype planned, struct error *e)
{
    if (dtype_info(p->type)->block == 1 || p->type == planned)
        return OK;
    return error_set(e, ERR_USAGE,
                     "%s is %s already, and would be %s; linnet export writes the model as it is; for other types "
                     "quantise the model it was made from, or allow what is lost twice with --requantize", p->name,
                     dtype_info(p->type)->name, dtype_info(planned)->name);
}

/* Blocks of the planned types are copied, and lose nothing. */
static int check_source(const struct type_plan *plan, struct error *e)
{
    int code = OK;
    for (size_t i = 0; i < plan->list->n_tensors && !code; i++)
        for (size_t j = 0; j < plan->list->tensors[i].n_pieces && !code; j++)
            code = check_piece(plan->list->tensors[i].pieces[j].param, plan->types[i].type, e);
    return code;
}

/* What llama-quantize says about where the importance came from. */
static void put_importance_keys(struct gguf_writer *w, const struct type_wishes *o)
{
    const struct imatrix *im = o->importance;
    if (!im)
        return;
    gguf_put_string(w, "quantize.imatrix.file", o->importance_name);
    if (im->dataset)
        gguf_put_string(w, "quantize.imatrix.dataset", im->dataset);
    gguf_put_u32(w, "quantize.imatrix.entries_count", (uint32_t)im->n_entries);
    if (im->n_chunks)
        gguf_put_u32(w, "quantize.imatrix.chunks_count", (uint32_t)im->n_chunks);
}

static int write(struct weight_sources *weights, const struct model *m, const struct tokenizer *t,
                 const struct quantize_options *o, const char *path, size_t n_weights, struct error *e)
{
    struct progress progress;
    struct gguf_writer *w = gguf_writer_new();
    progress_start(&progress, o->merge ? "merge" : "quantise", (double)n_weights);
    for (size_t i = 0; i < weights->list.n_tensors; i++)
        weights->sources[i].progress = &progress;
    put_importance_keys(w, &o->types);
    int code = export_gguf_weights(m, t, weights, o->types.mix->file_type, o->name, w, path, e);
    if (!code)
        progress_finish(&progress, "");
    gguf_writer_free(w);
    return code;
}

/* What the sources take: blocks are made of each tensor on its way into the file, or were made already. */
static int compensate(struct weight_sources *weights, struct compensation *c, struct model *m, const struct type_plan *plan,
                      const struct quantize_options *o, struct error *e)
{
    CHECK(!o->merge);
    for (size_t i = 0; i < weights->list.n_tensors; i++)
        weights->sources[i].computed = !weights->list.tensors[i].tied_head; /* which may be of another type */
    return compensate_model(c, m, plan, &o->calibration, e);
}

int quantize_model(struct model *m, const struct tokenizer *t, const struct quantize_options *o, const char *path,
                   struct export_report *report, struct error *e)
{
    struct weight_sources weights;
    struct type_plan plan;
    struct compensation compensation = {0};
    const struct export_options as_f32 = {.type = DTYPE_F32, .merge = o->merge};
    int code = merge_check(o->merge, m, CONTAINER_GGUF, e);
    if (code)
        return code;
    weight_sources_init(&weights, m, CONTAINER_GGUF, model_architecture(&m->config)->head_in_gguf, &as_f32);
    code = type_plan_init(&plan, m, &weights.list, &o->types, e);
    if (!code && !o->requantize)
        code = check_source(&plan, e);
    for (size_t i = 0; i < weights.list.n_tensors && !code; i++) {
        weights.sources[i].type = plan.types[i].type;
        weights.sources[i].importance = plan.types[i].importance;
    }
    if (!code) {
        weight_sources_report(&weights, report);
        report->n_fallbacks = plan.n_fallbacks;
        type_plan_warn(&plan);
    }
    if (!code && o->calibration.ids)
        code = compensate(&weights, &compensation, m, &plan, o, e);
    if (!code)
        code = write(&weights, m, t, o, path, report->n_weights, e);
    compensation_free(&compensation);
    type_plan_free(&plan);
    weight_sources_free(&weights);
    return code;
}
