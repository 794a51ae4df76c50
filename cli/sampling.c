#include "cli/sampling.h"

#include "base/file.h"
#include "base/memory.h"
#include "grammar/json_schema.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const struct option sampling_rows[SAMPLING_ROWS] = {
    {.key = "temperature", .flag = "--temperature", .type = OPTION_FLOAT,
     .offset = offsetof(struct sampler_options, temperature), .default_value = "0.8", .minimum = 0, .maximum = 100,
     .help = "above 1 more varied, below 1 more predictable; 0 always takes the likeliest token"},
    {.key = "top_n_sigma", .flag = "--top-n-sigma", .type = OPTION_FLOAT,
     .offset = offsetof(struct sampler_options, top_n_sigma), .default_value = "0", .minimum = 0, .maximum = 1e6,
     .help = "leave out tokens whose logit is more standard deviations than this below the largest; 0: none"},
    {.key = "top_k", .flag = "--top-k", .type = OPTION_SIZE, .offset = offsetof(struct sampler_options, top_k),
     .help = "choose among the K likeliest tokens only; 0: all"},
    {.key = "typical_p", .flag = "--typical-p", .type = OPTION_FLOAT,
     .offset = offsetof(struct sampler_options, typical_p), .default_value = "1", .minimum = 1e-9, .maximum = 1,
     .help = "choose among the fewest tokens of the most typical surprise that together have this probability; 1: all"},
    {.key = "top_p", .flag = "--top-p", .type = OPTION_FLOAT, .offset = offsetof(struct sampler_options, top_p),
     .default_value = "0.95", .minimum = 1e-9, .maximum = 1,
     .help = "choose among the fewest tokens that together have this probability; 1: all"},
    {.key = "min_p", .flag = "--min-p", .type = OPTION_FLOAT, .offset = offsetof(struct sampler_options, min_p),
     .default_value = "0", .minimum = 0, .maximum = 1,
     .help = "leave out tokens less likely than this times the likeliest; 0: none"},
    {.key = "repetition_penalty", .flag = "--repetition-penalty", .type = OPTION_FLOAT,
     .offset = offsetof(struct sampler_options, repetition_penalty), .default_value = "1", .minimum = 0.01, .maximum = 100,
     .help = "above 1 makes tokens that were used lately less likely"},
    {.key = "frequency_penalty", .flag = "--frequency-penalty", .type = OPTION_FLOAT,
     .offset = offsetof(struct sampler_options, frequency_penalty), .default_value = "0", .minimum = -100,
     .maximum = 100, .help = "subtracted from a token's logit for each time it was used lately"},
    {.key = "presence_penalty", .flag = "--presence-penalty", .type = OPTION_FLOAT,
     .offset = offsetof(struct sampler_options, presence_penalty), .default_value = "0", .minimum = -100,
     .maximum = 100, .help = "subtracted from a token's logit once when it was used lately"},
    {.key = "repetition_window", .flag = "--repetition-window", .type = OPTION_SIZE,
     .offset = offsetof(struct sampler_options, repetition_window), .default_value = "64", .maximum = 1 << 24,
     .help = "how many tokens back the penalties look"},
    {.key = "mirostat", .flag = "--mirostat", .type = OPTION_SIZE, .offset = offsetof(struct sampler_options, mirostat),
     .default_value = "0", .maximum = 2,
     .help = "2: Mirostat 2 holds the text's surprise at a level, in place of all other choosing but the temperature; "
             "0: off"},
    {.key = "mirostat_tau", .flag = "--mirostat-tau", .type = OPTION_FLOAT,
     .offset = offsetof(struct sampler_options, mirostat_tau), .default_value = "5", .minimum = 0, .maximum = 100,
     .help = "the surprise it aims at, in bits a token"},
    {.key = "mirostat_eta", .flag = "--mirostat-eta", .type = OPTION_FLOAT,
     .offset = offsetof(struct sampler_options, mirostat_eta), .default_value = "0.1", .minimum = 0, .maximum = 1,
     .help = "how much of an error it corrects at once"},
    {.key = "seed", .flag = "--seed", .type = OPTION_SIZE, .offset = offsetof(struct sampler_options, seed),
     .help = "the same seed gives the same text"},
};

#define FIELD(member) offsetof(struct constraint_flags, member)

const struct option constraint_rows[CONSTRAINT_ROWS] = {
    {.key = "grammar", .flag = "--grammar", .type = OPTION_STRING, .offset = FIELD(grammar), .placeholder = "FILE",
     .help = "the text must follow this grammar, in llama.cpp's notation (GBNF)"},
    {.key = "json_schema", .flag = "--json-schema", .type = OPTION_STRING, .offset = FIELD(json_schema),
     .placeholder = "FILE|JSON",
     .help = "the text must be JSON that this schema allows, as in '{\"type\": \"object\"}'"},
    {.key = "grammar_out", .flag = "--grammar-out", .type = OPTION_STRING, .offset = FIELD(grammar_out),
     .placeholder = "FILE", .help = "write the grammar of --json-schema here"},
    {.key = "logit_bias", .flag = "--logit-bias", .type = OPTION_STRINGS, .offset = FIELD(logit_bias),
     .placeholder = "ID=VALUE",
     .help = "add this to a token's logit; -inf: never draw it; may be repeated, or several with commas between"},
};

enum { MOST_BYTES = GRAMMAR_MOST_BYTES };

/* One ID=VALUE of n bytes. */
static int add_bias(struct constraint *c, const char *text, size_t n, struct error *e)
{
    struct logit_bias b;
    char copy[64], *end;
    long id = -1;
    if (n < sizeof copy) {
        memcpy(copy, text, n);
        copy[n] = 0;
        char *equals = strchr(copy, '=');
        if (equals && equals[1] && copy[0] >= '0' && copy[0] <= '9') {
            bool banned = strcmp(equals + 1, "null") == 0;
            id = strtol(copy, &end, 10);
            bool good = end == equals && id <= INT32_MAX;
            b.bias = banned ? -INFINITY : strtof(equals + 1, &end);
            if (!good || (*end && !banned))
                id = -1;
        }
    }
    if (id < 0)
        return error_set(e, ERR_USAGE, "--logit-bias %.*s: expected ID=VALUE, as in 13=-1.5 or 13=-inf", (int)n, text);
    b.id = (int32_t)id;
    c->biases = mem_resize(c->biases, c->n_biases + 1, sizeof *c->biases);
    c->biases[c->n_biases++] = b;
    return OK;
}

static int read_biases(struct constraint *c, const struct option_strings *list, struct error *e)
{
    int code = OK;
    for (size_t i = 0; i < list->count; i++)
        for (const char *at = list->items[i]; !code && at;) {
            size_t n = strcspn(at, ",");
            code = add_bias(c, at, n, e);
            at = at[n] ? at + n + 1 : NULL;
        }
    return code;
}

/* Whether it is the schema itself, and no path. */
static bool is_json(const char *text)
{
    text += strspn(text, " \t\r\n");
    return *text == '{' || strcmp(text, "true") == 0;
}

static int read_schema(const struct constraint_flags *f, struct buffer *gbnf, struct error *e)
{
    struct buffer text = {0};
    struct error inner;
    int code = OK;
    bool here = is_json(f->json_schema);
    if (here)
        buffer_string(&text, f->json_schema);
    else
        code = file_read(f->json_schema, &text, MOST_BYTES, e);
    if (!code) {
        code = json_schema_parse(text.data ? text.data : "", text.size, gbnf, &inner);
        if (code)
            code = error_set(e, here ? ERR_USAGE : inner.code, "%s: %s", here ? "--json-schema" : f->json_schema,
                             inner.message);
    }
    if (!code && f->grammar_out)
        code = file_write(f->grammar_out, gbnf->data, gbnf->size, e);
    buffer_free(&text);
    return code;
}

int constraint_open(struct constraint *c, const struct constraint_flags *f, struct error *e)
{
    struct buffer gbnf = {0};
    *c = (struct constraint){0};
    int code = OK;
    if (f->grammar && f->json_schema)
        code = error_set(e, ERR_USAGE, "--grammar and --json-schema: one of them, not both");
    else if (f->grammar_out && !f->json_schema)
        code = error_set(e, ERR_USAGE, "--grammar-out: there is no --json-schema to make a grammar of");
    if (!code)
        code = read_biases(c, &f->logit_bias, e);
    if (!code && f->grammar)
        code = file_read(f->grammar, &gbnf, MOST_BYTES, e);
    if (!code && f->json_schema)
        code = read_schema(f, &gbnf, e);
    if (!code && (f->grammar || f->json_schema)) {
        code = grammar_parse(gbnf.data ? gbnf.data : "", gbnf.size, &c->grammar, e);
        if (code)
            code = error_prefix(e, "%s", f->grammar ? f->grammar : "--json-schema");
    }
    buffer_free(&gbnf);
    if (code)
        constraint_close(c);
    return code;
}

void constraint_apply(struct constraint *c, const struct tokenizer *t, size_t vocab_size, struct generate_options *o)
{
    if (c->grammar && !c->trie)
        c->trie = token_trie_new(t, vocab_size);
    o->grammar = c->grammar;
    o->trie = c->trie;
    o->sampler.biases = c->biases;
    o->sampler.n_biases = c->n_biases;
}

void constraint_close(struct constraint *c)
{
    grammar_free(c->grammar);
    token_trie_free(c->trie);
    mem_free(c->biases);
    *c = (struct constraint){0};
}
