/* The folder of a test program: `make_directory` and `remove_directory` are setup and teardown, of its group or of each
 * test. */
#ifndef LINNET_TESTS_DIRECTORY_H
#define LINNET_TESTS_DIRECTORY_H

#include "tests/folder.h"

#include <stdlib.h>

static char directory[64];

static int make_directory(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/linnet-test-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    remove_files(directory);
    return 0;
}

/* Of a file there, on the heap. */
__attribute__((unused)) static char *path_of(const char *name)
{
    return path_join(directory, name);
}

#endif
