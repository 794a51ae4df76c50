/* What the rows of a tile of scores see of its keys. Included by attention_body.h.
 *
 * A row sees the keys [lo, hi) of a tile, in which there may be a hole; a strip of rows computes the whole vectors
 * around the union of those, and masks only where the two differ. */

enum {
    TILE_KEYS = 64,
    STRIP = 24, /* rows at once: whole blocks of 6 and of 8 */
};

struct span {
    size_t lo, hi;
};

/* Which keys the queries of a job see (kernels/attention.h). */
struct sight {
    const struct attention_shape *shape;
    const int32_t *first_key, *hidden_keys;
};

struct strip {
    struct span rows[STRIP], all; /* what each row sees, and the union; {0, 0} if nothing is seen */
    struct span holes[STRIP];     /* set if `holed`: what a row does not see in the middle of its span, or {0, 0} */
    bool holed;
};

/* What is left of the keys that query i of batch row b sees without its hidden ones: a hole at an end shortens the
 * span, else it is *hole. */
static struct span without_hidden(struct span seen, struct span *hole, const struct sight *see, size_t b, size_t i,
                                  size_t key)
{
    const int32_t *hidden = see->hidden_keys + 2 * (b * see->shape->n_queries + i);
    size_t from = (size_t)hidden[0], to = (size_t)hidden[1];
    from = from > key + seen.lo ? from - key : seen.lo;
    to = to > key ? to - key : 0;
    to = to < seen.hi ? to : seen.hi;
    *hole = (struct span){0, 0};
    if (from >= to)
        return seen;
    if (from == seen.lo)
        seen.lo = to;
    else if (to == seen.hi)
        seen.hi = from;
    else
        *hole = (struct span){from, to};
    return seen.lo < seen.hi ? seen : (struct span){0, 0};
}

/* The keys of the tile [key, key + n_keys) that query i of batch row b sees, counted from `key`. *hole is set only
 * where the job hides keys. */
INLINE struct span visible(const struct sight *see, size_t b, size_t i, size_t key, size_t n_keys, struct span *hole)
{
    const struct attention_shape *s = see->shape;
    size_t first = see->first_key ? (size_t)see->first_key[b * s->n_queries + i] : 0;
    size_t end = i + s->n_past + 1;
    struct span r = {first > key ? first - key : 0, end > key ? end - key : 0};
    r.hi = r.hi < n_keys ? r.hi : n_keys;
    r = r.lo < r.hi ? r : (struct span){0, 0};
    return see->hidden_keys ? without_hidden(r, hole, see, b, i, key) : r;
}

/* What n queries, at most STRIP, see from i on. */
static void visible_rows(struct strip *to, const struct sight *see, size_t b, size_t i, size_t n, size_t key,
                         size_t n_keys)
{
    struct span all = {n_keys, 0};
    to->holed = false;
    for (size_t r = 0; r < n; r++) {
        struct span row = visible(see, b, i + r, key, n_keys, &to->holes[r]);
        to->rows[r] = row;
        if (row.hi > all.hi)
            all.hi = row.hi;
        if (row.hi > 0 && row.lo < all.lo)
            all.lo = row.lo;
        if (see->hidden_keys && to->holes[r].hi > 0)
            to->holed = true;
    }
    to->all = all.hi > 0 ? all : (struct span){0, 0};
}

/* Whether any of n queries from i on sees a key of the tile. */
static bool any_visible(const struct sight *see, size_t b, size_t i, size_t n, size_t key, size_t n_keys)
{
    struct span hole;
    for (size_t r = 0; r < n; r++)
        if (visible(see, b, i + r, key, n_keys, &hole).hi > 0)
            return true;
    return false;
}

INLINE struct span join(struct span a, struct span b)
{
    if (a.hi == 0 || b.hi == 0)
        return a.hi == 0 ? b : a;
    return (struct span){a.lo < b.lo ? a.lo : b.lo, a.hi > b.hi ? a.hi : b.hi};
}

/* Whole vectors around a span: the first column, and how many. */
INLINE size_t span_start(struct span s)
{
    return s.lo / W * W;
}

INLINE size_t span_vectors(struct span s)
{
    return (s.hi - span_start(s) + W - 1) / W;
}

/* Row r's part in its hole, of rows of TILE_KEYS whose first column is `from`, becomes `value`. */
INLINE void fill_hole(float *rows, size_t r, const struct strip *strip, size_t from, float value)
{
    for (size_t c = strip->holes[r].lo; c < strip->holes[r].hi; c++)
        rows[r * TILE_KEYS + c - from] = value;
}
