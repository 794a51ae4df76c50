#include "cli/answer_grade.h"

#include "base/memory.h"
#include "cli/answer_command.h"
#include "cli/command.h"

#include <stdlib.h>
#include <string.h>

#define FIELD(member) offsetof(struct grade_flags, member)

static const char *const check_names[] = {"exact", "regex", "command", "graded", NULL};

const struct option grade_rows[GRADE_ROWS] = {
    {.key = "check", .flag = "--check", .type = OPTION_ENUM, .offset = FIELD(check), .choices = check_names,
     .help = "what makes an answer right: exact (its final answer is the row's), regex (--pattern matches), command "
             "(--command says so), or graded (its own member \"right\" does)"},
    {.key = "answer_field", .flag = "--answer-field", .type = OPTION_STRING, .offset = FIELD(answer_field),
     .default_value = "answer", .placeholder = "NAME", .help = "exact: member of the row that holds the right answer"},
    {.key = "final", .flag = "--final", .type = OPTION_STRING, .offset = FIELD(final), .placeholder = "REGEX",
     .help = "exact: the final answer is what the first (...) of this finds last (default: what follows the last "
             "####, else the whole text)"},
    {.key = "pattern", .flag = "--pattern", .type = OPTION_STRING, .offset = FIELD(pattern), .placeholder = "REGEX",
     .help = "regex: what a right answer matches, where the row has no member \"pattern\""},
    {.key = "command", .flag = "--command", .type = OPTION_STRING, .offset = FIELD(command), .placeholder = "CMD",
     .help = "command: for /bin/sh; reads the row as a line of JSON with the answer as \"sample\", and ends with status 0 "
             "where it is right, 1 where it is wrong"},
    {.key = "timeout", .flag = "--timeout", .type = OPTION_FLOAT, .offset = FIELD(timeout), .default_value = "10",
     .minimum = 0.01, .maximum = 1e6, .placeholder = "SECONDS",
     .help = "command: an answer that takes longer to check is wrong"},
    {.key = "jobs", .flag = "--jobs", .type = OPTION_SIZE, .offset = FIELD(jobs), .minimum = 1, .maximum = 1024,
     .help = "command: so many at a time (default: --threads)"},
};

/* Flags that only one check takes. */
static const struct {
    const char *key, *flag;
    enum grade_by by;
} owners[] = {
    {"answer_field", "--answer-field", GRADE_EXACT}, {"final", "--final", GRADE_EXACT},
    {"pattern", "--pattern", GRADE_REGEX},           {"command", "--command", GRADE_COMMAND},
    {"timeout", "--timeout", GRADE_COMMAND},         {"jobs", "--jobs", GRADE_COMMAND},
};

int grader_open(struct grader *g, const struct grade_flags *f, const struct options *all, size_t threads, struct error *e)
{
    *g = (struct grader){.flags = f, .n_at_once = f->jobs ? f->jobs : threads};
    int code = OK;
    for (size_t i = 0; i < COUNT(owners) && !code; i++)
        if (owners[i].by != (enum grade_by)f->check && option_given(all, "", owners[i].key))
            code = error_set(e, ERR_USAGE, "%s goes with --check %s, not with --check %s", owners[i].flag,
                             check_names[owners[i].by], check_names[f->check]);
    if (!code && f->check == GRADE_COMMAND)
        code = option_require(all, "", "command", e);
    if (!code)
        code = answer_check_open(&g->check, f->check == GRADE_REGEX ? ANSWER_PATTERN : ANSWER_EXACT, f->answer_field,
                                 f->final, f->pattern, e);
    return code;
}

void grader_close(struct grader *g)
{
    answer_check_close(&g->check);
}

/* Which sample of its row it is, counted from 1. */
static size_t number_of(const struct graded *items, size_t i)
{
    size_t number = 1;
    while (i > 0 && items[i - 1].row == items[i].row)
        i--, number++;
    return number;
}

static int say_where(const struct graded *items, size_t i, struct error *e)
{
    return error_prefix(e, "%s:%zu: sample %zu", items[i].path, items[i].line, number_of(items, i));
}

static int grade_one(const struct grader *g, struct graded *item, struct error *e)
{
    if (g->flags->check != GRADE_GRADED)
        return answer_check(&g->check, item->row, json_string_value(json_object_get(item->sample, "text")), &item->right, e);
    const json_t *right = json_object_get(item->sample, "right");
    item->right = json_is_true(right);
    return json_is_boolean(right) ? OK : error_set(e, ERR_FORMAT, "\"right\" must be true or false");
}

/* The row as the command reads it. */
static char *command_input(const struct graded *item)
{
    json_t *row = json_copy((json_t *)item->row);
    json_object_del(row, "samples");
    json_object_set(row, "sample", json_object_get(item->sample, "text"));
    char *text = json_dumps(row, 0);
    json_decref(row);
    return text;
}

static int grade_by_command(const struct grader *g, struct graded *items, size_t n, struct error *e)
{
    struct command_job *jobs = mem_zero(n, sizeof *jobs);
    size_t failed = SIZE_MAX;
    for (size_t i = 0; i < n; i++) {
        char *text = command_input(&items[i]), *line = mem_printf("%s\n", text);
        jobs[i] = (struct command_job){.input = line, .n = strlen(line)};
        free(text);
    }
    int code = commands_run(g->flags->command, jobs, n, g->n_at_once, g->flags->timeout, &failed, e);
    if (code && failed != SIZE_MAX && code != ERR_INTERRUPTED)
        say_where(items, failed, e);
    for (size_t i = 0; i < n; i++) {
        items[i].right = jobs[i].verdict == COMMAND_RIGHT;
        items[i].late = jobs[i].verdict == COMMAND_LATE;
        mem_free((char *)jobs[i].input);
    }
    mem_free(jobs);
    return code;
}

int grader_grade(const struct grader *g, struct graded *items, size_t n, struct error *e)
{
    if (g->flags->check == GRADE_COMMAND)
        return grade_by_command(g, items, n, e);
    for (size_t i = 0; i < n; i++) {
        items[i].late = false;
        int code = grade_one(g, &items[i], e);
        if (code)
            return say_where(items, i, e);
    }
    return OK;
}
