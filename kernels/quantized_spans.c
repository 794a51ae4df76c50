#include "kernels/quantized.h"

#include "base/check.h"
#include "kernels/quantized_kernels.h"

#include <math.h>
#include <string.h>

/* Half a step below a type's lowest level and above its highest, the bias taken away. */
struct level_span {
    float low, high;
};

static const struct level_span *level_span(enum dtype type)
{
    static const struct level_span table[] = {
        [DTYPE_Q4_0] = {-8.5f, 7.5f},      [DTYPE_Q4_1] = {-0.5f, 15.5f},    [DTYPE_Q5_0] = {-16.5f, 15.5f},
        [DTYPE_Q5_1] = {-0.5f, 31.5f},     [DTYPE_Q8_0] = {-127.5f, 127.5f}, [DTYPE_Q2_K] = {-0.5f, 3.5f},
        [DTYPE_Q3_K] = {-4.5f, 3.5f},      [DTYPE_Q4_K] = {-0.5f, 15.5f},    [DTYPE_Q5_K] = {-0.5f, 31.5f},
        [DTYPE_Q6_K] = {-32.5f, 31.5f},    [DTYPE_IQ4_NL] = {-138.5f, 125},  [DTYPE_IQ4_XS] = {-138.5f, 125},
        [DTYPE_TQ1_0] = {-1.5f, 1.5f},     [DTYPE_TQ2_0] = {-1.5f, 1.5f},    [DTYPE_MXFP4] = {-14, 14},
    };
    return (size_t)type < sizeof table / sizeof *table && table[type].low < 0 ? &table[type] : NULL;
}

enum { SPAN = 16, STRIP_SPANS = STRIP / SPAN };

static void strip_spans(const struct level_form *form, const struct level_span *levels, const struct weight_strip *s,
                        size_t n, float *low, float *high)
{
    for (size_t i = 0; i < n; i++) {
        const size_t g = i * SPAN / (size_t)form->group;
        const float offset = form->has_offset ? s->offset[g] : 0;
        const float a = s->scale[g] * levels->low + offset, b = s->scale[g] * levels->high + offset;
        low[i] = s->scale[g] == 0 ? -INFINITY : a < b ? a : b;
        high[i] = s->scale[g] == 0 ? INFINITY : a < b ? b : a;
    }
}

void quantized_spans(enum dtype type, const void *blocks, size_t n, float *low, float *high)
{
    enum { BEYOND = 64 }; /* unpacking reads whole vectors */
    const struct level_form *form = quantized_kernels()->form(type);
    const struct level_span *levels = level_span(type);
    const struct dtype_info *info = dtype_info(type);
    _Alignas(64) unsigned char strip_blocks[STRIP * 2 + BEYOND] = {0};
    struct weight_strip s;
    CHECK(form && levels && n % info->block == 0 && STRIP / info->block * info->block_bytes <= STRIP * 2);
    for (size_t at = 0; at < n; at += STRIP) {
        const size_t here = n - at < STRIP ? n - at : STRIP;
        memcpy(strip_blocks, (const char *)blocks + at / info->block * info->block_bytes,
               here / info->block * info->block_bytes);
        form->unpack(strip_blocks, &s);
        strip_spans(form, levels, &s, here / SPAN, low + at / SPAN, high + at / SPAN);
    }
}
