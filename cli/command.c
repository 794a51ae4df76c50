#include "cli/command.h"

#include "base/check.h"
#include "base/cpu.h"
#include "base/log.h"
#include "kernels/gemm.h"

#include <stdio.h>
#include <string.h>

/* Options of every command. */
static struct {
    size_t threads;
    bool quiet, help;
} common;

static const struct option common_rows[] = {
    {.key = "threads",
     .flag = "--threads",
     .type = OPTION_SIZE,
     .offset = offsetof(__typeof__(common), threads),
     .minimum = 1,
     .maximum = 1024,
     .help = "threads to compute with (default: one for each physical core)"},
    {.key = "quiet",
     .flag = "--quiet",
     .letter = 'q',
     .type = OPTION_BOOL,
     .offset = offsetof(__typeof__(common), quiet),
     .help = "no progress and no notes, only warnings and errors"},
    {.key = "help",
     .flag = "--help",
     .letter = 'h',
     .type = OPTION_BOOL,
     .offset = offsetof(__typeof__(common), help),
     .help = "this screen"},
};

/* Of every command that has a configuration. */
static struct {
    struct option_strings files, assignments;
} configuration;

static const struct option configuration_rows[] = {
    {.key = "config",
     .flag = "--config",
     .letter = 'c',
     .type = OPTION_STRINGS,
     .offset = offsetof(__typeof__(configuration), files),
     .placeholder = "FILE",
     .help = "read this configuration; where several set a key, the last one counts"},
    {.key = "set",
     .flag = "--set",
     .type = OPTION_STRINGS,
     .offset = offsetof(__typeof__(configuration), assignments),
     .placeholder = "KEY=VALUE",
     .help = "set one key, for instance train.seed=7; linnet help --configuration lists them"},
};

static bool has_configuration(const struct command *c)
{
    for (size_t i = 0; i < c->n_sections; i++)
        if (*c->sections[i].name)
            return true;
    return false;
}

/* A configuration may hold the sections of every command: one file serves a whole project. */
static bool some_command_reads(const char *section, size_t length)
{
    for (const struct command *const *c = commands; *c; c++)
        for (size_t i = 0; i < (*c)->n_sections; i++) {
            const char *name = (*c)->sections[i].name;
            if (length && strlen(name) == length && strncmp(name, section, length) == 0)
                return true;
        }
    return false;
}

void command_options_init(const struct command *c, struct command_options *o)
{
    size_t n = 0;
    CHECK(c->n_sections + 2 <= COUNT(o->sections));
    for (size_t i = 0; i < c->n_sections; i++)
        o->sections[n++] = c->sections[i];
    if (has_configuration(c))
        o->sections[n++] = (struct option_section){.name = "",
                                                   .rows = configuration_rows,
                                                   .n_rows = COUNT(configuration_rows),
                                                   .object = &configuration,
                                                   .help = "Configuration"};
    o->sections[n++] = (struct option_section){.name = "",
                                               .rows = common_rows,
                                               .n_rows = COUNT(common_rows),
                                               .object = &common,
                                               .help = "For every command"};
    o->options = (struct options){o->sections, n, some_command_reads};
    options_init(&o->options);
}

void command_options_free(struct command_options *o)
{
    options_free(&o->options);
}

static int apply_configuration(struct options *o, struct error *e)
{
    int code = OK;
    for (size_t i = 0; i < configuration.files.count && !code; i++)
        code = options_read_yaml(o, configuration.files.items[i], e);
    for (size_t i = 0; i < configuration.assignments.count && !code; i++)
        code = options_apply_set(o, configuration.assignments.items[i], e);
    return code;
}

/* Asked for before anything is parsed: help must come whatever else is on the line. */
bool command_wants_help(int argc, char *const *argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

static void print_help(const struct command *c, const struct options *o)
{
    struct buffer out = {0};
    help_command(c, o, help_width(), &out);
    fputs(out.data, stdout);
    buffer_free(&out);
}

int command_run(const struct command *c, int argc, char *const *argv, struct error *e)
{
    struct command_options o;
    struct command_input in = {.options = &o.options};
    int code = OK;
    command_options_init(c, &o);
    if (command_wants_help(argc, argv)) {
        print_help(c, &o.options);
        goto done;
    }
    code = options_apply_flags(&o.options, argc, argv,
                               c->takes_positionals ? &in.positionals : NULL, e);
    if (!code)
        code = apply_configuration(&o.options, e);
    if (code)
        goto done;
    log_set_quiet(common.quiet);
    in.threads = common.threads ? (int)common.threads : cpu_default_threads();
    kernels_set_threads(in.threads);
    code = c->run(&in, e);
done:
    option_strings_free(&in.positionals);
    command_options_free(&o);
    return code;
}
