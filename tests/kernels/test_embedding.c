/* Embedding rows, and a backward pass whose bits do not depend on the number of threads. */
#include "kernels/embedding.h"
#include "kernels/halves.h"

#include "tests/kernels/stored.h"

static void forward_copies_rows(void **state)
{
    (void)state;
    size_t v = 11, c = 17, n = 3000;
    float *table = normals(v * c, 1, 1), *y = floats(n * c);
    int32_t *ids = mem_alloc(n, sizeof *ids);
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)(i * i % v);
    embedding_forward(y, table, DTYPE_F32, false, ids, 1, n, c);
    for (size_t i = 0; i < n; i++)
        assert_memory_equal(y + i * c, table + (size_t)ids[i] * c, c * sizeof *y);
    mem_free(ids);
    done_with(table, v * c), done_with(y, n * c);
}

static void rows_of_every_stored_type(void **state)
{
    (void)state;
    enum { V = 9, C = 512, N = 50 };
    float *y = floats(N * C), *all = floats(V * C);
    int32_t ids[N];
    for (int32_t i = 0; i < N; i++)
        ids[i] = i * i % V;
    for_each_level(level)
    {
        for (size_t t = 0; t < N_STORED_TYPES; t++) {
            void *table = stored_numbers(stored_types[t], V * C, 6, all);
            embedding_forward(y, table, stored_types[t], false, ids, 1, N, C);
            for (size_t i = 0; i < N; i++)
                assert_memory_equal(y + i * C, all + (size_t)ids[i] * C, C * sizeof *y);
            embedding_forward(y, table, stored_types[t], false, ids, 1.5f, N, C);
            mem_free(table);
            for (size_t i = 0; i < N * C; i++)
                assert_true(y[i] == 1.5f * all[(size_t)ids[i / C] * C + i % C]);
        }
        float *x = normals(V * C, 1, 4);
        halves_split(x, V, C);
        embedding_forward(y, x, DTYPE_F32, true, ids, 2, N, C);
        halves_join(x, V, C);
        for (size_t i = 0; i < N * C; i++)
            assert_true(y[i] == 2 * x[(size_t)ids[i / C] * C + i % C]);
        done_with(x, V * C);
    }
    done_with(y, N * C), done_with(all, V * C);
}

static void backward_adds_in_order(void **state)
{
    (void)state;
    static const size_t widths[] = {1, 3, 16, 17, 64, 127, 300};
    int threads = kernels_threads();
    for (size_t t = 0; t < sizeof widths / sizeof *widths; t++) {
        size_t v = 7, n = 2500, c = widths[t];
        float scale = t % 2 ? 1 : 12.5f;
        float *dy = normals(n * c, 1, 2), *want = normals(v * c, 1, 3);
        int32_t *ids = mem_alloc(n, sizeof *ids);
        for (size_t i = 0; i < n; i++) {
            ids[i] = (int32_t)(i * i % v);
            for (size_t j = 0; j < c; j++)
                want[(size_t)ids[i] * c + j] += scale * dy[i * c + j];
        }
        for (int count = 1; count <= 5; count++) {
            float *dtable = normals(v * c, 1, 3);
            kernels_set_threads(count);
            embedding_backward(dtable, dy, ids, scale, n, c);
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
        cmocka_unit_test(rows_of_every_stored_type),
        cmocka_unit_test(backward_adds_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
