/* The one option mechanism: a table row is a configuration key, a flag, a default, a line of help
 * and a line of the reference, all at once.
 *
 * Rows describe the fields of a plain struct. Rows with a common theme form a section; a
 * configuration file holds `section:` blocks of `key: value` lines. A section with the name ""
 * has flags only. Values come from several sources; a stronger one wins in whatever order they are
 * applied: flag > --set > configuration file > configuration of a run that is continued > default.
 *
 *     static const struct option rows[] = {
 *         {"hidden_size", "--hidden-size", OPTION_SIZE, offsetof(struct config, hidden_size),
 *          .default_value = "256", .minimum = 1, .placeholder = "N", .help = "width of the model"},
 *     };
 *     struct option_section sections[] = {
 *         {.name = "model", .rows = rows, .n_rows = 1, .object = &config, .help = "The model"}};
 *     struct options o = {.sections = sections, .n_sections = 1};
 *     options_init(&o);
 *     ... options_apply_flags(&o, argc, argv, &positionals, &e) ...
 *     options_free(&o);
 */
#ifndef LINNET_BASE_OPTIONS_H
#define LINNET_BASE_OPTIONS_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/yaml.h"

#include <stdbool.h>
#include <stddef.h>

/* The field, and how it is written. */
enum option_type {
    OPTION_BOOL,    /* bool: true or false; --flag and --no-flag */
    OPTION_SIZE,    /* size_t: 4096, 1_000_000, 20M (k, M, G: powers of 1000) */
    OPTION_INT,     /* int */
    OPTION_FLOAT,   /* double: 0.1, 3e-4 */
    OPTION_STRING,  /* char *, owned; NULL when nothing was given (YAML null) */
    OPTION_ENUM,    /* int: index into `choices` */
    OPTION_STRINGS, /* struct option_strings, owned */
    OPTION_NUMBERS, /* struct option_numbers */
};

struct option_strings {
    char **items;
    size_t count, capacity;
};
void option_strings_add(struct option_strings *s, const char *item); /* copies */
void option_strings_free(struct option_strings *s);

enum { OPTION_MOST_NUMBERS = 512 };
struct option_numbers { /* the limits are those of each item */
    size_t count;
    double items[OPTION_MOST_NUMBERS];
};

struct option {
    const char *key;  /* within the section; "rope_scaling.factor" for a nested one.
                         Flags outside a configuration name a key too, for option_given */
    const char *flag; /* "--hidden-size", or NULL: configuration only */
    enum option_type type;
    size_t offset;              /* of the field in the section's object */
    const char *default_value;  /* as it would be written; NULL: false, the first choice, no string,
                                   no strings, and for a number 0, which then means "not given" even
                                   outside the limits (YAML null). Several strings: by commas.
                                   Numbers have no default but none */
    double minimum, maximum;    /* inclusive; equal: no limits; maximum < minimum: no upper
                                   one. An upper limit of 1e12 or more is not shown */
    const char *const *choices; /* OPTION_ENUM: names, NULL-terminated */
    const char *placeholder;    /* "N", "FILE", "TOKENS" in help; NULL: one for the type */
    const char *help;           /* one sentence without a capital or a full stop */
    char letter;                /* short form, 'c' for -c; 0: none */
};

enum option_source {
    OPTION_FROM_DEFAULT,
    OPTION_FROM_STORED, /* the configuration of the run that is continued, or a preset */
    OPTION_FROM_FILE,
    OPTION_FROM_SET,
    OPTION_FROM_FLAG,
};

struct option_origin {
    enum option_source source;
    char *where; /* "configs/x.yaml:12", "--set", "--hidden-size"; NULL for a default */
};

struct option_section {
    const char *name; /* "model", or "" for flags without a configuration key */
    const struct option *rows;
    size_t n_rows;
    void *object;     /* the struct that the offsets refer to */
    const char *help; /* heading in help and reference: "Model" */
    /* Keys whose flags this command offers, NULL-terminated; NULL: all. The other rows can be set
     * by the file and --set alone, so that a configuration written for one command serves another.
     */
    const char *const *flags_of;
    /* What --help shows as the default of some keys where the command settles them itself: key, text, key, text, ...,
     * NULL. NULL: none. */
    const char *const *settled;
    struct option_origin *origins; /* private, n_rows; made by options_init */
};

struct options {
    struct option_section *sections;
    size_t n_sections;
    /* Asked about a section that is not among these: true when some other command reads it. Then a
     * file may hold it, and its entries are skipped. NULL: never. */
    bool (*is_foreign)(const char *section, size_t length);
};

/* Whether the row can be set by a flag here. */
bool option_has_flag(const struct option_section *s, const struct option *row);

/* Sets every field to its default (fields of owned types must not hold anything yet). Broken
 * tables (a default that does not parse, a flag or key twice) fail a CHECK. */
void options_init(struct options *o);
/* Frees strings in the objects, and the origins. Harmless on options never initialised. */
void options_free(struct options *o);

/* Every function below that takes text fails with ERR_USAGE and one line that says where the value
 * came from, what was expected, and for an unknown name the nearest known one. */

/* Applies entries read from `path` (shown in errors). */
int options_apply_yaml(struct options *o, const struct yaml *y, const char *path, struct error *e);
/* Reads and applies a file; a file that is not YAML or cannot be read is an error too. */
int options_read_yaml(struct options *o, const char *path, struct error *e);
/* The same for the configuration stored with a run, which is stronger than defaults alone. */
int options_read_stored(struct options *o, const char *path, struct error *e);
/* Entries as strong as those; `path` says in errors where they are from. */
int options_apply_stored(struct options *o, const struct yaml *y, const char *path, struct error *e);
/* One "section.key=value"; a list is written [a, b]. Repeated for a list, it appends. */
int options_apply_set(struct options *o, const char *assignment, struct error *e);
/* Flags, which may stand before, between and after positionals; "--" ends them. `--flag value` and
 * `--flag=value`. A list's flag appends when repeated; one whose placeholder ends in "..." takes
 * all values up to the next flag. A value that begins with a dash needs the form with "=", but for
 * numbers. Positionals are added to `positionals` (owned by the caller); NULL: there may be none.
 */
int options_apply_flags(struct options *o, int argc, char *const *argv,
                        struct option_strings *positionals, struct error *e);

/* Whether a value was given at all (its source is not the default), and from where: "the default"
 * or the origin's `where`. The section and key must exist (CHECK). */
bool option_given(const struct options *o, const char *section, const char *key);
enum option_source option_source(const struct options *o, const char *section, const char *key);
const char *option_where(const struct options *o, const char *section, const char *key);
/* ERR_USAGE "missing --data PATH: files to read" unless it was given. */
int option_require(const struct options *o, const char *section, const char *key, struct error *e);

/* Appends the resolved configuration as YAML: sections and keys in table order, flags-only
 * sections left out. Reading it back gives identical values. */
void options_print_yaml(const struct options *o, struct buffer *out);
/* Appends the flags, grouped by section, wrapped to `width` columns. */
void options_print_help(const struct options *o, size_t width, struct buffer *out);
/* Appends `text` from column `at`, broken at spaces, later lines from column `margin`, and a newline. */
void options_print_wrapped(const char *text, size_t at, size_t margin, size_t width, struct buffer *out);
/* Appends the Markdown reference of all configuration sections. */
void options_print_markdown(const struct options *o, struct buffer *out);
/* One value, without a section around it (options_value.c). Parsing stores into the row's field,
 * with `append` at the end of a list; on failure, "expected a number from 0 to 1, found "x"", the
 * field is unchanged. With a NULL object it only checks. `is_null`: YAML's null, which strings and
 * numbers without a default accept. */
int option_parse_value(const struct option *row, const char *text, bool is_null, bool append,
                       void *object, struct error *e);
/* As it would be written in a file; "null" for no string and for a number not given. */
void option_print_value(const struct option *row, const void *object, struct buffer *out);
/* "N", "FILE": what stands for the value in help and errors. */
const char *option_placeholder(const struct option *row);
/* "a number from 0 to 1": what a value of this row must be. */
void option_describe_type(const struct option *row, struct buffer *out);

/* The candidate that `name` most likely meant (restricted Damerau-Levenshtein distance of at most
 * a third of its length, or of 1), or NULL. */
const char *nearest_name(const char *name, const char *const *candidates, size_t n);

#endif
