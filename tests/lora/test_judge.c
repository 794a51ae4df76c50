/* Adapters against PyTorch in f64 (tests/fixtures/make_adapters.py): PEFT's files on models of every shape, with the
 * numbers of weights into which the adapter was merged. */
#include "lora/load.h"
#include "tests/lora/random.h"
#include "tests/model/judged.h"

#define ADAPTERS "tests/fixtures/adapters.h5"

static const double bound = 1e-5; /* relative to the largest logit; measured: 2.6e-6 */

static const char *const cases[] = {"all",     "qv",      "stable", "patterns", "fused",
                                    "openelm", "experts", "capped", "scaled"};

static void *read_member(struct hdf5_file *f, const char *name, const char *key, enum hdf5_type type, size_t element,
                         size_t *n)
{
    struct judged j = {.file = f, .name = name};
    return read_all(&j, key, type, element, n);
}

/* The largest difference of the logits from `want`. */
static double difference(struct judged *j, const float *want, size_t n)
{
    struct rig *r = &j->rig;
    struct output_layer head = decoder_output_layer(&r->model);
    size_t rows = r->batch.n_rows * r->batch.seq_len;
    double largest = 0;
    float *got = mem_alloc(n, sizeof *got);
    assert_int_equal(n, rows * head.v);
    output_logits(&head, DTYPE_F32, decoder_forward(&r->model, &r->activations, &r->batch, NULL, 0), got, rows);
    double worst = relative_difference(got, want, n, &largest);
    mem_free(got);
    return worst / largest;
}

static void judge(struct hdf5_file *f, const char *name)
{
    struct safetensors s;
    struct lora_adapter a;
    struct error e;
    json_t *config;
    size_t n, n_bytes;
    char *model = read_member(f, name, "model", HDF5_U8, 1, NULL), *text = read_member(f, name, "config", HDF5_U8, 1, &n);
    unsigned char *bytes = read_member(f, name, "safetensors", HDF5_U8, 1, &n_bytes);
    struct judged *j = judge_open(model, NULL);
    assert_ok(json_parse(text, n, &config, &e), e);
    assert_ok(safetensors_parse(bytes, n_bytes, &s, &e), e);
    float *want = read_member(f, name, "logits", HDF5_F32, sizeof *want, &n);
    assert_ok(lora_read_peft(config, &s, &j->rig.model, &a, &e), e);
    double without = difference(j, want, n);
    lora_attach(&a);
    double with = difference(j, want, n);
    a.strength = 0.99f;
    double weaker = difference(j, want, n);
    a.strength = 1;
    lora_detach(&a);
    merge_in_memory(&j->rig.model, &a, 1);
    double merged = difference(j, want, n);
    if (getenv("LINNET_JUDGE"))
        print_message("%-10s without %.1e, with %.1e, 1%% weaker %.1e, merged %.1e\n", name, without, with, weaker, merged);
    if (!(with < bound) || !(merged < bound))
        fail_msg("%s: logits are off by %g, merged by %g", name, with, merged);
    assert_true(weaker > 2 * bound && without > 0.1); /* the judge notices */
    lora_free(&a);
    safetensors_close(&s);
    json_decref(config);
    judge_close(j);
    mem_free(want), mem_free(bytes), mem_free(text), mem_free(model);
}

static void equals_pytorch(void **state)
{
    (void)state;
    struct hdf5_file *f;
    struct error e;
    assert_ok(hdf5_open(ADAPTERS, &f, &e), e);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        judge(f, cases[i]);
    hdf5_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(equals_pytorch)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
