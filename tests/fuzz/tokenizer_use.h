/* Shared with the fuzzer of GGUF vocabularies. */
#ifndef LINNET_TESTS_FUZZ_TOKENIZER_USE_H
#define LINNET_TESTS_FUZZ_TOKENIZER_USE_H

#include "base/buffer.h"
#include "base/check.h"
#include "base/memory.h"
#include "tokenizer/tokenizer.h"

#include <string.h>

/* Encodes and decodes a little of everything, and frees the tokenizer. */
static inline void use_tokenizer(struct tokenizer *t)
{
    static const char text[] =
        "Hello  world, it's 123!\r\n \xE2\x96\x81\xC3\xA9\xFF<s></s><|endoftext|>A"
        "e\xCC\x81\xCC\xA3 \xE1\x84\x92\xE1\x85\xA1 \xEF\xAC\x81ne <sep> aal \xF0\x9F\x91\xA9\xE2\x80\x8D"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaxy";
    struct tokens ids = {0};
    struct buffer back = {0};
    struct decode_stream stream = {0};
    tokenizer_encode(t, text, sizeof text - 1, true, &ids);
    size_t *begins = mem_alloc(ids.count, sizeof *begins);
    if (tokenizer_align(t, text, sizeof text - 1, ids.ids, ids.count, begins))
        for (size_t i = 0; i < ids.count; i++)
            CHECK(begins[i] < sizeof text && (i == 0 || begins[i - 1] <= begins[i]));
    mem_free(begins);
    tokenizer_encode(t, text, sizeof text - 1, false, &ids);
    for (size_t i = 0; i < ids.count; i++) {
        CHECK(ids.ids[i] >= 0 && (size_t)ids.ids[i] < tokenizer_vocab_size(t));
        decode_stream_push(&stream, t, ids.ids[i], true, &back);
    }
    decode_stream_flush(&stream, &back);
    tokenizer_decode(t, ids.ids, ids.count, false, &back);
    tokens_free(&ids);
    buffer_free(&back);
    tokenizer_free(t);
}

static inline void check_one_line(const struct error *e)
{
    CHECK(e->message[0] && !memchr(e->message, '\n', strlen(e->message)));
}

#endif
