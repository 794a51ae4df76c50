/* Whether an answer to a question is right, for questions whose answers can be checked. Knows nothing of models or files.
 *
 * ANSWER_EXACT compares the final answer with the row's reference. The final answer of a text is what the first group of
 * `final` matches, the last time that it matches anything; without `final` what follows the last "####" on its line, as
 * in GSM8K (Cobbe et al., 2021, arXiv:2110.14168), and where there is none the whole text. Two of them are equal when both
 * are numbers of the same value, or the same text but for case and white space (answer_normalise).
 *
 * ANSWER_PATTERN holds when a regular expression matches somewhere in the text: the row's "pattern", else `pattern`.
 *
 * Regular expressions are POSIX extended ones (regcomp), on bytes; . and [^...] match no newline, ^ and $ stand at the ends of
 * lines. Back references are refused, as they may be searched for without end. */
#ifndef LINNET_DATA_ANSWER_CHECK_H
#define LINNET_DATA_ANSWER_CHECK_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/json.h"

#include <regex.h>
#include <stdbool.h>

enum answer_rule { ANSWER_EXACT, ANSWER_PATTERN };

/* Bytes of a pattern, and how often all that it counts may repeat together ("(a{100}){50}" is 5000): what the C library
 * makes of a pattern grows with both, without a limit of its own. */
enum { ANSWER_PATTERN_MOST = 4096, ANSWER_REPEATS_MOST = 10000 };

struct answer_check {
    enum answer_rule rule;
    const char *field; /* of the reference; borrowed */
    regex_t final, pattern;
    bool has_final, has_pattern;
};

/* `final` and `pattern` may be NULL, `field` must outlive it. ERR_USAGE for what is no regular expression, or a `final`
 * without a group ("--final ..."). answer_check_close in any case. */
int answer_check_open(struct answer_check *c, enum answer_rule rule, const char *field, const char *final,
                      const char *pattern, struct error *e);
void answer_check_close(struct answer_check *c);

/* Whether `text`, a sample of the row's question, is right. A sample in which `final` is not found is wrong; a reference in
 * which it is not found is the final answer as it stands. ERR_FORMAT, without a place: no reference in the row, one that
 * is neither a text nor a number, or is empty; no pattern, or one that is no regular expression. */
int answer_check(const struct answer_check *c, const json_t *row, const char *text, bool *right, struct error *e);

/* Appends the text's final answer, white space around it taken off; false where `final` is not found (exact). */
bool answer_final(const struct answer_check *c, const char *text, struct buffer *out);

/* Appends the form in which answers are compared. A number has one for all its spellings: signs of currencies ($ and those of
 * euro, pound, yen, rupee, won) around it are left out, commas between its digits, and spaces between groups of three;
 * "1,000", "$1 000.00" and "1e3" are the same, exactly, however long they are. Any other text is lower case, Unicode NFC, and
 * white space within it is one space. */
void answer_normalise(const char *text, size_t n, struct buffer *out);

#endif
