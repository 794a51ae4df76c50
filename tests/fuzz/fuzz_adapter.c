/* A GGUF file as an adapter of three kinds of models. */
#include "lora/load.h"
#include "tests/fuzz/adapter_base.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct gguf g;
    struct error e = {0};
    if (gguf_parse(bytes, n, &g, &e) != OK)
        return 0;
    for (size_t i = 0; i < ADAPTER_BASES; i++) {
        struct model m;
        struct lora_adapter a;
        if (adapter_base(i, &m, &e) != OK)
            abort();
        int code = lora_read_gguf(&g, &m, &a, &e);
        if (code && (!e.message[0] || strchr(e.message, '\n')))
            abort();
        if (!code) {
            lora_attach(&a);
            lora_detach(&a);
            lora_free(&a);
        }
        model_free(&m);
    }
    gguf_close(&g);
    return 0;
}
