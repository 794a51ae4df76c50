#include "kernels/gemm.h"
#include "kernels/update.h"
#include "optim/optimizer.h"

#include <math.h>
#include <string.h>

size_t muon_scratch(size_t rows, size_t cols)
{
    size_t small = rows < cols ? rows : cols;
    return rows * cols + 2 * small * small;
}

/* x <- a x + (b (x x^T) + c (x x^T)^2) x for a wide x; a tall one takes its products from the other side,
 * which is the same on the transpose. */
void muon_orthogonalize(float *x, size_t rows, size_t cols, float *scratch)
{
    static const float a = 3.4445f, b = -4.7750f, c = 2.0315f;
    size_t n = rows * cols, small = rows < cols ? rows : cols;
    bool wide = rows <= cols;
    float *gram = scratch, *polynomial = gram + small * small, *next = polynomial + small * small;
    double norm = sqrt(sum_of_squares(x, DTYPE_F32, n));
    if (norm == 0)
        return;
    scale_add(x, x, (float)(1 / (norm + 1e-7)), x, 0, n);
    for (int i = 0; i < 5; i++) {
        if (wide)
            gemm_f32(false, true, rows, rows, cols, x, cols, x, cols, 0, gram, rows);
        else
            gemm_f32(true, false, cols, cols, rows, x, cols, x, cols, 0, gram, cols);
        gemm_f32(false, false, small, small, small, gram, small, gram, small, 0, polynomial, small);
        scale_add(polynomial, polynomial, c, gram, b, small * small);
        if (wide)
            gemm_f32(false, false, rows, cols, rows, polynomial, rows, x, cols, 0, next, cols);
        else
            gemm_f32(false, false, rows, cols, cols, x, cols, polynomial, cols, 0, next, cols);
        scale_add(x, x, a, next, 1, n);
    }
}
