/* What tokenizer.json puts around its vocabulary: normalizer, pre_tokenizer, post_processor,
 * decoder, and the switches of the model. Only stacks that we tokenise exactly are accepted. */
#ifndef LINNET_TOKENIZER_JSON_COMPONENTS_H
#define LINNET_TOKENIZER_JSON_COMPONENTS_H

#include "base/json.h"
#include "tokenizer/tokenizer.h"

struct components {
    enum splitter splitter;
    bool nfc, space_prefix, fuse_unknown, ignore_merges;
    const char *bos; /* put before each text; NULL for none. Owned by the JSON */
};

/* ERR_FORMAT names the component that is not supported. */
int json_components_read(const json_t *root, struct components *c, struct error *e);

#endif
