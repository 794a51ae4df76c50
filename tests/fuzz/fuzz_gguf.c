/* gguf_parse on arbitrary bytes, then every value and every byte of every tensor. */
#include "base/memory.h"
#include "formats/gguf.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static volatile unsigned sink;

static void touch(const unsigned char *p, size_t n)
{
    unsigned sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += p[i];
    sink = sum;
}

static void touch_kv(const struct gguf *g, const struct gguf_kv *kv)
{
    char *key = mem_string_n(kv->key.data, kv->key.size), *text = NULL;
    size_t size = 0;
    double number = 0;
    bool flag = false;
    struct error e;
    gguf_get_size(g, key, &size, &e);
    gguf_get_double(g, key, &number, &e);
    gguf_get_bool(g, key, &flag, &e);
    gguf_get_string(g, key, &text, &e);
    if (strlen(key) == kv->key.size && gguf_find(g, key) != kv)
        abort();
    mem_free(text);
    mem_free(key);
    for (size_t i = 0; i < kv->count; i++) {
        if (kv->item_type == GGUF_STRING)
            touch((const unsigned char *)kv->strings[i].data, kv->strings[i].size);
        else if (kv->item_type == GGUF_F32)
            sink = gguf_array_f32(kv, i) > 0;
        else if (kv->item_type == GGUF_F64)
            touch(kv->data + 8 * i, 8);
        else
            sink = (unsigned)gguf_array_int(kv, i);
    }
}

static void touch_tensor(const struct gguf *g, const struct gguf_tensor *t)
{
    char *name = mem_string_n(t->name.data, t->name.size);
    if (strlen(name) == t->name.size && gguf_find_tensor(g, name) != t)
        abort();
    mem_free(name);
    touch(t->data, t->n_bytes);
    if (t->n_elements != t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3])
        abort();
    size_t n = dtype_info(t->type)->block;
    float values[256];
    if (dtype_to_f32(t->type, t->data, values, n))
        touch((const unsigned char *)values, n * sizeof *values);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct gguf g;
    struct error e = {0};
    if (gguf_parse(bytes, n, &g, &e) != OK) {
        if (!e.message[0] || strchr(e.message, '\n') || e.code != ERR_FORMAT)
            abort();
        return 0;
    }
    for (size_t i = 0; i < g.n_kv; i++)
        touch_kv(&g, &g.kv[i]);
    for (size_t i = 0; i < g.n_tensors; i++)
        touch_tensor(&g, &g.tensors[i]);
    gguf_close(&g);
    return 0;
}
