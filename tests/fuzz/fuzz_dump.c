/* A teacher dump's file as it is, opened, verified and read; what does not begin as an HDF5 file is a chunk: a byte of filters,
 * one of the elements' size, and what is stored. */
#include "base/memory.h"
#include "distill/dump.h"
#include "formats/hdf5_chunk.h"
#include "tests/fuzz/hdf5_input.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void decode_chunk(const uint8_t *bytes, size_t n)
{
    enum { CHUNK = 256 };
    struct hdf5_filters filters = {0};
    size_t capacity = hdf5_chunk_capacity(CHUNK);
    if (n < 2 || n - 2 > capacity)
        return;
    for (unsigned rest = bytes[0]; rest % 4 && filters.n < HDF5_FILTERS_MOST; rest /= 4)
        filters.order[filters.n++] = (enum hdf5_filter)(rest % 4 - 1);
    unsigned char *stored = malloc(capacity), *out = malloc(capacity);
    if (!stored || !out)
        abort();
    memcpy(stored, bytes + 2, n - 2);
    hdf5_chunk_decode(&filters, bytes[1] >> 4, 1 + bytes[1] % 8, stored, n - 2, out, CHUNK);
    free(stored);
    free(out);
}

/* What was accepted keeps what dump_read promises. */
static void read_all(struct dump *d)
{
    struct dump_rows rows = {1, d->description.most, mem_alloc(2, sizeof(size_t)), mem_alloc(d->description.most, sizeof(int32_t)),
                             mem_alloc(d->description.most, sizeof(float)), mem_alloc(1, sizeof(float))};
    struct soft_targets t;
    struct error e;
    for (size_t i = 0; i < d->n_positions && i < 1000; i++) {
        if (dump_read(d, &i, 1, &rows, &t, &e) != OK)
            abort();
        for (size_t j = 0; !t.logits && j < t.begin[1]; j++)
            if (t.ids[j] < 0 || (size_t)t.ids[j] >= t.v || (j && t.ids[j] <= t.ids[j - 1]) || !(t.log_probs[j] <= 0))
                abort();
    }
    mem_free(rows.begin);
    mem_free(rows.ids);
    mem_free(rows.log_probs);
    mem_free(rows.log_tail);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct dump d;
    struct error e = {0};
    if (n < 4 || memcmp(bytes, "\x89HDF", 4) != 0) {
        decode_chunk(bytes, n);
        return 0;
    }
    int code = dump_open(hdf5_input(bytes, n), &d, &e);
    if (!code && d.description.most < 1 << 20) {
        code = dump_verify(&d, NULL, NULL, &e);
        if (!code)
            read_all(&d);
    }
    if (code && (!e.message[0] || strchr(e.message, '\n') || strstr(e.message, "real path")))
        abort();
    dump_close(&d);
    return 0;
}
