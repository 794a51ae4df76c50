#include "cli/tuned_run.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/yaml.h"
#include "cli/stored_qat.h"
#include "lora/load.h"
#include "model/load.h"

#include <string.h>

char *tuned_run_base(const char *path)
{
    enum { CONFIG_MOST = 1 << 20 };
    char *config = run_file(path, RUN_CONFIG), *adapter = run_file(path, ADAPTER_IN_RUN "/" ADAPTER_CONFIG), *base = NULL;
    struct buffer text = {0};
    struct yaml y = {0};
    if (file_exists(adapter) && file_exists(config) && !file_read(config, &text, CONFIG_MOST, NULL) &&
        !yaml_parse(text.data, text.size, &y, NULL)) {
        const char *method = yaml_value(&y, "tune.method"), *model = yaml_value(&y, "tune.model");
        if (method && model && strcmp(method, "lora") == 0)
            base = mem_string(model);
    }
    yaml_entries_free(&y);
    buffer_free(&text);
    mem_free(config);
    mem_free(adapter);
    return base;
}

int tuned_run_template(const char *path, struct tokenizer *t, struct error *e)
{
    struct tokenizer *own = NULL;
    char *file = run_file(path, RUN_TOKENIZER);
    int code = tokenizer_read_json(file, &own, e);
    if (!code)
        tokenizer_set_chat_template(t, tokenizer_chat_template(own));
    tokenizer_free(own);
    mem_free(file);
    return code;
}

void tuned_run_warn_of_qat(const char *path)
{
    struct stored_qat stored = {0};
    char *base = tuned_run_base(path);
    if (base && !stored_qat_read(&stored, path, NULL) && stored.options.types.type)
        log_warn("--adapter %s: was trained with --qat %s, and what was trained are the rounded weights of base and adapter "
                 "together: --model %s has them", path, stored.options.types.type, path);
    stored_qat_free(&stored);
    mem_free(base);
}
