/* config.json, as transformers writes it, in both directions. */
#ifndef LINNET_MODEL_HF_CONFIG_H
#define LINNET_MODEL_HF_CONFIG_H

#include "base/json.h"
#include "model/config.h"

/* The configuration of a parsed config.json, checked. Both the older form (rope_theta, rope_scaling) and
 * transformers 5's (rope_parameters); of a model of several kinds of input its text_config. ERR_FORMAT names
 * the key; what would change the numbers and linnet does not have is refused. */
int hf_config_read(const json_t *root, struct model_config *c, struct error *e);

/* A new object with everything that describes the architecture; the caller adds what is known of tokens
 * and types. */
json_t *hf_config_write(const struct model_config *c);

#endif
