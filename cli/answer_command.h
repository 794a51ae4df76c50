/* A program of the user's that says whether answers are right: run through /bin/sh for each, several at a time. */
#ifndef LINNET_CLI_ANSWER_COMMAND_H
#define LINNET_CLI_ANSWER_COMMAND_H

#include "base/error.h"

#include <stddef.h>

enum command_verdict { COMMAND_WRONG, COMMAND_RIGHT, COMMAND_LATE };

struct command_job {
    const char *input; /* (n) what it reads from standard input, a file */
    size_t n;
    enum command_verdict verdict;
};

/* Runs `command` for each job, at most n_at_once (more than 0) at a time, and begins them in order. The exit status 0 is
 * right, 1 is wrong; one that takes longer than `timeout` seconds is killed and late. Each is a process group of its own, of
 * which nothing is left when its shell has ended. Standard output leads nowhere, errors go where ours do.
 *
 * ERR_FORMAT: another exit status, or a signal; *failed is then the first such job (of those begun, and none is begun after
 * it). ERR_INTERRUPTED after Ctrl-C (train/interrupt.h), ERR_IO when the system refuses a process. In any case no process is
 * left. Not from several threads at once. */
int commands_run(const char *command, struct command_job *jobs, size_t n, size_t n_at_once, double timeout, size_t *failed,
                 struct error *e);

#endif
