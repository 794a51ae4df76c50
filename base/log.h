/* What linnet says to a person, all on stderr: notes, warnings, and one progress line.
 *
 * On a terminal the progress line is redrawn in place, as wide as there is room; elsewhere, and with
 * TERM=dumb, it is printed as a plain line now and then. Notes and warnings printed while it is shown go above it. */
#ifndef LINNET_BASE_LOG_H
#define LINNET_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

void log_set_quiet(bool quiet); /* only warnings and errors from here on */
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2))); /* cli/ alone */

/* Before a signal ends the process: the shell's prompt gets a line of its own. Async-signal-safe. */
void log_leave_line(void);

double clock_seconds(void); /* monotonic */

struct progress {
    const char *label; /* "tokenize"; borrowed, must outlive the progress */
    double total, done;
    double first;          /* what was already done at the start: no part of the pace */
    double started, shown; /* clock_seconds */
    double plain_interval; /* seconds between plain lines when stderr is no terminal */
    bool terminal;
};

void progress_start(struct progress *p, const char *label, double total);
/* Shows `done` of `total`, an estimate of the time left, and `detail` (may be ""): parts, the most
 * important first, with " · " between them. Cheap: redraws ten times a second at most. Call from one thread. */
void progress_update(struct progress *p, double done, const char *detail);
/* The last state for good, with the time it took, and a new line. */
void progress_finish(struct progress *p, const char *detail);

/* "1h 02m", "3m 07s", "12s" into `text`, and "1.2M", "34.5k" likewise; both return text. */
char *format_duration(double seconds, char text[32]);
char *format_count(double n, char text[32]);
char *format_bytes(double n, char text[32]); /* "1.5 GB", powers of ten */

#endif
