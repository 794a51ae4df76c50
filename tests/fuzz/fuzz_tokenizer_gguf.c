/* GGUF metadata from anywhere: a vocabulary that is accepted must encode and decode without harm.
 */
#include "formats/gguf.h"
#include "tests/fuzz/tokenizer_use.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gguf g;
    struct tokenizer *t;
    struct error e;
    if (gguf_parse(data, size, &g, &e) == OK) {
        if (tokenizer_from_gguf(&g, &t, &e)) {
            CHECK(t == NULL);
            check_one_line(&e);
        } else {
            use_tokenizer(t);
        }
    }
    gguf_close(&g);
    return 0;
}
