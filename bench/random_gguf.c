/* A Llama model of random weights in f16, as a GGUF file: for measuring speed, which does not depend on what the weights
 * are.
 *   random_gguf OUT LAYERS HIDDEN HEADS KV_HEADS FFN VOCAB [AGREE]
 * With AGREE only the first so many blocks say anything, and say it clearly, so that a file of that many LAYERS
 * predicts what one of more LAYERS does: a draft that is always right. */
#include "base/memory.h"
#include "base/rng.h"
#include "formats/gguf.h"
#include "kernels/dtype.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct shape {
    size_t layers, hidden, heads, kv_heads, ffn, vocab, agree;
};

/* What a tensor is filled with; std 0: ones. */
struct filling {
    enum dtype type;
    size_t n;
    float std;
    uint64_t seed;
};

static int fill(void *context, void *bytes, struct error *e)
{
    enum { PIECE = 4096 };
    const struct filling *f = context;
    const size_t size = dtype_info(f->type)->block_bytes;
    struct rng rng;
    (void)e;
    rng_init(&rng, f->seed, 1);
    for (size_t i = 0; i < f->n; i += PIECE) {
        float x[PIECE];
        size_t n = f->n - i < PIECE ? f->n - i : PIECE;
        rng_fill_normal(&rng, x, n, f->std);
        for (size_t j = 0; f->std == 0 && f->type == DTYPE_F32 && j < n; j++)
            x[j] = 1;
        if (!dtype_from_f32(f->type, x, (char *)bytes + i * size, n))
            abort();
    }
    return OK;
}

static void put(struct gguf_writer *w, const char *name, size_t cols, size_t rows, float std)
{
    uint64_t seed = 1469598103934665603u; /* the same tensor in files of any number of layers */
    for (const char *c = name; *c; c++)
        seed = (seed ^ (unsigned char)*c) * 1099511628211u;
    struct filling f = {rows ? DTYPE_F16 : DTYPE_F32, cols * (rows ? rows : 1), std, seed};
    gguf_put_tensor(w, name, f.type, rows ? 2 : 1, (const size_t[]){cols, rows}, fill, gguf_writer_keep(w, &f, sizeof f));
}

static void put_layer(struct gguf_writer *w, const struct shape *s, size_t i)
{
    const size_t key = s->hidden / s->heads * s->kv_heads;
    const float out = s->agree && i >= s->agree ? 1e-9f : 0.02f; /* rounds to 0 in f16 */
    const struct {
        const char *name;
        size_t cols, rows;
        float std;
    } rows[] = {
        {"attn_norm", s->hidden, 0, 0},       {"attn_q", s->hidden, s->hidden, 0.02f},
        {"attn_k", s->hidden, key, 0.02f},    {"attn_v", s->hidden, key, 0.02f},
        {"attn_output", s->hidden, s->hidden, out}, {"ffn_norm", s->hidden, 0, 0},
        {"ffn_gate", s->hidden, s->ffn, 0.02f}, {"ffn_up", s->hidden, s->ffn, 0.02f},
        {"ffn_down", s->ffn, s->hidden, out},
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%zu.%s.weight", i, rows[r].name);
        put(w, name, rows[r].cols, rows[r].rows, rows[r].std);
    }
}

static void put_keys(struct gguf_writer *w, const struct shape *s)
{
    gguf_put_string(w, "general.architecture", "llama");
    gguf_put_u32(w, "llama.context_length", 8192);
    gguf_put_u32(w, "llama.embedding_length", (uint32_t)s->hidden);
    gguf_put_u32(w, "llama.block_count", (uint32_t)s->layers);
    gguf_put_u32(w, "llama.feed_forward_length", (uint32_t)s->ffn);
    gguf_put_u32(w, "llama.attention.head_count", (uint32_t)s->heads);
    gguf_put_u32(w, "llama.attention.head_count_kv", (uint32_t)s->kv_heads);
    gguf_put_u32(w, "llama.rope.dimension_count", (uint32_t)(s->hidden / s->heads));
    gguf_put_u32(w, "llama.vocab_size", (uint32_t)s->vocab);
    gguf_put_f32(w, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
}

/* Bytes, and words that stand for nothing. */
static void put_vocabulary(struct gguf_writer *w, size_t n)
{
    struct gguf_string *tokens = mem_alloc(n, sizeof *tokens);
    char(*text)[16] = mem_alloc(n, sizeof *text);
    float *scores = mem_alloc(n, sizeof *scores);
    int32_t *types = mem_alloc(n, sizeof *types);
    static const char *const special[] = {"<unk>", "<s>", "</s>"};
    for (size_t i = 0; i < n; i++) {
        if (i < 3)
            strcpy(text[i], special[i]);
        else
            snprintf(text[i], sizeof *text, i < 259 ? "<0x%02zX>" : "w%zu", i < 259 ? i - 3 : i);
        tokens[i] = (struct gguf_string){text[i], strlen(text[i])};
        types[i] = i == 0 ? 2 : i < 3 ? 3 : i < 259 ? 6 : 1;
        scores[i] = -(float)i;
    }
    gguf_put_string(w, "tokenizer.ggml.model", "llama");
    gguf_put_strings(w, "tokenizer.ggml.tokens", tokens, n);
    gguf_put_f32s(w, "tokenizer.ggml.scores", scores, n);
    gguf_put_i32s(w, "tokenizer.ggml.token_type", types, n);
    gguf_put_u32(w, "tokenizer.ggml.unknown_token_id", 0);
    gguf_put_u32(w, "tokenizer.ggml.bos_token_id", 1);
    gguf_put_u32(w, "tokenizer.ggml.eos_token_id", 2);
    mem_free(tokens), mem_free(text), mem_free(scores), mem_free(types);
}

int main(int argc, char **argv)
{
    size_t numbers[7] = {0};
    if (argc < 8 || argc > 9) {
        fputs("usage: random_gguf OUT LAYERS HIDDEN HEADS KV_HEADS FFN VOCAB [AGREE]\n", stderr);
        return 2;
    }
    for (int i = 2; i < argc; i++)
        numbers[i - 2] = strtoul(argv[i], NULL, 10);
    struct shape s = {numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5], numbers[6]};
    struct gguf_writer *w = gguf_writer_new();
    struct error e;
    put_keys(w, &s);
    put_vocabulary(w, s.vocab);
    put(w, "token_embd.weight", s.hidden, s.vocab, 1);
    for (size_t i = 0; i < s.layers; i++)
        put_layer(w, &s, i);
    put(w, "output_norm.weight", s.hidden, 0, 0);
    put(w, "output.weight", s.hidden, s.vocab, s.agree ? 0.3f : 0.02f);
    int code = gguf_writer_finish(w, argv[1], &e);
    if (code)
        fprintf(stderr, "random_gguf: %s\n", e.message);
    gguf_writer_free(w);
    return code != OK;
}
