/* A case of tests/fixtures/make_architectures.py as a model with everything that a step needs. */
#ifndef LINNET_TESTS_MODEL_JUDGED_H
#define LINNET_TESTS_MODEL_JUDGED_H

#include "base/json.h"
#include "formats/hdf5_file.h"
#include "model/hf_config.h"
#include "model/tensors.h"
#include "tests/model/rig.h"

#include <stdio.h>
#include <stdlib.h>

#ifndef FIXTURE /* another file of such cases */
#define FIXTURE "tests/fixtures/architectures.h5"
#endif

enum { MOST_TENSORS = 200 };

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

__attribute__((unused)) static double read_number(struct judged *j, const char *key, size_t i)
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

/* The largest difference; *largest: at least the largest number that was wanted. */
__attribute__((unused)) static double relative_difference(const float *got, const float *want, size_t n, double *largest)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs((double)got[i] - want[i]));
        *largest = fmax(*largest, fabs((double)want[i]));
    }
    return worst;
}

#endif
