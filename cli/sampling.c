#include "cli/sampling.h"

const struct option sampling_rows[SAMPLING_ROWS] = {
    {.key = "temperature", .flag = "--temperature", .type = OPTION_FLOAT,
     .offset = offsetof(struct sampler_options, temperature), .default_value = "0.8", .minimum = 0, .maximum = 100,
     .help = "above 1 more varied, below 1 more predictable; 0 always takes the likeliest token"},
    {.key = "top_k", .flag = "--top-k", .type = OPTION_SIZE, .offset = offsetof(struct sampler_options, top_k),
     .help = "choose among the K likeliest tokens only; 0: all"},
    {.key = "top_p", .flag = "--top-p", .type = OPTION_FLOAT, .offset = offsetof(struct sampler_options, top_p),
     .default_value = "0.95", .minimum = 1e-9, .maximum = 1,
     .help = "choose among the fewest tokens that together have this probability; 1: all"},
    {.key = "min_p", .flag = "--min-p", .type = OPTION_FLOAT, .offset = offsetof(struct sampler_options, min_p),
     .default_value = "0", .minimum = 0, .maximum = 1,
     .help = "leave out tokens less likely than this times the likeliest; 0: none"},
    {.key = "repetition_penalty", .flag = "--repetition-penalty", .type = OPTION_FLOAT,
     .offset = offsetof(struct sampler_options, repetition_penalty), .default_value = "1", .minimum = 0.01, .maximum = 100,
     .help = "above 1 makes tokens that were used lately less likely"},
    {.key = "repetition_window", .flag = "--repetition-window", .type = OPTION_SIZE,
     .offset = offsetof(struct sampler_options, repetition_window), .default_value = "64", .maximum = 1 << 24,
     .help = "how many tokens back that looks"},
    {.key = "seed", .flag = "--seed", .type = OPTION_SIZE, .offset = offsetof(struct sampler_options, seed),
     .help = "the same seed gives the same text"},
};
