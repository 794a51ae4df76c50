/* safetensors_parse on arbitrary bytes, then every byte of every tensor. */
#include "formats/safetensors.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static volatile unsigned sink;

static void parse(const uint8_t *bytes, size_t n)
{
    struct safetensors s;
    struct error e = {0};
    if (safetensors_parse(bytes, n, &s, &e) != OK) {
        if (!e.message[0] || strchr(e.message, '\n') || e.code != ERR_FORMAT)
            abort();
        return;
    }
    for (size_t i = 0; i < s.n_tensors; i++) {
        const struct safetensors_tensor *t = &s.tensors[i];
        unsigned sum = 0;
        for (size_t k = 0; k < t->n_bytes; k++)
            sum += t->data[k];
        sink = sum;
        if (safetensors_find(&s, t->name) != t)
            abort();
        float value;
        if (t->supported && t->n_elements && dtype_to_f32(t->type, t->data, &value, 1))
            sink = value > 0;
    }
    safetensors_close(&s);
}

/* Once as it is, and once with the length in front set to where the last brace is: a mutation of
 * the header rarely keeps the two in step. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    parse(bytes, n);
    size_t end = n;
    while (end > 8 && bytes[end - 1] != '}')
        end--;
    if (end <= 8)
        return 0;
    uint8_t *copy = malloc(n);
    memcpy(copy, bytes, n);
    for (int i = 0; i < 8; i++)
        copy[i] = (uint8_t)((uint64_t)(end - 8) >> 8 * i);
    parse(copy, n);
    free(copy);
    return 0;
}
