/* Every family of decoders against PyTorch in f64 (tests/fixtures/make_architectures.py): from the text of a
 * config.json and tensors under Hugging Face's names to logits, and back to the tensors' gradients. */
#include "base/json.h"
#include "formats/hdf5_file.h"
#include "model/hf_config.h"
#include "model/tensors.h"
#include "tests/model/rig.h"

#include <stdio.h>
#include <stdlib.h>

#define FIXTURE "tests/fixtures/architectures.h5"

/* Relative to the largest logit, and to a tensor's largest gradient. Measured: 1.4e-6, and 1.5e-5, which is how
 * the file rounds gradients. */
static const double logit_bound = 5e-6, gradient_bound = 5e-5;

static const char *const cases[] = {
    "llama3.1",   "llama-linear", "llama-dynamic", "llama-yarn",   "llama-yarn-5", "llama-biases",
    "mistral",    "mixtral",      "mixtral-balance", "smollm3",    "granite",      "qwen2",
    "qwen3",      "phi3",         "phi3.5-long",   "phi3.5-short", "phi4-mini",    "gemma",
    "gemma2",     "gemma3",       "gemma3-5",      "stablelm",     "stablelm-12b", "openelm",
    "olmo2",      "olmoe",        "qwen2moe",      "qwen3moe",     "phimoe",
};
enum { N_CASES = sizeof cases / sizeof *cases, MOST_TENSORS = 200 };

/* --- a case as a container of tensors --- */

struct held_tensor {
    char name[PARAM_NAME_SIZE];
    int n_dims;
    size_t shape[2], begin, count; /* of all tensors' numbers */
};

struct judged {
    struct hdf5_file *file;
    const char *name;
    struct held_tensor tensors[MOST_TENSORS];
    size_t n_tensors, count;
    uint16_t *weights;
    struct rig rig;
};

static void *read_all(struct judged *j, const char *key, enum hdf5_type type, size_t element, size_t *n)
{
    char name[96];
    int n_dims;
    size_t dims[8], count = 1;
    struct error e;
    snprintf(name, sizeof name, "%s/%s", j->name, key);
    assert_ok(hdf5_dims(j->file, name, &n_dims, dims, &e), e);
    for (int i = 0; i < n_dims; i++)
        count *= dims[i];
    char *data = mem_zero(count + 1, element); /* a text ends with a 0 */
    assert_ok(hdf5_read(j->file, name, type, count, data, &e), e);
    if (n)
        *n = count;
    return data;
}

static double read_number(struct judged *j, const char *key, size_t i)
{
    double *numbers = read_all(j, key, HDF5_F64, sizeof *numbers, NULL), number = numbers[i];
    mem_free(numbers);
    return number;
}

static void read_tensors(struct judged *j)
{
    size_t n;
    char *text = read_all(j, "tensors", HDF5_U8, 1, NULL), *end;
    for (char *line = text; *line; line = end + 1) {
        struct held_tensor *t = &j->tensors[j->n_tensors++];
        end = strchr(line, '\n');
        assert_true(j->n_tensors <= MOST_TENSORS);
        t->n_dims = sscanf(line, "%95s %zu %zu", t->name, &t->shape[0], &t->shape[1]) - 1;
        t->begin = j->count;
        t->count = t->shape[0] * (t->n_dims == 2 ? t->shape[1] : 1);
        j->count += t->count;
    }
    mem_free(text);
    j->weights = read_all(j, "weights", HDF5_F16, sizeof *j->weights, &n);
    assert_int_equal(n, j->count);
}

static const struct held_tensor *find_held(const struct judged *j, const char *name)
{
    for (size_t i = 0; i < j->n_tensors; i++)
        if (strcmp(j->tensors[i].name, name) == 0)
            return &j->tensors[i];
    return NULL;
}

static bool find(const void *file, const char *name, struct stored_tensor *s)
{
    const struct judged *j = file;
    const struct held_tensor *t = find_held(j, name);
    if (t)
        *s = (struct stored_tensor){.data = j->weights + t->begin, .type = DTYPE_F16, .type_name = "F16",
                                    .supported = true, .n_dims = t->n_dims,
                                    .shape = {t->shape[0], t->shape[1]}};
    return t != NULL;
}

static size_t count(const void *file)
{
    return ((const struct judged *)file)->n_tensors;
}

static const char *name_of(const void *file, size_t i, char out[PARAM_NAME_SIZE])
{
    (void)out;
    return ((const struct judged *)file)->tensors[i].name;
}

static bool may_skip(const struct model *m, const char *name)
{
    (void)m, (void)name;
    return false;
}

/* --- the model of a case --- */

static struct model_config read_config(struct judged *j)
{
    struct model_config c;
    struct error e;
    size_t n;
    char *text = read_all(j, "config", HDF5_U8, 1, &n);
    json_t *root;
    assert_ok(json_parse(text, n, &root, &e), e);
    assert_ok(hf_config_read(root, &c, &e), e);
    json_decref(root);
    mem_free(text);
    return c;
}

static void read_batch(struct judged *j, struct batch *b, size_t n_rows, size_t seq_len)
{
    int32_t *ids = read_all(j, "input_ids", HDF5_I32, sizeof *ids, NULL),
            *targets = read_all(j, "targets", HDF5_I32, sizeof *targets, NULL);
    for (size_t i = 0; i < n_rows * seq_len; i++) {
        b->input_ids[i] = ids[i];
        b->targets[i] = targets[i];
        b->positions[i] = (int32_t)(i % seq_len);
        b->first_key[i] = 0;
        b->n_targets += targets[i] != TARGET_IGNORED;
    }
    mem_free(ids);
    mem_free(targets);
}

/* `change`: what is done to the configuration before there is a model; NULL: nothing. */
static struct judged *judge_open(const char *name, void (*change)(struct model_config *c))
{
    struct judged *j = mem_zero(1, sizeof *j);
    struct tensor_source source = {CONTAINER_HF, j, find, count, name_of, may_skip};
    struct arena plan = {0};
    struct error e;
    char path[96];
    int n_dims;
    size_t dims[8];
    j->name = name;
    assert_ok(hdf5_open(FIXTURE, &j->file, &e), e);
    read_tensors(j);
    struct model_config c = read_config(j);
    if (change)
        change(&c);
    assert_ok(model_init(&j->rig.model, &c, &e), e);
    assert_ok(model_read_tensors(&j->rig.model, &source, ROPE_HALF, WEIGHTS_F32, &e), e);
    snprintf(path, sizeof path, "%s/input_ids", name);
    assert_ok(hdf5_dims(j->file, path, &n_dims, dims, &e), e);
    model_reserve_positions(&j->rig.model, dims[1]);
    rig_take(&j->rig, dims[0], dims[1], &plan);
    activations_free(&j->rig.activations);
    assert_ok(arena_init(&j->rig.arena, plan.used, "test", &e), e);
    rig_take(&j->rig, dims[0], dims[1], &j->rig.arena);
    read_batch(j, &j->rig.batch, dims[0], dims[1]);
    if (c.num_experts)
        j->rig.router_loss = (float)read_number(j, "router_loss", 1);
    return j;
}

static void judge_close(struct judged *j)
{
    rig_free(&j->rig);
    hdf5_close(j->file);
    mem_free(j->weights);
    mem_free(j);
}

/* --- verdicts --- */

static double relative_difference(const float *got, const float *want, size_t n, double *largest)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs((double)got[i] - want[i]));
        *largest = fmax(*largest, fabs((double)want[i]));
    }
    return worst;
}

static double logit_difference(struct judged *j)
{
    struct rig *r = &j->rig;
    struct output_layer head = decoder_output_layer(&r->model, DTYPE_F32);
    size_t rows = r->batch.n_rows * r->batch.seq_len, n;
    double largest = 0;
    float *want = read_all(j, "logits", HDF5_F32, sizeof *want, &n), *got = mem_alloc(n, sizeof *got);
    const float *hidden = decoder_forward(&r->model, &r->activations, &r->batch, NULL, 0);
    assert_int_equal(n, rows * head.v);
    output_logits(&head, DTYPE_F32, hidden, got, rows);
    double difference = relative_difference(got, want, n, &largest) / largest;
    mem_free(want);
    mem_free(got);
    return difference;
}

/* The largest difference of a tensor's gradient relative to its largest. */
static double tensor_difference(const struct tensor *t, const struct held_tensor *held, const float *gradients)
{
    double worst = 0, largest = 0;
    assert_int_equal(t->rows * t->cols, held->count);
    for (size_t i = 0; i < t->n_pieces; i++) {
        const struct tensor_piece *piece = &t->pieces[i];
        const float *got = (const float *)piece->param->grad + piece->param_row * t->cols;
        const float *want = gradients + held->begin + piece->row * t->cols;
        worst = fmax(worst, relative_difference(got, want, piece->rows * t->cols, &largest));
    }
    return worst / fmax(largest, 1e-12); /* an expert that nothing was sent to has none */
}

/* The largest of all tensors', whose name it gives; all of them are among the parameters. */
static double gradient_difference(struct judged *j, const char *prefix, char worst_name[PARAM_NAME_SIZE])
{
    struct tensor_list list;
    size_t n, compared = 0;
    double worst = 0;
    float *gradients = read_all(j, "gradients", HDF5_F32, sizeof *gradients, &n);
    assert_int_equal(n, j->count);
    tensor_list_init(&list, &j->rig.model, CONTAINER_HF, false);
    assert_int_equal(list.n_tensors, j->n_tensors);
    for (size_t i = 0; i < list.n_tensors; i++) {
        const struct tensor *t = &list.tensors[i];
        if (strncmp(t->name, prefix, strlen(prefix)) != 0)
            continue;
        double difference = tensor_difference(t, find_held(j, t->name), gradients);
        compared++;
        if (!(difference <= worst)) {
            worst = difference;
            snprintf(worst_name, PARAM_NAME_SIZE, "%s", t->name);
        }
    }
    assert_true(compared > 0);
    tensor_list_free(&list);
    mem_free(gradients);
    return worst;
}

static void judge(const char *name)
{
    struct judged *j = judge_open(name, NULL);
    struct rig *r = &j->rig;
    char worst_name[PARAM_NAME_SIZE] = "";
    double logits = logit_difference(j);
    double loss = rig_step(r, 0) / (double)r->batch.n_targets / read_number(j, "loss", 0);
    double gradients = gradient_difference(j, "", worst_name);
    if (getenv("LINNET_JUDGE"))
        print_message("%-16s logits %.1e, loss %.1e, gradients %.1e (%s)\n", name, logits, fabs(loss - 1),
                      gradients, worst_name);
    if (!(logits < logit_bound))
        fail_msg("%s: logits are off by %g", name, logits);
    if (!(fabs(loss - 1) < 1e-5))
        fail_msg("%s: loss is PyTorch's times %.9g", name, loss);
    if (!(gradients < gradient_bound))
        fail_msg("%s: gradient of %s is off by %g", name, worst_name, gradients);
    if (r->model.config.num_experts &&
        !(fabs(r->activations.router_loss / read_number(j, "router_loss", 0) - 1) < 1e-5))
        fail_msg("%s: balancing loss %.9g, PyTorch says %.9g", name, r->activations.router_loss,
                 read_number(j, "router_loss", 0));
    judge_close(j);
}

static void equals_pytorch(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_CASES; i++)
        judge(cases[i]);
}

/* --- the judge notices --- */

static void other_magnitude(struct model_config *c) { c->rope_scaling.attention_factor *= 1.001; }
static void other_theta(struct model_config *c) { c->rope_theta *= 1.01; }
static void other_local_theta(struct model_config *c) { c->rope_local_base_freq *= 1.01; }
static void longer_window(struct model_config *c) { c->sliding_window++; }
static void all_rotate(struct model_config *c) { c->no_rope_layer_interval = 8; }
static void other_cap(struct model_config *c) { c->attn_logit_softcapping *= 1.001; }
static void other_scale(struct model_config *c) { c->query_pre_attn_scalar *= 1.001; }
static void other_residual(struct model_config *c) { c->residual_multiplier *= 1.001; }
static void other_epsilon(struct model_config *c) { c->rms_norm_eps *= 100; }
static void renormalised(struct model_config *c) { c->norm_topk_prob = true; }
static void short_context(struct model_config *c) { c->rope_scaling.original_max_position_embeddings = 30; }
static void less_rotated(struct model_config *c) { c->partial_rotary_factor = 0.5; }

static void a_wrong_forward_pass_is_noticed(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        void (*change)(struct model_config *c);
    } wrong[] = {
        {"llama-yarn-5", other_magnitude}, {"llama-dynamic", other_theta}, {"gemma3", other_local_theta},
        {"gemma3-5", other_theta}, {"mistral", longer_window}, {"phi3", longer_window},
        {"smollm3", all_rotate}, {"gemma2", other_cap}, {"gemma2", other_scale}, {"granite", other_residual},
        {"olmo2", other_epsilon}, {"openelm", other_epsilon}, {"qwen2moe", renormalised},
        {"llama3.1", short_context}, {"stablelm", less_rotated},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct judged *j = judge_open(wrong[i].name, wrong[i].change);
        double difference = logit_difference(j);
        if (!(difference > 2 * logit_bound))
            fail_msg("%s, wrong case %zu: logits are off by only %g", wrong[i].name, i, difference);
        judge_close(j);
    }
}

/* What a backward pass that forgets one factor, or the balancing loss, would give. */
static void a_wrong_gradient_is_noticed(void **state)
{
    (void)state;
    static const char fused[] = "model.layers.1.self_attn.qkv_proj.weight",
                      router[] = "model.layers.1.block_sparse_moe.gate.weight";
    char name[PARAM_NAME_SIZE];
    struct judged *j = judge_open("phi3", NULL);
    rig_step(&j->rig, 0);
    assert_true(gradient_difference(j, fused, name) < gradient_bound);
    struct param *p = model_find(&j->rig.model, "model.layers.1.self_attn.k_proj.weight");
    for (size_t i = 0; i < p->count; i++)
        ((float *)p->grad)[i] *= 1.002f;
    assert_true(gradient_difference(j, fused, name) > gradient_bound);
    judge_close(j);
    j = judge_open("mixtral-balance", NULL);
    j->rig.router_loss *= 1.002f;
    rig_step(&j->rig, 0);
    assert_true(gradient_difference(j, router, name) > gradient_bound);
    judge_close(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_pytorch),
        cmocka_unit_test(a_wrong_forward_pass_is_noticed),
        cmocka_unit_test(a_wrong_gradient_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
