#include "qat/mix.h"

#include "base/check.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum mix_number {
    Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K_S, Q3_K_M, Q3_K_L, Q4_K_S, Q4_K_M, Q5_K_S, Q5_K_M, Q6_K, IQ4_NL, IQ4_XS,
    MXFP4, TQ1_0, TQ2_0, BF16, F16, MIXES,
};

static const struct mix table[MIXES] = {
    [Q4_0] = {"Q4_0", DTYPE_Q4_0, 2},        [Q4_1] = {"Q4_1", DTYPE_Q4_1, 3},
    [Q5_0] = {"Q5_0", DTYPE_Q5_0, 8},        [Q5_1] = {"Q5_1", DTYPE_Q5_1, 9},
    [Q8_0] = {"Q8_0", DTYPE_Q8_0, 7},        [Q2_K] = {"Q2_K", DTYPE_Q2_K, 10},
    [Q3_K_S] = {"Q3_K_S", DTYPE_Q3_K, 11},   [Q3_K_M] = {"Q3_K_M", DTYPE_Q3_K, 12},
    [Q3_K_L] = {"Q3_K_L", DTYPE_Q3_K, 13},   [Q4_K_S] = {"Q4_K_S", DTYPE_Q4_K, 14},
    [Q4_K_M] = {"Q4_K_M", DTYPE_Q4_K, 15},   [Q5_K_S] = {"Q5_K_S", DTYPE_Q5_K, 16},
    [Q5_K_M] = {"Q5_K_M", DTYPE_Q5_K, 17},   [Q6_K] = {"Q6_K", DTYPE_Q6_K, 18},
    [IQ4_NL] = {"IQ4_NL", DTYPE_IQ4_NL, 25}, [IQ4_XS] = {"IQ4_XS", DTYPE_IQ4_XS, 30},
    [MXFP4] = {"MXFP4", DTYPE_MXFP4, 38},    [TQ1_0] = {"TQ1_0", DTYPE_TQ1_0, 36},
    [TQ2_0] = {"TQ2_0", DTYPE_TQ2_0, 37},    [BF16] = {"BF16", DTYPE_BF16, 32},
    [F16] = {"F16", DTYPE_F16, 1},
};

static const struct {
    const char *name;
    enum mix_number mix;
} short_names[] = {
    {"Q3_K", Q3_K_M}, {"Q4_K", Q4_K_M}, {"Q5_K", Q5_K_M}, {"MXFP4_MOE", MXFP4},
};
enum { SHORT_NAMES = sizeof short_names / sizeof *short_names };

const struct mix *mix_at(size_t i)
{
    return i < MIXES ? &table[i] : NULL;
}

const char *mix_names(void)
{
    static char names[MIXES * 8];
    size_t n = 0;
    for (size_t i = 0; i < MIXES; i++)
        n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", i ? ", " : "", table[i].name);
    return names;
}

int mix_find(const char *flag, const char *name, const struct mix **mix, struct error *e)
{
    const char *known[MIXES + SHORT_NAMES];
    char upper[16];
    size_t n = 0;
    for (; name[n] && n < sizeof upper - 1; n++)
        upper[n] = name[n] >= 'a' && name[n] <= 'z' ? (char)(name[n] - 'a' + 'A') : name[n];
    upper[n] = 0;
    for (size_t i = 0; i < MIXES; i++)
        known[i] = table[i].name;
    for (size_t i = 0; i < SHORT_NAMES; i++)
        known[MIXES + i] = short_names[i].name;
    for (size_t i = 0; i < MIXES + SHORT_NAMES; i++)
        if (strcasecmp(known[i], name) == 0) {
            *mix = &table[i < MIXES ? i : short_names[i - MIXES].mix];
            return OK;
        }
    const char *near = nearest_name(upper, known, MIXES + SHORT_NAMES);
    if (near)
        return error_set(e, ERR_USAGE, "%s: there is no type \"%.32s\"; did you mean %s?", flag, name, near);
    return error_set(e, ERR_USAGE, "%s: there is no type \"%.32s\"; one of %s", flag, name, mix_names());
}

/* What kind of matrix a tensor is, as far as rules tell them apart. Fused q, k and v count as v, which is the part
 * that suffers most. */
enum kind { KIND_OTHER, KIND_OUTPUT, KIND_EMBEDDING, KIND_V, KIND_K, KIND_ATTN_OUTPUT, KIND_DOWN };

static enum kind kind_of(const struct tensor *t, const struct mix_facts *f)
{
    static const struct {
        const char *part;
        enum kind kind;
    } parts[] = {
        {"attn_qkv.weight", KIND_V},
        {"attn_v.weight", KIND_V},
        {"attn_k.weight", KIND_K},
        {"attn_output.weight", KIND_ATTN_OUTPUT},
        {"ffn_down", KIND_DOWN},
    };
    if (strcmp(t->name, "output.weight") == 0)
        return KIND_OUTPUT;
    if (strcmp(t->name, "token_embd.weight") == 0)
        return f->tied ? KIND_OUTPUT : KIND_EMBEDDING;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strstr(t->name, parts[i].part))
            return parts[i].kind;
    return KIND_OTHER;
}

/* When a rule holds; several at once: all of them. */
enum {
    MORE_BITS = 1,      /* the first and the last eighth of the layers, and every third between */
    FIRST_TWO = 2,
    FIRST_FOUR = 4,
    FIRST_EIGHTH = 8,
    FIRST_SIXTEENTH = 16,
    GROUPED = 32,
    SEVENTY_B = 64,
    EIGHT_EXPERTS = 128,
    NOT_EIGHT_EXPERTS = 256,
    IMPORTANCE = 512,
    NO_IMPORTANCE = 1024,
    EXPERTS = 2048,     /* a tensor of all experts */
    NOT_WHOLE = 4096,   /* its columns are no whole blocks of the mix's usual type */
};

#define IN(mix) (1u << (mix))
#define ALL ((IN(MIXES) - 1) & ~(IN(BF16) | IN(F16)))

/* The first that holds decides; none: the mix's usual type. */
static const struct rule {
    unsigned mixes;
    enum kind kind; /* KIND_OTHER: any */
    int when;
    enum dtype type;
} rules[] = {
    {IN(MXFP4) | IN(Q8_0), KIND_OUTPUT, 0, DTYPE_Q8_0},
    {ALL, KIND_OUTPUT, NOT_WHOLE, DTYPE_Q8_0},
    {ALL, KIND_OUTPUT, 0, DTYPE_Q6_K},
    {IN(MXFP4), KIND_OTHER, EXPERTS, DTYPE_MXFP4},
    {IN(MXFP4), KIND_OTHER, 0, DTYPE_Q8_0},
    {IN(TQ1_0) | IN(TQ2_0), KIND_EMBEDDING, 0, DTYPE_Q4_K},

    {ALL, KIND_V, EIGHT_EXPERTS, DTYPE_Q8_0},
    {ALL, KIND_K, EIGHT_EXPERTS, DTYPE_Q8_0},
    {IN(Q3_K_M), KIND_V, FIRST_TWO, DTYPE_Q5_K},
    {IN(Q4_K_S), KIND_V, FIRST_FOUR, DTYPE_Q5_K},
    {IN(Q4_K_M) | IN(Q5_K_M), KIND_V, MORE_BITS, DTYPE_Q6_K},
    {IN(Q2_K) | IN(Q3_K_S) | IN(Q3_K_M) | IN(Q4_K_S) | IN(Q4_K_M), KIND_V, SEVENTY_B, DTYPE_Q5_K},
    {IN(Q2_K), KIND_V, GROUPED, DTYPE_Q4_K},
    {IN(Q2_K), KIND_V, 0, DTYPE_Q3_K},
    {IN(Q3_K_M), KIND_V, 0, DTYPE_Q4_K},
    {IN(Q3_K_L), KIND_V, 0, DTYPE_Q5_K},
    {IN(IQ4_NL) | IN(IQ4_XS), KIND_V, GROUPED, DTYPE_Q5_K},

    {IN(Q2_K), KIND_DOWN, 0, DTYPE_Q3_K},
    {IN(Q3_K_M), KIND_DOWN, FIRST_SIXTEENTH, DTYPE_Q5_K},
    {IN(Q3_K_M), KIND_DOWN, 0, DTYPE_Q4_K},
    {IN(Q3_K_L), KIND_DOWN, 0, DTYPE_Q5_K},
    {IN(Q4_K_S), KIND_DOWN, FIRST_EIGHTH, DTYPE_Q5_K},
    {IN(Q4_K_M) | IN(Q5_K_M), KIND_DOWN, MORE_BITS, DTYPE_Q6_K},
    {IN(IQ4_NL) | IN(IQ4_XS), KIND_DOWN, FIRST_EIGHTH | NO_IMPORTANCE, DTYPE_Q5_K},
    {IN(Q4_0), KIND_DOWN, FIRST_EIGHTH | IMPORTANCE, DTYPE_Q4_1},
    {IN(Q5_0), KIND_DOWN, FIRST_EIGHTH | IMPORTANCE, DTYPE_Q5_1},

    {IN(Q2_K) | IN(Q3_K_S) | IN(Q3_K_M) | IN(Q4_K_S) | IN(Q4_K_M) | IN(IQ4_NL) | IN(IQ4_XS), KIND_ATTN_OUTPUT,
     EIGHT_EXPERTS, DTYPE_Q5_K},
    {IN(Q2_K), KIND_ATTN_OUTPUT, NOT_EIGHT_EXPERTS, DTYPE_Q3_K},
    {IN(Q3_K_M), KIND_ATTN_OUTPUT, NOT_EIGHT_EXPERTS, DTYPE_Q4_K},
    {IN(Q3_K_L), KIND_ATTN_OUTPUT, NOT_EIGHT_EXPERTS, DTYPE_Q5_K},
};

struct mix_facts mix_facts_of(const struct model *m, const struct tensor_list *list, bool importance)
{
    const struct layer_shape first = m->layers[0].shape;
    const char *family = model_architecture(&m->config)->gguf_name;
    const size_t n = m->config.num_hidden_layers;
    return (struct mix_facts){
        .n_layers = n,
        .n_experts = m->config.num_experts,
        .grouped = first.n_heads / first.n_kv_heads >= 4,
        .seventy_b = n == 80 && (strcmp(family, "qwen2") == 0 ||
                                 (strcmp(family, "llama") == 0 && first.n_heads != first.n_kv_heads)),
        .tied = tensor_list_find(list, "output.weight") == NULL,
        .importance = importance,
    };
}

/* Everything that is true of a tensor, as a set. */
static int circumstances(const struct mix *mix, const struct mix_facts *f, const struct tensor *t)
{
    const size_t n = f->n_layers;
    const int layer = t->pieces->param->layer;
    int set = (f->n_experts == 8 ? EIGHT_EXPERTS : NOT_EIGHT_EXPERTS) | (f->importance ? IMPORTANCE : NO_IMPORTANCE) |
              (f->grouped ? GROUPED : 0) | (f->seventy_b ? SEVENTY_B : 0) | (t->n_dims == 3 ? EXPERTS : 0) |
              (t->cols % dtype_info(mix->type)->block ? NOT_WHOLE : 0);
    if (layer < 0)
        return set;
    const size_t i = (size_t)layer;
    set |= (i < 2 ? FIRST_TWO : 0) | (i < 4 ? FIRST_FOUR : 0) | (i < n / 8 ? FIRST_EIGHTH : 0) |
           (i < n / 16 ? FIRST_SIXTEENTH : 0);
    return set | (i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2 ? MORE_BITS : 0);
}

enum dtype mix_type(const struct mix *mix, const struct mix_facts *f, const struct tensor *t)
{
    CHECK(mix >= table && mix < table + MIXES);
    const enum kind kind = kind_of(t, f);
    const int true_here = circumstances(mix, f, t);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        const struct rule *r = &rules[i];
        if (r->mixes & IN(mix - table) && (r->kind == KIND_OTHER || r->kind == kind) && (r->when & ~true_here) == 0)
            return r->type;
    }
    return mix->type;
}

enum dtype mix_fallback(enum dtype type, size_t n_cols)
{
    static const struct {
        enum dtype from, to;
    } smaller_blocks[] = {
        {DTYPE_Q2_K, DTYPE_IQ4_NL}, {DTYPE_Q3_K, DTYPE_IQ4_NL}, {DTYPE_IQ4_XS, DTYPE_IQ4_NL},
        {DTYPE_TQ1_0, DTYPE_IQ4_NL}, {DTYPE_TQ2_0, DTYPE_IQ4_NL}, {DTYPE_Q4_K, DTYPE_Q5_0},
        {DTYPE_Q5_K, DTYPE_Q5_1}, {DTYPE_Q6_K, DTYPE_Q8_0},
    };
    if (n_cols % dtype_info(type)->block == 0)
        return type;
    for (size_t i = 0; i < sizeof smaller_blocks / sizeof *smaller_blocks; i++)
        if (smaller_blocks[i].from == type && n_cols % dtype_info(smaller_blocks[i].to)->block == 0)
            return smaller_blocks[i].to;
    return DTYPE_F16;
}
