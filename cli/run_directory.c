#include "cli/run_directory.h"

#include "base/file.h"
#include "base/memory.h"
#include "model/load.h"

#include <string.h>

bool run_directory_holds(const char *run, const char *name)
{
    char *path = run_file(run, name);
    bool holds = file_exists(path);
    mem_free(path);
    return holds;
}

int run_directory_check(const char *run, bool resume, struct error *e)
{
    const bool has_last = run_directory_holds(run, RUN_LAST);
    if (!has_last && run_directory_holds(run, RUN_BEST))
        return error_set(e, ERR_USAGE,
                         "%s holds a run that ended before there was a checkpoint to resume from, and its best weights so far; "
                         "remove %s/" RUN_BEST " to begin there again, or choose another --out", run, run);
    if (!resume && has_last)
        return error_set(e, ERR_USAGE,
                         "%s already holds a run; continue it with --resume, or choose another "
                         "--out", run);
    if (resume && !has_last)
        return error_set(e, ERR_USAGE,
                         "%s holds no checkpoint to resume from; without --resume the run begins", run);
    if (!resume && (run_directory_holds(run, "config.json") || run_directory_holds(run, "adapter_config.json")))
        return error_set(e, ERR_USAGE, "%s holds a model or an adapter that is no run's; choose another --out", run);
    return OK;
}

int run_directory_claim(const char *run, struct error *e)
{
    static const char *const names[] = {RUN_LAST, RUN_BEST, RUN_SHARD, RUN_REFERENCE};
    int code = dir_make(run, e);
    if (!code)
        code = dir_claim(run, e);
    for (size_t i = 0; i < sizeof names / sizeof *names && !code; i++) {
        char *path = run_file(run, names[i]);
        file_remove_leftovers(path);
        mem_free(path);
    }
    return code;
}

int run_directory_write(const char *run, const struct tokenizer *t, size_t context, const char *config, struct error *e)
{
    char *directory = run_file(run, "checkpoints");
    char *config_path = run_file(run, RUN_CONFIG);
    char *tokenizer_path = run_file(run, RUN_TOKENIZER);
    char *beside = run_file(run, "tokenizer_config.json");
    int code = dir_make(directory, e);
    if (!code)
        code = file_write(config_path, config, strlen(config), e);
    if (!code && t)
        code = tokenizer_write_json(t, tokenizer_path, e);
    if (!code && t) /* special tokens and the chat template of one from elsewhere */
        code = tokenizer_write_config_json(t, context, beside, e);
    mem_free(directory);
    mem_free(config_path);
    mem_free(tokenizer_path);
    mem_free(beside);
    return code;
}
