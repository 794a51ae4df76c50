/* tokenizer.json from anywhere: whatever parses must encode and decode without harm, and must come
 * back through its own writer's checks. */
#include "base/buffer.h"
#include "base/check.h"
#include "tokenizer/tokenizer.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] = "Hello  world, it's 123!\r\n \xE2\x96\x81\xC3\xA9\xFF<s></s><|endoftext|>"
                               "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    struct tokenizer *t;
    struct error e;
    if (tokenizer_parse_json((const char *)data, size, &t, &e)) {
        CHECK(t == NULL && e.message[0] && !memchr(e.message, '\n', strlen(e.message)));
        return 0;
    }
    struct tokens ids = {0};
    struct buffer back = {0};
    struct decode_stream stream = {0};
    tokenizer_encode(t, text, sizeof text - 1, true, &ids);
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
    return 0;
}
