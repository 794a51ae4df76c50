#include "kernels/output_layer.h"

#include "base/check.h"
#include "kernels/gemm.h"
#include "kernels/quantized.h"
#include "kernels/table.h"

static float scale_of(const struct output_layer *layer)
{
    return layer->logit_scale == 0 ? 1 : layer->logit_scale;
}

void output_logits(const struct output_layer *layer, enum dtype type, const void *hidden,
                   float *logits, size_t n)
{
    enum { PIECE = 8192 }; /* of a row: the one row of decoding is worth all threads too */
    size_t v = layer->v, pieces = (v + PIECE - 1) / PIECE;
    float scale = scale_of(layer);
    CHECK(!layer->interleaved || type == DTYPE_F32);
    if (layer->interleaved)
        quantized_product_interleaved(n, v, layer->c, hidden, layer->c, layer->w_type, layer->w, logits, v);
    else if (layer->in_integers)
        quantized_product(n, v, layer->c, type, hidden, layer->c, layer->w_type, layer->w, layer->ld, DTYPE_F32,
                          logits, v);
    else
        gemm(false, true, n, v, layer->c, type, hidden, layer->c, layer->w_type, layer->w, layer->ld, 0,
             DTYPE_F32, logits, v);
    if (layer->add)
        layer->add(layer->add_context, logits, type, hidden, n);
    if (!layer->bias && scale == 1 && layer->softcap == 0)
        return;
#pragma omp parallel for schedule(static) if (n * v > 4096)
    for (size_t i = 0; i < n * pieces; i++) {
        size_t at = i % pieces * PIECE;
        kernel_table()->adjust(logits + i / pieces * v + at, layer->bias ? layer->bias + at : NULL,
                               scale, layer->softcap, v - at < PIECE ? v - at : PIECE);
    }
}
