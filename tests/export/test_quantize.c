/* Mixes against the types llama.cpp gives the same models, and quantised files read back. */
#include "export/quantize.h"

#include "base/file.h"
#include "export/gguf.h"
#include "formats/gguf.h"
#include "kernels/quantize.h"
#include "model/load.h"
#include "tests/directory.h"
#include "tests/infer/util.h"

#include <stdio.h>
#include <unistd.h>

static char letter(enum dtype type)
{
    static const char letters[] = {
        [DTYPE_Q4_0] = 'a', [DTYPE_Q4_1] = 'b', [DTYPE_Q5_0] = 'c', [DTYPE_Q5_1] = 'd', [DTYPE_Q8_0] = '8',
        [DTYPE_Q2_K] = '2', [DTYPE_Q3_K] = '3', [DTYPE_Q4_K] = '4', [DTYPE_Q5_K] = '5', [DTYPE_Q6_K] = '6',
        [DTYPE_IQ4_NL] = 'n', [DTYPE_IQ4_XS] = 'x', [DTYPE_MXFP4] = 'm', [DTYPE_TQ1_0] = 's', [DTYPE_TQ2_0] = 't',
        [DTYPE_BF16] = 'B', [DTYPE_F16] = 'F', [DTYPE_F32] = '-',
    };
    return letters[type];
}

/* The types that llama.cpp (v0.5.0, llama_model_quantize) gave a model of 16 layers with 4 query heads to a head of
 * keys and an output layer of its own: attn_v and ffn_down of each layer; attn_output, attn_k, attn_q and ffn_up,
 * output and token_embd. First a dense one (Mistral), then one of 8 experts (Mixtral). */
static const struct expected {
    const char *mix, *v, *down, *output, *k, *others, *head, *embedding;
} dense[] = {
    {"Q4_0", "aaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaa", "a", "a", "aa", "6", "a"},
    {"Q4_1", "bbbbbbbbbbbbbbbb", "bbbbbbbbbbbbbbbb", "b", "b", "bb", "6", "b"},
    {"Q5_0", "cccccccccccccccc", "cccccccccccccccc", "c", "c", "cc", "6", "c"},
    {"Q5_1", "dddddddddddddddd", "dddddddddddddddd", "d", "d", "dd", "6", "d"},
    {"Q8_0", "8888888888888888", "8888888888888888", "8", "8", "88", "8", "8"},
    {"Q2_K", "4444444444444444", "3333333333333333", "3", "2", "22", "6", "2"},
    {"Q3_K_S", "3333333333333333", "3333333333333333", "3", "3", "33", "6", "3"},
    {"Q3_K_M", "5544444444444444", "5444444444444444", "4", "3", "33", "6", "3"},
    {"Q3_K_L", "5555555555555555", "5555555555555555", "5", "3", "33", "6", "3"},
    {"Q4_K_S", "5555444444444444", "5544444444444444", "4", "4", "44", "6", "4"},
    {"Q4_K_M", "6644644644644666", "6644644644644666", "4", "4", "44", "6", "4"},
    {"Q5_K_S", "5555555555555555", "5555555555555555", "5", "5", "55", "6", "5"},
    {"Q5_K_M", "6655655655655666", "6655655655655666", "5", "5", "55", "6", "5"},
    {"Q6_K", "6666666666666666", "6666666666666666", "6", "6", "66", "6", "6"},
    {"IQ4_NL", "5555555555555555", "55nnnnnnnnnnnnnn", "n", "n", "nn", "6", "n"},
    {"IQ4_XS", "5555555555555555", "55xxxxxxxxxxxxxx", "x", "x", "xx", "6", "x"},
    {"MXFP4", "8888888888888888", "8888888888888888", "8", "8", "88", "8", "8"},
    {"TQ1_0", "ssssssssssssssss", "ssssssssssssssss", "s", "s", "ss", "6", "4"},
    {"TQ2_0", "tttttttttttttttt", "tttttttttttttttt", "t", "t", "tt", "6", "4"},
    {"BF16", "BBBBBBBBBBBBBBBB", "BBBBBBBBBBBBBBBB", "B", "B", "BB", "B", "B"},
    {"F16", "FFFFFFFFFFFFFFFF", "FFFFFFFFFFFFFFFF", "F", "F", "FF", "F", "F"},
}, experts[] = {
    {"Q4_0", "8888888888888888", "aaaaaaaaaaaaaaaa", "a", "8", "aa", "6", "a"},
    {"Q4_1", "8888888888888888", "bbbbbbbbbbbbbbbb", "b", "8", "bb", "6", "b"},
    {"Q5_0", "8888888888888888", "cccccccccccccccc", "c", "8", "cc", "6", "c"},
    {"Q5_1", "8888888888888888", "dddddddddddddddd", "d", "8", "dd", "6", "d"},
    {"Q8_0", "8888888888888888", "8888888888888888", "8", "8", "88", "8", "8"},
    {"Q2_K", "8888888888888888", "3333333333333333", "5", "8", "22", "6", "2"},
    {"Q3_K_S", "8888888888888888", "3333333333333333", "5", "8", "33", "6", "3"},
    {"Q3_K_M", "8888888888888888", "5444444444444444", "5", "8", "33", "6", "3"},
    {"Q3_K_L", "8888888888888888", "5555555555555555", "3", "8", "33", "6", "3"},
    {"Q4_K_S", "8888888888888888", "5544444444444444", "5", "8", "44", "6", "4"},
    {"Q4_K_M", "8888888888888888", "6644644644644666", "5", "8", "44", "6", "4"},
    {"Q5_K_S", "8888888888888888", "5555555555555555", "5", "8", "55", "6", "5"},
    {"Q5_K_M", "8888888888888888", "6655655655655666", "5", "8", "55", "6", "5"},
    {"Q6_K", "8888888888888888", "6666666666666666", "6", "8", "66", "6", "6"},
    {"IQ4_NL", "8888888888888888", "55nnnnnnnnnnnnnn", "5", "8", "nn", "6", "n"},
    {"IQ4_XS", "8888888888888888", "55xxxxxxxxxxxxxx", "5", "8", "xx", "6", "x"},
    {"MXFP4", "8888888888888888", "mmmmmmmmmmmmmmmm", "8", "8", "8m", "8", "8"},
    {"TQ1_0", "8888888888888888", "ssssssssssssssss", "s", "8", "ss", "6", "4"},
    {"TQ2_0", "8888888888888888", "tttttttttttttttt", "t", "8", "tt", "6", "4"},
    {"BF16", "BBBBBBBBBBBBBBBB", "BBBBBBBBBBBBBBBB", "B", "B", "BB", "B", "B"},
    {"F16", "FFFFFFFFFFFFFFFF", "FFFFFFFFFFFFFFFF", "F", "F", "FF", "F", "F"},
};
enum { N_DENSE = sizeof dense / sizeof *dense, N_EXPERTS = sizeof experts / sizeof *experts };

static struct model_config wide_config(bool with_experts)
{
    struct model_config c = small_config(256, ROPE_HALF);
    c.hidden_size = 256;
    c.intermediate_size = 512;
    c.num_hidden_layers = 16;
    c.num_attention_heads = 8;
    c.head_dim = 32;
    if (with_experts) {
        struct error e;
        assert_ok(model_config_parse("model: {architecture: mixtral, vocab_size: 256, hidden_size: 256, "
                                     "intermediate_size: 512, num_hidden_layers: 16, num_attention_heads: 8, "
                                     "num_key_value_heads: 2, head_dim: 32, num_experts: 8, "
                                     "num_experts_per_tok: 2, tie_word_embeddings: false, "
                                     "max_position_embeddings: 64}\n", &c, &e), e);
    }
    return c;
}

/* A model's tensors without their weights. */
struct outline {
    struct model model;
    struct tensor_list list;
    struct mix_facts facts;
};

static void outline_init(struct outline *o, const struct model_config *c, bool importance)
{
    struct error e;
    assert_ok(model_init(&o->model, c, &e), e);
    tensor_list_init(&o->list, &o->model, CONTAINER_GGUF, false);
    o->facts = mix_facts_of(&o->model, &o->list, importance);
}

static void outline_free(struct outline *o)
{
    tensor_list_free(&o->list);
    model_free(&o->model);
}

static char type_of(const struct outline *o, const struct mix *mix, const char *format, int layer)
{
    char name[64];
    snprintf(name, sizeof name, format, layer); /* NOLINT: the formats are those below */
    const struct tensor *t = tensor_list_find(&o->list, name);
    assert_non_null(t);
    return letter(mix_type(mix, &o->facts, t));
}

static void assert_types(const struct outline *o, const struct mix *mix, const char *format, const char *wanted)
{
    for (int i = 0; wanted[i]; i++)
        if (type_of(o, mix, format, i) != wanted[i])
            fail_msg("%s: %s of layer %d is %c, and llama.cpp's %c", mix->name, format, i,
                     type_of(o, mix, format, i), wanted[i]);
}

static void check_mixes(const struct outline *o, const struct expected *wanted, size_t n, const char *suffix)
{
    for (size_t i = 0; i < n; i++) {
        const struct mix *mix = NULL;
        const struct expected *w = &wanted[i];
        struct error e;
        char format[64], up[2] = {w->others[1], 0}, q[2] = {w->others[0], 0};
        assert_ok(mix_find("--type", w->mix, &mix, &e), e);
        assert_string_equal(mix->name, w->mix);
        assert_types(o, mix, "blk.%d.attn_v.weight", w->v);
        snprintf(format, sizeof format, "blk.%%d.ffn_down%s.weight", suffix);
        assert_types(o, mix, format, w->down);
        assert_types(o, mix, "blk.%d.attn_output.weight", w->output);
        assert_types(o, mix, "blk.%d.attn_k.weight", w->k);
        assert_types(o, mix, "blk.%d.attn_q.weight", q);
        snprintf(format, sizeof format, "blk.%%d.ffn_up%s.weight", suffix);
        assert_types(o, mix, format, up);
        assert_types(o, mix, "output.weight", w->head);
        assert_types(o, mix, "token_embd.weight", w->embedding);
    }
}

static void mixes_are_those_of_llama_cpp(void **state)
{
    (void)state;
    struct outline o;
    struct model_config c = wide_config(false);
    outline_init(&o, &c, false);
    check_mixes(&o, dense, N_DENSE, "");
    outline_free(&o);
    c = wide_config(true);
    outline_init(&o, &c, false);
    check_mixes(&o, experts, N_EXPERTS, "_exps");
    outline_free(&o);
    assert_int_equal(N_DENSE, N_EXPERTS);
    assert_null(mix_at(N_DENSE)); /* none is missing here */
    assert_non_null(mix_at(N_DENSE - 1));
}

/* What else the rules ask about. */
static void circumstances(void **state)
{
    (void)state;
    static const struct {
        const char *mix, *tensor, *plain, *here;
    } cases[] = {
        {"Q4_0", "blk.%d.ffn_down.weight", "aaaaaaaaaaaaaaaa", "bbaaaaaaaaaaaaaa"},   /* with importance */
        {"Q5_0", "blk.%d.ffn_down.weight", "cccccccccccccccc", "ddcccccccccccccc"},
        {"IQ4_XS", "blk.%d.ffn_down.weight", "55xxxxxxxxxxxxxx", "xxxxxxxxxxxxxxxx"},
        {"Q4_K_M", "blk.%d.ffn_down.weight", "6644644644644666", "6644644644644666"},
    };
    struct outline plain, here;
    struct model_config c = wide_config(false);
    struct error e;
    const struct mix *mix = NULL;
    outline_init(&plain, &c, false);
    outline_init(&here, &c, true);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_ok(mix_find("--type", cases[i].mix, &mix, &e), e);
        assert_types(&plain, mix, cases[i].tensor, cases[i].plain);
        assert_types(&here, mix, cases[i].tensor, cases[i].here);
    }
    outline_free(&plain), outline_free(&here);

    c.num_key_value_heads = 4; /* not enough heads to one of keys */
    c.tie_word_embeddings = true;
    outline_init(&plain, &c, false);
    assert_ok(mix_find("--type", "q2_k", &mix, &e), e);
    assert_types(&plain, mix, "blk.%d.attn_v.weight", "3333333333333333");
    assert_types(&plain, mix, "token_embd.weight", "6"); /* which is the output layer */
    outline_free(&plain);

    c = wide_config(false);
    c.num_hidden_layers = 80; /* Llama 70B */
    outline_init(&plain, &c, false);
    assert_ok(mix_find("--type", "q4_k", &mix, &e), e);
    assert_string_equal(mix->name, "Q4_K_M");
    assert_int_equal(type_of(&plain, mix, "blk.%d.attn_v.weight", 10), '5');
    assert_int_equal(type_of(&plain, mix, "blk.%d.attn_v.weight", 12), '6');
    outline_free(&plain);
}

static void what_stands_in_where_columns_do_not_fit(void **state)
{
    (void)state;
    static const enum dtype small[][2] = {
        {DTYPE_Q2_K, DTYPE_IQ4_NL}, {DTYPE_Q3_K, DTYPE_IQ4_NL}, {DTYPE_IQ4_XS, DTYPE_IQ4_NL},
        {DTYPE_Q4_K, DTYPE_Q5_0},   {DTYPE_Q5_K, DTYPE_Q5_1},   {DTYPE_Q6_K, DTYPE_Q8_0},
    };
    for (size_t i = 0; i < sizeof small / sizeof *small; i++) {
        assert_int_equal(mix_fallback(small[i][0], 512), small[i][0]);
        assert_int_equal(mix_fallback(small[i][0], 96), small[i][1]);
        assert_int_equal(mix_fallback(small[i][0], 40), DTYPE_F16);
    }
    assert_int_equal(mix_fallback(DTYPE_Q4_0, 96), DTYPE_Q4_0);
    assert_int_equal(mix_fallback(DTYPE_Q8_0, 40), DTYPE_F16);
    assert_int_equal(mix_fallback(DTYPE_BF16, 41), DTYPE_BF16);
}

static struct quantize_options usual(const char *type)
{
    struct quantize_options o = {.types = {.output_type = NO_TYPE, .embedding_type = NO_TYPE}, .name = "tiny"};
    struct error e;
    assert_ok(mix_find("--type", type, &o.types.mix, &e), e);
    return o;
}

/* Every tensor of the file is what quantize_rows makes of the model's rows in the file's order. */
static void files_hold_the_blocks(void **state)
{
    (void)state;
    struct tokenizer *t = make_tokenizer(NULL);
    struct model_config c = wide_config(false);
    c.num_hidden_layers = 3;
    struct model m = make_model(&c, 41), back;
    struct quantize_options o = usual("Q4_K_M");
    struct export_options plain = {.type = DTYPE_F32, .name = "tiny"};
    struct export_report report;
    struct error e;
    struct gguf q, f;
    char *quantised = path_of("q4.gguf"), *original = path_of("f32.gguf");
    assert_ok(export_gguf(&m, t, &plain, original, &e), e);
    assert_ok(quantize_model(&m, t, &o, quantised, &report, &e), e);
    assert_ok(gguf_open(quantised, &q, &e), e);
    assert_ok(gguf_open(original, &f, &e), e);
    size_t file_type = 0, bytes = 0;
    assert_ok(gguf_get_size(&q, "general.file_type", &file_type, &e), e);
    assert_int_equal(file_type, 15);
    for (size_t i = 0; i < q.n_tensors; i++) {
        const struct gguf_tensor *got = &q.tensors[i];
        char *name = mem_string_n(got->name.data, got->name.size);
        const struct gguf_tensor *from = gguf_find_tensor(&f, name);
        unsigned char *wanted = mem_alloc(got->n_bytes, 1);
        bytes += got->n_bytes;
        if (got->type == DTYPE_F32)
            memcpy(wanted, from->data, got->n_bytes);
        else
            quantize_rows(got->type, (const float *)from->data, wanted, from->dims[1], from->dims[0], NULL);
        assert_memory_equal(got->data, wanted, got->n_bytes);
        mem_free(wanted), mem_free(name);
    }
    assert_int_equal(report.bytes_after, bytes);
    assert_int_equal(report.n_weights, m.n_weights);
    assert_int_equal(report.bytes_before, 4 * m.n_weights);
    assert_int_equal(report.n_fallbacks, 0);
    gguf_close(&q), gguf_close(&f);

    /* quantised already */
    assert_ok(model_load(quantised, WEIGHTS_MAPPED, &back, NULL, &e), e);
    char *again = path_of("again.gguf");
    struct quantize_options other = usual("Q5_K_M");
    assert_int_equal(quantize_model(&back, t, &other, again, &report, &e), ERR_USAGE);
    assert_non_null(strstr(e.message, " already, and would be "));
    assert_non_null(strstr(e.message, "allow what is lost twice with --requantize"));
    assert_false(file_exists(again));
    /* the same types: the same blocks, copied */
    assert_ok(quantize_model(&back, t, &o, again, &report, &e), e);
    struct buffer one = {0}, two = {0};
    assert_ok(file_read(quantised, &one, 1 << 26, &e), e);
    assert_ok(file_read(again, &two, 1 << 26, &e), e);
    assert_int_equal(one.size, two.size);
    assert_memory_equal(one.data, two.data, one.size);
    buffer_free(&one), buffer_free(&two);
    model_free(&back), model_free(&m);
    tokenizer_free(t);
    mem_free(quantised), mem_free(original), mem_free(again);
}

/* Importance of columns, of each expert its own. */
static void experts_have_importance_of_their_own(void **state)
{
    (void)state;
    struct tokenizer *t = make_tokenizer(NULL);
    struct model_config c = wide_config(true);
    c.num_hidden_layers = 1;
    struct model m = make_model(&c, 42);
    struct quantize_options o = usual("Q4_0");
    struct export_options plain = {.type = DTYPE_F32, .name = "tiny"};
    struct export_report report;
    struct error e;
    struct gguf q, f;
    enum { EXPERTS = 8, COLS = 256 };
    float *values = mem_alloc(EXPERTS * COLS, sizeof *values);
    struct rng r;
    rng_init(&r, 3, 4);
    for (size_t i = 0; i < EXPERTS * COLS; i++)
        values[i] = (float)(rng_uniform(&r) * rng_uniform(&r));
    struct imatrix_entry entry = {.name = "blk.0.ffn_up_exps.weight", .values = values, .n = EXPERTS * COLS, .count = 1};
    struct imatrix im = {.entries = &entry, .n_entries = 1};
    o.types.importance = &im;
    o.types.importance_name = "some.imatrix";
    char *quantised = path_of("experts.gguf"), *original = path_of("experts-f32.gguf");
    assert_ok(export_gguf(&m, t, &plain, original, &e), e);
    assert_ok(quantize_model(&m, t, &o, quantised, &report, &e), e);
    assert_ok(gguf_open(quantised, &q, &e), e);
    assert_ok(gguf_open(original, &f, &e), e);
    const struct gguf_tensor *got = gguf_find_tensor(&q, entry.name), *from = gguf_find_tensor(&f, entry.name);
    assert_int_equal(got->type, DTYPE_Q4_0);
    assert_int_equal(got->n_elements, EXPERTS * 512 * COLS);
    const size_t slice = got->n_bytes / EXPERTS;
    unsigned char *wanted = mem_alloc(slice, 1);
    for (size_t i = 0; i < EXPERTS; i++) {
        quantize_rows(DTYPE_Q4_0, (const float *)from->data + i * 512 * COLS, wanted, 512, COLS, values + i * COLS);
        assert_memory_equal(got->data + i * slice, wanted, slice);
    }
    mem_free(wanted);
    gguf_close(&q), gguf_close(&f);

    entry.n = COLS; /* of one expert */
    assert_int_equal(quantize_model(&m, t, &o, quantised, &report, &e), ERR_FORMAT);
    assert_string_equal(e.message, "some.imatrix: is of another model: blk.0.ffn_up_exps.weight has 256 columns there "
                                   "and 2048 in this model");
    entry.name = "blk.1.ffn_up_exps.weight";
    assert_int_equal(quantize_model(&m, t, &o, quantised, &report, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "it has blk.1.ffn_up_exps.weight, which this model does not"));
    mem_free(values);
    mem_free(quantised), mem_free(original);
    model_free(&m);
    tokenizer_free(t);
}

static enum dtype stored_type(const char *path, const char *name)
{
    struct gguf g;
    struct error e;
    assert_ok(gguf_open(path, &g, &e), e);
    enum dtype type = gguf_find_tensor(&g, name)->type;
    gguf_close(&g);
    return type;
}

static void wishes_for_single_tensors(void **state)
{
    (void)state;
    struct tokenizer *t = make_tokenizer(NULL);
    struct model_config c = wide_config(false);
    c.num_hidden_layers = 2;
    struct model m = make_model(&c, 43);
    struct quantize_options o = usual("Q4_K_S");
    struct export_report report;
    struct error e;
    char *path = path_of("wishes.gguf");
    const struct type_override overrides[] = {{"blk\\.0\\.ffn_(up|gate)", DTYPE_Q6_K, NULL},
                                              {"ffn_up", DTYPE_BF16, NULL}};
    o.types.overrides = overrides;
    o.types.n_overrides = 2;
    o.types.output_type = DTYPE_Q8_0;
    o.types.embedding_type = DTYPE_Q5_0;
    assert_ok(quantize_model(&m, t, &o, path, &report, &e), e);
    assert_int_equal(stored_type(path, "blk.0.ffn_up.weight"), DTYPE_Q6_K);
    assert_int_equal(stored_type(path, "blk.0.ffn_gate.weight"), DTYPE_Q6_K);
    assert_int_equal(stored_type(path, "blk.1.ffn_up.weight"), DTYPE_BF16);
    assert_int_equal(stored_type(path, "blk.1.ffn_gate.weight"), DTYPE_Q4_K);
    assert_int_equal(stored_type(path, "blk.0.attn_v.weight"), DTYPE_Q5_K);
    assert_int_equal(stored_type(path, "output.weight"), DTYPE_Q8_0);
    assert_int_equal(stored_type(path, "token_embd.weight"), DTYPE_Q5_0);
    assert_int_equal(stored_type(path, "blk.0.ffn_norm.weight"), DTYPE_F32);
    o = usual("Q4_K_M");
    o.types.pure = true;
    assert_ok(quantize_model(&m, t, &o, path, &report, &e), e);
    assert_int_equal(stored_type(path, "output.weight"), DTYPE_Q4_K);
    assert_int_equal(stored_type(path, "blk.0.attn_v.weight"), DTYPE_Q4_K);
    assert_int_equal(report.n_types, 2);

    const struct type_override nowhere[] = {{"ffn_norm", DTYPE_Q6_K, NULL}}, broken[] = {{"ffn_(", DTYPE_Q6_K, NULL}};
    o.types.overrides = nowhere;
    o.types.n_overrides = 1;
    assert_int_equal(quantize_model(&m, t, &o, path, &report, &e), ERR_USAGE);
    assert_non_null(strstr(e.message, "--tensor-type ffn_norm: no matrix of this model has that in its name"));
    o.types.overrides = broken;
    assert_int_equal(quantize_model(&m, t, &o, path, &report, &e), ERR_USAGE);
    assert_non_null(strstr(e.message, "--tensor-type ffn_(: "));
    mem_free(path);
    model_free(&m);
    tokenizer_free(t);
}

static void weights_that_no_block_can_hold(void **state)
{
    (void)state;
    struct tokenizer *t = make_tokenizer(NULL);
    struct model_config c = wide_config(false);
    c.num_hidden_layers = 2;
    struct model m = make_model(&c, 44);
    struct quantize_options o = usual("Q4_0");
    struct export_report report;
    struct error e;
    char *path = path_of("large.gguf");
    float *w = m.layers[1].ffn.down.weight->value;
    w[700] = 1e30f;
    assert_int_equal(quantize_model(&m, t, &o, path, &report, &e), ERR_FORMAT);
    assert_string_equal(e.message, "blk.1.ffn_down.weight holds weights so large that no block of q4_0 can stand for "
                                   "them (their scale is of f16); choose bf16 for it");
    w[700] = 500000; /* 65504 * 8 and a little less */
    assert_ok(quantize_model(&m, t, &o, path, &report, &e), e);
    w[700] = INFINITY;
    assert_int_equal(quantize_model(&m, t, &o, path, &report, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "blk.1.ffn_down.weight holds a weight that is not a number"));
    assert_true(file_exists(path)); /* what was there before */
    mem_free(path);
    model_free(&m);
    tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mixes_are_those_of_llama_cpp),
        cmocka_unit_test(circumstances),
        cmocka_unit_test(what_stands_in_where_columns_do_not_fit),
        cmocka_unit_test(files_hold_the_blocks),
        cmocka_unit_test(experts_have_importance_of_their_own),
        cmocka_unit_test(wishes_for_single_tensors),
        cmocka_unit_test(weights_that_no_block_can_hold),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
