/* tokenizer.model from anywhere: whatever parses must encode and decode without harm. */
#include "tests/fuzz/tokenizer_use.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tokenizer *t;
    struct error e;
    if (tokenizer_parse_sentencepiece(data, size, &t, &e)) {
        CHECK(t == NULL);
        check_one_line(&e);
    } else {
        use_tokenizer(t);
    }
    return 0;
}
