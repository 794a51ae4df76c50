/* A random model of one of the families in tests/model/architectures.h, as a GGUF file in f32 and as a Hugging
 * Face directory.
 *
 *     random_model list
 *     random_model NAME TOKENIZER.json OUT.gguf OUT-hf
 */
#include "export/gguf.h"
#include "export/hf.h"
#include "tests/model/architectures.h"

#include <stdio.h>

static int make(const struct example *x, const char *tokenizer_path, const char *gguf, const char *hf,
                struct error *e)
{
    struct tokenizer *t = NULL;
    struct model_config c;
    struct model m = {0};
    struct export_options o = {.type = DTYPE_F32, .name = "example", .force = true};
    int code = tokenizer_read_json(tokenizer_path, &t, e);
    if (!code)
        code = example_config(x, tokenizer_vocab_size(t), &c, e);
    if (!code)
        code = model_init(&m, &c, e);
    if (!code)
        code = model_allocate(&m, e);
    if (!code) {
        example_weights(&m, 7);
        code = export_gguf(&m, t, &o, gguf, e);
    }
    if (!code)
        code = export_hf(&m, t, &o, hf, e);
    model_free(&m);
    tokenizer_free(t);
    return code;
}

int main(int argc, char **argv)
{
    struct error e = {0};
    if (argc == 2 && strcmp(argv[1], "list") == 0) {
        for (size_t i = 0; i < N_EXAMPLES; i++)
            puts(examples[i].name);
        return 0;
    }
    if (argc != 5) {
        fprintf(stderr, "usage: random_model list | NAME TOKENIZER.json OUT.gguf OUT-hf\n");
        return 2;
    }
    for (size_t i = 0; i < N_EXAMPLES; i++)
        if (strcmp(examples[i].name, argv[1]) == 0) {
            int code = make(&examples[i], argv[2], argv[3], argv[4], &e);
            if (code)
                fprintf(stderr, "random_model: %s: %s\n", argv[1], e.message);
            return code ? 1 : 0;
        }
    fprintf(stderr, "random_model: no %s\n", argv[1]);
    return 2;
}
