#include "train/options.h"

#include "kernels/gemm.h"

#define FIELD(member) offsetof(struct train_settings, member)

static const char *const dtype_names[] = {"auto", "f32", "bf16", NULL};

const struct option train_options[] = {
    {.key = "iters", .flag = "--iters", .type = OPTION_SIZE, .offset = FIELD(iters),
     .default_value = "1000", .minimum = 1, .maximum = 1e12, .help = "optimiser steps"},
    {.key = "batch_size", .flag = "--batch-size", .type = OPTION_SIZE,
     .offset = FIELD(batch_size), .default_value = "8", .minimum = 1, .maximum = 1 << 20,
     .help = "rows of a micro-batch"},
    {.key = "grad_accumulation", .flag = "--grad-accumulation", .type = OPTION_SIZE,
     .offset = FIELD(grad_accumulation), .default_value = "1", .minimum = 1, .maximum = 1 << 20,
     .help = "micro-batches summed, weighted by token, before each step"},
    {.key = "max_seq_length", .flag = "--max-seq-length", .type = OPTION_SIZE,
     .offset = FIELD(max_seq_length), .default_value = "256", .minimum = 1, .maximum = 1 << 20,
     .placeholder = "TOKENS", .help = "tokens of a row"},
    {.key = "grad_checkpoint", .flag = "--grad-checkpoint", .type = OPTION_BOOL,
     .offset = FIELD(grad_checkpoint),
     .help = "keep only each block's input and compute the rest again in the backward pass: a third more "
             "work, a fraction of the activations' memory, the same numbers"},
    {.key = "memory_limit", .flag = "--memory-limit", .type = OPTION_SIZE, .offset = FIELD(memory_limit),
     .default_value = "0", .minimum = 0, .maximum = -1, .placeholder = "BYTES",
     .help = "make the run fit into so much memory (6G): smaller micro-batches with more accumulation, then "
             "grad_checkpoint; the same numbers but for rounding. 0 is no limit"},
    {.key = "seed", .flag = "--seed", .type = OPTION_SIZE, .offset = FIELD(seed),
     .default_value = "1", .minimum = 0, .maximum = 1e15,
     .help = "of initial weights, data order, dropout, and the documents held out"},
    {.key = "dtype", .flag = "--dtype", .type = OPTION_ENUM, .offset = FIELD(dtype),
     .default_value = "auto", .choices = dtype_names,
     .help = "numbers that matrix products multiply, always summed in f32 with weights kept in f32; "
             "auto is bf16 where the processor multiplies it faster; elsewhere bf16 saves memory alone"},
    {.key = "eval_interval", .flag = "--eval-interval", .type = OPTION_SIZE,
     .offset = FIELD(eval_interval), .default_value = "250", .minimum = 0, .maximum = 1e12,
     .placeholder = "STEPS", .help = "steps between evaluations on held-out data; 0 is only at the end"},
    {.key = "eval_iters", .flag = "--eval-iters", .type = OPTION_SIZE, .offset = FIELD(eval_iters),
     .default_value = "50", .minimum = 0, .maximum = 1e12, .placeholder = "BATCHES",
     .help = "batches of each evaluation; 0, and always at the end, is all held-out data"},
    {.key = "checkpoint_interval", .flag = "--checkpoint-interval", .type = OPTION_SIZE,
     .offset = FIELD(checkpoint_interval), .default_value = "250", .minimum = 0, .maximum = 1e12,
     .placeholder = "STEPS", .help = "steps between checkpoints; 0 is only at the end"},
    {.key = "log_interval", .type = OPTION_SIZE, .offset = FIELD(log_interval),
     .default_value = "10", .minimum = 1, .maximum = 1e12,
     .help = "steps between lines of metrics.jsonl"},
    {.key = "sample_interval", .flag = "--sample-interval", .type = OPTION_SIZE,
     .offset = FIELD(sample_interval), .default_value = "0", .minimum = 0, .maximum = 1e12,
     .placeholder = "STEPS", .help = "steps between printed samples of the model's text; 0 is never"},
    {.key = "sample_tokens", .type = OPTION_SIZE, .offset = FIELD(sample_tokens),
     .default_value = "64", .minimum = 1, .maximum = 1 << 20, .help = "length of such a sample"},
    {.key = "sample_prompt", .type = OPTION_STRING, .offset = FIELD(sample_prompt),
     .default_value = "Once upon a time", .help = "what a sample continues"},
    {.key = "early_stopping_patience", .type = OPTION_SIZE,
     .offset = FIELD(early_stopping_patience), .default_value = "0", .minimum = 0, .maximum = 1e12,
     .help = "stop after this many evaluations in a row without a new best; 0 is never"},
    {.key = "max_bad_steps", .type = OPTION_SIZE, .offset = FIELD(max_bad_steps),
     .default_value = "5", .minimum = 1, .maximum = 1e12,
     .help = "give up after this many steps in a row whose loss or gradient is not finite; such "
             "steps change no weight"},
};
_Static_assert(sizeof train_options / sizeof *train_options == N_TRAIN_OPTIONS, "count the rows");

enum dtype train_product_type(const struct train_settings *s)
{
    bool bf16 = s->dtype == TRAIN_AUTO ? gemm_bf16_is_native() : s->dtype == TRAIN_BF16;
    return bf16 ? DTYPE_BF16 : DTYPE_F32;
}
