/* Reading models: a run directory or one of its checkpoints, a Hugging Face directory, a GGUF file.
 * Every tensor is found through the parameter table and checked against the configuration before
 * its bytes are touched. */
#ifndef LINNET_MODEL_LOAD_H
#define LINNET_MODEL_LOAD_H

#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "model/tensors.h"
#include "tokenizer/tokenizer.h"

struct hdf5_file;

/* Loads the model at `path`, its weights as asked for, and its tokenizer when `tokenizer` is not
 * NULL. A run directory means its best checkpoint, or the last where none was evaluated; its weights are in own memory in
 * any case: with WEIGHTS_F32 those that trained, else what the model computed with, which is the same but where the run
 * trained for blocks. The caller frees both (model_free, tokenizer_free); on failure nothing is
 * left to free. */
int model_load(const char *path, enum weights weights, struct model *m,
               struct tokenizer **tokenizer, struct error *e);

/* The file that mapped weights lie in: of one of the two containers. */
struct model_file {
    struct safetensors safetensors;
    struct gguf gguf;
};
void model_file_close(struct model_file *f); /* NULL is fine */

/* The `model:` section of a run's configuration; its other sections are not looked at. */
int model_config_parse(const char *yaml, struct model_config *c, struct error *e);

/* Values as datasets "weights/NAME" of an HDF5 file, for checkpoints. */
int params_write_hdf5(const struct param_list *l, struct hdf5_file *f, struct error *e);
int params_read_hdf5(const struct param_list *l, struct hdf5_file *f, struct error *e);
/* What the model computes with instead of a parameter's values, as dataset "computed/TYPE/NAME": its bytes, (rows, bytes of
 * a row). The matrix's rows lie side by side (CHECK). */
int param_write_computed(const struct param *p, const struct matrix *m, struct hdf5_file *f, struct error *e);
/* The same back, of this type; *found: it is there at all. */
int param_read_computed(const struct param *p, enum dtype type, struct hdf5_file *f, void *to, bool *found, struct error *e);

/* The files of a run directory; caller frees. */
char *run_file(const char *run, const char *name);
#define RUN_CONFIG "config.yaml"
#define RUN_TOKENIZER "tokenizer.json"
#define RUN_SHARD "shard.h5"
#define RUN_REFERENCE "reference.h5" /* align/reference_file.h */
#define RUN_METRICS "metrics.jsonl"
#define RUN_LAST "checkpoints/last.h5"
#define RUN_BEST "checkpoints/best.h5"

#endif
