#include "cli/cache.h"

static const char *const type_names[] = {"f16", "f32", "q8_0", "q4_0", NULL};
static const enum dtype types[] = {DTYPE_F16, DTYPE_F32, DTYPE_Q8_0, DTYPE_Q4_0};

const struct option cache_rows[CACHE_ROWS] = {
    {.key = "cache_type", .flag = "--cache-type", .type = OPTION_ENUM, .offset = offsetof(struct cache_options, type),
     .choices = type_names,
     .help = "what they are kept as: f32 is exact, the others take a half, 27% and 14% of its memory"},
    {.key = "context_shift", .flag = "--context-shift", .type = OPTION_BOOL,
     .offset = offsetof(struct cache_options, shift),
     .help = "go on when the context is full: its older half is dropped"},
    {.key = "keep", .flag = "--keep", .type = OPTION_SIZE, .offset = offsetof(struct cache_options, keep),
     .maximum = 1 << 24,
     .help = "but for so many tokens at its beginning (default: the one that begins every text, if there is one)"},
};

enum dtype cache_type(const struct cache_options *o)
{
    return types[o->type];
}
