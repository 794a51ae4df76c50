#include "cli/command.h"

#include "base/memory.h"

#include <string.h>

const struct command *const commands[] = {
    &command_data_synth,
    &command_data_prepare,
    &command_data_check,
    &command_data_show,
    &command_data_synth_model,
    &command_tokenizer_train,
    &command_tokenizer_encode,
    &command_tokenizer_decode,
    &command_pretrain,
    &command_sft,
    &command_teacher_check, /* before the command whose name it begins with */
    &command_teacher,
    &command_distill,
    &command_sample,
    &command_data_pairs,
    &command_dpo,
    &command_reference,
    &command_generate,
    &command_chat,
    &command_serve,
    &command_eval_ppl,
    &command_eval_choices,
    &command_eval_answers,
    &command_eval_logits,
    &command_eval_export,
    &command_export,
    &command_convert,
    &command_quantize,
    &command_merge,
    &command_prune,
    &command_imatrix,
    &command_sensitivity,
    &command_info,
    &command_bench_gemm,
    &command_bench_infer,
    &command_bench_train,
    &command_bench_lora,
    &command_bench_distill,
    &command_bench_dpo,
    &command_bench_tokenizer,
    &command_help,
    NULL,
};

/* How many of the words spell the name; 0 when they do not. */
static int words_matched(const char *name, int n_words, char *const *words)
{
    int used = 0;
    while (*name) {
        size_t n = strcspn(name, " ");
        if (used >= n_words || strlen(words[used]) != n || strncmp(words[used], name, n) != 0)
            return 0;
        used++;
        name += n + (name[n] == ' ');
    }
    return used;
}

/* "train, encode, decode" for "tokenizer"; empty when no command of two words begins so. */
static void second_words(const char *first, struct buffer *out)
{
    size_t n = strlen(first);
    for (const struct command *const *c = commands; *c; c++)
        if (n && strncmp((*c)->name, first, n) == 0 && (*c)->name[n] == ' ')
            buffer_printf(out, "%s%s", out->size ? ", " : "", (*c)->name + n + 1);
}

static int unknown_command(int n_words, char *const *words, struct error *e)
{
    struct buffer second = {0};
    second_words(words[0], &second);
    bool has_second = n_words > 1 && words[1][0] != '-';
    char *typed = has_second ? mem_printf("%s %s", words[0], words[1]) : mem_string(words[0]);
    const char *names[64];
    size_t n = 0;
    for (const struct command *const *c = commands; *c && n < COUNT(names); c++)
        names[n++] = (*c)->name;
    const char *near = nearest_name(typed, names, n);
    if (!near && !second.size)
        near = nearest_name(words[0], names, n);
    if (second.size && !has_second)
        error_set(e, ERR_USAGE, "\"%s\" needs a second word: %s", words[0], second.data);
    else if (near)
        error_set(e, ERR_USAGE, "unknown command \"%.100s\"; did you mean \"%s\"?",
                  second.size || strchr(near, ' ') ? typed : words[0], near);
    else if (second.size)
        error_set(e, ERR_USAGE, "unknown command \"%.100s\"; after \"%s\" comes one of: %s", typed,
                  words[0], second.data);
    else
        error_set(e, ERR_USAGE, "unknown command \"%.100s\"; linnet help lists all", words[0]);
    buffer_free(&second);
    mem_free(typed);
    return ERR_USAGE;
}

int command_find(int n_words, char *const *words, const struct command **command, int *used,
                 struct error *e)
{
    for (const struct command *const *c = commands; *c; c++)
        if ((*used = words_matched((*c)->name, n_words, words)) > 0) {
            *command = *c;
            return OK;
        }
    return unknown_command(n_words, words, e);
}
