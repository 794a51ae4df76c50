/* Columns: chunks are compressed and decompressed here, several at once in threads, and handed to and from the library as
 * they are stored. */
#include "base/check.h"
#include "base/memory.h"
#include "formats/hdf5_chunk.h"
#include "formats/hdf5_private.h"
#include "kernels/dtype.h"

#include <string.h>

enum {
    GROUP = 8,                    /* chunks at once: fixed, so that a file does not depend on the number of threads */
    GROUP_BYTES_MOST = 64 << 20,
    CHUNK_BYTES_MOST = 32 << 20,  /* of other writers' */
};

struct hdf5_column {
    struct hdf5_file *file;
    char *name;
    struct hdf5_dataset dataset;
    struct hdf5_column_info info;
    size_t element, row_bytes, chunk_bytes;
    struct hdf5_filters filters;
    size_t group;            /* chunks there are buffers for */
    unsigned char *chunks;   /* (group) capacities: content */
    unsigned char *stored;   /* (group) capacities */
    unsigned char *scratch;  /* (group) capacities, writing */
    size_t stored_bytes[GROUP];
    uint32_t masks[GROUP];
    /* writing */
    int level;
    size_t pending;          /* rows in `chunks` that are not written */
    /* reading */
    size_t first, n_loaded;  /* chunks first to first + n_loaded are in `chunks` */
};

static size_t capacity(const struct hdf5_column *c)
{
    return hdf5_chunk_capacity(c->chunk_bytes);
}

static void allocate(struct hdf5_column *c, size_t group)
{
    c->group = group;
    c->chunks = mem_alloc(group, capacity(c));
    c->stored = mem_alloc(group, capacity(c));
    c->scratch = c->level >= 0 ? mem_alloc(group, capacity(c)) : NULL;
}

static void free_column(struct hdf5_column *c)
{
    hdf5_close_dataset(&c->dataset);
    mem_free(c->chunks);
    mem_free(c->stored);
    mem_free(c->scratch);
    mem_free(c->name);
    mem_free(c);
}

/* ---- writing ---- */

static hid_t column_properties(int level, int rank, const hsize_t chunk[2])
{
    hid_t p = H5Pcreate(H5P_DATASET_CREATE);
    CHECK(p >= 0 && H5Pset_chunk(p, rank, chunk) >= 0 && H5Pset_shuffle(p) >= 0);
    CHECK(H5Pset_deflate(p, (unsigned)level) >= 0 && H5Pset_fletcher32(p) >= 0);
    CHECK(H5Pset_obj_track_times(p, false) >= 0 && H5Pset_fill_time(p, H5D_FILL_TIME_NEVER) >= 0);
    return p;
}

int hdf5_column_create(struct hdf5_file *f, const char *name, enum hdf5_type type, size_t width, size_t chunk_rows,
                       int level, struct hdf5_column **column, struct error *e)
{
    *column = NULL;
    int code = hdf5_writable(f, e);
    if (code)
        return code;
    int rank = width ? 2 : 1;
    CHECK(chunk_rows && level >= 0 && level <= 9);
    hsize_t extent[2] = {0, width}, most[2] = {H5S_UNLIMITED, width}, chunk[2] = {chunk_rows, width};
    hid_t space = H5Screate_simple(rank, extent, most), properties = column_properties(level, rank, chunk);
    hid_t id = H5Dcreate2(f->id, name, hdf5_type_id(type), space, H5P_DEFAULT, properties, H5P_DEFAULT);
    if (id < 0)
        code = hdf5_write_error(f, e, "dataset \"%s\": cannot create", name);
    H5Pclose(properties);
    H5Sclose(space);
    if (code)
        return code;
    struct hdf5_column *c = mem_zero(1, sizeof *c);
    *c = (struct hdf5_column){.file = f, .name = mem_string(name), .level = level,
                              .dataset = {.id = id, .type = H5I_INVALID_HID, .rank = rank},
                              .info = {type, 0, width ? width : 1, chunk_rows, true},
                              .element = hdf5_types[type].size};
    c->row_bytes = c->info.width * c->element;
    CHECK(size_mul(c->row_bytes, chunk_rows, &c->chunk_bytes) && c->chunk_bytes <= CHUNK_BYTES_MOST);
    allocate(c, GROUP);
    *column = c;
    return OK;
}

static int extend(struct hdf5_column *c, size_t rows, struct error *e)
{
    hsize_t extent[2] = {rows, c->info.width};
    if (H5Dset_extent(c->dataset.id, extent) < 0)
        return hdf5_write_error(c->file, e, "dataset \"%s\": cannot grow", c->name);
    return OK;
}

/* Writes what is pending; a last chunk that is not full is filled up with zeros, which the extent leaves out. */
static int flush(struct hdf5_column *c, struct error *e)
{
    size_t chunk_rows = c->info.chunk_rows, n = (c->pending + chunk_rows - 1) / chunk_rows;
    size_t begin = c->info.rows - c->pending;
    int code = extend(c, c->info.rows, e);
    memset(c->chunks + c->pending * c->row_bytes, 0, (n * chunk_rows - c->pending) * c->row_bytes);
#pragma omp parallel for schedule(dynamic, 1) if (n > 1)
    for (size_t i = 0; i < n; i++)
        c->stored_bytes[i] =
            hdf5_chunk_encode(c->chunks + i * c->chunk_bytes, c->chunk_bytes, c->element, c->level,
                              c->stored + i * capacity(c), c->scratch + i * capacity(c));
    for (size_t i = 0; i < n && !code; i++) {
        hsize_t at[2] = {begin + i * chunk_rows, 0};
        if (H5Dwrite_chunk(c->dataset.id, H5P_DEFAULT, 0, at, c->stored_bytes[i], c->stored + i * capacity(c)) < 0)
            code = hdf5_write_error(c->file, e, "dataset \"%s\": cannot write", c->name);
    }
    c->pending = 0;
    return code ? code : hdf5_writable(c->file, e);
}

int hdf5_column_append(struct hdf5_column *c, const void *data, size_t rows, struct error *e)
{
    int code = hdf5_writable(c->file, e);
    const unsigned char *from = data;
    while (rows && !code) {
        size_t room = c->group * c->info.chunk_rows - c->pending, n = rows < room ? rows : room;
        memcpy(c->chunks + c->pending * c->row_bytes, from, n * c->row_bytes);
        from += n * c->row_bytes;
        rows -= n;
        c->pending += n;
        c->info.rows += n;
        if (n == room)
            code = flush(c, e);
    }
    return code;
}

int hdf5_column_finish(struct hdf5_column *c, struct error *e)
{
    if (!c)
        return OK;
    int code = hdf5_writable(c->file, e);
    if (!code && c->pending)
        code = flush(c, e);
    hid_t id = c->dataset.id;
    c->dataset.id = H5I_INVALID_HID;
    if (H5Dclose(id) < 0 && !code)
        code = hdf5_write_error(c->file, e, "dataset \"%s\": cannot write", c->name);
    free_column(c);
    return code;
}

/* ---- reading ---- */

static const struct {
    H5Z_filter_t id;
    enum hdf5_filter filter;
} known_filters[] = {{H5Z_FILTER_SHUFFLE, FILTER_SHUFFLE},
                     {H5Z_FILTER_DEFLATE, FILTER_DEFLATE},
                     {H5Z_FILTER_FLETCHER32, FILTER_FLETCHER32}};

static int read_filters(struct hdf5_column *c, hid_t creation, struct error *e)
{
    int n = H5Pget_nfilters(creation);
    for (int i = 0; i < n; i++) {
        unsigned flags;
        size_t n_values = 0;
        char name[64] = "";
        H5Z_filter_t id = H5Pget_filter2(creation, (unsigned)i, &flags, &n_values, NULL, sizeof name, name, NULL);
        int known = 0;
        while (known < 3 && known_filters[known].id != id)
            known++;
        if (known == 3 || i == HDF5_FILTERS_MOST)
            return error_set(e, ERR_FORMAT,
                             "%s: dataset \"%s\" is compressed with \"%s\" (filter %d); shuffle, gzip (deflate) and "
                             "fletcher32 can be read",
                             c->file->path, c->name, name, (int)id);
        c->filters.order[i] = known_filters[known].filter;
        c->filters.n = i + 1;
        c->info.checked |= known_filters[known].filter == FILTER_FLETCHER32;
    }
    return OK;
}

static int read_layout(struct hdf5_column *c, hid_t creation, struct error *e)
{
    hsize_t chunk[H5S_MAX_RANK] = {0};
    if (H5Pget_layout(creation) != H5D_CHUNKED) { /* read in pieces that are called chunks */
        c->info.chunk_rows = c->row_bytes < 65536 ? 65536 / c->row_bytes : 1;
    } else if (H5Pget_chunk(creation, c->dataset.rank, chunk) != c->dataset.rank || chunk[0] == 0 ||
               (c->dataset.rank == 2 && chunk[1] != c->info.width)) {
        return error_set(e, ERR_FORMAT,
                         "%s: dataset \"%s\": its chunks must be of whole rows; write it with chunks=(n, %zu)",
                         c->file->path, c->name, c->info.width);
    } else {
        c->info.chunk_rows = chunk[0];
    }
    if (!size_mul(c->info.chunk_rows, c->row_bytes, &c->chunk_bytes) || c->chunk_bytes > CHUNK_BYTES_MOST)
        return error_set(e, ERR_FORMAT, "%s: dataset \"%s\": its chunks are larger than %d MB; write smaller ones",
                         c->file->path, c->name, CHUNK_BYTES_MOST >> 20);
    return OK;
}

static int describe_column(struct hdf5_column *c, struct error *e)
{
    const struct hdf5_dataset *d = &c->dataset;
    int type = hdf5_type_of(d->type);
    if (type == HDF5_TYPES)
        return error_set(e, ERR_FORMAT, "%s: dataset \"%s\" is of a type that cannot be read: not a little-endian number",
                         c->file->path, c->name);
    if (d->rank < 1 || d->rank > 2 || (d->rank == 2 && d->extent[1] == 0))
        return error_set(e, ERR_FORMAT, "%s: dataset \"%s\" has %d dimensions, expected 1 or 2", c->file->path, c->name,
                         d->rank);
    c->info = (struct hdf5_column_info){(enum hdf5_type)type, d->extent[0], d->rank == 2 ? d->extent[1] : 1, 0, false};
    c->element = hdf5_types[type].size;
    if (!size_mul(c->info.width, c->element, &c->row_bytes))
        return error_set(e, ERR_FORMAT, "%s: dataset \"%s\": dimensions too large", c->file->path, c->name);
    hid_t creation = H5Dget_create_plist(d->id);
    int code = read_layout(c, creation, e);
    if (!code)
        code = read_filters(c, creation, e);
    H5Pclose(creation);
    return code;
}

int hdf5_column_open(struct hdf5_file *f, const char *name, struct hdf5_column **column, struct error *e)
{
    *column = NULL;
    struct hdf5_column *c = mem_zero(1, sizeof *c);
    *c = (struct hdf5_column){.file = f, .name = mem_string(name), .level = -1};
    int code = hdf5_open_dataset(f, name, &c->dataset, e);
    if (!code)
        code = describe_column(c, e);
    if (code) {
        free_column(c);
        return code;
    }
    size_t group = GROUP_BYTES_MOST / (c->chunk_bytes + 1), all = (c->info.rows - 1) / c->info.chunk_rows + 1;
    group = group > GROUP ? GROUP : group ? group : 1;
    allocate(c, c->info.rows == 0 ? 1 : group < all ? group : all);
    *column = c;
    return OK;
}

const struct hdf5_column_info *hdf5_column_info(const struct hdf5_column *c)
{
    return &c->info;
}

void hdf5_column_close(struct hdf5_column *c)
{
    if (c)
        free_column(c);
}

/* The stored bytes of chunk `index` into the buffer of number i. NULL, or what is wrong. */
static const char *fetch(struct hdf5_column *c, size_t index, size_t i)
{
    hsize_t at[2] = {index * c->info.chunk_rows, 0}, size = 0;
    if (H5Dget_chunk_storage_size(c->dataset.id, at, &size) < 0 || size == 0)
        return "is not there";
    if (size > capacity(c))
        return "is larger than its content can be";
    c->stored_bytes[i] = size;
    if (H5Dread_chunk(c->dataset.id, H5P_DEFAULT, at, &c->masks[i], c->stored + i * capacity(c)) < 0)
        return "cannot be read";
    return NULL;
}

/* Rows of a dataset without chunks. */
static const char *fetch_plain(struct hdf5_column *c, size_t index)
{
    hsize_t start[2] = {index * c->info.chunk_rows}, count[2] = {c->info.chunk_rows, c->info.width};
    if (count[0] > c->info.rows - start[0])
        count[0] = c->info.rows - start[0];
    hid_t space = H5Dget_space(c->dataset.id), memory = H5Screate_simple(c->dataset.rank, count, NULL);
    bool read = H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) >= 0 &&
                H5Dread(c->dataset.id, c->dataset.type, memory, space, H5P_DEFAULT, c->chunks) >= 0;
    H5Sclose(memory);
    H5Sclose(space);
    return read ? NULL : "cannot be read";
}

static int chunk_error(const struct hdf5_column *c, size_t index, const char *what, struct hdf5_fault *fault,
                       struct error *e)
{
    size_t begin = index * c->info.chunk_rows, end = begin + c->info.chunk_rows;
    end = end < c->info.rows ? end : c->info.rows;
    if (fault)
        *fault = (struct hdf5_fault){index, begin, end, what};
    return error_set(e, ERR_FORMAT, "%s: dataset \"%s\", chunk %zu (rows %zu to %zu): %s: the file is damaged; take another copy, or "
                     "make it anew",
                     c->file->path, c->name, index, begin, end - 1, what);
}

/* Chunks from `first` on, n of them at most as there is room, into memory. */
static int load(struct hdf5_column *c, size_t first, size_t n, struct hdf5_fault *fault, struct error *e)
{
    const char *wrong[GROUP] = {NULL};
    n = n < c->group ? n : c->group;
    c->n_loaded = 0;
    if (!c->dataset.chunked) {
        n = 1;
        wrong[0] = fetch_plain(c, first);
    } else {
        for (size_t i = 0; i < n; i++)
            wrong[i] = fetch(c, first + i, i);
#pragma omp parallel for schedule(dynamic, 1) if (n > 1)
        for (size_t i = 0; i < n; i++)
            if (!wrong[i])
                wrong[i] = hdf5_chunk_decode(&c->filters, c->masks[i], c->element, c->stored + i * capacity(c),
                                             c->stored_bytes[i], c->chunks + i * capacity(c), c->chunk_bytes);
    }
    for (size_t i = 0; i < n; i++)
        if (wrong[i])
            return chunk_error(c, first + i, wrong[i], fault, e);
    c->first = first;
    c->n_loaded = n;
    return OK;
}

/* Whole numbers as unsigned 64-bit ones. False for a negative one. */
static bool widen(enum hdf5_type type, const unsigned char *p, uint64_t *value)
{
    union {
        uint8_t u8;
        uint16_t u16;
        uint32_t u32;
        int32_t i32;
        uint64_t u64;
        int64_t i64;
    } v;
    memcpy(&v, p, hdf5_types[type].size);
    *value = type == HDF5_U8 ? v.u8 : type == HDF5_U16 ? v.u16 : type == HDF5_U32 ? v.u32 : v.u64;
    if (type == HDF5_I32)
        *value = (uint64_t)(int64_t)v.i32;
    return !(type == HDF5_I32 && v.i32 < 0) && !(type == HDF5_I64 && v.i64 < 0);
}

static bool convert_integers(enum hdf5_type from, const unsigned char *in, enum hdf5_type to, unsigned char *out, size_t n)
{
    size_t in_bytes = hdf5_types[from].size, out_bytes = hdf5_types[to].size;
    uint64_t value, most = to == HDF5_I32   ? INT32_MAX
                           : to == HDF5_I64 ? INT64_MAX
                                            : UINT64_MAX >> (64 - 8 * out_bytes);
    for (size_t i = 0; i < n; i++) {
        if (!widen(from, in + i * in_bytes, &value) || value > most)
            return false;
        memcpy(out + i * out_bytes, &value, out_bytes);
    }
    return true;
}

static void widen_16(const unsigned char *in, uint32_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t value;
        memcpy(&value, in + i * sizeof value, sizeof value);
        out[i] = value;
    }
}

static bool is_float(enum hdf5_type type)
{
    return type == HDF5_F16 || type == HDF5_F32 || type == HDF5_F64;
}

/* n elements become those of another type; NULL or what keeps them from it. */
static const char *convert(enum hdf5_type from, const unsigned char *in, enum hdf5_type to, void *out, size_t n)
{
    if (from == to) {
        memcpy(out, in, n * hdf5_types[to].size);
    } else if (from == HDF5_U16 && to == HDF5_U32) {
        widen_16(in, out, n);
    } else if (from == HDF5_F16 && to == HDF5_F32) {
        f32_from_f16((const uint16_t *)(const void *)in, out, n);
    } else if (from == HDF5_F64 && to == HDF5_F32) {
        for (size_t i = 0; i < n; i++) {
            double value;
            memcpy(&value, in + i * sizeof value, sizeof value);
            ((float *)out)[i] = (float)value;
        }
    } else if (is_float(from) || is_float(to)) {
        return "is of the wrong type";
    } else if (!convert_integers(from, in, to, out, n)) {
        return "holds a number that is negative or too large";
    }
    return NULL;
}

int hdf5_column_read(struct hdf5_column *c, enum hdf5_type type, size_t offset, size_t rows, void *data,
                     struct hdf5_fault *fault, struct error *e)
{
    size_t chunk_rows = c->info.chunk_rows;
    unsigned char *to = data;
    if (offset > c->info.rows || rows > c->info.rows - offset)
        return error_set(e, ERR_FORMAT, "%s: dataset \"%s\" has %zu rows, %zu from %zu on were asked for", c->file->path,
                         c->name, c->info.rows, rows, offset);
    while (rows) {
        size_t index = offset / chunk_rows, within = offset % chunk_rows;
        int code = OK;
        if (index < c->first || index - c->first >= c->n_loaded)
            code = load(c, index, (offset + rows - 1) / chunk_rows - index + 1, fault, e);
        if (code)
            return code;
        size_t n = rows < chunk_rows - within ? rows : chunk_rows - within;
        const unsigned char *from = c->chunks + (index - c->first) * capacity(c) + within * c->row_bytes;
        const char *wrong = convert(c->info.type, from, type, to, n * c->info.width);
        if (wrong)
            return chunk_error(c, index, wrong, fault, e);
        to += n * c->info.width * hdf5_types[type].size;
        offset += n;
        rows -= n;
    }
    return OK;
}
