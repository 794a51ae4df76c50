/* What several commands need: reading a tokenizer from wherever one may lie, lines of input, and
 * printing for machines and for a terminal. */
#ifndef LINNET_CLI_SHARED_H
#define LINNET_CLI_SHARED_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/json.h"
#include "tokenizer/tokenizer.h"

#include <stdio.h>

/* A tokenizer.json, a GGUF file, or a directory that holds tokenizer.json. The caller frees *t. */
int load_tokenizer(const char *path, struct tokenizer **t, struct error *e);

/* Whether --out may become a tokenizer or a shard, asked before the work: as file_check_target, and
 * not under a corpus file's name, so that no text is replaced by what was made of it. */
int check_output(const char *path, struct error *e);

/* The next line of `f` without its newline; false at the end, or on an error (ferror). A line may
 * hold any bytes. */
bool read_line(FILE *f, struct buffer *line);

/* Writes the value to stdout: pretty over several lines, or on one line. Takes the reference. */
void print_json(json_t *value);
void print_json_line(json_t *value);

/* Appends at most `limit` bytes of the text fit for a terminal: control characters and invalid
 * UTF-8 escaped, "..." where it was cut. */
void append_visible(struct buffer *out, const char *text, size_t n, size_t limit);

/* Ids as a JSON array. */
json_t *ids_json(const struct tokens *t);
/* A generate_emit (infer/generate.h): to stdout at once. */
void print_text(void *context, const char *text, size_t n);

/* What a model is called that lies at `path`: "stories" for "runs/stories/" and "stories.gguf". Caller frees. */
char *name_from_path(const char *path);

/* A table of where the time of so many steps went: seconds by enum profile_kind. */
void print_profile(FILE *out, const double *seconds, size_t steps);
/* The same since profile_reset. */
void print_profile_so_far(FILE *out, size_t steps);

/* ERR_USAGE when what a command is to write, --out, is a file that it reads. */
int check_out_is_not(const char *out, const char *in, struct error *e);

#endif
