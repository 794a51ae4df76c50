/* Quantisation with compensation of whole models: what they predict changes less, files hold what was measured, and
 * experts, threads and bad models. */
#include "export/compensate.h"

#include "base/file.h"
#include "export/quantize.h"
#include "kernels/gemm.h"
#include "kernels/quantize.h"
#include "model/load.h"
#include "tests/directory.h"
#include "tests/infer/util.h"

#include <unistd.h>

enum { CONTEXT = 32, CHUNKS = 32, HELD_OUT = 60 };

static struct model_config config(bool with_experts)
{
    struct model_config c = small_config(256, ROPE_HALF);
    c.hidden_size = 64;
    c.intermediate_size = 96;
    c.num_hidden_layers = 2;
    if (with_experts) {
        struct error e;
        assert_ok(model_config_parse("model: {architecture: mixtral, vocab_size: 256, hidden_size: 64, "
                                     "intermediate_size: 96, num_hidden_layers: 2, num_attention_heads: 4, "
                                     "num_key_value_heads: 2, head_dim: 16, num_experts: 4, initializer_range: 0.15, "
                                     "num_experts_per_tok: 2, tie_word_embeddings: false, "
                                     "max_position_embeddings: 64}\n", &c, &e), e);
    }
    return c;
}

/* Some tokens are much more frequent than others, as in text: inputs are far from white. */
static void text_ids(int32_t *ids, size_t n, uint64_t seed)
{
    struct rng r;
    rng_init(&r, seed, 3000);
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)(rng_below(&r, 4) ? rng_below(&r, 12) * 7 : rng_below(&r, 256));
}

static struct quantize_options options(const char *type, int32_t *ids, size_t n_chunks)
{
    struct quantize_options o = {.types = {.output_type = NO_TYPE, .embedding_type = NO_TYPE, .pure = true}, .name = "tiny"};
    struct error e;
    assert_ok(mix_find("--type", type, &o.types.mix, &e), e);
    text_ids(ids, n_chunks * CONTEXT, 5);
    o.calibration = (struct compensate_options){.ids = ids, .n_chunks = n_chunks, .context = CONTEXT, .damping = 0.01};
    return o;
}

static float *logits(struct model *m)
{
    int32_t ids[HELD_OUT];
    text_ids(ids, HELD_OUT, 6);
    return full_logits(m, ids, HELD_OUT);
}

static double distance(const float *x, const float *y)
{
    double sum = 0;
    for (size_t i = 0; i < HELD_OUT * 256; i++)
        sum += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
    return sum;
}

/* What a file's model predicts. */
static float *file_logits(const char *path)
{
    struct model m;
    struct error e;
    assert_ok(model_load(path, WEIGHTS_MAPPED, &m, NULL, &e), e);
    float *x = logits(&m);
    model_free(&m);
    return x;
}

static void check_left_alone(const struct model *m)
{
    for (size_t i = 0; i < m->n_params; i++)
        assert_null(m->params[i].view);
    for (size_t i = 0; i < m->config.num_hidden_layers; i++) {
        const struct layer *l = &m->layers[i];
        assert_true(!l->q.hook && !l->k.hook && !l->v.hook && !l->output.hook && !l->ffn.gate.hook && !l->ffn.down.hook);
    }
    assert_null(m->head.hook);
}

/* Tied or not, with experts or without: the file's predictions are nearer to the model's than those of a plain file. */
static void predictions_change_less(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        bool experts, tied;
    } cases[] = {{"Q4_0", false, false}, {"IQ4_NL", false, true}, {"MXFP4", true, false}, {"Q4_1", true, false}};
    struct tokenizer *t = make_tokenizer(NULL);
    char *plain = path_join(directory, "plain.gguf"), *path = path_join(directory, "compensated.gguf");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int32_t ids[CHUNKS * CONTEXT];
        struct model_config c = config(cases[i].experts);
        c.tie_word_embeddings = cases[i].tied;
        struct model m = make_model(&c, 31 + i);
        struct quantize_options o = options(cases[i].type, ids, CHUNKS), without = o;
        struct export_report report, of_plain;
        struct error e;
        without.calibration.ids = NULL;
        float *original = logits(&m);
        assert_ok(quantize_model(&m, t, &without, plain, &of_plain, &e), e);
        assert_ok(quantize_model(&m, t, &o, path, &report, &e), e);
        assert_int_equal(report.bytes_after, of_plain.bytes_after);
        check_left_alone(&m);
        float *again = logits(&m), *of_file = file_logits(path), *of_plain_file = file_logits(plain);
        assert_memory_equal(again, original, HELD_OUT * 256 * sizeof *again);
        const double before = distance(original, of_plain_file), after = distance(original, of_file);
        if (!(after < 0.85 * before))
            fail_msg("%s: %g with compensation, %g without", cases[i].type, after, before);
        mem_free(original), mem_free(again), mem_free(of_file), mem_free(of_plain_file);
        model_free(&m);
    }
    mem_free(plain), mem_free(path);
    tokenizer_free(t);
}

/* Also where the rows of queries and keys have another order in the file than in memory. */
static void files_hold_what_was_measured(void **state)
{
    (void)state;
    struct tokenizer *t = make_tokenizer(NULL);
    struct model_config c = config(false);
    struct model m = make_model(&c, 41);
    int32_t ids[CHUNKS * CONTEXT];
    struct quantize_options o = options("Q5_1", ids, CHUNKS);
    struct export_report report;
    struct compensation compensation;
    struct tensor_list list;
    struct type_plan plan;
    struct error e;
    char *path = path_join(directory, "measured.gguf");
    assert_ok(quantize_model(&m, t, &o, path, &report, &e), e);
    float *of_file = file_logits(path), *original = logits(&m);

    tensor_list_init(&list, &m, CONTAINER_GGUF, false);
    assert_ok(type_plan_init(&plan, &m, &list, &o.types, &e), e);
    assert_ok(compensate_model(&compensation, &m, &plan, &o.calibration, &e), e);
    assert_int_equal(compensation.n_compensated, 2 * 7 + 1);
    assert_int_equal(compensation.n_starved, 0);
    float *here = logits(&m); /* through the views */
    assert_true(distance(here, of_file) < 1e-6 * distance(here, original));
    compensation_free(&compensation);
    check_left_alone(&m);
    type_plan_free(&plan);
    tensor_list_free(&list);
    mem_free(of_file), mem_free(original), mem_free(here), mem_free(path);
    model_free(&m);
    tokenizer_free(t);
}

static void threads_change_nothing(void **state)
{
    (void)state;
    struct tokenizer *t = make_tokenizer(NULL);
    struct model_config c = config(true);
    struct model m = make_model(&c, 43);
    int32_t ids[CHUNKS * CONTEXT];
    struct quantize_options o = options("Q4_0", ids, CHUNKS);
    struct export_report report;
    struct buffer one = {0}, other = {0};
    struct error e;
    const int threads = kernels_threads();
    char *path = path_join(directory, "threads.gguf");
    kernels_set_threads(1);
    assert_ok(quantize_model(&m, t, &o, path, &report, &e), e);
    assert_ok(file_read(path, &one, 1 << 26, &e), e);
    kernels_set_threads(3);
    assert_ok(quantize_model(&m, t, &o, path, &report, &e), e);
    assert_ok(file_read(path, &other, 1 << 26, &e), e);
    kernels_set_threads(threads);
    assert_int_equal(one.size, other.size);
    assert_memory_equal(one.data, other.data, one.size);
    buffer_free(&one), buffer_free(&other);
    mem_free(path);
    model_free(&m);
    tokenizer_free(t);
}

/* A short text: experts get what plain rounding gives. */
static void experts_without_tokens_are_rounded_plainly(void **state)
{
    (void)state;
    struct model_config c = config(true);
    struct model m = make_model(&c, 44);
    int32_t ids[8 * CONTEXT];
    struct quantize_options o = options("Q8_0", ids, 8);
    struct compensation compensation;
    struct tensor_list list;
    struct type_plan plan;
    struct error e;
    size_t n_plain = 0;
    for (size_t i = 0; i < 8 * CONTEXT; i++)
        ids[i] = 7; /* the same experts for all, or nearly */
    tensor_list_init(&list, &m, CONTAINER_GGUF, false);
    assert_ok(type_plan_init(&plan, &m, &list, &o.types, &e), e);
    assert_ok(compensate_model(&compensation, &m, &plan, &o.calibration, &e), e);
    for (size_t i = 0; i < m.n_params; i++) {
        const struct compensated *x = &compensation.matrices[i];
        unsigned char blocks[96 * 96 * 2];
        if (!x->param || x->param->expert < 0)
            continue;
        quantize_rows(DTYPE_Q8_0, x->param->value, blocks, x->param->rows, x->param->cols, NULL);
        n_plain += memcmp(blocks, x->blocks, x->param->count / 32 * 34) == 0;
    }
    assert_true(n_plain >= 6);
    assert_int_equal(n_plain, compensation.n_starved);
    assert_true(compensation.n_compensated >= 2 * 4 + 1 + 6);
    compensation_free(&compensation);
    type_plan_free(&plan);
    tensor_list_free(&list);
    model_free(&m);
}

static void what_cannot_be(void **state)
{
    (void)state;
    struct tokenizer *t = make_tokenizer(NULL);
    struct model_config c = config(false);
    struct model m = make_model(&c, 45);
    int32_t ids[8 * CONTEXT];
    struct quantize_options o = options("F16", ids, 8);
    struct export_report report;
    struct error e;
    char *path = path_join(directory, "nothing.gguf");
    assert_int_equal(quantize_model(&m, t, &o, path, &report, &e), ERR_USAGE);
    assert_non_null(strstr(e.message, "there is nothing to calibrate"));
    o = options("Q4_0", ids, 8);
    float *w = m.layers[1].ffn.down.weight->value, old = w[70];
    w[70] = NAN;
    assert_int_equal(quantize_model(&m, t, &o, path, &report, &e), ERR_FORMAT);
    assert_string_equal(e.message, "blk.1.ffn_down.weight holds a weight that is not a number; the model's file is "
                                   "damaged, or its training diverged");
    check_left_alone(&m);
    w[70] = 1e30f;
    assert_int_equal(quantize_model(&m, t, &o, path, &report, &e), ERR_FORMAT);
    assert_non_null(strstr(e.message, "blk.1.ffn_down.weight holds weights so large"));
    w[70] = old;
    m.layers[0].ffn_norm.weight->value[3] = INFINITY;
    assert_int_equal(quantize_model(&m, t, &o, path, &report, &e), ERR_FORMAT);
    assert_string_equal(e.message, "the inputs of blk.0.ffn_gate.weight are not finite numbers: the model is damaged");
    check_left_alone(&m);
    assert_false(file_exists(path));
    mem_free(path);
    model_free(&m);
    tokenizer_free(t);
}

/* The decoder's steps are its forward pass. */
static void blocks_one_by_one(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        struct model_config c = config(kind);
        struct model m = make_model(&c, 46);
        struct activations a;
        struct batch b;
        struct arena arena = {0};
        struct error e;
        const size_t n = 40, bytes = n * c.hidden_size * sizeof(float);
        take_full(&m, n, &a, &b, &arena);
        activations_free(&a);
        const size_t size = arena.used;
        assert_ok(arena_init(&arena, size, "test", &e), e);
        take_full(&m, n, &a, &b, &arena);
        model_reserve_positions(&m, n);
        text_ids(b.input_ids, n, 8);
        for (size_t i = 0; i < n; i++)
            b.positions[i] = (int32_t)i;
        float *whole = mem_alloc(bytes, 1), *stream = mem_alloc(bytes, 1);
        memcpy(whole, decoder_forward(&m, &a, &b, NULL, 0), bytes);
        decoder_embed(&m, &a, &b);
        memcpy(stream, a.layers[0].input, bytes);
        for (size_t i = 0; i < c.num_hidden_layers; i++) {
            memcpy(a.layers[i].input, stream, bytes);
            decoder_block(&m, &a, &b, i);
            memcpy(stream, activations_stream(&a, i, c.num_hidden_layers), bytes);
        }
        memset(a.hidden, 0, bytes);
        memcpy(a.last, stream, bytes);
        assert_memory_equal(decoder_last_norm(&m, &a, &b), whole, bytes);
        mem_free(whole), mem_free(stream);
        activations_free(&a);
        arena_free(&arena);
        model_free(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(predictions_change_less),
        cmocka_unit_test(files_hold_what_was_measured),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(experts_without_tokens_are_rounded_plainly),
        cmocka_unit_test(what_cannot_be),
        cmocka_unit_test(blocks_one_by_one),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
