/* config.json: what is read can be written, and is then read as the same. */
#include "base/json.h"
#include "model/hf_config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static struct model_config c, again;
    struct error e = {0};
    json_t *root = NULL;
    if (json_parse((const char *)bytes, n, &root, &e) != OK)
        return 0;
    int code = hf_config_read(root, &c, &e);
    json_decref(root);
    if (code) {
        if (!e.message[0] || strchr(e.message, '\n'))
            abort();
        return 0;
    }
    root = hf_config_write(&c);
    if (hf_config_read(root, &again, &e) != OK || again.architecture != c.architecture ||
        again.num_hidden_layers != c.num_hidden_layers || again.head_dim != c.head_dim ||
        again.sliding_window != c.sliding_window || again.rope_scaling.type != c.rope_scaling.type ||
        again.num_experts != c.num_experts)
        abort();
    json_decref(root);
    return 0;
}
