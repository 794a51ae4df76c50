/* The `dataset:` section of a configuration: what a model is fine-tuned on. */
#ifndef LINNET_DATA_DATASET_OPTIONS_H
#define LINNET_DATA_DATASET_OPTIONS_H

#include "base/options.h"
#include "data/example.h"

struct dataset_options {
    struct option_strings paths, validation_paths;
    double validation_fraction;
    /* NULL: the usual names (struct dataset_fields) */
    char *text_field, *prompt_field, *completion_field, *messages_field, *chosen_field, *rejected_field, *label_field,
        *tools_field, *system_field;
    char *chat_template; /* a file, a built-in one's name or "none"; NULL: the model's own */
    char *template_date; /* YYYY-MM-DD; NULL: today */
    int loss;            /* enum example_loss */
    int over_long;       /* enum over_long */
    int on_bad_row;      /* enum bad_rows */
    bool packing;
};

enum { N_DATASET_OPTIONS = 18 };
extern const struct option dataset_options[N_DATASET_OPTIONS];

/* The names of fields they stand for, borrowing the strings. */
struct dataset_fields dataset_options_fields(const struct dataset_options *o);

/* Noon of the template_date in local time, in seconds since 1970; without one the present time. ERR_USAGE for what is no
 * date. */
int dataset_options_time(const struct dataset_options *o, int64_t *now, struct error *e);

#endif
