/* A GGUF file as a model: configuration, tensors where they lie, and one pass over a few tokens. */
#include "base/memory.h"
#include "formats/gguf.h"
#include "model/decoder.h"
#include "model/load_gguf.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { TOKENS = 3 };

static void compute(struct model *m)
{
    struct activations a;
    struct batch b;
    struct arena plan = {0}, arena;
    struct error e;
    activations_init(&a, m, DTYPE_F32, 1, TOKENS, KEEP_NOTHING, &plan);
    activations_free(&a);
    batch_init(&b, 1, TOKENS, &plan);
    if (arena_init(&arena, plan.used, "the fuzzer", &e))
        return;
    activations_init(&a, m, DTYPE_F32, 1, TOKENS, KEEP_NOTHING, &arena);
    batch_init(&b, 1, TOKENS, &arena);
    model_reserve_positions(m, TOKENS);
    b.first_key = NULL;
    for (int32_t i = 0; i < TOKENS; i++)
        b.positions[i] = i, b.input_ids[i] = i % (int32_t)m->config.vocab_size;
    decoder_forward(m, &a, &b, NULL, 0);
    activations_free(&a);
    arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct gguf g;
    struct model m;
    struct error e = {0};
    if (gguf_parse(bytes, n, &g, &e) != OK)
        return 0;
    int code = model_read_gguf(&g, WEIGHTS_MAPPED, &m, &e);
    if (code && (!e.message[0] || strchr(e.message, '\n')))
        abort();
    if (!code) {
        compute(&m);
        model_free(&m);
    }
    gguf_close(&g);
    return 0;
}
