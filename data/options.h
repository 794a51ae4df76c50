/* The `data:` section of a configuration. */
#ifndef LINNET_DATA_OPTIONS_H
#define LINNET_DATA_OPTIONS_H

#include "base/options.h"
#include "data/shard.h"

struct data_options {
    struct option_strings paths, validation_paths;
    char *text_field;
    double validation_fraction;
    int validation_split; /* enum split_kind */
    bool mask_documents;
};

enum { N_DATA_OPTIONS = 6 };
extern const struct option data_options[N_DATA_OPTIONS];

/* The settings they stand for, borrowing the strings. */
struct shard_settings data_options_shard(const struct data_options *o, uint64_t seed, int threads,
                                         bool progress);

#endif
