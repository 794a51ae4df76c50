#include "base/log.h"

#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static bool quiet_mode;
static volatile sig_atomic_t line_on_screen; /* a progress line stands on the last row of the terminal */

void log_set_quiet(bool quiet)
{
    quiet_mode = quiet;
}

static void clear_line(void)
{
    if (line_on_screen)
        fputs("\r\033[K", stderr);
    line_on_screen = false;
}

static void print_line(const char *prefix, const char *format, va_list args)
{
    clear_line();
    fputs(prefix, stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
}

void log_leave_line(void)
{
    if (line_on_screen && write(STDERR_FILENO, "\n", 1) == 1)
        line_on_screen = false;
}

void log_info(const char *format, ...)
{
    if (quiet_mode)
        return;
    va_list args;
    va_start(args, format);
    print_line("", format, args);
    va_end(args);
}

void log_warn(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_line("linnet: warning: ", format, args);
    va_end(args);
}

void log_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_line("linnet: error: ", format, args);
    va_end(args);
}

double clock_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void progress_start(struct progress *p, const char *label, double total)
{
    *p = (struct progress){.label = label, .total = total, .plain_interval = 10};
    p->started = clock_seconds();
    const char *terminal = getenv("TERM");
    p->terminal = isatty(STDERR_FILENO) && !(terminal && strcmp(terminal, "dumb") == 0);
    if (p->terminal)
        p->shown = p->started - 1;
    else
        p->shown = p->started;
}

static size_t terminal_width(void)
{
    struct winsize w;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) != 0 || w.ws_col < 20)
        return 80;
    return w.ws_col;
}

static double share_done(const struct progress *p)
{
    double share = p->total > 0 ? p->done / p->total : 0;
    return share < 0 ? 0 : share > 1 ? 1 : share;
}

/* Cuts the parts, which " · " separates, after the last that fits into so many columns. They are ASCII
 * but for the separators: three columns, four bytes. */
static void keep_what_fits(char *parts, size_t columns)
{
    static const char separator[] = " · ";
    size_t used = 0, kept = 0;
    for (const char *part = parts; *part;) {
        const char *end = strstr(part, separator);
        size_t n = end ? (size_t)(end - part) : strlen(part);
        used += n + (part > parts ? 3 : 0);
        if (used > columns)
            break;
        kept = (size_t)(part - parts) + n;
        part = end ? end + strlen(separator) : part + n;
    }
    parts[kept] = 0;
}

/* What matters most comes first, so that a narrow terminal cuts off the least. */
static void draw_terminal(const struct progress *p, const char *detail, const char *left)
{
    size_t width = terminal_width(), label = strlen(p->label) + 1;
    size_t cells = width >= 120 ? 20 : width >= 40 ? 10 : 0;
    char bar[20 * 3 + 1] = "", tail[768];
    double share = share_done(p);
    size_t filled = (size_t)(share * (double)cells + 1e-9);
    for (size_t i = 0; i < cells; i++)
        strcat(bar, i < filled ? "█" : "░");
    snprintf(tail, sizeof tail, "%s%s%s", left, *detail && *left ? " · " : "", detail);
    size_t used = label + cells + (cells ? 1 : 0) + 4 + 2 + 1;
    keep_what_fits(tail, width > used ? width - used : 0);
    fprintf(stderr, "\r\033[K%s %s%s%3.0f%%  %s", p->label, bar, cells ? " " : "",
            floor(share * 100 + 1e-9), tail);
    fflush(stderr);
    line_on_screen = true;
}

void progress_update(struct progress *p, double done, const char *detail)
{
    p->done = done;
    double now = clock_seconds();
    if (quiet_mode || now - p->shown < (p->terminal ? 0.1 : p->plain_interval))
        return;
    p->shown = now;
    char left[64] = "", time[32];
    double elapsed = now - p->started, fresh = done - p->first;
    if (fresh > 0 && elapsed > 0.5)
        snprintf(left, sizeof left, "%s left",
                 format_duration(elapsed / fresh * (p->total - done), time));
    if (p->terminal)
        draw_terminal(p, detail, left);
    else
        fprintf(stderr, "%s %3.0f%%%s%s%s%s\n", p->label, floor(share_done(p) * 100), *detail ? "  " : "",
                detail, *left ? "  " : "", left);
}

void progress_finish(struct progress *p, const char *detail)
{
    if (quiet_mode)
        return;
    char time[32], took[64];
    snprintf(took, sizeof took, "%s", format_duration(clock_seconds() - p->started, time));
    if (p->terminal) {
        draw_terminal(p, detail, took);
        fputc('\n', stderr);
        line_on_screen = false;
    } else {
        fprintf(stderr, "%s %3.0f%%%s%s  %s\n", p->label, floor(share_done(p) * 100),
                *detail ? "  " : "", detail, took);
    }
}

char *format_duration(double seconds, char text[32])
{
    if (!(seconds >= 0) || seconds > 1e9)
        snprintf(text, 32, "?");
    else if (seconds < 9.95)
        snprintf(text, 32, "%.1fs", seconds);
    else if (seconds < 59.5)
        snprintf(text, 32, "%.0fs", seconds);
    else if (seconds < 3600)
        snprintf(text, 32, "%dm %02ds", (int)seconds / 60, (int)seconds % 60);
    else
        snprintf(text, 32, "%dh %02dm", (int)(seconds / 3600), (int)(seconds / 60) % 60);
    return text;
}

static char *scaled(double n, double base, const char *const units[], int n_units, char text[32])
{
    int unit = 0;
    for (; n >= base * 0.9995 && unit < n_units - 1; unit++)
        n /= base;
    if (unit == 0)
        snprintf(text, 32, "%.0f%s", n, units[0]);
    else
        snprintf(text, 32, n < 99.95 ? "%.1f%s" : "%.0f%s", n, units[unit]);
    return text;
}

char *format_count(double n, char text[32])
{
    static const char *const units[] = {"", "k", "M", "B", "T"};
    return scaled(n, 1000, units, 5, text);
}

char *format_bytes(double n, char text[32])
{
    static const char *const units[] = {" B", " kB", " MB", " GB", " TB"};
    return scaled(n, 1000, units, 5, text);
}
