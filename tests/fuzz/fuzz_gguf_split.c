/* Bytes that hold two GGUF images, the second from the second magic on, as the parts of a model:
 * both parsed and joined, then every tensor found by its name. */
#include "base/memory.h"
#include "formats/gguf_private.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static volatile unsigned sink;

static void check(const struct gguf *g)
{
    for (size_t i = 0; i < g->n_tensors; i++) {
        const struct gguf_tensor *t = &g->tensors[i];
        char *name = mem_string_n(t->name.data, t->name.size);
        if (strlen(name) == t->name.size && gguf_find_tensor(g, name) != t)
            abort();
        mem_free(name);
        unsigned sum = 0;
        for (size_t k = 0; k < t->n_bytes; k++)
            sum += t->data[k];
        sink = sum;
    }
    for (size_t i = 0; i < g->n_kv; i++)
        if (g->kv[i].item_type == GGUF_STRING && g->kv[i].count)
            sink = (unsigned)g->kv[i].strings[0].size;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct gguf parts[2] = {{0}}, whole;
    struct error e = {0};
    size_t second = 4, fault;
    while (second + 4 <= n && memcmp(bytes + second, "GGUF", 4) != 0)
        second++;
    if (second + 4 > n)
        return 0;
    if (gguf_parse(bytes, second, &parts[0], &e) == OK &&
        gguf_parse(bytes + second, n - second, &parts[1], &e) == OK) {
        if (gguf_join(parts, 2, &whole, &fault, &e) == OK) {
            check(&whole);
            gguf_close(&whole);
        } else if (!e.message[0] || strchr(e.message, '\n') || e.code != ERR_FORMAT || fault > 1) {
            abort();
        }
    }
    gguf_close(&parts[0]);
    gguf_close(&parts[1]);
    return 0;
}
