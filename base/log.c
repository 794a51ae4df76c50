#include "base/log.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static bool quiet_mode;
static bool line_on_screen; /* a progress line stands on the last row of the terminal */

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
    p->terminal = isatty(STDERR_FILENO);
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

static void draw_terminal(const struct progress *p, const char *detail, const char *left)
{
    enum { CELLS = 20 };
    char bar[CELLS * 4 + 1] = "", line[1024];
    double share = share_done(p);
    int filled = (int)(share * CELLS + 1e-9);
    for (int i = 0; i < CELLS; i++)
        strcat(bar, i < filled ? "█" : "░");
    snprintf(line, sizeof line, "%s ", p->label);
    size_t used = strlen(line) + CELLS + 6 + 1;
    char tail[768];
    snprintf(tail, sizeof tail, "%s%s%s", detail, *detail && *left ? " · " : "", left);
    /* ASCII but for the separators, which are two bytes for one column */
    size_t columns = 0, cut = 0, room = terminal_width();
    room = room > used ? room - used - 1 : 0;
    for (; tail[cut] && columns < room; cut++)
        columns += (tail[cut] & 0xC0) != 0x80;
    while ((tail[cut] & 0xC0) == 0x80)
        cut++;
    tail[cut] = 0;
    fprintf(stderr, "\r\033[K%s%s %3.0f%%  %s", line, bar, floor(share * 100 + 1e-9), tail);
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
