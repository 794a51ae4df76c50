/* Products of packed panels. Included by the variant files after kernels/tile_body.h.
 *
 * A panel is PANEL_ROWS rows of a, or PANEL_COLUMNS columns of b, laid out in the order in which the
 * innermost loop reads them: all of index l of the sum side by side, then those of l + 1 (Goto and van de
 * Geijn, 2008). Packing widens bf16 and f16 to f32 on the way. */

#if SIMD_WIDTH == 16
enum { PANEL_ROWS = 14 }; /* with two vectors across: 28 sums, 2 vectors of b and 1 of a in 32 registers */
#elif SIMD_WIDTH == 8
enum { PANEL_ROWS = 6 };
#else
enum { PANEL_ROWS = 4 };
#endif
enum { PANEL_VECTORS = 2, PANEL_COLUMNS = PANEL_VECTORS * W };

/* Lanes of the matrix that lie side by side in memory: a row of the panel is one or two loads. */
INLINE void pack_side_by_side(const enum dtype type, const size_t width, float *to,
                              const struct panel_source *s)
{
    for (size_t l = 0; l < s->k; l++) {
        size_t at = l * s->ld + s->first;
#pragma GCC unroll 2
        for (size_t i = 0; i < width; i += W) {
            size_t n = s->n > i ? s->n - i : 0, room = width - i < W ? width - i : W;
            vf x = n >= W ? vf_load_type(type, s->data, at + i)
                   : n    ? vf_load_n_type(type, s->data, at + i, n)
                          : (vf){0};
            if (room == W)
                vf_store(to + l * width + i, x);
            else
                vf_store_n(to + l * width + i, x, room);
        }
    }
}

/* Lanes that lie s->ld apart, by squares of W x W. */
INLINE void pack_across(const enum dtype type, const size_t width, float *to,
                        const struct panel_source *s)
{
    for (size_t l = 0; l < s->k; l += W) {
        size_t length = s->k - l < W ? s->k - l : W;
        for (size_t i = 0; i < width; i += W) {
            size_t n = s->n > i ? s->n - i : 0, room = width - i < W ? width - i : W;
            vf x[W];
#pragma GCC unroll 16
            for (size_t r = 0; r < W; r++) {
                size_t at = (s->first + i + r) * s->ld + l;
                x[r] = r >= n        ? (vf){0}
                       : length == W ? vf_load_type(type, s->data, at)
                                     : vf_load_n_type(type, s->data, at, length);
            }
            transpose(x);
            for (size_t r = 0; r < length; r++) {
                if (room == W)
                    vf_store(to + (l + r) * width + i, x[r]);
                else
                    vf_store_n(to + (l + r) * width + i, x[r], room);
            }
        }
    }
}

INLINE void pack_panel_as(const enum dtype type, const size_t width, float *to,
                          const struct panel_source *s)
{
    if (s->side_by_side)
        pack_side_by_side(type, width, to, s);
    else
        pack_across(type, width, to, s);
}

INLINE void pack_panel(const size_t width, float *to, const struct panel_source *s)
{
    if (s->type == DTYPE_BF16)
        pack_panel_as(DTYPE_BF16, width, to, s);
    else if (s->type == DTYPE_F16)
        pack_panel_as(DTYPE_F16, width, to, s);
    else
        pack_panel_as(DTYPE_F32, width, to, s);
}

static void pack_panel_of_rows(float *to, const struct panel_source *s)
{
    pack_panel(PANEL_ROWS, to, s);
}

static void pack_panel_of_columns(float *to, const struct panel_source *s)
{
    pack_panel(PANEL_COLUMNS, to, s);
}

/* One row of c from its sums. */
INLINE void finish_row_as(const bool bf16, const float *sums, const struct panel_target *t, size_t at)
{
    FOR_VECTORS(j, t->columns)
    {
        vf x = LOAD(sums + j);
        if (t->beta != 0)
            x = vf_fma(vf_set(t->beta), LOAD_AS(bf16, t->data, at + j), x);
        STORE_AS(bf16, t->data, at + j, x);
    }
}

static void finish_row(const float *sums, const struct panel_target *t)
{
    if (t->type == DTYPE_BF16)
        finish_row_as(true, sums, t, t->at);
    else
        finish_row_as(false, sums, t, t->at);
}

/* to (rows, PANEL_COLUMNS) = the first `rows` rows of a's panel times b's. */
INLINE void tile_of_panels(const size_t rows, const float *a, const float *b, size_t k, float *to)
{
    block_product(rows, PANEL_VECTORS, k, (struct strided){a, 1, PANEL_ROWS}, b, PANEL_COLUMNS, false,
                  to, PANEL_COLUMNS);
}

static void panel_product(const float *a, const float *b, size_t k, const struct panel_target *t)
{
    float sums[PANEL_ROWS * PANEL_COLUMNS] __attribute__((aligned(64)));
    switch ((t->rows + 1) / 2) {
    case 1:
        tile_of_panels(2, a, b, k, sums);
        break;
#if SIMD_WIDTH >= 8
    case 2:
        tile_of_panels(4, a, b, k, sums);
        break;
#endif
#if SIMD_WIDTH == 16
    case 3:
        tile_of_panels(6, a, b, k, sums);
        break;
    case 4:
        tile_of_panels(8, a, b, k, sums);
        break;
    case 5:
        tile_of_panels(10, a, b, k, sums);
        break;
    case 6:
        tile_of_panels(12, a, b, k, sums);
        break;
#endif
    default:
        tile_of_panels(PANEL_ROWS, a, b, k, sums);
        break;
    }
    for (size_t i = 0; i < t->rows; i++) {
        if (t->type == DTYPE_BF16)
            finish_row_as(true, sums + i * PANEL_COLUMNS, t, t->at + i * t->ld);
        else
            finish_row_as(false, sums + i * PANEL_COLUMNS, t, t->at + i * t->ld);
    }
}
