/* What the bench commands share. */
#ifndef LINNET_CLI_BENCH_H
#define LINNET_CLI_BENCH_H

#include "kernels/profile.h"
#include "train/trainer.h"

/* One kind of matrix product of a training step. */
struct bench_product {
    const char *layer, *pass;        /* "gate", "forward" */
    bool transpose_a, transpose_b;
    size_t m, n, k;
    size_t times;                    /* in one step of `tokens` tokens */
    enum dtype c_type;
    float beta;
    double seconds;                  /* of the fastest run; 0 until bench_measure */
};

/* Every product of a step of so many tokens with products in `type`; at most BENCH_PRODUCTS rows.
 * Returns how many. The model needs no weights. */
enum { BENCH_PRODUCTS = 24 };
size_t bench_products_of(const struct model *m, enum dtype type, size_t tokens,
                         struct bench_product *products);
/* Measures each for a quarter of a second. */
void bench_measure(struct bench_product *products, size_t n, enum dtype type);
/* Floating-point operations per second of all of them together, each as often as in a step. */
double bench_rate(const struct bench_product *products, size_t n);
double bench_product_flops(const struct bench_product *p);

/* Steps of training, after one that is not timed: it touches all memory, reads files and prepares products. */
struct bench_steps {
    double fastest, total;       /* seconds of a step, and of all */
    double kinds[PROFILE_KINDS]; /* seconds of all by kind of operation */
};
int bench_time_steps(struct trainer *t, size_t n, struct bench_steps *r, struct error *e);

#endif
