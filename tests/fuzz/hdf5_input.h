/* An input of a fuzzer as a file with a name of its own: one that is open alone, /proc/self/fd, HDF5 does not find. */
#ifndef LINNET_TESTS_FUZZ_HDF5_INPUT_H
#define LINNET_TESTS_FUZZ_HDF5_INPUT_H

#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

/* HDF5 1.10 forgets memory over a damaged file, which is not ours to free. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libhdf5";
}

static char hdf5_input_path[] = "/tmp/linnet-fuzz-XXXXXX";

static void hdf5_input_remove(void)
{
    unlink(hdf5_input_path);
}

/* The path of a file that holds these bytes, until the next call. */
static const char *hdf5_input(const uint8_t *bytes, size_t n)
{
    static int fd = -1;
    if (fd < 0) {
        fd = mkstemp(hdf5_input_path);
        atexit(hdf5_input_remove);
    }
    if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, bytes, n, 0) != (ssize_t)n)
        abort();
    return hdf5_input_path;
}

#endif
