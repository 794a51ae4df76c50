/* linnet data check: what is said about a dataset, put together (data_check.c) and printed (data_check_print.c). */
#ifndef LINNET_CLI_DATA_CHECK_H
#define LINNET_CLI_DATA_CHECK_H

#include "cli/dataset.h"
#include "data/dataset_check.h"

enum { LENGTH_BUCKETS = 33 }; /* bucket i: lengths of i bits, 2^(i-1) to 2^i - 1 */

/* What is counted of the rows to train on, or of those held out. */
struct check_totals {
    size_t rows, bad, unwanted, by_schema[ROW_SCHEMAS];
    size_t over_long, split; /* rows that are too long: those that are not split, and texts that are */
    /* Of rows neither bad nor unwanted, uncut; in the place of texts that are split stand their windows, of which there
     * may be some without the row, or fewer than it has: those held out or those that are not. */
    size_t examples, windows;
    size_t tokens, learned, turns_unfinished;
    /* Of whole rows again, in tokens; most_of_them: 95% are no longer. */
    size_t shortest, median, most_of_them, longest;
    size_t lengths[LENGTH_BUCKETS];
    /* Of answers that are compared or judged, of which there are `examples` pairs or answers: how many prompts there are,
     * answers wanted and not wanted and their tokens, rows with both, and those where the wanted one is longer. */
    size_t prompts, chosen, rejected, chosen_tokens, rejected_tokens, both, chosen_longer;
};

/* One thing to say about some rows. */
struct check_finding {
    const char *key;   /* for machines */
    char *title;       /* "bad rows: 3" */
    size_t count;
    json_t *rows;      /* the first of them: objects with "path", "line", "reason" */
    bool refused;      /* training would stop */
};

enum { CHECK_FINDINGS_MOST = 16 };

struct check_summary {
    struct check_totals totals[2]; /* to train on; held out */
    bool has_held;
    const char *template_name;
    size_t max_tokens;
    int over_long; /* enum over_long */
    int objective; /* enum example_answers */
    struct check_finding findings[CHECK_FINDINGS_MOST];
    size_t n_findings;
};

void check_print_text(const struct check_summary *s);
void check_print_json(const struct check_summary *s);

#endif
