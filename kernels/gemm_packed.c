/* Products in f32 of matrices of any type, from packed panels (kernels/product_body.h). */
#include "kernels/gemm_paths.h"

#include "base/check.h"
#include "kernels/scratch.h"
#include "kernels/table.h"

#include <omp.h>

/* op(a) or op(b), seen as panels: `size` rows of a or columns of b, k long. */
struct side {
    const void *data;
    enum dtype type;
    bool side_by_side; /* neighbouring rows (columns) are neighbours in memory */
    size_t ld, size;
    size_t width;      /* of a panel */
    float *panels;
};

struct product {
    struct side a, b;
    struct panel_target c; /* where element (0, 0) is, beta of the first part of the sum */
};

/* Sums are made of at most this many terms at a time, and packed panels of one side take about this many
 * floats, 8 MB. */
enum { LONGEST_SUM = 1024, PANEL_FLOATS = 2 << 20 };
/* A block of columns that stays in the second-level cache while rows go past it, in floats. */
enum { BLOCK_FLOATS = 96 << 10 };
enum { WORTH_THREADS = 1 << 18 }; /* multiply-adds */

static size_t divide_up(size_t n, size_t by)
{
    return (n + by - 1) / by;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Types that are not read where they lie are widened by tiles of so many stored rows, and so many elements
 * of each, which begin at multiples of that: whole blocks of every type. 64 kB, on the stack. */
enum { TILE_ROWS = 64, TILE_LENGTH = 256 };

/* Whole panels of a side that are packed at a time, in rows or columns: of widened types whole tiles too. */
static size_t packed_at_once(const struct side *s, size_t k)
{
    size_t unit = gemm_reads(s->type) ? s->width : TILE_LENGTH;
    size_t most = PANEL_FLOATS / ((k ? k : 1) * unit) * unit;
    if (most < unit)
        most = unit;
    return least(most, divide_up(s->size, s->width) * s->width);
}

/* A part of a side that is packed: rows or columns [from, from + n), terms [at, at + k). */
struct part {
    size_t from, n, at, k;
};

/* Terms that are packed for several panels at a time, so that whole cache lines and pages are read while they
 * are near; and how many panels. */
enum { PACK_TERMS = 64, PACK_PANELS = 8 };

static size_t panels_of_a_group(const struct side *s)
{
    return gemm_reads(s->type) ? PACK_PANELS : TILE_LENGTH / s->width;
}

typedef void panel_packer(float *to, const struct panel_source *s);

/* Elements [from, to) of n stored rows into the tile; returns where the first of them is. */
static const float *widen(const struct side *s, float *tile, size_t row, size_t n, size_t from,
                          size_t to)
{
    const struct dtype_info *info = dtype_info(s->type);
    size_t begin = from / info->block * info->block;
    size_t count = divide_up(to - begin, info->block) * info->block;
    for (size_t r = 0; r < n; r++) {
        size_t block = ((row + r) * s->ld + begin) / info->block;
        const char *data = (const char *)s->data + block * info->block_bytes;
        CHECK(dtype_to_f32(s->type, data, tile + r * TILE_LENGTH, count));
    }
    return tile + (from - begin);
}

/* Panels [panel, to) of a part, by way of tiles. Of rows (columns) and terms, the ones that are neighbours in
 * memory go along a tile's rows. */
static void pack_widened(const struct side *s, const struct part *p, size_t panel, size_t to,
                         panel_packer *pack_panel)
{
    float tile[TILE_ROWS * TILE_LENGTH];
    size_t lane_end = least(p->from + p->n, p->from + to * s->width), term_end = p->at + p->k;
    size_t lane, term, next_lane, next_term;
    for (lane = p->from + panel * s->width; lane < lane_end; lane = next_lane) {
        next_lane = s->side_by_side ? lane / TILE_LENGTH * TILE_LENGTH + TILE_LENGTH : lane + TILE_ROWS;
        next_lane = least(next_lane, lane_end);
        for (term = p->at; term < term_end; term = next_term) {
            next_term = s->side_by_side ? term + TILE_ROWS : term / TILE_LENGTH * TILE_LENGTH + TILE_LENGTH;
            next_term = least(next_term, term_end);
            struct panel_source source = {.type = DTYPE_F32, .side_by_side = s->side_by_side,
                                          .ld = TILE_LENGTH, .k = next_term - term};
            source.data = s->side_by_side
                              ? widen(s, tile, term, next_term - term, lane, next_lane)
                              : widen(s, tile, lane, next_lane - lane, term, next_term);
            for (size_t i = lane; i < next_lane; i += s->width) {
                source.first = i - lane;
                source.n = least(next_lane - i, s->width);
                pack_panel(s->panels + (i - p->from) * p->k + (term - p->at) * s->width, &source);
            }
        }
    }
}

/* Panels [panel, to) of a part. */
static void pack(const struct side *s, const struct part *p, size_t panel, size_t to,
                 panel_packer *pack_panel)
{
    if (!gemm_reads(s->type)) {
        pack_widened(s, p, panel, to, pack_panel);
        return;
    }
    for (size_t l = 0; l < p->k; l += PACK_TERMS) {
        size_t skip = (p->at + l) * (s->side_by_side ? s->ld : 1);
        struct panel_source source = {
            .data = (const char *)s->data + skip * dtype_info(s->type)->block_bytes,
            .type = s->type, .side_by_side = s->side_by_side, .ld = s->ld,
            .k = least(p->k - l, PACK_TERMS),
        };
        for (size_t i = panel; i < to; i++) {
            source.first = p->from + i * s->width;
            source.n = least(p->from + p->n - source.first, s->width);
            pack_panel(s->panels + (i * p->k + l) * s->width, &source);
        }
    }
}

/* A rectangle of panels of c. */
struct block {
    size_t row, rows, column, columns;
};

static void multiply_block(const struct product *p, const struct part *a, const struct part *b,
                           const struct block *block, float beta)
{
    const struct kernel_table *table = kernel_table();
    struct panel_target t = p->c;
    t.beta = beta;
    for (size_t i = block->row; i < block->row + block->rows; i++) {
        for (size_t j = block->column; j < block->column + block->columns; j++) {
            size_t row = i * p->a.width, column = j * p->b.width;
            t.rows = least(a->n - row, p->a.width);
            t.columns = least(b->n - column, p->b.width);
            t.at = (a->from + row) * t.ld + b->from + column;
            table->panel_product(p->a.panels + row * a->k, p->b.panels + column * b->k, a->k, &t);
        }
    }
}

/* One part of a times one of b, whose panels are packed first unless they still are. */
static void multiply_parts(const struct product *p, const struct part *a, bool pack_a,
                           const struct part *b, bool pack_b, float beta)
{
    const struct kernel_table *table = kernel_table();
    size_t rows = divide_up(a->n, p->a.width), columns = divide_up(b->n, p->b.width);
    size_t group = panels_of_a_group(&p->b);
    size_t a_groups = pack_a ? divide_up(rows, PACK_PANELS) : 0;
    size_t b_groups = pack_b ? divide_up(columns, group) : 0;
    size_t wide = BLOCK_FLOATS / (p->b.width * (a->k ? a->k : 1));
    wide = wide < 1 ? 1 : least(wide, columns);
    size_t across = divide_up(columns, wide);
    size_t tall = least(rows, divide_up(rows * across, 8 * (size_t)omp_get_max_threads()));
    size_t down = divide_up(rows, tall);
#pragma omp parallel if (a->n * b->n * a->k > WORTH_THREADS)
    {
#pragma omp for schedule(dynamic)
        for (size_t i = 0; i < b_groups + a_groups; i++) {
            size_t at = i < b_groups ? i * group : (i - b_groups) * PACK_PANELS;
            if (i < b_groups)
                pack(&p->b, b, at, least(at + group, columns), table->pack_panel_of_columns);
            else
                pack(&p->a, a, at, least(at + PACK_PANELS, rows), table->pack_panel_of_rows);
        }
#pragma omp for schedule(dynamic)
        for (size_t i = 0; i < across * down; i++) {
            struct block block = {.row = i % down * tall, .column = i / down * wide};
            block.rows = least(tall, rows - block.row);
            block.columns = least(wide, columns - block.column);
            multiply_block(p, a, b, &block, beta);
        }
    }
}

/* c (m, n) = op(a) op(b) + beta c for c in f32, part by part of the sums. */
static void multiply(struct product *p, size_t k, size_t longest, float beta)
{
    size_t m = p->a.size, n = p->b.size;
    size_t a_most = packed_at_once(&p->a, longest), b_most = packed_at_once(&p->b, longest);
    size_t at = 0;
    do { /* once even if there is nothing to sum: c is multiplied by beta */
        struct part a = {.at = at, .k = least(longest, k - at)}, b = a;
        for (b.from = 0; b.from < n; b.from += b_most) {
            b.n = least(b_most, n - b.from);
            for (a.from = 0; a.from < m; a.from += a_most) {
                a.n = least(a_most, m - a.from);
                multiply_parts(p, &a, b.from == 0 || a_most < m, &b, a.from == 0, beta);
            }
        }
        at += longest;
        beta = 1;
    } while (at < k);
}

/* c (m, n) in bf16 = sums (m, n) + beta c. */
static void round_sums(const struct product *p, const float *sums, float beta)
{
    const struct kernel_table *table = kernel_table();
    size_t m = p->a.size, n = p->b.size;
#pragma omp parallel for schedule(static) if (m * n > WORTH_THREADS)
    for (size_t i = 0; i < m; i++) {
        struct panel_target row = p->c;
        row.at = i * row.ld, row.columns = n, row.beta = beta;
        table->finish_row(sums + i * n, &row);
    }
}

/* Where the parts of a product's scratch begin, in floats. */
struct scratch_plan {
    size_t longest; /* part of a sum */
    size_t b, sums, total;
    bool in_parts;  /* c is bf16, in which sums on their way would lose most */
};

static struct scratch_plan plan_scratch(const struct product *p, size_t k)
{
    size_t parts = k ? divide_up(k, LONGEST_SUM) : 1;
    struct scratch_plan plan = {.longest = divide_up(k, parts)};
    plan.in_parts = p->c.type == DTYPE_BF16 && parts > 1;
    plan.b = packed_at_once(&p->a, plan.longest) * plan.longest;
    plan.sums = plan.b + packed_at_once(&p->b, plan.longest) * plan.longest;
    plan.total = plan.sums + (plan.in_parts ? p->a.size * p->b.size : 0);
    return plan;
}

size_t gemm_packed_bytes(size_t m, size_t n, size_t k, enum dtype b_type, enum dtype c_type)
{
    const struct kernel_table *table = kernel_table();
    struct product p = {.a = {.size = m, .width = table->panel_rows},
                        .b = {.size = n, .width = table->panel_columns, .type = b_type},
                        .c = {.type = c_type}};
    return plan_scratch(&p, k).total * sizeof(float);
}

void gemm_packed(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k,
                 enum dtype a_type, const void *a, size_t lda, enum dtype b_type, const void *b,
                 size_t ldb, float beta, enum dtype c_type, void *c, size_t ldc)
{
    const struct kernel_table *table = kernel_table();
    struct product p = {
        .a = {a, a_type, transpose_a, lda, m, table->panel_rows, NULL},
        .b = {b, b_type, !transpose_b, ldb, n, table->panel_columns, NULL},
        .c = {.data = c, .type = c_type, .ld = ldc},
    };
    struct scratch_plan plan = plan_scratch(&p, k);
    p.a.panels = scratch_floats(plan.total);
    p.b.panels = p.a.panels + plan.b;
    if (!plan.in_parts) {
        multiply(&p, k, plan.longest, beta);
        return;
    }
    float *sums = p.a.panels + plan.sums;
    p.c = (struct panel_target){.data = sums, .type = DTYPE_F32, .ld = n};
    multiply(&p, k, plan.longest, 0);
    p.c = (struct panel_target){.data = c, .type = c_type, .ld = ldc};
    round_sums(&p, sums, beta);
}
