#include "export/quantize.h"

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "export/gguf.h"
#include "kernels/quantize.h"
#include "tokenizer/regex.h"

#include <string.h>

static bool can_be_written(enum dtype type)
{
    return quantize_supports(type) || type == DTYPE_F32 || type == DTYPE_F16 || type == DTYPE_BF16;
}

int quantize_type_parse(const char *flag, const char *name, enum dtype *type, struct error *e)
{
    const struct dtype_info *info = dtype_by_name(name);
    if (info && can_be_written(info->type)) {
        *type = info->type;
        return OK;
    }
    const char *names[64];
    char list[256] = "";
    size_t n = 0;
    for (int i = 0; i < 64; i++)
        if (dtype_info(i) && can_be_written((enum dtype)i)) {
            names[n] = dtype_info(i)->name;
            strcat(strcat(list, n ? ", " : ""), names[n]);
            n++;
        }
    const char *near = nearest_name(name, names, n);
    if (near)
        return error_set(e, ERR_USAGE, "%s: there is no type \"%.32s\"; did you mean %s?", flag, name, near);
    return error_set(e, ERR_USAGE, "%s: there is no type \"%.32s\" for a matrix; one of %s", flag, name, list);
}

/* The types of all tensors, worked out before anything is written. */
struct plan {
    const struct quantize_options *options;
    struct weight_sources weights;
    struct mix_facts facts;
    struct regex **patterns; /* one for each override */
    size_t *n_found;         /* matrices that one decided about or would have, but for an earlier one */
    struct regex_scratch *scratch;
    size_t n_fallbacks, n_unweighed;
    const char *first_fallback, *first_unweighed; /* names */
    enum dtype wanted, given; /* of the first fallback */
};

static int compile_patterns(struct plan *p, struct error *e)
{
    const struct quantize_options *o = p->options;
    p->patterns = mem_zero(o->n_overrides, sizeof *p->patterns);
    p->n_found = mem_zero(o->n_overrides, sizeof *p->n_found);
    p->scratch = regex_scratch_new();
    for (size_t i = 0; i < o->n_overrides; i++) {
        const char *pattern = o->overrides[i].pattern;
        int code = regex_compile(pattern, strlen(pattern), false, &p->patterns[i], e);
        if (code) {
            error_prefix(e, "--tensor-type %s", pattern);
            return e->code = ERR_USAGE;
        }
    }
    return OK;
}

static void plan_free(struct plan *p)
{
    for (size_t i = 0; p->patterns && i < p->options->n_overrides; i++)
        regex_free(p->patterns[i]);
    mem_free(p->patterns);
    mem_free(p->n_found);
    regex_scratch_free(p->scratch);
    weight_sources_free(&p->weights);
}

/* The override that decides about a tensor, or NULL. */
static const struct type_override *find_override(struct plan *p, const char *name)
{
    const struct type_override *first = NULL;
    for (size_t i = 0; i < p->options->n_overrides; i++) {
        struct regex_matches matches = {.regex = p->patterns[i], .scratch = p->scratch, .text = name,
                                        .n = strlen(name)};
        if (!regex_next(&matches))
            continue;
        p->n_found[i]++;
        if (!first)
            first = &p->options->overrides[i];
    }
    return first;
}

static enum dtype choose_type(struct plan *p, const struct tensor *t)
{
    const struct quantize_options *o = p->options;
    const struct type_override *override = find_override(p, t->name);
    if (o->embedding_type != NO_TYPE && strcmp(t->name, "token_embd.weight") == 0)
        return (enum dtype)o->embedding_type;
    if (o->output_type != NO_TYPE &&
        (strcmp(t->name, "output.weight") == 0 || (p->facts.tied && strcmp(t->name, "token_embd.weight") == 0)))
        return (enum dtype)o->output_type;
    if (override)
        return override->type;
    return o->pure ? o->mix->type : mix_type(o->mix, &p->facts, t);
}

static void plan_types(struct plan *p)
{
    for (size_t i = 0; i < p->weights.list.n_tensors; i++) {
        const struct tensor *t = &p->weights.list.tensors[i];
        if (t->vector)
            continue; /* f32 in every file */
        enum dtype wanted = choose_type(p, t), given = mix_fallback(wanted, t->cols);
        p->weights.sources[i].type = given;
        if (given != wanted && p->n_fallbacks++ == 0) {
            p->first_fallback = t->name;
            p->wanted = wanted;
            p->given = given;
        }
    }
}

static int check_overrides(const struct plan *p, struct error *e)
{
    for (size_t i = 0; i < p->options->n_overrides; i++)
        if (p->n_found[i] == 0)
            return error_set(e, ERR_USAGE,
                             "--tensor-type %s: no matrix of this model has that in its name, which is as in GGUF "
                             "files: blk.0.attn_q.weight, output.weight, ...", p->options->overrides[i].pattern);
    return OK;
}

static int check_source(const struct model *m, const struct quantize_options *o, struct error *e)
{
    for (size_t i = 0; i < m->n_params && !o->requantize; i++)
        if (dtype_info(m->params[i].type)->block > 1)
            return error_set(e, ERR_USAGE,
                             "%s is %s already; quantise the model it was made from, or allow what is lost twice "
                             "with --requantize", m->params[i].name, dtype_info(m->params[i].type)->name);
    return OK;
}

static bool is_embedding_or_output(const char *name)
{
    return strcmp(name, "token_embd.weight") == 0 || strcmp(name, "output.weight") == 0;
}

/* Every entry must be of this model. llama-imatrix may measure the output layer under either of its names. */
static int check_importance(const struct plan *p, struct error *e)
{
    const struct imatrix *im = p->options->importance;
    for (size_t i = 0; im && i < im->n_entries; i++) {
        const struct imatrix_entry *entry = &im->entries[i];
        const struct tensor *t = tensor_list_find(&p->weights.list, entry->name);
        if (!t && is_embedding_or_output(entry->name))
            continue;
        if (!t)
            return error_set(e, ERR_FORMAT,
                             "%s: is of another model: it has %s, which this model does not",
                             p->options->importance_name, entry->name);
        const size_t experts = t->n_dims == 3 ? t->shape[0] : 1, wanted = experts * t->cols;
        if (entry->n != wanted)
            return error_set(e, ERR_FORMAT,
                             "%s: is of another model: %s has %zu columns there and %zu in this model",
                             p->options->importance_name, entry->name, entry->n, wanted);
    }
    return OK;
}

static void plan_importance(struct plan *p)
{
    for (size_t i = 0; p->options->importance && i < p->weights.list.n_tensors; i++) {
        struct weight_source *s = &p->weights.sources[i];
        if (s->tensor->vector || !quantize_weighs(s->type))
            continue;
        const struct imatrix_entry *entry = imatrix_find(p->options->importance, s->tensor->name);
        s->importance = entry ? entry->values : NULL;
        if (!entry && !is_embedding_or_output(s->tensor->name) && p->n_unweighed++ == 0)
            p->first_unweighed = s->tensor->name;
    }
}

static void warn(const struct plan *p)
{
    const struct quantize_options *o = p->options;
    if (p->n_fallbacks)
        log_warn("%zu %s %s columns that are no whole blocks of the wanted type; a larger type stands in: %s is %s "
                 "instead of %s%s", p->n_fallbacks, p->n_fallbacks == 1 ? "matrix" : "matrices",
                 p->n_fallbacks == 1 ? "has" : "have", p->first_fallback, dtype_info(p->given)->name,
                 dtype_info(p->wanted)->name, p->n_fallbacks == 1 ? "" : ", and so on");
    if (p->n_unweighed)
        log_warn("%s: has nothing about %zu of the matrices (%s%s); they are quantised without",
                 o->importance_name, p->n_unweighed, p->first_unweighed, p->n_unweighed == 1 ? "" : ", and others");
    if (o->mix->type == DTYPE_MXFP4 && p->facts.n_experts == 0 && !o->pure)
        log_warn("the mix %s is made for models with experts: it keeps all other matrices in q8_0; --pure makes all "
                 "of them %s", o->mix->name, dtype_info(o->mix->type)->name);
}

/* What llama-quantize says about where the importance came from. */
static void put_importance_keys(struct gguf_writer *w, const struct quantize_options *o)
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

static int write_plan(struct plan *p, const struct model *m, const struct tokenizer *t, const char *path,
                      const struct export_report *r, struct error *e)
{
    struct progress progress;
    struct gguf_writer *w = gguf_writer_new();
    progress_start(&progress, p->options->merge ? "merge" : "quantise", (double)r->n_weights);
    for (size_t i = 0; i < p->weights.list.n_tensors; i++)
        p->weights.sources[i].progress = &progress;
    put_importance_keys(w, p->options);
    int code = export_gguf_weights(m, t, &p->weights, p->options->mix->file_type, p->options->name, w, path, e);
    if (!code)
        progress_finish(&progress, "");
    gguf_writer_free(w);
    return code;
}

int quantize_model(const struct model *m, const struct tokenizer *t, const struct quantize_options *o,
                   const char *path, struct export_report *report, struct error *e)
{
    struct plan p = {.options = o};
    const struct export_options as_f32 = {.type = DTYPE_F32, .merge = o->merge};
    int code = check_source(m, o, e);
    if (!code)
        code = merge_check(o->merge, m, CONTAINER_GGUF, e);
    if (code)
        return code;
    weight_sources_init(&p.weights, m, CONTAINER_GGUF, model_architecture(&m->config)->head_in_gguf, &as_f32);
    p.facts = mix_facts_of(m, &p.weights.list, o->importance != NULL);
    code = compile_patterns(&p, e);
    if (!code) {
        plan_types(&p);
        code = check_overrides(&p, e);
    }
    if (!code)
        code = check_importance(&p, e);
    if (!code) {
        plan_importance(&p);
        weight_sources_report(&p.weights, report);
        report->n_fallbacks = p.n_fallbacks;
        warn(&p);
        code = write_plan(&p, m, t, path, report, e);
    }
    plan_free(&p);
    return code;
}
