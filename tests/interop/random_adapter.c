/* A random adapter for a model, in both forms, of all its layers but embedding and experts.
 *
 *     random_adapter MODEL OUT.gguf OUT-peft
 *     random_adapter head MODEL OUT-peft   of the output layer alone; exit status 3 where that is not the embedding
 *     random_adapter seeds DIRECTORY       small ones for tests/fuzz/fuzz_adapter.c
 */
#include "model/load.h"
#include "tests/fuzz/adapter_base.h"
#include "tests/lora/random.h"

#include <stdio.h>
#include <string.h>

static int make(const char *path, const char *gguf, const char *peft, struct error *e)
{
    struct model m;
    struct lora_adapter a;
    int code = model_load(path, WEIGHTS_MAPPED, &m, NULL, e);
    if (code)
        return code;
    code = random_adapter(&m, false, false, 11, &a, e);
    if (!code) {
        code = lora_write_gguf(&a, "example", gguf, e);
        if (!code)
            code = lora_write_peft(&a, path, peft, e);
        lora_free(&a);
    }
    model_free(&m);
    return code;
}

static int make_head(const char *path, const char *peft, bool *tied, struct error *e)
{
    struct model m;
    struct lora_adapter a;
    struct rng r;
    int code = model_load(path, WEIGHTS_MAPPED, &m, NULL, e);
    if (code)
        return code;
    const struct lora_want want = {.linear = &m.head, .rank = 4, .scale = 0.5f};
    *tied = m.config.tie_word_embeddings;
    code = lora_init(&a, &m, &want, 1, e);
    if (!code) {
        lora_initialize(&a, 11);
        rng_init(&r, 12, 12);
        rng_fill_normal(&r, a.pairs->b->value, 4 * m.head.weight->rows, 0.3f);
        code = lora_write_peft(&a, path, peft, e);
        lora_free(&a);
    }
    model_free(&m);
    return code;
}

static int make_seeds(const char *directory, struct error *e)
{
    int code = OK;
    for (size_t i = 0; i < ADAPTER_BASES && !code; i++) {
        struct model m;
        struct lora_adapter a;
        code = adapter_base(i, &m, e);
        if (!code)
            code = random_adapter(&m, false, i % 2, 3, &a, e);
        if (code)
            return code;
        char *path = mem_printf("%s/good-%s.gguf", directory, model_architecture(&m.config)->name);
        code = lora_write_gguf(&a, "seed", path, e);
        mem_free(path);
        lora_free(&a);
        model_free(&m);
    }
    return code;
}

int main(int argc, char **argv)
{
    struct error e = {0};
    bool tied = true;
    if (argc == 4 && strcmp(argv[1], "head") == 0 && make_head(argv[2], argv[3], &tied, &e) == OK)
        return tied ? 0 : 3;
    if ((argc == 3 && strcmp(argv[1], "seeds") == 0 && make_seeds(argv[2], &e) == OK) ||
        (argc == 4 && make(argv[1], argv[2], argv[3], &e) == OK))
        return 0;
    fprintf(stderr, "random_adapter: %s\n", e.message[0] ? e.message : "MODEL OUT.gguf OUT-peft | head MODEL OUT-peft | seeds DIRECTORY");
    return 1;
}
