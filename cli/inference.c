#include "cli/inference.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "lora/load.h"
#include "model/load.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int adapter_split(const char *word, char **path, float *scale, struct error *e)
{
    const char *equals = strrchr(word, '=');
    char *end = NULL;
    *scale = 1;
    *path = NULL;
    if (!equals || file_exists(word)) {
        *path = mem_string(word);
        return OK;
    }
    double number = strtod(equals + 1, &end);
    if (end == equals + 1 || *end || !isfinite((float)number))
        return error_set(e, ERR_USAGE, "--adapter %s: expected a number after the \"=\", found \"%s\"", word, equals + 1);
    *path = mem_string_n(word, (size_t)(equals - word));
    *scale = (float)number;
    return OK;
}

void adapters_free(struct lora_adapter *adapters, size_t n)
{
    for (size_t i = 0; i < n; i++)
        lora_free(&adapters[i]);
    mem_free(adapters);
}

int adapters_load(const struct option_strings *words, struct model *m, struct lora_adapter **adapters, struct error *e)
{
    struct lora_adapter *loaded = mem_zero(words->count + 1, sizeof *loaded);
    size_t n = 0;
    int code = OK;
    for (; n < words->count && !code; n += !code) {
        char *path;
        float scale;
        code = adapter_split(words->items[n], &path, &scale, e);
        if (!code)
            code = lora_load(path, m, &loaded[n], e);
        if (!code)
            loaded[n].strength = scale;
        mem_free(path);
    }
    if (code)
        adapters_free(loaded, n);
    else
        *adapters = loaded;
    return code;
}

static void detach_all(struct inference *in)
{
    for (size_t i = in->n_adapters; i-- > 0;)
        lora_detach(&in->adapters[i]);
}

int inference_set_adapters(struct inference *in, const struct option_strings *adapters, struct error *e)
{
    struct lora_adapter *loaded = NULL;
    int code = adapters_load(adapters, &in->model, &loaded, e);
    if (code)
        return code;
    detach_all(in);
    adapters_free(in->adapters, in->n_adapters);
    in->adapters = loaded;
    in->n_adapters = adapters->count;
    for (size_t i = 0; i < in->n_adapters; i++)
        lora_attach(&loaded[i]);
    return OK;
}

int inference_load(const char *path, const struct option_strings *adapters, bool exact, struct inference *in,
                   struct error *e)
{
    *in = (struct inference){0};
    int code = model_load(path, WEIGHTS_MAPPED, &in->model, &in->tokenizer, e);
    if (code)
        return code;
    if (!exact)
        model_use_integers(&in->model);
    if (model_interleave(&in->model, e) != OK) /* slower, and nothing is lost */
        log_warn("%s: the weights stay in their file's order, in which they are slower: %s", path, e->message);
    code = inference_set_adapters(in, adapters, e);
    if (code)
        inference_free(in);
    return code;
}

void inference_free(struct inference *in)
{
    detach_all(in);
    adapters_free(in->adapters, in->n_adapters);
    model_free(&in->model);
    tokenizer_free(in->tokenizer);
    *in = (struct inference){0};
}

size_t inference_context(const struct model *m, size_t wanted)
{
    enum { USUAL = 4096 };
    size_t trained = m->config.max_position_embeddings;
    if (wanted && trained && wanted > trained)
        log_warn("--context %zu is more than the %zu tokens the model was made for", wanted, trained);
    if (wanted)
        return wanted;
    return trained && trained < USUAL ? trained : USUAL;
}
