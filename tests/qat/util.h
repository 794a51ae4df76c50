/* Small models whose widths whole blocks of every type fit into, and what they are rounded to, for the tests of this
 * folder. */
#ifndef LINNET_TESTS_QAT_UTIL_H
#define LINNET_TESTS_QAT_UTIL_H

#include "base/log.h"
#include "export/gguf.h"
#include "export/quantize.h"
#include "kernels/gemm.h"
#include "model/load.h"
#include "qat/qat.h"
#include "tests/directory.h"
#include "tests/infer/util.h"
#include "tests/model/architectures.h"
#include "tests/model/rig.h"


enum { VOCAB = 256, ROWS = 2, LENGTH = 12 };

__attribute__((unused)) static int quiet_directory(void **state)
{
    log_set_quiet(true);
    return make_directory(state);
}

/* The other header's, for whole families. */
__attribute__((unused)) static int (*const unused_example)(const struct example *, size_t, struct model_config *,
                                                           struct error *) = example_config;

/* Keys of `model:` beside what all have: everything is `width` wide. */
__attribute__((unused)) static struct model_config wide(size_t width, size_t layers, const char *keys)
{
    struct model_config c;
    struct error e;
    char *yaml = mem_printf("model: {vocab_size: %d, hidden_size: %zu, intermediate_size: %zu, num_hidden_layers: %zu, "
                            "num_attention_heads: 4, num_key_value_heads: 1, head_dim: %zu, max_position_embeddings: 64, "
                            "initializer_range: 0.1, %s}\n", VOCAB, width, width, layers, width / 4, keys);
    assert_ok(model_config_parse(yaml, &c, &e), e);
    mem_free(yaml);
    return c;
}

__attribute__((unused)) static struct model wide_model(size_t width, size_t layers, const char *keys)
{
    const struct model_config c = wide(width, layers, keys);
    struct model m;
    struct error e;
    assert_ok(model_init(&m, &c, &e), e);
    assert_ok(model_allocate(&m, &e), e);
    example_weights(&m, 7);
    return m;
}

#define TIED "architecture: llama, tie_word_embeddings: true"
#define UNTIED "architecture: llama, tie_word_embeddings: false"
#define EXPERTS "architecture: mixtral, num_experts: 3, num_experts_per_tok: 2, tie_word_embeddings: false"
#define FUSED "architecture: phi3, tie_word_embeddings: false"
#define HEAD_TOO "architecture: stablelm, partial_rotary_factor: 0.25, tie_word_embeddings: true"

__attribute__((unused)) static struct qat_options rounds_to(const char *type, bool pure)
{
    return (struct qat_options){.types = {.type = (char *)type, .pure = pure}, .scale_interval = 1};
}

/* What `linnet quantize` writes of the model with the same wishes. */
__attribute__((unused)) static char *quantised_file(struct model *m, const struct type_request *request,
                                                    struct merge *merge)
{
    struct parsed_wishes wishes;
    struct export_report report;
    struct error e;
    struct tokenizer *t = make_tokenizer(NULL);
    char *path = path_join(directory, "quantised.gguf");
    assert_ok(type_wishes_parse(request, "--type", NULL, &wishes, &e), e);
    struct quantize_options o = {.types = wishes.wishes, .name = "x", .merge = merge, .requantize = true};
    assert_ok(quantize_model(m, t, &o, path, &report, &e), e);
    type_wishes_free(&wishes);
    tokenizer_free(t);
    return path;
}

/* Row j of a piece, counted in the file's order, as a row of the parameter. */
static size_t row_in_memory(const struct model *m, const struct tensor_piece *piece, size_t j)
{
    const struct model_config *c = &m->config;
    const enum rope_style style = model_architecture(c)->gguf_rope_style;
    const bool reordered = param_is_rotated(piece->param) && style != c->rope_style;
    return piece->param_row + (reordered ? rope_row(j, c->head_dim, c->rope_style, style) : j);
}

static void assert_piece(const struct model *m, const struct tensor *t, const struct tensor_piece *piece,
                         const struct gguf_tensor *stored)
{
    struct param *p = piece->param;
    const struct matrix shown = param_computed(p);
    const enum dtype type = (enum dtype)stored->type;
    size_t row_bytes;
    float *a = mem_alloc(2 * t->cols, sizeof *a), *b = a + t->cols;
    if (shown.type != type)
        fail_msg("%s is %s in the file and %s in training", t->name, dtype_info(type)->name, dtype_info(shown.type)->name);
    assert_int_equal(shown.ld, p->cols);
    assert_false(shown.interleaved);
    assert_true(dtype_bytes(type, t->cols, &row_bytes));
    for (size_t j = 0; j < piece->rows; j++) {
        const size_t row = row_in_memory(m, piece, j);
        const char *in_file = (const char *)stored->data + (piece->row + j) * row_bytes;
        if (memcmp((const char *)shown.data + row * row_bytes, in_file, row_bytes) != 0)
            fail_msg("%s, row %zu of %s: not the file's bytes", t->name, row, p->name);
        matrix_row(&shown, p, row, a);
        assert_true(dtype_to_f32(type, in_file, b, t->cols));
        assert_memory_equal(a, b, t->cols * sizeof *a);
    }
    mem_free(a);
}

/* Every matrix of the model shows the bytes that it has in the file. Where a file has a tied output layer's own copy of the
 * embedding, possibly of another type, the model is of the copy's: that is what predictions are made of. */
__attribute__((unused)) static void assert_shows_file(const struct model *m, const char *path)
{
    struct tensor_list list;
    struct gguf g;
    struct error e;
    size_t compared = 0;
    assert_ok(gguf_open(path, &g, &e), e);
    tensor_list_init(&list, m, CONTAINER_GGUF, false);
    for (size_t i = 0; i < list.n_tensors; i++) {
        const struct tensor *t = &list.tensors[i];
        const bool copied = m->config.tie_word_embeddings && t->pieces->param == m->token_embd &&
                            gguf_find_tensor(&g, "output.weight");
        const struct gguf_tensor *stored = gguf_find_tensor(&g, copied ? "output.weight" : t->name);
        assert_non_null(stored);
        for (size_t j = 0; j < t->n_pieces && !t->vector; j++, compared++)
            assert_piece(m, t, &t->pieces[j], stored);
    }
    assert_true(compared >= 8);
    tensor_list_free(&list);
    gguf_close(&g);
}

#endif
