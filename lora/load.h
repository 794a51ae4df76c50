/* Adapters as files: a directory of PEFT's (adapter_config.json, adapter_model.safetensors), or a GGUF file as
 * llama.cpp reads it. Facts: https://huggingface.co/docs/peft/developer_guides/checkpoint, and llama.cpp's
 * src/llama-adapter.cpp. */
#ifndef LINNET_LORA_LOAD_H
#define LINNET_LORA_LOAD_H

#include "base/json.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "lora/adapter.h"

/* Loads the adapter at `path`, a directory, the directory of a run that trained one, or a GGUF file, for this model, which it is checked against tensor by
 * tensor. Files of PEFT may have DoRA's magnitudes and whole parameters (modules_to_save). What would not be computed as
 * it was trained (adapters of the embedding or of all experts at once, weights that the training had changed at its start)
 * is refused. Errors name the file. Neither model nor adapter may move while the adapter lives; free with lora_free. */
int lora_load(const char *path, struct model *m, struct lora_adapter *a, struct error *e);

/* The same of what is in memory already. Nothing is kept of it. */
int lora_read_gguf(const struct gguf *g, struct model *m, struct lora_adapter *a, struct error *e);
int lora_read_peft(const json_t *config, const struct safetensors *s, struct model *m, struct lora_adapter *a,
                   struct error *e);

/* Writes an adapter, in f32. Layers that share a tensor in the file and have adapters of their own become one of the sum
 * of their ranks; one that began as PiSSA's becomes one of twice the rank. `base`: what the model is called, a path or an
 * identifier. ERR_USAGE where the container has no place for a part: magnitudes, whole parameters and single experts in
 * GGUF, and there an output layer that is the embedding. Weights must be there where magnitudes are (CHECK). */
int lora_write_peft(const struct lora_adapter *a, const char *base, const char *directory, struct error *e);
int lora_write_gguf(const struct lora_adapter *a, const char *name, const char *path, struct error *e);

#define ADAPTER_IN_RUN "adapter" /* of a run's directory */
/* Beside PEFT's files, which have no place for it: the base's fingerprint, {"base_fingerprint": "0123456789abcdef"}; in a
 * GGUF file it is a key. Loading on a model that has another is a warning. */
#define ADAPTER_BASE "linnet.json"
#define ADAPTER_BASE_KEY "linnet.base_fingerprint"
#define ADAPTER_CONFIG "adapter_config.json"
#define ADAPTER_WEIGHTS "adapter_model.safetensors"

#endif
