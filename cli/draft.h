/* The flags of speculative decoding, and what they stand for. */
#ifndef LINNET_CLI_DRAFT_H
#define LINNET_CLI_DRAFT_H

#include "cli/inference.h"
#include "infer/generate.h"

struct draft_flags {
    char *model;
    size_t tokens;
    bool look_up;
};

enum { DRAFT_ROWS = 3 };
extern const struct option draft_rows[DRAFT_ROWS]; /* of a struct draft_flags */

#define DRAFT_SECTION(flags) \
    {.name = "", .rows = draft_rows, .n_rows = DRAFT_ROWS, .object = (flags), \
     .help = "Speculation: the same text, sooner where the next tokens can be guessed"}

struct draft {
    bool loaded;
    struct inference model;
    struct generator generator;
    struct drafter drafter;
};

/* Gives the generator a drafter, if the flags ask for one; both must stay where they are until draft_close.
 * ERR_USAGE: flags that contradict each other, or a draft model of another vocabulary. */
int draft_open(struct draft *d, const struct draft_flags *f, struct generator *g, struct error *e);
void draft_close(struct draft *d);
/* Appends "; 12 of 20 guessed tokens were right" where any were guessed. */
void draft_report(const struct draft *d, char *text, size_t size);

#endif
