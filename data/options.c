#include "data/options.h"

static const char *const split_names[] = {"tail", "documents", NULL};

#define FIELD(member) offsetof(struct data_options, member)

const struct option data_options[] = {
    {.key = "paths", .flag = "--data", .type = OPTION_STRINGS, .offset = FIELD(paths),
     .placeholder = "PATH...", 
     .help = "text: .txt or .jsonl files, also gzipped, or directories of them; for pretrain also "
             "one shard of data prepare"},
    {.key = "validation_paths", .flag = "--validation-data", .type = OPTION_STRINGS,
     .offset = FIELD(validation_paths), .placeholder = "PATH...",
     .help = "held-out text of its own, instead of a fraction"},
    {.key = "text_field", .flag = "--text-field", .type = OPTION_STRING,
     .offset = FIELD(text_field), .default_value = "text", .placeholder = "NAME",
     .help = "member of a .jsonl line that holds the text"},
    {.key = "validation_fraction", .flag = "--validation-fraction", .type = OPTION_FLOAT,
     .offset = FIELD(validation_fraction), .default_value = "0.05", .minimum = 0, .maximum = 0.5,
     .help = "share of the data held out for evaluation"},
    {.key = "validation_split", .flag = "--validation-split", .type = OPTION_ENUM,
     .offset = FIELD(validation_split), .default_value = "tail", .choices = split_names,
     .help = "what is held out: the end of the token stream, or documents picked at random"},
    {.key = "mask_documents", .flag = "--mask-documents", .type = OPTION_BOOL,
     .offset = FIELD(mask_documents), .default_value = "false",
     .help = "documents packed into one row do not attend to each other"},
};
_Static_assert(sizeof data_options / sizeof *data_options == N_DATA_OPTIONS, "count the rows");

struct shard_settings data_options_shard(const struct data_options *o, uint64_t seed, int threads,
                                         bool progress)
{
    return (struct shard_settings){
        .paths = (const char *const *)o->paths.items,
        .n_paths = o->paths.count,
        .validation_paths = (const char *const *)o->validation_paths.items,
        .n_validation_paths = o->validation_paths.count,
        .text_field = o->text_field,
        .split = (enum split_kind)o->validation_split,
        .validation_fraction = o->validation_fraction,
        .seed = seed,
        .threads = threads,
        .progress = progress,
    };
}
