/* The flags of everything that asks whether answers are right, and the asking. */
#ifndef LINNET_CLI_ANSWER_GRADE_H
#define LINNET_CLI_ANSWER_GRADE_H

#include "base/options.h"
#include "data/answer_check.h"

enum grade_by { GRADE_EXACT, GRADE_REGEX, GRADE_COMMAND, GRADE_GRADED };

struct grade_flags {
    int check; /* enum grade_by */
    char *answer_field, *final, *pattern, *command;
    double timeout;
    size_t jobs;
};

enum { GRADE_ROWS = 7 };
extern const struct option grade_rows[GRADE_ROWS]; /* of a struct grade_flags */

#define GRADE_SECTION(flags) \
    {.name = "", .rows = grade_rows, .n_rows = GRADE_ROWS, .object = (flags), .help = "What is right"}

struct grader {
    const struct grade_flags *flags;
    struct answer_check check;
    size_t n_at_once;
};

/* ERR_USAGE: --check lacks a flag that belongs to it, or another has no use with it; a regular expression that
 * is none. grader_close in any case. */
int grader_open(struct grader *g, const struct grade_flags *f, const struct options *all, size_t threads, struct error *e);
void grader_close(struct grader *g);

/* A sample of an answer, and what becomes of it. */
struct graded {
    const json_t *row;    /* the question's; its member "samples" is not shown to a command */
    const json_t *sample; /* object with a member "text", which holds no NUL */
    const char *path;     /* where it is, for errors */
    size_t line;
    bool right, late;     /* late: the command took too long, which counts as wrong */
};

/* Grades all of them. Errors begin with "path:line: sample K: ", counted from 1 among those of one row that follow each
 * other. As answer_check and commands_run; with --check graded ERR_FORMAT where "right" is not true or false. */
int grader_grade(const struct grader *g, struct graded *items, size_t n, struct error *e);

#endif
