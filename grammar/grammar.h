/* Grammars that a text must follow, in llama.cpp's notation (GBNF):
 *
 *     root   ::= "yes" | "no" | list           # the text is what root matches
 *     list   ::= "[" item ("," " "? item)* "]"
 *     item   ::= [a-z_] [^\x00-\x1F,\]]{0,8} | .
 *
 * A rule ends with its line, but for lines within parentheses, after ::= and around |. Literals know the
 * escapes \n \r \t \\ \" \[ \] \- \^ \xHH \uHHHH \UHHHHHHHH, classes the same; both, and `.`, match Unicode
 * characters (a newline is one). Operators * + ? {m} {m,} {m,n} follow what they repeat. docs/constraints.md
 * has more.
 *
 * A grammar is a network of states over characters with calls between rules (Woods, 1970: recursive transition
 * network). Matching holds all stacks of open calls that the text so far allows, as llama.cpp does; here equal
 * stacks, and equal sets of them, are kept once, and where a byte leads from a set is remembered. So most of a
 * mask is one look into a table for each node of the vocabulary's trie.
 *
 *     grammar_parse(text, n, &g, e);
 *     trie = token_trie_new(tokenizer, n_choices);
 *     grammar_state_init(&s, g);
 *     ... grammar_mask(&s, trie, allowed, e), draw one, grammar_accept_token(&s, trie, id, e) ...
 */
#ifndef LINNET_GRAMMAR_GRAMMAR_H
#define LINNET_GRAMMAR_GRAMMAR_H

#include "base/error.h"
#include "grammar/token_trie.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    GRAMMAR_MOST_BYTES = 1 << 22,  /* of its text */
    GRAMMAR_MOST_NODES = 1 << 20,  /* a character of a literal and a repeated copy are one each */
    GRAMMAR_MOST_REPEATS = 1 << 16,
    GRAMMAR_MOST_GROUPS = 200,     /* parentheses within parentheses */
    GRAMMAR_MOST_DEPTH = 4096,     /* calls of rules open at once: what nests deeper is not allowed */
    GRAMMAR_MOST_STATES = 1 << 16, /* ways to read a text that are open at once */
};

/* Never changes: any number of states and threads may share it. */
struct grammar;

/* ERR_FORMAT says line, column and what is wrong: syntax, a rule defined twice or never, no rule `root`, a rule
 * that calls itself before it has read anything (left recursion), a root that can never end, more than
 * GRAMMAR_MOST_STATES ways to begin, a size beyond the other limits. */
int grammar_parse(const char *text, size_t n, struct grammar **g, struct error *e);
void grammar_free(struct grammar *g);

struct grammar_machine; /* private: sets of stacks met so far, and where bytes lead from them */

/* Where one text is. The grammar must outlive it. */
struct grammar_state {
    const struct grammar *grammar;
    struct grammar_machine *machine; /* its own; a few megabytes at most */
    uint32_t at;
};

void grammar_state_init(struct grammar_state *s, const struct grammar *g); /* before the first character */
void grammar_state_free(struct grammar_state *s);
/* Makes `to`, initialised with the same grammar, stand where `from` does. They share nothing; what `to` has
 * learnt of the grammar it keeps. To undo: copy before, copy back. */
void grammar_state_copy(struct grammar_state *to, const struct grammar_state *from);

/* Reads n bytes; they may end within a character. ERR_FORMAT when the grammar does not allow them, or has more
 * than GRAMMAR_MOST_STATES ways to read them; the state then stays. */
int grammar_accept(struct grammar_state *s, const char *bytes, size_t n, struct error *e);
/* The bytes of a token; nothing for one that ends a text. */
int grammar_accept_token(struct grammar_state *s, const struct token_trie *t, int32_t id, struct error *e);

bool grammar_may_end(const struct grammar_state *s);  /* what was read is a whole text */
bool grammar_must_end(const struct grammar_state *s); /* and nothing can follow */

/* Sets the bits (token_trie_words of them) of all tokens that may come next and clears the others: those whose
 * bytes the grammar allows, and those that end a text where it may end. ERR_FORMAT when there are none, or too
 * many ways to read. The trie must stay the same object while a state is used with it.
 *
 * Time: nothing worth mentioning where the same sets of stacks come up again, as inside a string; else one step
 * for each node of the trie that the grammar allows. Of steps known from before a hundred million fit into a
 * second, of others about two million: a vocabulary of 109 000 takes 2 to 3 ms where nearly all of it is
 * allowed, and under 0.1 ms where punctuation is due. A grammar that counts ([a-z]{1,500}) meets new sets with
 * each token. */
int grammar_mask(struct grammar_state *s, const struct token_trie *t, uint32_t *allowed, struct error *e);

#endif
