/* Broken invariants: a bug in linnet, never bad input. CHECK stays in release builds, prints the
 * place and aborts. */
#ifndef LINNET_BASE_CHECK_H
#define LINNET_BASE_CHECK_H

#define CHECK(condition) \
    ((condition) ? (void)0 : check_failed(__FILE__, __LINE__, #condition))

_Noreturn void check_failed(const char *file, int line, const char *condition);

#endif
