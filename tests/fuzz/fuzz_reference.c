/* A reference's file as it is, read; what was accepted is a sorted table of log-probabilities. */
#include "align/reference_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct reference_table t;
    struct reference_description d;
    struct error e = {0};
    char path[64];
    int fd = memfd_create("reference", 0);
    if (fd < 0 || write(fd, bytes, n) != (ssize_t)n)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int code = reference_file_read(path, &t, &d, &e);
    if (code && (!e.message[0] || strchr(e.message, '\n')))
        abort();
    for (size_t i = 0; !code && i < t.count; i++)
        if (reference_table_find(&t, t.keys[i]) != i || !(t.logps[i] <= 0) || !isfinite(t.logps[i]) || t.n_targets[i] == 0)
            abort();
    if (!code && reference_check(&d, d.model_hash, d.tokenizer_hash + 1, "f", &e) == OK)
        abort();
    if (!code) {
        reference_table_free(&t);
        reference_description_free(&d);
    }
    close(fd);
    return 0;
}
