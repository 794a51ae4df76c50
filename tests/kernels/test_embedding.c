/* Embedding rows, and a backward pass whose bits do not depend on the number of threads. */
#include "kernels/embedding.h"

#include "tests/kernels/util.h"

static void forward_copies_rows(void **state)
{
    (void)state;
    size_t v = 11, c = 17, n = 3000;
    float *table = normals(v * c, 1, 1), *y = floats(n * c);
    int32_t *ids = mem_alloc(n, sizeof *ids);
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)(i * i % v);
    embedding_forward(y, table, false, ids, n, c);
    for (size_t i = 0; i < n; i++)
        assert_memory_equal(y + i * c, table + (size_t)ids[i] * c, c * sizeof *y);
    mem_free(ids);
    done_with(table, v * c), done_with(y, n * c);
}

static void backward_adds_in_order(void **state)
{
    (void)state;
    static const size_t widths[] = {1, 3, 16, 17, 64, 127, 300};
    int threads = kernels_threads();
    for (size_t t = 0; t < sizeof widths / sizeof *widths; t++) {
        size_t v = 7, n = 2500, c = widths[t];
        float *dy = normals(n * c, 1, 2), *want = normals(v * c, 1, 3);
        int32_t *ids = mem_alloc(n, sizeof *ids);
        for (size_t i = 0; i < n; i++) {
            ids[i] = (int32_t)(i * i % v);
            for (size_t j = 0; j < c; j++)
                want[(size_t)ids[i] * c + j] += dy[i * c + j];
        }
        for (int count = 1; count <= 5; count++) {
            float *dtable = normals(v * c, 1, 3);
            kernels_set_threads(count);
            embedding_backward(dtable, dy, ids, n, c);
            assert_memory_equal(dtable, want, v * c * sizeof *want);
            done_with(dtable, v * c);
        }
        mem_free(ids);
        done_with(dy, n * c), done_with(want, v * c);
    }
    kernels_set_threads(threads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward_copies_rows),
        cmocka_unit_test(backward_adds_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
