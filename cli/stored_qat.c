#include "cli/stored_qat.h"

#include "base/memory.h"
#include "model/load.h"

#include <stdint.h>

static bool any_section(const char *section, size_t length)
{
    (void)section, (void)length;
    return true;
}

int stored_qat_read(struct stored_qat *s, const char *run, struct error *e)
{
    *s = (struct stored_qat){.section = {.name = "qat", .rows = qat_options, .n_rows = N_QAT_OPTIONS,
                                         .object = &s->options}};
    s->all = (struct options){.sections = &s->section, .n_sections = 1, .is_foreign = any_section};
    options_init(&s->all);
    char *path = run_file(run, RUN_CONFIG);
    int code = options_read_stored(&s->all, path, e);
    mem_free(path);
    return code;
}

int stored_qat_attach(struct stored_qat *s, struct model *m, struct lora_adapter *adapter, bool in_integers,
                      struct error *e)
{
    static const struct param_list nothing;
    if (!s->options.types.type)
        return OK;
    s->attached = true;
    s->options.start = s->options.ramp = 0;
    s->options.memory = SIZE_MAX;
    s->options.activations = in_integers ? QAT_INT8 : QAT_EXACT;
    int code = qat_init(&s->qat, &s->options, m, &nothing, adapter, e);
    if (!code)
        code = qat_attach(&s->qat, e);
    for (size_t i = 0; !code && i < s->qat.n_matrices; i++)
        param_computed(s->qat.matrices[i].param); /* now, rather than in the first pass */
    return code;
}

void stored_qat_free(struct stored_qat *s)
{
    if (s->attached)
        qat_free(&s->qat);
    options_free(&s->all);
    *s = (struct stored_qat){0};
}

uint64_t stored_qat_hash(const struct stored_qat *s, uint64_t h)
{
    return s->attached ? qat_hash(&s->qat, h) : h;
}
