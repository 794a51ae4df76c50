#include "cli/draft.h"

#include <stdio.h>
#include <string.h>

#define FIELD(member) offsetof(struct draft_flags, member)

const struct option draft_rows[DRAFT_ROWS] = {
    {.key = "draft_model", .flag = "--draft-model", .type = OPTION_STRING, .offset = FIELD(model),
     .placeholder = "PATH",
     .help = "a small model with the same vocabulary that guesses the next tokens, which the large one checks at once"},
    {.key = "prompt_lookup", .flag = "--prompt-lookup", .type = OPTION_BOOL, .offset = FIELD(look_up),
     .help = "guess that words go on as they did earlier in the text: for summaries, code and corrections"},
    {.key = "draft_tokens", .flag = "--draft-tokens", .type = OPTION_SIZE, .offset = FIELD(tokens),
     .default_value = "7", .minimum = 1, .maximum = DRAFT_MOST, .help = "tokens to guess at a time, at most"},
};

static int check_vocabulary(const struct tokenizer *a, const struct tokenizer *b, const char *path, struct error *e)
{
    size_t n = tokenizer_vocab_size(a), other = tokenizer_vocab_size(b);
    for (size_t i = 0; i < n && i < other; i++) {
        size_t size, other_size;
        const char *text = tokenizer_token(a, (int32_t)i, &size), *also = tokenizer_token(b, (int32_t)i, &other_size);
        if (size != other_size || memcmp(text, also, size) != 0)
            return error_set(e, ERR_USAGE,
                             "--draft-model %s: another vocabulary: token %zu is \"%.60s\", in the model \"%.60s\"; a draft "
                             "must be of the same family", path, i, also, text);
    }
    if (other < n)
        return error_set(e, ERR_USAGE,
                         "--draft-model %s: knows %zu of the model's %zu tokens; a draft must be of the same family", path,
                         other, n);
    return OK;
}

int draft_open(struct draft *d, const struct draft_flags *f, struct generator *g, struct error *e)
{
    static const struct option_strings none;
    *d = (struct draft){0};
    if (f->model && f->look_up)
        return error_set(e, ERR_USAGE, "--draft-model and --prompt-lookup: one of them, not both");
    if (f->look_up)
        drafter_init(&d->drafter, NULL, f->tokens);
    if (f->model) {
        int code = inference_load(f->model, &none, false, &d->model, e);
        if (code)
            return code;
        d->loaded = true;
        struct generator_options o = {.capacity = g->capacity, .cache_type = g->cache.type};
        code = check_vocabulary(g->tokenizer, d->model.tokenizer, f->model, e);
        if (!code)
            code = generator_init(&d->generator, &d->model.model, d->model.tokenizer, &o, e);
        if (code) {
            draft_close(d);
            return code;
        }
        if (d->generator.n_choices > g->n_choices)
            d->generator.n_choices = g->n_choices;
        drafter_init(&d->drafter, &d->generator, f->tokens);
    }
    g->drafter = f->model || f->look_up ? &d->drafter : NULL;
    return OK;
}

void draft_close(struct draft *d)
{
    generator_free(&d->generator);
    if (d->loaded)
        inference_free(&d->model);
    *d = (struct draft){0};
}

void draft_report(const struct draft *d, char *text, size_t size)
{
    text[0] = 0;
    if (d->drafter.most)
        snprintf(text, size, "; %zu of %zu guessed tokens were right", d->drafter.n_accepted, d->drafter.n_drafted);
}
