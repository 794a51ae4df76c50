/* What commands that make a model's file of another model say about it: its size and types, and how its predictions
 * differ. */
#ifndef LINNET_CLI_MODEL_REPORT_H
#define LINNET_CLI_MODEL_REPORT_H

#include "base/json.h"
#include "data/corpus.h"
#include "export/weights.h"
#include "infer/divergence.h"
#include "tokenizer/tokenizer.h"

/* ERR_USAGE where `out` is the file or directory at `source` itself. `what`: "the model", for the message. */
int check_not_itself(const char *out, const char *source, const char *what, struct error *e);
/* ERR_USAGE where `out` is a run directory: a model's files among a run's would take its tokenizer.json and hide its
 * checkpoints. */
int check_not_a_run(const char *out, struct error *e);

/* Sums over every text of the corpus, which is read to its end, each from its BOS where the model expects one, in windows
 * of at most 2048 tokens. ERR_USAGE where there is nothing to predict. */
int compare_models(struct model *original, struct model *other, const struct tokenizer *t, struct corpus *corpus,
                   struct divergence_sums *sums, struct error *e);
double compared_perplexity(const struct divergence_sums *s, int which); /* 0: the original's, 1: the other's */

/* Lines of a table on stdout; and the same as members of an object. */
void print_export_report(const struct export_report *r, double seconds);
json_t *export_report_json(const char *out, const char *type, const struct export_report *r, double seconds);

#endif
