#include "cli/answer_command.h"

#include "base/log.h"
#include "base/memory.h"
#include "train/interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

struct child {
    pid_t pid;       /* and of its group; 0: none */
    size_t job;
    double deadline; /* clock_seconds */
};

struct pool {
    const char *command;
    struct command_job *jobs;
    struct child *children;
    size_t n, n_children, n_running, n_begun;
    double timeout;
    size_t failed; /* the first job that went wrong; SIZE_MAX: none */
    int code;
    struct error error;
};

/* A file without a name that holds the input, at its beginning. */
static FILE *input_file(const struct command_job *job)
{
    FILE *f = tmpfile();
    if (!f)
        return NULL;
    bool good = fcntl(fileno(f), F_SETFD, FD_CLOEXEC) == 0 && fwrite(job->input, 1, job->n, f) == job->n && fflush(f) == 0 &&
                lseek(fileno(f), 0, SEEK_SET) == 0;
    if (good)
        return f;
    int reason = errno;
    fclose(f);
    errno = reason;
    return NULL;
}

static int spawn(const char *command, int input, pid_t *pid)
{
    char *const argv[] = {"sh", "-c", (char *)command, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t defaults;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGXFSZ); /* which linnet ignores */
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_adddup2(&files, input, STDIN_FILENO);
    posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
    int reason = posix_spawn(pid, "/bin/sh", &files, &attributes, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    return reason;
}

static void fail(struct pool *p, size_t job, int code)
{
    if (p->failed != SIZE_MAX && p->failed <= job)
        return;
    p->failed = job;
    p->code = code;
}

static void begin(struct pool *p, struct child *c)
{
    size_t job = p->n_begun++;
    FILE *input = input_file(&p->jobs[job]);
    int reason = input ? spawn(p->command, fileno(input), &c->pid) : errno;
    if (input)
        fclose(input);
    if (reason) {
        errno = reason;
        c->pid = 0;
        fail(p, job, error_set_errno(&p->error, "--command: cannot be run"));
        return;
    }
    c->job = job;
    c->deadline = clock_seconds() + p->timeout;
    p->n_running++;
}

/* Ends what is left of the group, and the shell if it still runs; the shell's number is free only then. */
static int reap(struct pool *p, struct child *c)
{
    int status = 0;
    kill(-c->pid, SIGKILL);
    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
        ;
    c->pid = 0;
    p->n_running--;
    return status;
}

static void judge(struct pool *p, size_t job, const siginfo_t *info)
{
    struct error said;
    bool exited = info->si_code == CLD_EXITED;
    if (exited && (info->si_status == 0 || info->si_status == 1)) {
        p->jobs[job].verdict = info->si_status == 0 ? COMMAND_RIGHT : COMMAND_WRONG;
        return;
    }
    if (p->failed <= job)
        return;
    if (exited)
        error_set(&said, ERR_FORMAT, "--command ended with the status %d; 0 is right and 1 is wrong%s", info->si_status,
                  info->si_status == 127 ? " (127: there is no such program)" : "");
    else
        error_set(&said, ERR_FORMAT, "--command was ended by signal %d (%s)", info->si_status, strsignal(info->si_status));
    p->error = said;
    fail(p, job, ERR_FORMAT);
}

/* Whether its turn is over: it has ended, or has taken too long. */
static bool look_after(struct pool *p, struct child *c)
{
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == c->pid) {
        judge(p, c->job, &info);
    } else if (clock_seconds() >= c->deadline) {
        p->jobs[c->job].verdict = COMMAND_LATE;
    } else {
        return false;
    }
    reap(p, c);
    return true;
}

/* One look at all children; whether anything happened. Behind a failure only what began before it is waited for, so that the
 * first failure is found whatever the order in which they end. */
static bool step(struct pool *p)
{
    bool any = false;
    for (size_t i = 0; i < p->n_children; i++) {
        struct child *c = &p->children[i];
        if (c->pid && c->job > p->failed) {
            reap(p, c);
            any = true;
        } else if (c->pid) {
            any |= look_after(p, c);
        }
        if (!c->pid && p->n_begun < p->n && p->failed == SIZE_MAX) {
            begin(p, c);
            any = true;
        }
    }
    return any;
}

static void rest(double *pause)
{
    static const double shortest = 0.0002, longest = 0.005;
    *pause = *pause < shortest ? shortest : *pause * 1.5 < longest ? *pause * 1.5 : longest;
    nanosleep(&(struct timespec){.tv_nsec = (long)(*pause * 1e9)}, NULL);
}

int commands_run(const char *command, struct command_job *jobs, size_t n, size_t n_at_once, double timeout, size_t *failed,
                 struct error *e)
{
    struct pool p = {.command = command, .jobs = jobs, .n = n, .n_children = n_at_once < n ? n_at_once : n,
                     .timeout = timeout, .failed = SIZE_MAX};
    double pause = 0;
    p.children = mem_zero(p.n_children, sizeof *p.children);
    do {
        if (step(&p))
            pause = 0;
        else
            rest(&pause);
    } while ((p.n_running || (p.n_begun < n && p.failed == SIZE_MAX)) && !interrupt_requested());
    for (size_t i = 0; i < p.n_children; i++)
        if (p.children[i].pid)
            reap(&p, &p.children[i]);
    mem_free(p.children);
    *failed = p.failed;
    if (interrupt_requested())
        return error_set(e, ERR_INTERRUPTED, "interrupted");
    if (p.code)
        *e = p.error;
    return p.code;
}
