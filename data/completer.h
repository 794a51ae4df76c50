/* Whoever continues prompts: a model that does it for many at once (infer/complete_many.h), or a test. Folders that know
 * nothing of generation ask through it for what a model writes. */
#ifndef LINNET_DATA_COMPLETER_H
#define LINNET_DATA_COMPLETER_H

#include "base/error.h"
#include "tokenizer/tokenizer.h"

struct prompt {
    const int32_t *ids;    /* (n), n > 0 */
    size_t n;
    size_t max_new_tokens; /* more than 0 */
    uint64_t seed;         /* of the random numbers that its continuation is drawn with */
};

struct completer {
    void *context;
    /* out[i] becomes what continues prompts[i]: at most its max_new_tokens tokens, an end token, where one was drawn, last
     * of them. out (n) are zeroed or of an earlier call, whose memory is used again; tokens_free. A continuation depends on
     * its own prompt alone, not on which others are asked for with it. */
    int (*complete)(void *context, const struct prompt *prompts, size_t n, struct tokens *out, struct error *e);
};

#endif
