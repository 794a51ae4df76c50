/* A reference's file as it is, read; what was accepted is a sorted table of log-probabilities. */
#include "align/reference_file.h"
#include "tests/fuzz/hdf5_input.h"

#include <math.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct reference_table t;
    struct reference_description d;
    struct error e = {0};
    int code = reference_file_read(hdf5_input(bytes, n), &t, &d, &e);
    if (code) {
        if (!e.message[0] || strchr(e.message, '\n') || strstr(e.message, "real path"))
            abort();
        return 0;
    }
    for (size_t i = 0; i < t.count; i++)
        if (reference_table_find(&t, t.keys[i]) != i || !(t.logps[i] <= 0) || !isfinite(t.logps[i]) || t.n_targets[i] == 0)
            abort();
    if (reference_check(&d, d.model_hash, d.tokenizer_hash + 1, "f", &e) == OK)
        abort();
    reference_table_free(&t);
    reference_description_free(&d);
    return 0;
}
