/* Errors of the first kind: bad input or a bad environment.
 *
 * A function that can fail this way returns an error code (0 is success) and fills the caller's
 * `struct error` with one clear line: what went wrong, where (path, key, line, offset), and what
 * to try. Callers pass the struct down and the code up; only cli/ prints it. */
#ifndef LINNET_BASE_ERROR_H
#define LINNET_BASE_ERROR_H

enum error_code {
    OK = 0,
    ERR_USAGE,  /* wrong flag or configuration: exit status 2 */
    ERR_IO,     /* the operating system refused: open, read, write, full disk */
    ERR_FORMAT, /* a file's content is malformed or does not fit */
    ERR_MEMORY, /* a planned allocation cannot be had */
    ERR_INTERRUPTED,
};

struct error {
    enum error_code code;
    char message[1024];
};

/* In all three, a line that is too long ends in "...", cut between two characters, and control characters are
 * spelled out (\n, \x1b), so that it stays one line whatever it quotes.
 *
 * Stores the formatted line in `e` (may be NULL) and returns `code`, so that a failing function
 * can `return error_set(...)`. */
int error_set(struct error *e, enum error_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "formatted: " before the line already in `e`, keeps its code, and returns that code. */
int error_prefix(struct error *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends the operating system's reason: "...: No space left on device". Uses errno. */
int error_set_errno(struct error *e, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
