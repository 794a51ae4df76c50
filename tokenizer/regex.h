/* Regular expressions of tokenizer.json, through PCRE2.
 *
 * Hugging Face's tokenizers reads them with Oniguruma (Ruby's syntax) over Unicode 16. What PCRE2
 * reads differently is rewritten first: \s \d \w \h and \p{L} \p{N} to what they mean there,
 * x{1,3}+ (repeated, not possessive), ^ and $ at every line. Nested sets and && are refused. */
#ifndef LINNET_TOKENIZER_REGEX_H
#define LINNET_TOKENIZER_REGEX_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct regex;
struct regex_scratch; /* what one thread needs while matching, for any number of patterns */

/* `literal`: the n bytes stand for themselves. ERR_FORMAT says what PCRE2 dislikes and at which
 * byte of the pattern. */
int regex_compile(const char *pattern, size_t n, bool literal, struct regex **r, struct error *e);
void regex_free(struct regex *r);
struct regex_scratch *regex_scratch_new(void);
void regex_scratch_free(struct regex_scratch *s);

/* The successive matches in a text, as Oniguruma's iterator gives them: an empty match right behind
 * the match before it is passed over. */
struct regex_matches {
    const struct regex *regex;
    struct regex_scratch *scratch;
    const char *text; /* valid UTF-8, at most 1 GiB */
    size_t n, at;
    bool any; /* a match was found before; it ended at `last` */
    size_t last;
    size_t start, end; /* of the match found */
};
/* False past the last match. A pattern that runs away (more than ten million steps back) finds
 * nothing more in this text; a warning is printed the first time. */
bool regex_next(struct regex_matches *m);

#endif
