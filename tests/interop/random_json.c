/* Random texts that the grammars of schemas allow, for the judges of others: random_json SCHEMAS N
 * prints for each schema of a list N lines {"schema": its index, "text": "..."}. */
#include "base/json.h"
#include "grammar/json_schema.h"
#include "tests/grammar/random_text.h"

#include <stdio.h>
#include <stdlib.h>

static int texts_of(const json_t *schema, size_t index, size_t n, const struct token_trie *bytes, struct rng *r,
                    struct error *e)
{
    struct buffer gbnf = {0}, text = {0};
    struct grammar *g = NULL;
    int code = json_schema_write(schema, &gbnf, e);
    if (!code)
        code = grammar_parse(gbnf.data, gbnf.size, &g, e);
    for (size_t i = 0; !code && i < n; i++) {
        if (!random_text(g, bytes, r, &text, e)) {
            code = error_set(e, ERR_FORMAT, "schema %zu: a text without an end", index);
            break;
        }
        json_t *line = json_pack("{s:i, s:s#}", "schema", (int)index, "text", text.data, (int)text.size);
        json_dumpf(line, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(line);
    }
    grammar_free(g);
    buffer_free(&gbnf), buffer_free(&text);
    return code;
}

int main(int argc, char **argv)
{
    json_t *schemas = NULL;
    struct tokenizer *t = NULL;
    struct error e = {0};
    struct rng r;
    if (argc != 3)
        return 2;
    int code = json_read(argv[1], &schemas, &e);
    if (!code)
        code = tokenizer_new_bytes(NULL, 0, &t, &e);
    if (code)
        goto done;
    struct token_trie *bytes = token_trie_new(t, 256);
    rng_init(&r, 1, 0);
    for (size_t i = 0; !code && i < json_array_size(schemas); i++)
        code = texts_of(json_array_get(schemas, i), i, strtoul(argv[2], NULL, 10), bytes, &r, &e);
    token_trie_free(bytes);
done:
    if (code)
        fprintf(stderr, "%s\n", e.message);
    tokenizer_free(t);
    json_decref(schemas);
    return code != OK;
}
