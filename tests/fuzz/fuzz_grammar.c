/* Grammars from anywhere: refused with one line, or good for random walks. The first line of the input is a text that
 * is read, the rest the grammar. */
#include "base/check.h"
#include "base/utf8.h"
#include "grammar/grammar.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(const struct error *e)
{
    CHECK(e->code == ERR_FORMAT && e->message[0] && !strchr(e->message, '\n') &&
          utf8_valid(e->message, strlen(e->message)));
}

/* What the mask says of a byte is what happens to it. */
static void read_text(const struct grammar *g, const struct token_trie *bytes, const char *text, size_t n)
{
    struct grammar_state s, copy;
    struct error e = {0};
    uint32_t mask[8];
    grammar_state_init(&s, g), grammar_state_init(&copy, g);
    for (size_t i = 0; i < n && i < 64; i++) {
        e = (struct error){0};
        if (grammar_mask(&s, bytes, mask, &e)) {
            check_line(&e);
            CHECK(grammar_must_end(&s) || strstr(e.message, "ambiguous"));
            break;
        }
        unsigned char c = (unsigned char)text[i];
        bool allowed = mask[c / 32] >> c % 32 & 1;
        grammar_state_copy(&copy, &s);
        e = (struct error){0};
        int code = grammar_accept(&s, text + i, 1, &e);
        CHECK((code == OK) == allowed);
        if (code) {
            check_line(&e);
            break;
        }
        CHECK(grammar_accept(&copy, text + i, 1, &e) == OK && grammar_may_end(&copy) == grammar_may_end(&s));
    }
    grammar_state_free(&s), grammar_state_free(&copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct token_trie *bytes;
    struct grammar *g = NULL;
    struct error e = {0};
    if (!bytes) {
        struct tokenizer *t;
        CHECK(tokenizer_new_bytes(NULL, 0, &t, &e) == OK);
        bytes = token_trie_new(t, 256);
        tokenizer_free(t);
    }
    const char *text = (const char *)data, *end = memchr(data, '\n', size);
    size_t n = end ? (size_t)(end - text) : 0, skip = end ? n + 1 : 0;
    if (grammar_parse(text + skip, size - skip, &g, &e)) {
        CHECK(g == NULL);
        check_line(&e);
        return 0;
    }
    read_text(g, bytes, text, n);
    grammar_free(g);
    return 0;
}
