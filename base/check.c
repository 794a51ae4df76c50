#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

void check_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: internal error, please report: CHECK(%s) failed\n", file, line,
            condition);
    abort();
}
