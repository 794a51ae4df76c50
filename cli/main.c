/* linnet: finds the command, runs it, and reports how it went. */
#include "cli/command.h"

#include "base/file.h"
#include "base/log.h"
#include "cli/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A result that did not reach its file (a full disk) is a failure like any other. */
static int flush_results(struct error *e)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return OK;
    if (errno == 0) /* it failed earlier, and stdio has forgotten why */
        return error_set(e, ERR_IO, "standard output: cannot write all of it; is the disk full?");
    return error_set_errno(e, "standard output: cannot write");
}

/* "linnet tokenizer --help" */
static bool print_family_help(int argc, char *const *argv)
{
    struct buffer out = {0};
    bool wanted = argc == 2 && command_wants_help(1, argv + 1) && help_family(argv[0], &out);
    if (wanted)
        fputs(out.data, stdout);
    buffer_free(&out);
    return wanted;
}

static int dispatch(int argc, char *const *argv, const struct command **c, struct error *e)
{
    if (argc == 0 || strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0) {
        static char *const help[] = {"help"};
        return dispatch(1, help, c, e);
    }
    if (strcmp(argv[0], "--version") == 0) {
        puts("linnet " LINNET_VERSION);
        return OK;
    }
    if (print_family_help(argc, argv))
        return OK;
    int used;
    int code = command_find(argc, argv, c, &used, e);
    return code ? code : command_run(*c, argc - used, argv + used, e);
}

/* Ctrl-C in the middle of writing a file leaves no half of it behind. */
static void on_fatal_signal(int number)
{
    file_remove_temporaries();
    log_leave_line();
    signal(number, SIG_DFL);
    raise(number);
}

/* Where a parent closed one of the three standard streams, the next file opened would take its
 * number, and a message would end up in a checkpoint. Opened the wrong way round, such a stream still
 * fails when it is used; messages nobody wants to see may vanish. */
static void occupy_standard_streams(void)
{
    static const int modes[] = {O_WRONLY, O_RDONLY, O_WRONLY};
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", modes[fd]) != fd)
            _exit(1);
}

static void install_signals(void)
{
    static const int fatal[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < COUNT(fatal); i++)
        if (signal(fatal[i], on_fatal_signal) == SIG_IGN)
            signal(fatal[i], SIG_IGN); /* nohup */
    /* A reader that has seen enough (head) ends us quietly, even where a parent ignored it. */
    signal(SIGPIPE, SIG_DFL);
    /* A file over the user's limit is a write that fails, like any other. */
    signal(SIGXFSZ, SIG_IGN);
}

/* OpenMP's threads wait for each other by spinning, for ever by default; beside other programs each then takes the
 * time that the one it waits for needs, and a step of 32 ms takes 400 to 700 ms on two cores with two others busy.
 * 10,000 turns, half a millisecond, are long enough for the pauses of decoding, where falling asleep costs a tenth of the
 * speed (1000 turns: 11.3 tokens/s, 20,000: 12.7), and beside two busy programs train as fast as 1000 do. The library
 * reads its settings before main, so they need a second start. */
static void wait_briefly(char **argv)
{
    char path[4096];
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY"))
        return;
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0 || setenv("GOMP_SPINCOUNT", "10000", 1) != 0)
        return;
    path[n] = '\0';
    execv(path, argv); /* comes back only when that is not possible: as good without */
}

/* glibc maps a large block by itself, so that it grows without a copy and goes back to the system
 * when it is freed; but each such block freed raises what counts as large, up to 32 MB. Kept where
 * it starts, training a tokenizer takes 1 MB less, at the same speed. */
static void keep_mapping_large_blocks(void)
{
#ifdef M_MMAP_THRESHOLD
    mallopt(M_MMAP_THRESHOLD, 128 << 10);
#endif
}

int main(int argc, char **argv)
{
    wait_briefly(argv);
    keep_mapping_large_blocks();
    occupy_standard_streams();
    install_signals();
    const struct command *c = NULL;
    struct error e = {0};
    int code = dispatch(argc - 1, argv + 1, &c, &e);
    if (!code)
        code = flush_results(&e);
    else
        fflush(stdout);
    if (!code)
        return 0;
    if (code == ERR_INTERRUPTED) { /* the user's own wish: no error, but not done either */
        fprintf(stderr, "linnet: %s\n", e.message);
        return 130;
    }
    struct buffer line = {0}; /* a message may quote a hostile file */
    append_visible(&line, e.message, strlen(e.message), sizeof e.message);
    log_error("%s", line.data);
    buffer_free(&line);
    if (code != ERR_USAGE)
        return 1;
    fprintf(stderr, "Try 'linnet %s%s--help'.\n", c ? c->name : "", c ? " " : "");
    return 2;
}
