#include "distill/options.h"

#include "distill/objective.h"

static const char *const hidden_names[] = {"mse", "cosine", NULL};
static const char *const align_names[] = {"none", "text", NULL};

#define FIELD(member) offsetof(struct distill_options, member)

const struct option distill_options[] = {
    {.key = "teacher", .flag = "--teacher", .type = OPTION_STRING, .offset = FIELD(teacher), .placeholder = "PATH",
     .help = "whom to learn from: a dump that linnet teacher or distill/dump.py made, or a model that runs beside the "
             "student (a GGUF file, a Hugging Face directory, a run directory)"},
    {.key = "validation_teacher", .flag = "--validation-teacher", .type = OPTION_STRING,
     .offset = FIELD(validation_teacher), .placeholder = "DUMP",
     .help = "a dump to evaluate with; without one dataset.validation_fraction of the teacher's is held out"},
    {.key = "tokenizer", .flag = "--tokenizer", .type = OPTION_STRING, .offset = FIELD(tokenizer), .placeholder = "PATH",
     .help = "for a dump without a tokenizer, and a student from scratch or --align: the one its tokens are of"},
    {.key = "align", .flag = "--align", .type = OPTION_ENUM, .offset = FIELD(align), .default_value = "none",
     .choices = align_names,
     .help = "text: the dump is of another tokenizer than the student's, which learns from it where tokens of both begin at "
             "the same byte"},
    {.key = "divergence", .flag = "--divergence", .type = OPTION_ENUM, .offset = FIELD(divergence), .default_value = "forward_kl",
     .choices = divergence_names,
     .help = "how far student q is from teacher p: forward_kl KL(p|q) spreads, reverse_kl KL(q|p) seeks the likeliest, "
             "symmetric_kl mixes them by beta, jensen_shannon against beta p + (1 - beta) q, total_variation"},
    {.key = "beta", .flag = "--beta", .type = OPTION_FLOAT, .offset = FIELD(beta), .default_value = "0.5", .minimum = 0,
     .maximum = 1, .help = "of symmetric_kl the share of KL(q|p), of jensen_shannon p's share of the mixture"},
    {.key = "temperature", .flag = "--temperature", .type = OPTION_FLOAT, .offset = FIELD(temperature),
     .default_value = "1", .minimum = 0.01, .maximum = 100,
     .help = "both distributions are softmax(logits / temperature), and their loss is times its square"},
    {.key = "alpha", .flag = "--alpha", .type = OPTION_FLOAT, .offset = FIELD(alpha), .default_value = "0.8", .minimum = 0,
     .maximum = 1, .help = "the teacher's share of the loss; the rest is the cross-entropy of the text"},
    {.key = "tail", .flag = "--tail", .type = OPTION_ENUM, .offset = FIELD(tail), .default_value = "bucket",
     .choices = tail_names,
     .help = "where only the likeliest tokens are known: bucket takes all others as one outcome, renormalize compares "
             "within the known ones, zero takes the others as impossible"},
    {.key = "hidden_weight", .flag = "--hidden-weight", .type = OPTION_FLOAT, .offset = FIELD(hidden_weight),
     .default_value = "0", .minimum = 0, .maximum = 1e6,
     .help = "with a teacher that is a model: how much the distance of the hidden states counts beside the rest, through a "
             "learned projection where the widths differ"},
    {.key = "hidden_layers", .flag = "--hidden-layers", .type = OPTION_SIZE, .offset = FIELD(hidden_layers),
     .default_value = "1", .minimum = 1, .maximum = 4096,
     .help = "pairs of layers that are matched, evenly spaced; 1 is the last ones"},
    {.key = "hidden_loss", .flag = "--hidden-loss", .type = OPTION_ENUM, .offset = FIELD(hidden_loss),
     .default_value = "mse", .choices = hidden_names, .help = "how far apart hidden states are: mse or cosine"},
    {.key = "on_policy", .flag = "--on-policy", .type = OPTION_FLOAT, .offset = FIELD(on_policy), .default_value = "0",
     .minimum = 0, .maximum = 1, .placeholder = "SHARE",
     .help = "with a teacher that is a model: share of the batches whose answers the student writes itself (GKD's lambda)"},
    {.key = "max_new_tokens", .flag = "--max-new-tokens", .type = OPTION_SIZE, .offset = FIELD(max_new_tokens),
     .default_value = "128", .minimum = 1, .maximum = 1 << 20, .placeholder = "TOKENS",
     .help = "the longest such answer"},
    {.key = "sampling_temperature", .flag = "--sampling-temperature", .type = OPTION_FLOAT,
     .offset = FIELD(sampling_temperature), .default_value = "1", .minimum = 0, .maximum = 100,
     .help = "at which the student writes"},
};
_Static_assert(sizeof distill_options / sizeof *distill_options == N_DISTILL_OPTIONS, "count the rows");

int distill_options_loss(const struct distill_options *o, struct soft_loss *loss, struct error *e)
{
    *loss = (struct soft_loss){
        .divergence = (enum divergence_kind)o->divergence,
        .beta = (float)o->beta,
        .temperature = (float)o->temperature,
        .tail = (enum tail_kind)o->tail,
        .teacher_weight = (float)o->alpha,
        .target_weight = (float)(1 - o->alpha),
    };
    if (loss->divergence == JENSEN_SHANNON && (o->beta <= 0 || o->beta >= 1))
        return error_set(e, ERR_USAGE, "--beta %g: jensen_shannon needs one between 0 and 1; at the ends it is forward_kl "
                         "and reverse_kl", o->beta);
    if (loss->tail == TAIL_ZERO && (loss->divergence == REVERSE_KL || loss->divergence == SYMMETRIC_KL))
        return error_set(e, ERR_USAGE, "--tail zero with --divergence %s is infinite: whatever the student holds possible beyond "
                         "the known tokens the teacher would not; take --tail bucket", divergence_names[o->divergence]);
    return OK;
}

struct hidden_settings distill_options_hidden(const struct distill_options *o)
{
    return (struct hidden_settings){.n_pairs = o->hidden_layers, .kind = (enum hidden_kind)o->hidden_loss,
                                    .weight = o->hidden_weight};
}
