/* A reference's file as it is, read; what was accepted is a sorted table of log-probabilities. HDF5 wants a file with a name
 * of its own: one that is open alone, /proc/self/fd, it does not find. */
#include "align/reference_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* HDF5 1.10 forgets memory over a damaged file, which is not ours to free. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libhdf5";
}

static char path[] = "/tmp/linnet-fuzz-reference-XXXXXX";

static void remove_file(void)
{
    unlink(path);
}

static void write_input(const uint8_t *bytes, size_t n)
{
    static int fd = -1;
    if (fd < 0) {
        fd = mkstemp(path);
        atexit(remove_file);
    }
    if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, bytes, n, 0) != (ssize_t)n)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct reference_table t;
    struct reference_description d;
    struct error e = {0};
    write_input(bytes, n);
    int code = reference_file_read(path, &t, &d, &e);
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
