#include "base/check.h"
#include "base/log.h"
#include "cli/bench.h"
#include "cli/command.h"
#include "kernels/gemm.h"

size_t bench_products_of(const struct model *m, enum dtype type, size_t tokens,
                         struct bench_product *products)
{
    const struct layer *l = &m->layers[0];
    const struct {
        const char *name;
        const struct linear *linear;
        enum dtype dx_type;
    } layers[] = {
        {"q", &l->q, DTYPE_F32},       {"k", &l->k, DTYPE_F32},   {"v", &l->v, DTYPE_F32},
        {"output", &l->output, type},  {"gate", &l->ffn.gate, DTYPE_F32},
        {"up", &l->ffn.up, DTYPE_F32},     {"down", &l->ffn.down, type},  {"head", &m->head, DTYPE_F32},
    };
    size_t count = 0;
    for (size_t i = 0; i < COUNT(layers); i++) {
        size_t out = layers[i].linear->weight->rows, in = layers[i].linear->weight->cols;
        bool head = layers[i].linear == &m->head;
        struct bench_product p = {.layer = layers[i].name,
                                  .times = head ? 1 : m->config.num_hidden_layers};
        p.pass = "forward", p.transpose_b = true;
        p.m = tokens, p.n = out, p.k = in, p.c_type = head ? DTYPE_F32 : type;
        products[count++] = p;
        p.pass = "dx", p.transpose_b = false;
        p.n = in, p.k = out, p.c_type = layers[i].dx_type;
        products[count++] = p;
        p.pass = "dw", p.transpose_a = true;
        p.m = out, p.n = in, p.k = tokens, p.c_type = DTYPE_F32, p.beta = 1;
        products[count++] = p;
    }
    CHECK(count <= BENCH_PRODUCTS);
    return count;
}

static void *some_numbers(size_t n, enum dtype type)
{
    void *x = mem_alloc(n, dtype_info(type)->block_bytes);
    for (size_t i = 0; i < n; i++) {
        float value = (float)(i % 17) / 16 - 0.5f;
        dtype_from_f32(type, &value, (char *)x + i * dtype_info(type)->block_bytes, 1);
    }
    return x;
}

void bench_measure(struct bench_product *products, size_t n, enum dtype type)
{
    for (size_t i = 0; i < n; i++) {
        struct bench_product *p = &products[i];
        size_t lda = p->transpose_a ? p->m : p->k, ldb = p->transpose_b ? p->k : p->n;
        void *a = some_numbers(p->m * p->k, type), *b = some_numbers(p->n * p->k, type);
        void *c = some_numbers(p->m * p->n, p->c_type);
        double began = clock_seconds();
        for (size_t runs = 0; runs < 3 || clock_seconds() - began < 0.25; runs++) {
            double start = clock_seconds();
            gemm(p->transpose_a, p->transpose_b, p->m, p->n, p->k, type, a, lda, type, b, ldb,
                 p->beta, p->c_type, c, p->n);
            double took = clock_seconds() - start;
            if (runs > 0 && (p->seconds == 0 || took < p->seconds)) /* the first prepares */
                p->seconds = took;
        }
        mem_free(a);
        mem_free(b);
        mem_free(c);
    }
}

double bench_product_flops(const struct bench_product *p)
{
    return 2.0 * (double)p->m * (double)p->n * (double)p->k;
}

double bench_rate(const struct bench_product *products, size_t n)
{
    double flops = 0, seconds = 0;
    for (size_t i = 0; i < n; i++) {
        flops += bench_product_flops(&products[i]) * (double)products[i].times;
        seconds += products[i].seconds * (double)products[i].times;
    }
    return flops / seconds;
}

int bench_time_steps(struct trainer *t, size_t n, struct bench_steps *r, struct error *e)
{
    struct train_step step;
    int code = trainer_step(t, &step, e);
    *r = (struct bench_steps){0};
    profile_reset();
    for (size_t i = 0; i < n && !code; i++) {
        double began = clock_seconds();
        code = trainer_step(t, &step, e);
        double took = clock_seconds() - began;
        r->total += took;
        if (i == 0 || took < r->fastest)
            r->fastest = took;
    }
    for (int i = 0; i < PROFILE_KINDS; i++)
        r->kinds[i] = profile_seconds((enum profile_kind)i);
    return code;
}
