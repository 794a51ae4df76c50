/* What tokenizer.json puts around its vocabulary: normalizer, pre_tokenizer, post_processor,
 * decoder, and the switches of the model. Known stacks become a splitter that is done by hand, all
 * others a pipeline. */
#ifndef LINNET_TOKENIZER_JSON_COMPONENTS_H
#define LINNET_TOKENIZER_JSON_COMPONENTS_H

#include "base/json.h"
#include "tokenizer/pipeline.h"
#include "tokenizer/tokenizer_internal.h"

struct components {
    enum splitter splitter;
    enum token_model model;
    bool nfc, space_prefix, fuse_unknown, ignore_merges, byte_fallback, char_level;
    const char *bos, *eos; /* put before and behind each text; NULL for none. Owned by the JSON */
    struct pipeline *pipeline; /* SPLITTER_GENERAL's; the caller's */
};

/* ERR_FORMAT names the component that is not supported; nothing is the caller's then. */
int json_components_read(const json_t *root, struct components *c, struct error *e);

#endif
