/* What every test file includes: cmocka and its prerequisites. */
#ifndef LINNET_TESTS_TEST_H
#define LINNET_TESTS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"

/* Fails the test with the error's own line when `code` is not OK. */
#define assert_ok(code, e)                      \
    do {                                        \
        if ((code) != OK)                       \
            fail_msg("error: %s", (e).message); \
    } while (0)

#endif
