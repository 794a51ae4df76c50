/* The check of an exported file against what it was made from: `linnet eval export`, and --check of the commands that
 * write models. The facts are export/check.h's; here they are found, judged and put into words. */
#ifndef LINNET_CLI_EXPORT_CHECK_H
#define LINNET_CLI_EXPORT_CHECK_H

#include "base/json.h"
#include "base/options.h"
#include "cli/inference.h"
#include "data/dataset_options.h"
#include "export/check.h"

struct export_check_request {
    const char *model; /* the original, as inference_load takes it ... */
    const struct option_strings *adapters;
    const char *exported;
    const struct dataset_options *dataset; /* its paths, fields, template, loss */
    size_t n_rows;   /* to predict; 0: none, and weights are not touched */
    size_t n_tokens; /* of each greedy answer */
};
enum { EXPORT_CHECK_ROWS = 8, EXPORT_CHECK_TOKENS = 32 }; /* unless asked otherwise */

/* What was found. */
struct export_check_facts {
    struct inference sides[2]; /* the original, the file */
    const char *template_name; /* what the rows were rendered with: "the model's own", "chatml", a path, "none" */
    const char *template_text; /* NULL: none */
    struct checked_vocabulary vocabulary;
    struct checked_rows rows;
    struct checked_shape shape;
    struct checked_predictions predictions;
    bool predicted;
    double base_divergence; /* of the file from the base without its adapters, in nats a token; NAN: there are none */
};

enum check_status {
    CHECK_FINE,
    CHECK_NOTE,    /* worth knowing, and no harm to those who use the file */
    CHECK_DIFFERS, /* the file will not behave as what it was made from */
    CHECK_LEFT_OUT,
};

struct export_finding {
    const char *name; /* "chat template" */
    enum check_status status;
    struct buffer said;  /* one line */
    const char *advice;  /* what to do where it is not fine; NULL: nothing */
    json_t *numbers;     /* for machines, or NULL */
};

enum {
    FINDING_VOCABULARY, FINDING_SPECIAL, FINDING_TEMPLATE, FINDING_IDS, FINDING_BEGIN, FINDING_END, FINDING_SHAPE,
    FINDING_PREDICTIONS, FINDING_ANSWERS, EXPORT_FINDINGS,
};

struct export_findings {
    struct export_finding items[EXPORT_FINDINGS];
};

/* Loads both, and compares. Errors: as inference_load; a dataset that cannot be read or has no example.
 * export_findings_free on success. */
int export_check(const struct export_check_request *r, struct export_findings *f, struct error *e);
void export_findings_free(struct export_findings *f);

/* Judges the facts (export_check_judge.c). */
void export_check_judge(const struct export_check_facts *x, struct export_findings *f);

void export_check_print(const struct export_findings *f);
json_t *export_check_json(const struct export_findings *f);
/* ERR_FORMAT where something DIFFERS: "PATH differs from what it was made from: chat template, end of answers". */
int export_check_verdict(const struct export_findings *f, const char *exported, struct error *e);

/* The row of `--check` for a string. */
#define EXPORT_CHECK_ROW(place)                                                                                     \
    {.key = "check", .flag = "--check", .type = OPTION_STRING, .offset = (place), .placeholder = "FILE",            \
     .help = "compare what was written with the original over the rows of this dataset: tokens, chat template, how " \
             "answers end, predictions; as linnet eval export does. What differs is an error, and the file stays"}
/* Before anything is written: whether `rows` can be read at all. NULL is fine. */
int export_check_prepare(const char *rows, struct error *e);
/* The check behind --check, with the usual fields and numbers, and the verdict; NULL `rows`: nothing. Its lines go to
 * stdout, or where `report` is given into its member "check". */
int export_check_written(const char *model, const struct option_strings *adapters, const char *exported,
                         const char *rows, json_t *report, struct error *e);

#endif
