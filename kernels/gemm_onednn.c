/* Products of bf16 matrices through oneDNN, versions 2 and 3. The only includer of dnnl.h. */
#include "kernels/gemm_paths.h"

#include "base/check.h"
#include "base/cpu.h"
#include "kernels/bf16_rate.h"

#ifdef LINNET_DNNL

#include <dnnl.h>
#include <pthread.h>
#include <string.h>

/* What a primitive was made for. Compared byte by byte, so it has no padding. */
struct product_key {
    uint64_t m, n, k, lda, ldb, ldc;
    uint32_t transpose_a, transpose_b;
    float beta;
    uint32_t c_type;
};

/* Making a primitive compiles machine code (milliseconds); a training step asks for the same few
 * dozen again and again. */
struct product {
    struct product_key key;
    dnnl_primitive_t primitive; /* NULL: the place is free */
    dnnl_memory_t a, b, c;
};

enum { PLACES = 512 };
static struct product products[PLACES];
static size_t n_products;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static dnnl_engine_t engine;
static dnnl_stream_t stream;

static void must(dnnl_status_t status)
{
    CHECK(status == dnnl_success);
}

static void start_library(void)
{
    if (stream)
        return;
    must(dnnl_engine_create(&engine, dnnl_cpu, 0));
    must(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags));
}

static void release(struct product *p)
{
    if (p->primitive)
        dnnl_primitive_destroy(p->primitive);
    dnnl_memory_destroy(p->a);
    dnnl_memory_destroy(p->b);
    dnnl_memory_destroy(p->c);
    *p = (struct product){0};
}

/* Where the two versions differ: 3 has descriptors behind pointers, which are destroyed. */

/* A stored matrix as op(matrix), (rows, cols). */
static void describe(dnnl_memory_desc_t *desc, size_t rows, size_t cols, size_t ld, bool transpose,
                     dnnl_data_type_t type)
{
    dnnl_dims_t dims = {(dnnl_dim_t)rows, (dnnl_dim_t)cols};
    dnnl_dims_t strides = {transpose ? 1 : (dnnl_dim_t)ld, transpose ? (dnnl_dim_t)ld : 1};
#if DNNL_VERSION_MAJOR >= 3
    must(dnnl_memory_desc_create_with_strides(desc, 2, dims, type, strides));
#else
    must(dnnl_memory_desc_init_by_strides(desc, 2, dims, type, strides));
#endif
}

static void make_memory(dnnl_memory_t *memory, dnnl_memory_desc_t *desc)
{
#if DNNL_VERSION_MAJOR >= 3
    must(dnnl_memory_create(memory, *desc, engine, DNNL_MEMORY_NONE));
    must(dnnl_memory_desc_destroy(*desc));
#else
    must(dnnl_memory_create(memory, desc, engine, DNNL_MEMORY_NONE));
#endif
}

/* False when the library has no code for this processor. */
static bool make_primitive(dnnl_primitive_t *primitive, const dnnl_memory_desc_t *a,
                           const dnnl_memory_desc_t *b, const dnnl_memory_desc_t *c, float beta,
                           dnnl_data_type_t c_type)
{
    dnnl_primitive_attr_t attr;
    must(dnnl_primitive_attr_create(&attr));
    dnnl_primitive_desc_t desc;
    if (beta != 0) {
        dnnl_post_ops_t ops;
        must(dnnl_post_ops_create(&ops));
#if DNNL_VERSION_MAJOR >= 3
        must(dnnl_post_ops_append_sum(ops, beta, 0, c_type));
#else
        (void)c_type;
        must(dnnl_post_ops_append_sum(ops, beta));
#endif
        must(dnnl_primitive_attr_set_post_ops(attr, ops));
        must(dnnl_post_ops_destroy(ops));
    }
#if DNNL_VERSION_MAJOR >= 3
    dnnl_status_t status =
        dnnl_matmul_primitive_desc_create(&desc, engine, *a, *b, NULL, *c, attr);
#else
    dnnl_matmul_desc_t matmul;
    must(dnnl_matmul_desc_init(&matmul, a, b, NULL, c));
    dnnl_status_t status = dnnl_primitive_desc_create(&desc, &matmul, attr, engine, NULL);
#endif
    must(dnnl_primitive_attr_destroy(attr));
    if (status == dnnl_unimplemented)
        return false;
    must(status);
    must(dnnl_primitive_create(primitive, desc));
    must(dnnl_primitive_desc_destroy(desc));
    return true;
}

static bool make(struct product *p, const struct product_key *key)
{
    dnnl_data_type_t c_type = key->c_type == DTYPE_BF16 ? dnnl_bf16 : dnnl_f32;
    dnnl_memory_desc_t a, b, c;
    describe(&a, key->m, key->k, key->lda, key->transpose_a, dnnl_bf16);
    describe(&b, key->k, key->n, key->ldb, key->transpose_b, dnnl_bf16);
    describe(&c, key->m, key->n, key->ldc, false, c_type);
    p->key = *key;
    bool made = make_primitive(&p->primitive, &a, &b, &c, key->beta, c_type);
    make_memory(&p->a, &a);
    make_memory(&p->b, &b);
    make_memory(&p->c, &c);
    return made;
}

static size_t key_hash(const struct product_key *key)
{
    uint64_t words[sizeof *key / 8], hash = 0;
    memcpy(words, key, sizeof words);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        hash = (hash ^ words[i]) * 0x9E3779B97F4A7C15u, hash ^= hash >> 29;
    return hash % PLACES;
}

/* The primitive for a key, made when it is new. Half full, the table is emptied. */
static struct product *find(const struct product_key *key)
{
    size_t at = key_hash(key);
    while (products[at].primitive) {
        if (memcmp(&products[at].key, key, sizeof *key) == 0)
            return &products[at];
        at = (at + 1) % PLACES;
    }
    if (2 * n_products >= PLACES) {
        for (size_t i = 0; i < PLACES; i++)
            if (products[i].primitive)
                release(&products[i]);
        n_products = 0;
        at = key_hash(key);
    }
    n_products++;
    CHECK(make(&products[at], key));
    return &products[at];
}

bool gemm_onednn_works(void)
{
    static int works = -1;
    pthread_mutex_lock(&lock);
    if (works < 0) {
        struct product trial = {0};
        struct product_key key = {16, 16, 16, 16, 16, 16, false, true, 0, DTYPE_F32};
        start_library();
        works = make(&trial, &key);
        release(&trial);
    }
    pthread_mutex_unlock(&lock);
    return works;
}

/* Where widening to f32 is at least as fast, kernels/gemm_packed.c does it. */
static bool is_worth_it(void)
{
#if defined(__x86_64__)
    enum { AMX = dnnl_cpu_isa_avx512_core_amx };
    if (!cpu_has_bf16())
        return false;
    bool amx = ((unsigned)dnnl_get_effective_cpu_isa() & AMX) == AMX;
    return (amx || bf16_rate() > 1.3) && gemm_onednn_works();
#else
    return false;
#endif
}

static bool worth_it;

static void decide(void)
{
    worth_it = is_worth_it();
}

bool gemm_bf16_is_native(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    CHECK(pthread_once(&once, decide) == 0);
    return worth_it && cpu_has_bf16(); /* tests lower the level */
}

void gemm_onednn(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, const uint16_t *a,
                 size_t lda, const uint16_t *b, size_t ldb, float beta, enum dtype c_type, void *c,
                 size_t ldc)
{
    struct product_key key = {m, n, k, lda, ldb, ldc, transpose_a, transpose_b, beta, c_type};
    pthread_mutex_lock(&lock);
    start_library();
    struct product *p = find(&key);
    must(dnnl_memory_set_data_handle(p->a, (void *)(uintptr_t)a));
    must(dnnl_memory_set_data_handle(p->b, (void *)(uintptr_t)b));
    must(dnnl_memory_set_data_handle(p->c, c));
    dnnl_exec_arg_t arguments[] = {
        {DNNL_ARG_SRC, p->a}, {DNNL_ARG_WEIGHTS, p->b}, {DNNL_ARG_DST, p->c}};
    must(dnnl_primitive_execute(p->primitive, stream, 3, arguments));
    must(dnnl_stream_wait(stream));
    pthread_mutex_unlock(&lock);
}

#else

bool gemm_onednn_works(void)
{
    return false;
}

bool gemm_bf16_is_native(void)
{
    return false;
}

void gemm_onednn(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, const uint16_t *a,
                 size_t lda, const uint16_t *b, size_t ldb, float beta, enum dtype c_type, void *c,
                 size_t ldc)
{
    (void)transpose_a, (void)transpose_b, (void)m, (void)n, (void)k, (void)a, (void)lda, (void)b;
    (void)ldb, (void)beta, (void)c_type, (void)c, (void)ldc;
    CHECK(!"built with oneDNN");
}

#endif
