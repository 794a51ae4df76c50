#include "cli/qat.h"

#include "base/log.h"
#include "base/memory.h"

#include <stdlib.h>

int qat_run_open(struct qat_run *r, const struct qat_options *o, struct trainer *t, struct lora_adapter *adapter,
                 struct error *e)
{
    *r = (struct qat_run){0};
    if (!o->types.type)
        return OK;
    r->open = true;
    r->view = qat_view(&r->qat);
    t->view = &r->view;
    int code = qat_init(&r->qat, o, t->model, t->params, adapter, e);
    if (!code)
        t->params = r->qat.trains;
    return code;
}

void qat_run_close(struct qat_run *r)
{
    if (r->open)
        qat_free(&r->qat);
    *r = (struct qat_run){0};
}

int qat_options_settle(const struct options *all, struct qat_options *o, struct error *e)
{
    char *real = o->types.imatrix ? realpath(o->types.imatrix, NULL) : NULL;
    if (real) {
        mem_free(o->types.imatrix);
        o->types.imatrix = mem_string(real);
    }
    free(real);
    for (size_t i = 0; i < N_QAT_OPTIONS && !o->types.type; i++)
        if (option_source(all, "qat", qat_options[i].key) > OPTION_FROM_FILE)
            log_warn("qat.%s has no effect without --qat TYPE", qat_options[i].key);
    if (o->types.type && !o->learned_scales && option_source(all, "qat", "scale_learning_rate") > OPTION_FROM_FILE)
        log_warn("qat.scale_learning_rate has no effect without --qat-learned-scales");
    return o->types.type ? type_request_expand(&o->types, e) : OK;
}

void qat_run_say(const struct qat_run *r)
{
    struct buffer text = {0};
    if (!r->open)
        return;
    type_plan_warn(&r->qat.plan);
    qat_describe(&r->qat, &text);
    log_info("qat     %s: %s", r->qat.plan.wishes->mix->name, text.data ? text.data : "every matrix stays as it is");
    if (r->qat.options->start > 0 || r->qat.options->ramp > 0)
        log_info("        from step %zu on, over %zu steps", r->qat.options->start, r->qat.options->ramp);
    if (r->qat.n_scales)
        log_info("        the scales of %zu of %zu matrices are learned", r->qat.n_scales, r->qat.n_matrices);
    buffer_free(&text);
}
