#include "qat/options.h"

static const char *const activation_names[] = {"exact", "int8", NULL};

#define FIELD(member) offsetof(struct qat_options, member)

const struct option qat_options[] = {
    {.key = "type", .flag = "--qat", .type = OPTION_STRING, .offset = FIELD(types.type), .placeholder = "TYPE",
     .help = "train for this mix of types (Q4_0, Q4_K_M, Q2_K, ...; those of linnet quantize): the model computes with its "
             "weights as they will be in the file, and learns to live with them"},
    {.key = "tensor_types", .flag = "--qat-tensor-type", .type = OPTION_STRINGS, .offset = FIELD(types.tensor_types),
     .placeholder = "PATTERN=TYPE",
     .help = "matrices in whose GGUF name the regular expression is found get this type (q8_0, f16, ...); may be "
             "repeated, and the first that is found counts; @FILE stands for the lines of a file (of linnet "
             "sensitivity)"},
    {.key = "output_tensor_type", .flag = "--qat-output-tensor-type", .type = OPTION_STRING,
     .offset = FIELD(types.output_type), .placeholder = "TYPE", .help = "type of the output layer, also where it is the embedding"},
    {.key = "token_embedding_type", .flag = "--qat-token-embedding-type", .type = OPTION_STRING,
     .offset = FIELD(types.embedding_type), .placeholder = "TYPE", .help = "type of the embedding"},
    {.key = "pure", .flag = "--qat-pure", .type = OPTION_BOOL, .offset = FIELD(types.pure),
     .help = "all matrices of one type, instead of a mix"},
    {.key = "imatrix", .flag = "--qat-imatrix", .type = OPTION_STRING, .offset = FIELD(types.imatrix), .placeholder = "FILE",
     .help = "an importance matrix of this model, from linnet imatrix: which columns rounding keeps more exact"},
    {.key = "start", .flag = "--qat-start", .type = OPTION_SIZE, .offset = FIELD(start), .default_value = "0",
     .maximum = 1e15, .placeholder = "STEPS", .help = "steps that are trained without, first"},
    {.key = "ramp", .flag = "--qat-ramp", .type = OPTION_SIZE, .offset = FIELD(ramp), .default_value = "0",
     .maximum = 1e15, .placeholder = "STEPS",
     .help = "steps over which the weights move from what they are to what they are rounded to"},
    {.key = "activations", .flag = "--qat-activations", .type = OPTION_ENUM, .offset = FIELD(activations),
     .choices = activation_names,
     .help = "int8 rounds what blocks are multiplied with to 8 bits too, as when the model runs"},
    {.key = "memory", .flag = "--qat-memory", .type = OPTION_SIZE, .offset = FIELD(memory), .maximum = 1e15,
     .placeholder = "BYTES",
     .help = "memory for blocks that are kept from one use to the next; the others are made again at each (default: "
             "that of the largest matrix)"},
    {.key = "scale_interval", .flag = "--qat-scale-interval", .type = OPTION_SIZE, .offset = FIELD(scale_interval),
     .default_value = "1", .maximum = 1e15, .placeholder = "STEPS",
     .help = "steps between searches for the scales of blocks; 0: only when it starts. Between them weights are rounded "
             "to the levels that their blocks have, which trains more steadily below four bits"},
    {.key = "learned_scales", .flag = "--qat-learned-scales", .type = OPTION_BOOL, .offset = FIELD(learned_scales),
     .help = "learn the scales of q4_0, q4_1, q5_0, q5_1, q8_0 and iq4_nl blocks by gradient (LSQ), instead of finding "
             "them anew at each step"},
    {.key = "scale_learning_rate", .flag = "--qat-scale-learning-rate", .type = OPTION_FLOAT,
     .offset = FIELD(scale_learning_rate), .default_value = "2", .minimum = 1e-6, .maximum = 1000,
     .placeholder = "FACTOR", .help = "learning rate of learned scales; 1 moves the outermost levels of a block as far at "
                                      "each step as its weights"},
    {.key = "clip", .flag = "--qat-clip", .type = OPTION_BOOL, .offset = FIELD(clip),
     .help = "no gradient for weights that lie beyond what the levels of their block can express"},
};
_Static_assert(sizeof qat_options / sizeof *qat_options == N_QAT_OPTIONS, "count the rows");
