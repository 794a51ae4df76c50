/* What files hold, as JSON; `linnet info` prints that, or a screen made from it.
 *
 *     {"path": "...", "kind": "GGUF file", "bytes": 1054144,
 *      "metadata": {"general.architecture": "llama",
 *                   "tokenizer.ggml.tokens": {"type": "string", "count": 512, "first": [...]}},
 *      "tensors": [{"name": "...", "type": "f32", "shape": [512, 64], "bytes": 131072}],
 *      "totals": {"tensors": 48, "elements": 260032, "bytes": 1040128,
 *                 "types": {"f32": {"tensors": 48, "elements": 260032, "bytes": 1040128}}}}
 *
 * A model in several files is described through its index, or any part of it: "files" is their
 * number and "bytes" what they hold together. Shapes are written slowest-varying dimension first whatever the format's own order. Members that
 * a kind has no use for are absent. Text that is not UTF-8 has U+FFFD in its place. */
#ifndef LINNET_CLI_INFO_H
#define LINNET_CLI_INFO_H

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "tokenizer/tokenizer.h"

/* Describes one file by its content. ERR_FORMAT when it is damaged or of no known kind. With
 * `verify` the checksums of an HDF5 file's datasets are recomputed. */
int info_describe(const char *path, bool verify, json_t **out, struct error *e);

/* "llama" and such become lines of "metadata"; takes the reference to `value`. */
void info_add(json_t *file, const char *key, json_t *value);
/* Adds a row to "tensors" and to "totals". Dimensions slowest first. `bytes` 0: not known. */
void info_add_tensor(json_t *file, const char *name, size_t name_length, const char *type,
                     int n_dims, const size_t dims[], size_t bytes);
/* Several files stand behind this one: their number, and all their bytes. */
void info_set_files(json_t *file, size_t n, const struct file_map *maps);
bool info_is_index(const char *path); /* by its name: of safetensors shards */
/* The name of its splitter, as in a configuration. */
const char *info_splitter(const struct tokenizer *t);

/* info_run.c: whether the directory holds a run's checkpoints, and what the run is: model, tokenizer,
 * data, how far it came and its best loss. */
bool info_is_run(const char *directory);
int info_describe_run(const char *run, json_t **out, struct error *e);
/* info_dump.c: a teacher dump, a file or a folder (dump_is); with `verify` all of it is read and checked. */
int info_describe_dump(const char *path, bool verify, json_t **out, struct error *e);
/* info_reference.c: fills in what a file of a reference's log-probabilities holds; all of it is checked. */
int info_describe_reference(const char *path, json_t *file, struct error *e);
/* info_gguf.c: fills in what a GGUF file holds. */
int info_describe_gguf(const char *path, json_t *file, struct error *e);

#endif
