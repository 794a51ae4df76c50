#include "align/model_reference.h"

#include "align/answer_logps.h"

static int logps(void *context, struct activations *a, const struct batch *b, float *scratch, double *logps,
                 struct error *e)
{
    struct lora_adapter *adapter = ((struct model_reference *)context)->adapter;
    (void)e;
    lora_detach(adapter);
    answer_logps(adapter->model, a, b, scratch, logps);
    lora_attach(adapter);
    return OK;
}

void model_reference_init(struct model_reference *r, struct lora_adapter *adapter)
{
    *r = (struct model_reference){.reference = {.context = r, .logps = logps}, .adapter = adapter};
}
