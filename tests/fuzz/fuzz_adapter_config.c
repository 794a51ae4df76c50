/* adapter_config.json, and what it says of some modules. */
#include "lora/peft.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const char *const modules[] = {"model.layers.0.self_attn.q_proj", "lm_head", ""};
    struct peft_config c;
    struct error e = {0};
    json_t *root = NULL;
    if (json_parse((const char *)bytes, n, &root, &e) != OK)
        return 0;
    int code = peft_config_read(root, &c, &e);
    for (size_t i = 0; i < 3 && !code; i++)
        for (size_t rank = 1; rank <= 8; rank *= 2) {
            double scale = 1;
            code = peft_config_scale(&c, modules[i], rank, &scale, &e);
            if (!code && isnan(scale))
                abort();
            if (code && (!e.message[0] || strchr(e.message, '\n')))
                abort();
            code = OK;
        }
    if (code && (!e.message[0] || strchr(e.message, '\n')))
        abort();
    peft_config_free(&c);
    json_decref(root);
    return 0;
}
