/* linnet help: the overview, one command's screen, the reference of the configuration. */
#include "cli/command.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

size_t help_width(void)
{
    struct winsize w;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) != 0 || w.ws_col == 0)
        return 80;
    return w.ws_col < 60 ? 60 : w.ws_col > 100 ? 100 : w.ws_col;
}

static void print_row(const struct command *c, struct buffer *out)
{
    buffer_printf(out, "  %-20s %s\n", c->name, c->summary);
}

void help_overview(struct buffer *out)
{
    buffer_string(out, "linnet " LINNET_VERSION
                       ": train, fine-tune, distil, align, quantise and run small language models\n\n"
                       "Usage: linnet COMMAND [FLAGS]\n");
    const char *group = "";
    for (const struct command *const *c = commands; *c; c++) {
        if (strcmp((*c)->group, group) != 0)
            buffer_printf(out, "\n%s:\n", (*c)->group);
        group = (*c)->group;
        print_row(*c, out);
    }
    buffer_string(out, "\nlinnet COMMAND --help explains one command.\n");
}

bool help_family(const char *word, struct buffer *out)
{
    size_t n = strlen(word);
    bool found = false;
    for (const struct command *const *c = commands; *c; c++)
        if (strcmp((*c)->name, word) == 0)
            return false;
    for (const struct command *const *c = commands; *c; c++) {
        if (!n || strncmp((*c)->name, word, n) != 0 || (*c)->name[n] != ' ')
            continue;
        if (!found)
            buffer_printf(out, "Usage: linnet %s COMMAND [FLAGS]\n\n", word);
        found = true;
        print_row(*c, out);
    }
    if (found)
        buffer_printf(out, "\nlinnet %s COMMAND --help explains one command.\n", word);
    return found;
}

/* Prose is filled to the width, indented lines (examples) stay as they are. */
static void print_notes(const char *notes, size_t width, struct buffer *out)
{
    size_t column = 0;
    while (*notes) {
        size_t line = strcspn(notes, "\n");
        if (line == 0 || *notes == ' ') {
            buffer_string(out, column ? "\n" : "");
            buffer_append(out, notes, line);
            buffer_byte(out, '\n');
            column = 0;
        } else {
            for (const char *word = notes, *end = notes + line; word < end;) {
                size_t n = strcspn(word, " \n");
                bool breaks = column && column + 1 + n > width;
                buffer_string(out, breaks ? "\n" : column ? " " : "");
                column = (breaks || !column ? 0 : column + 1) + n;
                buffer_append(out, word, n);
                word += n + strspn(word + n, " ");
            }
        }
        notes += line + (notes[line] == '\n');
    }
    buffer_string(out, column ? "\n" : "");
}

void help_command(const struct command *c, const struct options *o, size_t width,
                  struct buffer *out)
{
    buffer_printf(out, "linnet %s: %s\n\n", c->name, c->summary);
    buffer_printf(out, "Usage: linnet %s%s%s\n\n", c->name, *c->usage ? " " : "", c->usage);
    options_print_help(o, width, out);
    if (c->notes) {
        buffer_byte(out, '\n');
        print_notes(c->notes, width, out);
    }
    if (c->more)
        c->more(width, out);
}

/* Several commands may share a section; its first appearance counts. */
static bool already_listed(const struct option_section *sections, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(sections[i].name, name) == 0)
            return true;
    return false;
}

void help_configuration(struct buffer *out)
{
    struct option_section sections[64];
    size_t n = 0;
    for (const struct command *const *c = commands; *c; c++)
        for (size_t i = 0; i < (*c)->n_sections && n < COUNT(sections); i++) {
            const struct option_section *s = &(*c)->sections[i];
            if (*s->name && !already_listed(sections, n, s->name))
                sections[n++] = *s;
        }
    buffer_string(
        out,
        "# Configuration\n\n"
        "A configuration file is YAML: a block for each section below, `key: value` lines in it.\n"
        "`-c FILE` reads one. A flag is stronger than `--set section.key=value`, which is "
        "stronger\n"
        "than the file, which is stronger than the default. Whole numbers may be written\n"
        "`1_000_000` or `1M` (k, M, G: powers of 1000).\n\n"
        "This page is written by `linnet help --configuration`.\n\n");
    for (size_t i = 0; i < n; i++)
        sections[i].flags_of = NULL;
    const struct options o = {.sections = sections, .n_sections = n};
    options_print_markdown(&o, out);
}

static struct {
    bool configuration;
} flags;

static const struct option rows[] = {
    {.key = "configuration",
     .flag = "--configuration",
     .type = OPTION_BOOL,
     .help = "print the reference of all configuration keys as Markdown"},
};
static struct option_section sections[] = {
    {.name = "", .rows = rows, .n_rows = COUNT(rows), .object = &flags, .help = "Flags"},
};

/* The screen of one command, or the list of those whose name begins with the word. */
static int print_command(const struct option_strings *words, struct buffer *out, struct error *e)
{
    const struct command *c;
    int used;
    if (words->count == 1 && help_family(words->items[0], out))
        return OK;
    int code = command_find((int)words->count, words->items, &c, &used, e);
    if (code)
        return code;
    if (used < (int)words->count)
        return error_set(e, ERR_USAGE, "unexpected argument \"%.200s\"", words->items[used]);
    struct command_options o;
    if (c == &command_help) { /* its options are in use at this moment */
        help_overview(out);
        return OK;
    }
    command_options_init(c, &o);
    help_command(c, &o.options, help_width(), out);
    command_options_free(&o);
    return OK;
}

static int run(const struct command_input *in, struct error *e)
{
    struct buffer out = {0};
    int code = OK;
    if (flags.configuration)
        help_configuration(&out);
    else if (in->positionals.count)
        code = print_command(&in->positionals, &out, e);
    else
        help_overview(&out);
    if (!code)
        fputs(out.data, stdout);
    buffer_free(&out);
    return code;
}

const struct command command_help = {
    .name = "help",
    .group = "Other",
    .summary = "explain a command, or list all configuration keys",
    .usage = "[COMMAND] [--configuration]",
    .takes_positionals = true,
    .sections = sections,
    .n_sections = COUNT(sections),
    .run = run,
};
