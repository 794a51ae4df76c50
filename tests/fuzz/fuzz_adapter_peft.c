/* An adapter as PEFT writes it: adapter_config.json, a line feed, and a file of safetensors; as an adapter of three kinds
 * of models. */
#include "lora/load.h"
#include "tests/fuzz/adapter_base.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void read_it(const json_t *config, const struct safetensors *s, size_t i)
{
    struct model m;
    struct lora_adapter a;
    struct error e = {0};
    if (adapter_base(i, &m, &e) != OK)
        abort();
    int code = lora_read_peft(config, s, &m, &a, &e);
    if (code && (!e.message[0] || strchr(e.message, '\n')))
        abort();
    if (!code) {
        lora_attach(&a);
        lora_detach(&a);
        lora_free(&a);
    }
    model_free(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    const uint8_t *end = n ? memchr(bytes, '\n', n) : NULL;
    struct safetensors s;
    struct error e = {0};
    json_t *config = NULL;
    if (!end || json_parse((const char *)bytes, (size_t)(end - bytes), &config, &e) != OK)
        return 0;
    size_t rest = n - (size_t)(end + 1 - bytes);
    unsigned char *copy = malloc(rest ? rest : 1); /* of its own, so that reading past it is seen */
    if (!copy)
        abort();
    memcpy(copy, end + 1, rest);
    if (safetensors_parse(copy, rest, &s, &e) == OK) {
        for (size_t i = 0; i < ADAPTER_BASES; i++)
            read_it(config, &s, i);
        safetensors_close(&s);
    }
    free(copy);
    json_decref(config);
    return 0;
}
