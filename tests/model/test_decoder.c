/* The decoder against PyTorch (tests/fixtures/make_decoder.py), against finite differences, and
 * through the linear hook. */
#include "base/rng.h"
#include "formats/hdf5_file.h"
#include "kernels/gemm.h"
#include "model/load.h"
#include "model/rope_scaling.h"
#include "tests/model/rig.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define FIXTURE "tests/fixtures/decoder.h5"

/* --- the fixture --- */

static double number(struct hdf5_file *f, const char *group, const char *key)
{
    char name[128];
    double value;
    struct error e;
    snprintf(name, sizeof name, "%s/config/%s", group, key);
    assert_ok(hdf5_read(f, name, HDF5_F64, 1, &value, &e), e);
    return value;
}

static struct model_config fixture_config(struct hdf5_file *f, const char *group)
{
    return (struct model_config){
        .vocab_size = (size_t)number(f, group, "vocab_size"),
        .hidden_size = (size_t)number(f, group, "hidden_size"),
        .intermediate_size = (size_t)number(f, group, "intermediate_size"),
        .num_hidden_layers = (size_t)number(f, group, "num_hidden_layers"),
        .num_attention_heads = (size_t)number(f, group, "num_attention_heads"),
        .num_key_value_heads = (size_t)number(f, group, "num_key_value_heads"),
        .head_dim = (size_t)number(f, group, "head_dim"),
        .rms_norm_eps = number(f, group, "rms_norm_eps"),
        .rope_theta = number(f, group, "rope_theta"),
        .tie_word_embeddings = number(f, group, "tie_word_embeddings") != 0,
        .rope_style = ROPE_HALF,
    };
}

static void read_ints(struct hdf5_file *f, const char *group, const char *key, int32_t *out,
                      size_t n)
{
    char name[128];
    struct error e;
    snprintf(name, sizeof name, "%s/%s", group, key);
    assert_ok(hdf5_read(f, name, HDF5_I32, n, out, &e), e);
}

static void rig_load(struct rig *r, struct hdf5_file *f, const char *group)
{
    struct model_config config = fixture_config(f, group);
    size_t n_rows = (size_t)number(f, group, "B"), seq_len = (size_t)number(f, group, "T");
    size_t n = n_rows * seq_len;
    struct error e;
    rig_init(r, &config, n_rows, seq_len);
    read_ints(f, group, "input_ids", r->batch.input_ids, n);
    read_ints(f, group, "targets", r->batch.targets, n);
    read_ints(f, group, "positions", r->batch.positions, n);
    read_ints(f, group, "first_key", r->batch.first_key, n);
    r->batch.n_targets = 0;
    for (size_t i = 0; i < n; i++)
        r->batch.n_targets += r->batch.targets[i] != TARGET_IGNORED;
    for (size_t i = 0; i < r->model.n_params; i++) {
        char name[192];
        struct param *p = &r->model.params[i];
        snprintf(name, sizeof name, "%s/weights/%s", group, p->name);
        assert_ok(hdf5_read(f, name, HDF5_F32, p->count, p->value, &e), e);
    }
}

/* The largest difference as a share of the largest reference value. */
static double relative_difference(const float *got, const float *want, size_t n)
{
    double worst = 0, largest = 0;
    for (size_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs((double)got[i] - want[i]));
        largest = fmax(largest, fabs((double)want[i]));
    }
    return worst / fmax(largest, 1e-12);
}

static size_t compare_gradients(struct rig *r, struct hdf5_file *f, const char *group)
{
    size_t compared = 0;
    for (size_t i = 0; i < r->model.n_params; i++) {
        struct param *p = &r->model.params[i];
        char name[192];
        struct error e;
        snprintf(name, sizeof name, "%s/gradients/%s", group, p->name);
        if (!hdf5_has(f, name))
            continue;
        float *want = mem_alloc(p->count, sizeof *want);
        assert_ok(hdf5_read(f, name, HDF5_F32, p->count, want, &e), e);
        double difference = relative_difference(p->grad, want, p->count);
        if (!(difference < 1e-4))
            fail_msg("%s: relative difference %g", name, difference);
        mem_free(want);
        compared++;
    }
    return compared;
}

static void compare_case(const char *group, bool all)
{
    struct hdf5_file *f;
    struct error e;
    struct rig r = {0};
    assert_ok(hdf5_open(FIXTURE, &f, &e), e);
    rig_load(&r, f, group);
    double want, got = rig_step(&r, 0);
    char name[64];
    snprintf(name, sizeof name, "%s/loss_sum", group);
    assert_ok(hdf5_read(f, name, HDF5_F64, 1, &want, &e), e);
    if (!(fabs(got / want - 1) < 1e-5))
        fail_msg("%s: loss %.9g, PyTorch says %.9g", group, got, want);
    size_t compared = compare_gradients(&r, f, group);
    assert_true(all ? compared == r.model.n_params : compared == 4);
    rig_free(&r);
    hdf5_close(f);
}

static void equals_pytorch_multi_head(void **state)
{
    (void)state;
    compare_case("case_a", true);
}

static void equals_pytorch_grouped_untied(void **state)
{
    (void)state;
    compare_case("case_b", true);
}

static void equals_pytorch_documents(void **state)
{
    (void)state;
    compare_case("case_c", true);
}

static void equals_pytorch_long(void **state)
{
    (void)state;
    compare_case("case_d", true);
}

static void equals_pytorch_window(void **state)
{
    (void)state;
    compare_case("case_f", false);
}

/* |gradient - want| / |want|, want being PyTorch's in f64. */
static double gradient_distance(const struct param *p, struct hdf5_file *f, const char *group)
{
    char name[192];
    struct error e;
    double squares = 0, apart = 0;
    float *want = mem_alloc(p->count, sizeof *want);
    snprintf(name, sizeof name, "%s/gradients/%s", group, p->name);
    assert_ok(hdf5_read(f, name, HDF5_F32, p->count, want, &e), e);
    float *got = mem_alloc(p->count, sizeof *got);
    assert_true(dtype_to_f32(p->grad_type, p->grad, got, p->count));
    for (size_t i = 0; i < p->count; i++) {
        squares += (double)want[i] * want[i];
        apart += pow((double)got[i] - want[i], 2);
    }
    mem_free(got);
    mem_free(want);
    return sqrt(apart / squares);
}

static void compare_bf16_case(const char *group)
{
    struct hdf5_file *f;
    struct error e;
    struct rig r = {.type = DTYPE_BF16};
    double loss, theirs;
    char name[192];
    assert_ok(hdf5_open(FIXTURE, &f, &e), e);
    rig_load(&r, f, group);
    snprintf(name, sizeof name, "%s/loss_sum", group);
    assert_ok(hdf5_read(f, name, HDF5_F64, 1, &loss, &e), e);
    assert_true(fabs(rig_step(&r, 0) / loss - 1) < 2e-3);
    for (size_t i = 0; i < r.model.n_params; i++) {
        const struct param *p = &r.model.params[i];
        double ours = gradient_distance(p, f, group);
        snprintf(name, sizeof name, "%s/bf16_distance/%s", group, p->name);
        assert_ok(hdf5_read(f, name, HDF5_F64, 1, &theirs, &e), e);
        if (!(ours < 1.25 * theirs))
            fail_msg("%s: %g, PyTorch's is %g", name, ours, theirs);
    }
    rig_free(&r);
    hdf5_close(f);
}

/* Products in bf16: each gradient is as near the exact one as PyTorch's under autocast. */
static void bf16_is_as_near_as_pytorch(void **state)
{
    (void)state;
    static const char *const groups[] = {"case_a", "case_b", "case_c", "case_d"};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        compare_bf16_case(groups[i]);
}

static void a_wrong_gradient_is_noticed(void **state)
{
    (void)state;
    struct hdf5_file *f;
    struct error e;
    struct rig r = {0};
    assert_ok(hdf5_open(FIXTURE, &f, &e), e);
    rig_load(&r, f, "case_b");
    rig_step(&r, 0);
    /* What a decoder without the scale of its norm would give. */
    struct param *p = model_find(&r.model, "model.layers.1.self_attn.k_proj.weight");
    float *want = mem_alloc(p->count, sizeof *want);
    assert_ok(hdf5_read(f, "case_b/gradients/model.layers.1.self_attn.k_proj.weight", HDF5_F32,
                        p->count, want, &e), e);
    assert_true(relative_difference(p->grad, want, p->count) < 1e-4);
    for (size_t i = 0; i < p->count; i++)
        ((float *)p->grad)[i] *= 1.001f;
    assert_true(relative_difference(p->grad, want, p->count) > 5e-4);
    mem_free(want);
    rig_free(&r);
    hdf5_close(f);
}

/* --- finite differences --- */

static struct model_config small_config(void)
{
    return (struct model_config){
        .vocab_size = 23, .hidden_size = 16, .intermediate_size = 24, .num_hidden_layers = 2,
        .num_attention_heads = 4, .num_key_value_heads = 2, .rms_norm_eps = 1e-5,
        .rope_theta = 10000, .initializer_range = 0.3, .rope_style = ROPE_INTERLEAVED,
    };
}

static void check_slopes(struct rig *r, uint64_t dropout_seed)
{
    rig_step(r, dropout_seed);
    for (size_t i = 0; i < r->model.n_params; i++) {
        double error = slope_error(r, &r->model.params[i], dropout_seed, 0.02);
        if (!(error < 2e-3))
            fail_msg("%s: slope off by %g", r->model.params[i].name, error);
    }
}

static void equals_finite_differences(void **state)
{
    (void)state;
    for (int variant = 0; variant < 3; variant++) {
        struct rig r = {0};
        struct model_config config = small_config();
        config.tie_word_embeddings = variant == 1;
        config.resid_dropout = variant == 2 ? 0.3 : 0;
        rig_init(&r, &config, 2, 11);
        model_initialize(&r.model, 3);
        random_batch(&r.batch, config.vocab_size, 4);
        check_slopes(&r, variant == 2 ? 77 : 0);
        /* and the check can fail */
        struct param *p = model_find(&r.model, "model.layers.0.mlp.up_proj.weight");
        for (size_t i = 0; i < p->count; i++)
            ((float *)p->grad)[i] *= 1 + 0.02f * (float)(i % 2);
        assert_true(slope_error(&r, p, variant == 2 ? 77 : 0, 0.02) > 4e-3);
        rig_free(&r);
    }
}

/* --- the hook --- */

/* A rank-1 delta y += (x . a) b on one layer, with its own gradients. */
struct rank_one {
    const struct linear *target;
    float a[16], b[8], da[16], db[8];
};

static void rank_one_forward(void *context, const struct linear *l, void *out_values,
                             enum dtype y_type, const void *in_values, enum dtype type, size_t n)
{
    struct rank_one *h = context;
    float *y = out_values;
    const float *x = in_values;
    assert_true(type == DTYPE_F32 && y_type == DTYPE_F32);
    size_t in = l->weight->cols, out = l->weight->rows;
    for (size_t i = 0; i < n; i++) {
        float dot = 0;
        for (size_t j = 0; j < in; j++)
            dot += x[i * in + j] * h->a[j];
        for (size_t j = 0; j < out; j++)
            y[i * out + j] += dot * h->b[j];
    }
}

static void rank_one_backward(void *context, const struct linear *l, void *dx_values,
                              enum dtype dx_type, const void *dy_values, const void *x_values,
                              enum dtype type, size_t n)
{
    struct rank_one *h = context;
    float *dx = dx_values;
    const float *dy = dy_values, *x = x_values;
    assert_true(type == DTYPE_F32 && dx_type == DTYPE_F32);
    size_t in = l->weight->cols, out = l->weight->rows;
    for (size_t i = 0; i < n; i++) {
        float dot = 0, ddot = 0;
        for (size_t j = 0; j < in; j++)
            dot += x[i * in + j] * h->a[j];
        for (size_t j = 0; j < out; j++) {
            ddot += dy[i * out + j] * h->b[j];
            h->db[j] += dy[i * out + j] * dot;
        }
        for (size_t j = 0; j < in; j++) {
            h->da[j] += ddot * x[i * in + j];
            dx[i * in + j] += ddot * h->a[j];
        }
    }
}

static void a_hook_trains_through_the_layer(void **state)
{
    (void)state;
    struct rig r = {0};
    struct model_config config = small_config();
    rig_init(&r, &config, 2, 11);
    model_initialize(&r.model, 3);
    random_batch(&r.batch, config.vocab_size, 4);
    struct rank_one h = {.target = &r.model.layers[0].k};
    struct linear_hook hook = {&h, rank_one_forward, rank_one_backward};
    struct rng rng;
    rng_init(&rng, 9, 9);
    rng_fill_normal(&rng, h.a, 16, 0.3f);
    rng_fill_normal(&rng, h.b, 8, 0.3f);
    double plain = rig_loss(&r, 0);
    r.model.layers[0].k.hook = &hook;
    assert_true(fabs(rig_loss(&r, 0) - plain) > 1e-4);
    check_slopes(&r, 0); /* every other gradient sees the changed layer */
    memset(h.da, 0, sizeof h.da);
    rig_step(&r, 0);
    for (int j = 0; j < 16; j += 5) {
        float saved = h.a[j], step = 0.01f;
        h.a[j] = saved + step;
        double up = rig_loss(&r, 0);
        h.a[j] = saved - step;
        double down = rig_loss(&r, 0);
        h.a[j] = saved;
        double slope = (up - down) / (2 * (double)step) / (double)r.batch.n_targets;
        assert_true(fabs(slope - h.da[j]) < 2e-3 * (fabs(slope) + 0.01));
    }
    rig_free(&r);
}

static struct matrix doubled(void *context, const struct param *p)
{
    float *twice = context;
    for (size_t i = 0; i < p->count; i++)
        twice[i] = 2 * p->value[i];
    return (struct matrix){twice, p->cols, DTYPE_F32, false, false};
}

/* Every place that reads a matrix reads what its view shows: a layer's, and the embedding that is the output layer too. */
static void a_view_replaces_the_values(void **state)
{
    (void)state;
    struct rig r = {0};
    struct model_config config = small_config();
    rig_init(&r, &config, 2, 11);
    model_initialize(&r.model, 3);
    random_batch(&r.batch, config.vocab_size, 4);
    struct param *params[] = {r.model.layers[1].ffn.up.weight, r.model.token_embd};
    for (size_t k = 0; k < 2; k++) {
        struct param *p = params[k];
        float *twice = mem_alloc(p->count, sizeof *twice);
        struct param_view view = {twice, doubled};
        double plain = rig_loss(&r, 0);
        p->view = &view;
        double viewed = rig_loss(&r, 0);
        p->view = NULL;
        for (size_t i = 0; i < p->count; i++)
            p->value[i] *= 2;
        assert_true(fabs(rig_loss(&r, 0) - viewed) < 1e-9 * fabs(viewed));
        assert_true(fabs(plain - viewed) > 1e-6 * fabs(viewed));
        mem_free(twice);
    }
    rig_free(&r);
}

/* --- invariances --- */

static void same_inputs_give_the_same_bits(void **state)
{
    (void)state;
    struct rig r = {0};
    struct model_config config = small_config();
    rig_init(&r, &config, 4, 33);
    model_initialize(&r.model, 3);
    random_batch(&r.batch, config.vocab_size, 4);
    double first = rig_step(&r, 5);
    size_t n = r.model.params[4].count;
    float *saved = mem_alloc(n, sizeof *saved);
    memcpy(saved, r.model.params[4].grad, n * sizeof *saved);
    for (int i = 0; i < 3; i++) {
        assert_true(rig_step(&r, 5) == first);
        assert_memory_equal(saved, r.model.params[4].grad, n * sizeof *saved);
    }
    mem_free(saved);
    rig_free(&r);
}

/* Computing a block again gives what it gave before: dropout, documents and all. */
static void checkpointing_changes_no_bit(void **state)
{
    (void)state;
    for (int bf16 = 0; bf16 <= 1; bf16++) {
        struct rig rigs[2] = {{.checkpoint = false}, {.checkpoint = true}};
        struct model_config config = small_config();
        config.num_hidden_layers = 4;
        config.resid_dropout = 0.2;
        double loss[2];
        for (int i = 0; i < 2; i++) {
            rigs[i].type = bf16 ? DTYPE_BF16 : DTYPE_F32;
            rig_init(&rigs[i], &config, 3, 33);
            model_initialize(&rigs[i].model, 3);
            random_batch(&rigs[i].batch, config.vocab_size, 4);
            loss[i] = rig_step(&rigs[i], 5);
        }
        assert_true(loss[0] == loss[1]);
        for (size_t i = 0; i < rigs[0].model.n_params; i++)
            assert_memory_equal(rigs[0].model.params[i].grad, rigs[1].model.params[i].grad,
                                rigs[0].model.params[i].count * sizeof(float));
        assert_true(rigs[1].arena.used < rigs[0].arena.used);
        rig_free(&rigs[0]);
        rig_free(&rigs[1]);
    }
}

/* Two documents in one row, masked, equal the same documents in rows of their own. */
static void packing_equals_padding(void **state)
{
    (void)state;
    struct rig packed = {0}, padded = {0};
    struct model_config config = small_config();
    rig_init(&packed, &config, 1, 12);
    rig_init(&padded, &config, 2, 12);
    model_initialize(&packed.model, 3);
    model_initialize(&padded.model, 3);
    random_batch(&packed.batch, config.vocab_size, 4);
    struct batch *a = &packed.batch, *b = &padded.batch;
    const size_t first = 5;
    b->n_targets = a->n_targets;
    for (size_t i = 0; i < 24; i++) {
        b->input_ids[i] = 0;
        b->targets[i] = TARGET_IGNORED;
        b->positions[i] = (int32_t)(i % 12);
        b->first_key[i] = 0;
    }
    for (size_t i = 0; i < 12; i++) {
        size_t at = i < first ? i : 12 + i - first;
        a->positions[i] = (int32_t)(i < first ? i : i - first);
        a->first_key[i] = i < first ? 0 : (int32_t)first;
        b->input_ids[at] = a->input_ids[i];
        b->targets[at] = a->targets[i];
    }
    double one = rig_step(&packed, 0), two = rig_step(&padded, 0);
    assert_true(fabs(one - two) < 1e-5 * fabs(one));
    for (size_t i = 0; i < packed.model.n_params; i++)
        assert_true(relative_difference(packed.model.params[i].grad, padded.model.params[i].grad,
                                        packed.model.params[i].count) < 1e-5);
    rig_free(&packed);
    rig_free(&padded);
}

static void impossible_shapes_are_refused(void **state)
{
    (void)state;
    static const struct {
        size_t hidden, heads, kv_heads, head_dim;
        const char *part;
    } cases[] = {
        {16, 3, 0, 0, "hidden_size (16) is not a multiple of num_attention_heads (3)"},
        {16, 4, 3, 0, "num_key_value_heads is 3"},
        {12, 4, 4, 0, "head size is 3"},
        {16, 4, 8, 0, "num_key_value_heads is 8"},
        {16, 4, 4, 5, "head size is 5"},
        {0, 4, 4, 0, "hidden_size is 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct model_config c = small_config();
        struct error e;
        c.hidden_size = cases[i].hidden;
        c.num_attention_heads = cases[i].heads;
        c.num_key_value_heads = cases[i].kv_heads;
        c.head_dim = cases[i].head_dim;
        assert_int_equal(model_config_check(&c, &e), ERR_USAGE);
        if (!strstr(e.message, cases[i].part))
            fail_msg("got: %s", e.message);
    }
}

/* What a family does not have, and what does not fit together. */
static void impossible_features_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *part;
    } cases[] = {
        {"sliding_window: 8", "model.sliding_window is set; llama models have nothing of the kind"},
        {"architecture: qwen3, attention_bias: true", "attention_bias is set; qwen3 models have"},
        {"architecture: mixtral", "model.num_experts is 0; mixtral models have experts"},
        {"architecture: mixtral, num_experts: 2, num_experts_per_tok: 3",
         "model.num_experts_per_tok is 3 of 2 experts"},
        {"partial_rotary_factor: 0.3", "0.3: 1 of a head's 4 components"},
        {"rope_scaling: {type: linear, factor: 0.5}", "rope_scaling.factor is 0.5; it must be at least 1"},
        {"rope_scaling: {type: llama3, factor: 8}", "low_freq_factor (0) must be above 0"},
        {"rope_scaling: {type: yarn, factor: 8}", "original_max_position_embeddings is missing"},
        {"rope_scaling: {type: longrope, short_factor: [1, 2], long_factor: [1]}", "long_factor 1; both must"},
        {"architecture: openelm, num_query_heads: [4, 4, 4], num_kv_heads: [2, 2], intermediate_sizes: [8, 8]",
         "model.num_query_heads has 3 items for 2 layers"},
        {"architecture: openelm, num_query_heads: [4, 4.5], num_kv_heads: [2, 2], intermediate_sizes: [8, 8]",
         "model.num_query_heads holds 4.5; it must be whole"},
        {"architecture: openelm, num_query_heads: [4, 4], num_kv_heads: [2, 3], intermediate_sizes: [8, 8]",
         "num_key_value_heads is 3; it must divide num_attention_heads (4)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model_config c;
        struct error e;
        char *yaml = mem_printf("model: {vocab_size: 9, hidden_size: 16, num_attention_heads: 4, "
                                "num_hidden_layers: 2, %s}", cases[i].yaml);
        assert_ok(model_config_parse(yaml, &c, &e), e);
        assert_int_equal(model_config_check(&c, &e), ERR_USAGE);
        if (!strstr(e.message, cases[i].part))
            fail_msg("got: %s", e.message);
        mem_free(yaml);
    }
}

/* Another context length in a file is no other model. */
static void a_context_can_be_said_without_changing_angles(void **state)
{
    (void)state;
    static const char *const scalings[] = {
        "longrope, original_max_position_embeddings: 64, short_factor: [1, 1], long_factor: [2, 3]",
        "longrope, short_factor: [1, 1], long_factor: [2, 3]", "yarn, factor: 4", "llama3, factor: 4, "
        "low_freq_factor: 1, high_freq_factor: 4", "linear, factor: 2", "dynamic, factor: 2"};
    for (size_t i = 0; i < sizeof scalings / sizeof *scalings; i++) {
        struct model_config c;
        struct error e;
        double before[2], after[2];
        char *yaml = mem_printf("model: {vocab_size: 9, hidden_size: 16, num_attention_heads: 4, "
                                "max_position_embeddings: 256, rope_scaling: {type: %s}}", scalings[i]);
        assert_ok(model_config_parse(yaml, &c, &e), e);
        assert_ok(model_config_check(&c, &e), e);
        double magnitude = rope_frequencies(&c, false, 300, before);
        model_set_context(&c, 100);
        assert_true(fabs(rope_frequencies(&c, false, 300, after) - magnitude) < 1e-9);
        assert_true(fabs(before[1] / after[1] - 1) < 1e-9);
        assert_int_equal(c.max_position_embeddings, c.rope_scaling.type == ROPE_DYNAMIC ? 256 : 100);
        mem_free(yaml);
    }
}

int main(void)
{
    kernels_set_threads(2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_pytorch_multi_head),
        cmocka_unit_test(equals_pytorch_grouped_untied),
        cmocka_unit_test(equals_pytorch_documents),
        cmocka_unit_test(equals_pytorch_long),
        cmocka_unit_test(equals_pytorch_window),
        cmocka_unit_test(bf16_is_as_near_as_pytorch),
        cmocka_unit_test(a_wrong_gradient_is_noticed),
        cmocka_unit_test(equals_finite_differences),
        cmocka_unit_test(a_hook_trains_through_the_layer),
        cmocka_unit_test(a_view_replaces_the_values),
        cmocka_unit_test(same_inputs_give_the_same_bits),
        cmocka_unit_test(checkpointing_changes_no_bit),
        cmocka_unit_test(packing_equals_padding),
        cmocka_unit_test(impossible_shapes_are_refused),
        cmocka_unit_test(impossible_features_are_refused),
        cmocka_unit_test(a_context_can_be_said_without_changing_angles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
