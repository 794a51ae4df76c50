/* Texts that a grammar allows, character by character at random. */
#ifndef LINNET_TESTS_GRAMMAR_RANDOM_TEXT_H
#define LINNET_TESTS_GRAMMAR_RANDOM_TEXT_H

#include "base/buffer.h"
#include "base/check.h"
#include "base/rng.h"
#include "grammar/grammar.h"

#include <string.h>

/* Bytes at random, more often than not what closes something, and always so when the text has become long. */
static inline bool random_text(const struct grammar *g, const struct token_trie *bytes, struct rng *r,
                               struct buffer *out, struct error *e)
{
    static const char closing[] = "\"}],0e: ";
    struct grammar_state s;
    uint32_t mask[16];
    int code = OK;
    CHECK(token_trie_words(bytes) <= 16);
    grammar_state_init(&s, g);
    buffer_clear(out);
    while (!code && out->size < 20000) {
        unsigned allowed[256], n = 0;
        if (grammar_may_end(&s) && (grammar_must_end(&s) || out->size > 300 || rng_below(r, 4) == 0))
            break;
        code = grammar_mask(&s, bytes, mask, e);
        for (unsigned i = 0; i < 256; i++)
            if (mask[i / 32] >> i % 32 & 1)
                allowed[n++] = i;
        if (code || n == 0)
            break;
        char byte = (char)allowed[rng_below(r, n)];
        bool close = out->size > 300 || rng_below(r, 3) == 0;
        for (size_t i = 0; close && i < sizeof closing - 1; i++) {
            unsigned char c = (unsigned char)closing[i];
            if (mask[c / 32] >> c % 32 & 1) {
                byte = closing[i];
                break;
            }
        }
        buffer_byte(out, byte);
        code = grammar_accept(&s, &byte, 1, e);
    }
    bool whole = !code && grammar_may_end(&s);
    grammar_state_free(&s);
    return whole;
}

#endif
