#include "lora/options.h"

static const char *const init_names[] = {"default", "pissa", NULL};

#define FIELD(member) offsetof(struct lora_options, member)

const struct option lora_options[] = {
    {.key = "rank", .flag = "--lora-rank", .type = OPTION_SIZE, .offset = FIELD(rank), .default_value = "16", .minimum = 1,
     .maximum = 65536, .help = "rank of the adapter: its size, and what it can learn"},
    {.key = "alpha", .flag = "--lora-alpha", .type = OPTION_FLOAT, .offset = FIELD(alpha), .default_value = "32",
     .minimum = 1e-6, .maximum = 1e6, .help = "what the adapter adds is multiplied by alpha / rank"},
    {.key = "use_rslora", .flag = "--rslora", .type = OPTION_BOOL, .offset = FIELD(use_rslora), .default_value = "false",
     .help = "multiply by alpha / sqrt(rank) instead, which keeps large ranks learning"},
    {.key = "dropout", .flag = "--lora-dropout", .type = OPTION_FLOAT, .offset = FIELD(dropout), .default_value = "0",
     .minimum = 0, .maximum = 0.99, .help = "share of the adapter's inputs that is left out at random"},
    {.key = "target_modules", .flag = "--target-modules", .type = OPTION_STRINGS, .offset = FIELD(target_modules),
     .placeholder = "NAMES...",
     .help = "layers that get an adapter, as q_proj, v_proj, lm_head, or regular expressions for their names; all-linear, "
             "which is the default: all of the blocks but routers"},
    {.key = "rank_pattern", .flag = "--rank-pattern", .type = OPTION_STRINGS, .offset = FIELD(rank_pattern),
     .placeholder = "MODULE=RANK...", .help = "other ranks for some layers"},
    {.key = "alpha_pattern", .flag = "--alpha-pattern", .type = OPTION_STRINGS, .offset = FIELD(alpha_pattern),
     .placeholder = "MODULE=ALPHA...", .help = "other alphas for some layers"},
    {.key = "use_dora", .flag = "--dora", .type = OPTION_BOOL, .offset = FIELD(use_dora), .default_value = "false",
     .help = "train magnitude and direction of each row apart (DoRA): often better at small ranks, slower"},
    {.key = "lora_plus_ratio", .flag = "--lora-plus", .type = OPTION_FLOAT, .offset = FIELD(lora_plus_ratio),
     .default_value = "1", .minimum = 0.001, .maximum = 1000, .placeholder = "RATIO",
     .help = "B's learning rate is that many times A's (LoRA+, which takes 16)"},
    {.key = "init", .flag = "--lora-init", .type = OPTION_ENUM, .offset = FIELD(init), .default_value = "default",
     .choices = init_names, .help = "pissa begins with the largest singular values of each layer, and learns faster"},
    {.key = "train_in_full", .flag = "--train-in-full", .type = OPTION_STRINGS, .offset = FIELD(train_in_full),
     .placeholder = "NAMES...", .help = "modules that train in full beside the adapter, as embed_tokens, lm_head, norm"},
};
_Static_assert(sizeof lora_options / sizeof *lora_options == N_LORA_OPTIONS, "count the rows");
