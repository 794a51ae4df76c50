/* Examples as people and machines look at them: the text of tokens, and which of them are learned. */
#ifndef LINNET_CLI_EXAMPLE_VIEW_H
#define LINNET_CLI_EXAMPLE_VIEW_H

#include "data/example.h"

struct example_view {
    const struct tokenizer *tokenizer;
    const struct example *example;
    struct buffer text; /* of all tokens */
    size_t *begins;     /* (count + 1) in text */
    size_t truncated;   /* to how many tokens; 0: it is whole */
};
/* Borrows both. example_view_free. */
void example_view_init(struct example_view *v, const struct tokenizer *t, const struct example *x, size_t truncated);
void example_view_free(struct example_view *v);

/* A line about it: "PLACE: WHAT, 57 tokens, 20 learned (35.1%), begins with BOS, ends with EOS". */
void example_view_title(const struct example_view *v, const char *place, const char *what);
/* Tokens [from, to) as a text, in which what is learned is green on a terminal, else in brackets; or with `ids` a line for
 * each. */
void example_view_print(const struct example_view *v, size_t from, size_t to, bool ids);
/* Ids, learned ones, texts and what the title says. The caller's. */
json_t *example_view_json(const struct example_view *v);

#endif
