/* Datasets: whole, in ranges, piece by piece. */
#include "base/check.h"
#include "base/hash.h"
#include "base/memory.h"
#include "formats/hdf5_private.h"
#include "kernels/dtype.h"

#include <string.h>

/* Checksums are of little-endian bytes, which memory must hold too. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "linnet needs a little-endian machine");

static const char checksum_name[] = "xxh64";

const struct hdf5_type_row hdf5_types[HDF5_TYPES] = {
    [HDF5_F32] = {"f32", 4}, [HDF5_F64] = {"f64", 8}, [HDF5_U8] = {"u8", 1},
    [HDF5_U16] = {"u16", 2}, [HDF5_U32] = {"u32", 4}, [HDF5_I32] = {"i32", 4},
    [HDF5_I64] = {"i64", 8}, [HDF5_U64] = {"u64", 8}, [HDF5_F16] = {"f16", 2},
};

/* HDF5 1.10 has no binary16 of its own; this is the one h5py makes. */
static hid_t half_type(void)
{
    static hid_t id = H5I_INVALID_HID;
    if (H5Iget_type(id) == H5I_DATATYPE)
        return id;
    id = H5Tcopy(H5T_IEEE_F32LE);
    CHECK(H5Tset_fields(id, 15, 10, 5, 0, 10) >= 0 && H5Tset_size(id, 2) >= 0);
    CHECK(H5Tset_ebias(id, 15) >= 0);
    return id;
}

/* HDF5's type ids are not constants: asking for one may start the library. */
hid_t hdf5_type_id(enum hdf5_type type)
{
    const hid_t ids[HDF5_TYPES] = {
        [HDF5_F32] = H5T_IEEE_F32LE, [HDF5_F64] = H5T_IEEE_F64LE, [HDF5_U8] = H5T_STD_U8LE,
        [HDF5_U16] = H5T_STD_U16LE,  [HDF5_U32] = H5T_STD_U32LE,  [HDF5_I32] = H5T_STD_I32LE,
        [HDF5_I64] = H5T_STD_I64LE,  [HDF5_U64] = H5T_STD_U64LE,  [HDF5_F16] = half_type(),
    };
    return ids[type];
}

/* ---- writing ---- */

/* Contiguous, its space reserved at once and not filled. */
static int create_dataset(struct hdf5_file *f, const char *name, enum hdf5_type type, int n_dims,
                          const size_t dims[], hid_t *dataset, struct error *e)
{
    CHECK(n_dims >= 0 && n_dims <= 8);
    hsize_t extent[8];
    for (int i = 0; i < n_dims; i++)
        extent[i] = dims[i];
    hid_t space = n_dims ? H5Screate_simple(n_dims, extent, NULL) : H5Screate(H5S_SCALAR);
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE), link = H5Pcreate(H5P_LINK_CREATE);
    CHECK(space >= 0 && H5Pset_layout(creation, H5D_CONTIGUOUS) >= 0);
    CHECK(H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER) >= 0);
    CHECK(H5Pset_alloc_time(creation, H5D_ALLOC_TIME_EARLY) >= 0);
    CHECK(H5Pset_obj_track_times(creation, false) >= 0); /* same content, same bytes */
    CHECK(H5Pset_create_intermediate_group(link, true) >= 0);
    int code = OK;
    *dataset = H5Dcreate2(f->id, name, hdf5_type_id(type), space, link, creation, H5P_DEFAULT);
    if (*dataset < 0)
        code = hdf5_write_error(f, e, "dataset \"%s\": cannot create", name);
    H5Sclose(space);
    H5Pclose(link);
    H5Pclose(creation);
    return code;
}

/* Adds the checksum and closes the dataset, closing only when `code` says that it is spoilt. */
static int close_written(struct hdf5_file *f, const char *name, hid_t dataset, uint64_t hash,
                         int code, struct error *e)
{
    if (!code) {
        hid_t space = H5Screate(H5S_SCALAR);
        hid_t a =
            H5Acreate2(dataset, checksum_name, H5T_STD_U64LE, space, H5P_DEFAULT, H5P_DEFAULT);
        if (a < 0 || H5Awrite(a, H5T_NATIVE_UINT64, &hash) < 0 || H5Aclose(a) < 0)
            code = hdf5_write_error(f, e, "dataset \"%s\": cannot write its checksum", name);
        H5Sclose(space);
    }
    if (H5Dclose(dataset) < 0 && !code)
        code = hdf5_write_error(f, e, "dataset \"%s\": cannot write", name);
    return code ? code : hdf5_writable(f, e);
}

int hdf5_write(struct hdf5_file *f, const char *name, enum hdf5_type type, int n_dims,
               const size_t dims[], const void *data, struct error *e)
{
    size_t bytes = hdf5_types[type].size;
    for (int i = 0; i < n_dims; i++)
        CHECK(size_mul(bytes, dims[i], &bytes));
    hid_t d;
    int code = hdf5_writable(f, e);
    if (!code)
        code = create_dataset(f, name, type, n_dims, dims, &d, e);
    if (code)
        return code;
    if (bytes && H5Dwrite(d, hdf5_type_id(type), H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
        code = hdf5_write_error(f, e, "dataset \"%s\": cannot write", name);
    return close_written(f, name, d, code ? 0 : hash64(data, bytes, 0), code, e);
}

struct hdf5_stream {
    struct hdf5_file *file;
    char *name;
    hid_t dataset;
    enum hdf5_type type;
    size_t total, done;
    struct hash64_state hash;
};

int hdf5_stream_open(struct hdf5_file *f, const char *name, enum hdf5_type type, size_t total,
                     struct hdf5_stream **stream, struct error *e)
{
    *stream = NULL;
    hid_t d;
    int code = hdf5_writable(f, e);
    if (!code)
        code = create_dataset(f, name, type, 1, &total, &d, e);
    if (code)
        return code;
    struct hdf5_stream *s = mem_zero(1, sizeof *s);
    *s = (struct hdf5_stream){
        .file = f, .name = mem_string(name), .dataset = d, .type = type, .total = total};
    hash64_begin(&s->hash, 0);
    *stream = s;
    return OK;
}

/* Selects n rows (along the first dimension) from `offset` on and returns their shape in memory. */
static hid_t select_rows(hid_t space, int rank, const hsize_t extent[], size_t offset, size_t n)
{
    hsize_t start[H5S_MAX_RANK] = {offset}, count[H5S_MAX_RANK] = {n};
    for (int i = 1; i < rank; i++)
        count[i] = extent[i];
    if (H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) < 0)
        return H5I_INVALID_HID;
    return H5Screate_simple(rank, count, NULL);
}

int hdf5_stream_append(struct hdf5_stream *s, const void *data, size_t n, struct error *e)
{
    int code = hdf5_writable(s->file, e);
    if (code || n == 0)
        return code;
    CHECK(n <= s->total - s->done);
    hid_t space = H5Dget_space(s->dataset), memory = select_rows(space, 1, NULL, s->done, n);
    if (H5Dwrite(s->dataset, hdf5_type_id(s->type), memory, space, H5P_DEFAULT, data) < 0)
        code = hdf5_write_error(s->file, e, "dataset \"%s\": cannot write", s->name);
    H5Sclose(memory);
    H5Sclose(space);
    hash64_update(&s->hash, data, n * hdf5_types[s->type].size);
    s->done += n;
    return code ? code : hdf5_writable(s->file, e);
}

int hdf5_stream_finish(struct hdf5_stream *s, struct error *e)
{
    if (!s)
        return OK;
    int code = hdf5_writable(s->file, e);
    if (!code && s->done != s->total) {
        code = error_set(e, ERR_FORMAT, "%s: dataset \"%s\": only %zu of %zu elements were written",
                         s->file->path, s->name, s->done, s->total);
        error_set(&s->file->failure, ERR_FORMAT, "%s: dataset \"%s\" is incomplete", s->file->path,
                  s->name);
    }
    code = close_written(s->file, s->name, s->dataset, hash64_end(&s->hash), code, e);
    mem_free(s->name);
    mem_free(s);
    return code;
}

/* ---- reading ---- */

void hdf5_close_dataset(struct hdf5_dataset *d)
{
    if (d->type >= 0)
        H5Tclose(d->type);
    if (d->id >= 0)
        H5Dclose(d->id);
    d->id = d->type = H5I_INVALID_HID;
}

/* A dataset's claimed size against what the file holds of it, so that nobody allocates what a
 * damaged header asks for. No compression filter of HDF5 goes beyond deflate's 1032 to 1. */
static int check_storage(const struct hdf5_file *f, const char *name, struct hdf5_dataset *d,
                         struct error *e)
{
    hid_t creation = H5Dget_create_plist(d->id);
    H5D_layout_t layout = H5Pget_layout(creation);
    bool elsewhere = layout == H5D_VIRTUAL || H5Pget_external_count(creation) != 0;
    H5Pclose(creation);
    if (elsewhere)
        return error_set(e, ERR_FORMAT, "%s: dataset \"%s\" keeps its data in other files", f->path,
                         name);
    d->contiguous = layout == H5D_CONTIGUOUS;
    d->chunked = layout == H5D_CHUNKED;
    hsize_t stored = H5Dget_storage_size(d->id);
    if (f->size && stored > f->size)
        return error_set(e, ERR_FORMAT, "%s: dataset \"%s\" reaches past the end of the file",
                         f->path, name);
    if (d->bytes / (layout == H5D_CHUNKED ? 2048 : 1) > stored)
        return error_set(e, ERR_FORMAT,
                         "%s: dataset \"%s\" should hold %zu bytes but only %llu are stored",
                         f->path, name, d->bytes, (unsigned long long)stored);
    return OK;
}

static int dataset_extent(const struct hdf5_file *f, const char *name, struct hdf5_dataset *d,
                          struct error *e)
{
    hid_t space = H5Dget_space(d->id);
    d->rank = space < 0 ? -1 : H5Sget_simple_extent_dims(space, d->extent, NULL);
    bool null = H5Sget_simple_extent_type(space) == H5S_NULL;
    H5Sclose(space);
    d->type = H5Dget_type(d->id);
    if (d->rank < 0 || d->rank > 8 || null || d->type < 0)
        return error_set(e, ERR_FORMAT,
                         "%s: dataset \"%s\" is no plain array of up to 8 dimensions", f->path,
                         name);
    d->count = 1;
    bool fits = true;
    for (int i = 0; i < d->rank; i++)
        fits = fits && size_mul(d->count, d->extent[i], &d->count);
    if (!fits || !size_mul(d->count, H5Tget_size(d->type), &d->bytes))
        return error_set(e, ERR_FORMAT, "%s: dataset \"%s\": dimensions too large", f->path, name);
    return check_storage(f, name, d, e);
}

/* H5Lexists wants every part of the path to exist but the last. */
bool hdf5_has(struct hdf5_file *f, const char *name)
{
    char *path = mem_string(name);
    bool found = true;
    for (char *slash = path; found && slash;) {
        slash = strchr(slash, '/');
        if (slash)
            *slash = 0;
        found = path[0] == 0 || H5Lexists(f->id, path, H5P_DEFAULT) > 0;
        if (slash)
            *slash++ = '/';
    }
    hid_t id = found ? H5Oopen(f->id, name, H5P_DEFAULT) : H5I_INVALID_HID;
    found = id >= 0 && H5Iget_type(id) == H5I_DATASET;
    if (id >= 0)
        H5Oclose(id);
    mem_free(path);
    return found;
}

int hdf5_open_dataset(struct hdf5_file *f, const char *name, struct hdf5_dataset *d, struct error *e)
{
    *d = (struct hdf5_dataset){.id = H5I_INVALID_HID, .type = H5I_INVALID_HID};
    if (!hdf5_has(f, name))
        return error_set(e, ERR_FORMAT, "%s: dataset \"%s\" is missing", f->path, name);
    d->id = H5Dopen2(f->id, name, H5P_DEFAULT);
    if (d->id < 0)
        return hdf5_error(f, e, "dataset \"%s\": cannot open", name);
    int code = dataset_extent(f, name, d, e);
    if (code)
        hdf5_close_dataset(d);
    return code;
}

int hdf5_dims(struct hdf5_file *f, const char *name, int *n_dims, size_t dims[8], struct error *e)
{
    struct hdf5_dataset d;
    int code = hdf5_open_dataset(f, name, &d, e);
    if (code)
        return code;
    *n_dims = d.rank;
    for (int i = 0; i < d.rank; i++)
        dims[i] = d.extent[i];
    hdf5_close_dataset(&d);
    return OK;
}

/* HDF5 clips what does not fit the wanted type; here that is an error. Rounding is fine. */
static H5T_conv_ret_t refuse_clipping(H5T_conv_except_t kind, hid_t from, hid_t to,
                                      void *from_value, void *to_value, void *context)
{
    (void)from, (void)from_value, (void)to_value;
    if (kind == H5T_CONV_EXCEPT_PRECISION)
        return H5T_CONV_UNHANDLED;
    if (H5Tget_class(to) == H5T_FLOAT && kind != H5T_CONV_EXCEPT_RANGE_HI &&
        kind != H5T_CONV_EXCEPT_RANGE_LOW)
        return H5T_CONV_UNHANDLED; /* infinities and NaN stay what they are */
    *(bool *)context = true;
    return H5T_CONV_ABORT;
}

/* H5Dread with conversion to `type`; `name` for the error. */
static int read_converting(struct hdf5_file *f, const char *name, const struct hdf5_dataset *d,
                           enum hdf5_type type, hid_t memory, hid_t space, void *data,
                           struct error *e)
{
    H5T_class_t class = H5Tget_class(d->type);
    if (class != H5T_INTEGER && class != H5T_FLOAT)
        return error_set(e, ERR_FORMAT, "%s: dataset \"%s\" does not hold numbers", f->path, name);
    bool clipped = false;
    int code = OK;
    hid_t transfer = H5Pcreate(H5P_DATASET_XFER);
    CHECK(H5Pset_type_conv_cb(transfer, refuse_clipping, &clipped) >= 0);
    if (H5Dread(d->id, hdf5_type_id(type), memory, space, transfer, data) < 0)
        code = clipped ? error_set(e, ERR_FORMAT, "%s: dataset \"%s\": a value does not fit %s",
                                   f->path, name, hdf5_types[type].name)
                       : hdf5_error(f, e, "dataset \"%s\": cannot read", name);
    H5Pclose(transfer);
    return code;
}

/* Halves at the upper end of n floats' memory become those floats. */
static void widen(float *data, size_t n)
{
    enum { PIECE = 1024 };
    uint16_t halves[PIECE];
    const char *from = (const char *)data + n * sizeof halves[0];
    for (size_t i = 0; i < n; i += PIECE) {
        size_t count = n - i < PIECE ? n - i : PIECE;
        memcpy(halves, from + i * sizeof halves[0], count * sizeof halves[0]);
        f32_from_f16(halves, data + i, count);
    }
}

/* n elements of a selection. HDF5 takes 50 ns to widen one half, so that is done here. */
static int read_selection(struct hdf5_file *f, const char *name, const struct hdf5_dataset *d,
                          enum hdf5_type type, hid_t memory, hid_t space, size_t n, void *data,
                          struct error *e)
{
    if (type != HDF5_F32 || H5Tequal(d->type, half_type()) <= 0)
        return read_converting(f, name, d, type, memory, space, data, e);
    char *upper = (char *)data + n * sizeof(uint16_t);
    int code = read_converting(f, name, d, HDF5_F16, memory, space, upper, e);
    if (!code)
        widen(data, n);
    return code;
}

bool hdf5_has_checksum(struct hdf5_file *f, const char *name)
{
    return hdf5_has(f, name) && H5Aexists_by_name(f->id, name, checksum_name, H5P_DEFAULT) > 0;
}

static int check_hash(struct hdf5_file *f, const char *name, const struct hdf5_dataset *d, uint64_t hash,
                      struct error *e)
{
    uint64_t stored = 0;
    hid_t a = H5Aopen(d->id, checksum_name, H5P_DEFAULT);
    hid_t space = a < 0 ? a : H5Aget_space(a);
    bool readable = space >= 0 && H5Sget_simple_extent_npoints(space) == 1 &&
                    H5Aread(a, H5T_NATIVE_UINT64, &stored) >= 0;
    if (space >= 0)
        H5Sclose(space);
    if (a >= 0)
        H5Aclose(a);
    if (!readable)
        return error_set(e, ERR_FORMAT, "%s: dataset \"%s\": its checksum is no number", f->path,
                         name);
    if (stored != hash)
        return error_set(
            e, ERR_FORMAT,
            "%s: dataset \"%s\": checksum %016llx, expected %016llx: the file is damaged", f->path,
            name, (unsigned long long)hash, (unsigned long long)stored);
    return OK;
}

static bool is_known_type(hid_t type)
{
    for (int i = 0; i < HDF5_TYPES; i++)
        if (H5Tequal(type, hdf5_type_id((enum hdf5_type)i)) > 0)
            return true;
    return false;
}

/* Of a dataset that was read whole. One that was converted on its way cannot be checked, but what has a checksum was
 * written in a type of the table: another one is damage, which conversion would hide. */
static int check_whole(struct hdf5_file *f, const char *name, enum hdf5_type type, const struct hdf5_dataset *d,
                       const void *data, struct error *e)
{
    if (H5Aexists(d->id, checksum_name) <= 0)
        return OK;
    if (H5Tequal(d->type, hdf5_type_id(type)) > 0)
        return check_hash(f, name, d, hash64(data, d->bytes, 0), e);
    return is_known_type(d->type)
               ? OK
               : error_set(e, ERR_FORMAT, "%s: dataset \"%s\": its type is none that has checksums: the file is damaged",
                           f->path, name);
}

int hdf5_read(struct hdf5_file *f, const char *name, enum hdf5_type type, size_t n, void *data,
              struct error *e)
{
    struct hdf5_dataset d;
    int code = hdf5_open_dataset(f, name, &d, e);
    if (code)
        return code;
    if (d.count != n)
        code = error_set(e, ERR_FORMAT, "%s: dataset \"%s\" has %zu elements, expected %zu",
                         f->path, name, d.count, n);
    if (!code && n)
        code = read_selection(f, name, &d, type, H5S_ALL, H5S_ALL, n, data, e);
    if (!code)
        code = check_whole(f, name, type, &d, data, e);
    hdf5_close_dataset(&d);
    return code;
}

int hdf5_read_range(struct hdf5_file *f, const char *name, enum hdf5_type type, size_t offset,
                    size_t n, void *data, struct error *e)
{
    struct hdf5_dataset d;
    int code = hdf5_open_dataset(f, name, &d, e);
    if (code)
        return code;
    if (d.rank != 1)
        code = error_set(e, ERR_FORMAT, "%s: dataset \"%s\" has %d dimensions, expected 1", f->path,
                         name, d.rank);
    else if (offset > d.count || n > d.count - offset)
        code = error_set(e, ERR_FORMAT,
                         "%s: dataset \"%s\" has %zu elements, %zu from %zu on were asked for",
                         f->path, name, d.count, n, offset);
    if (!code && n) {
        hid_t space = H5Dget_space(d.id), memory = select_rows(space, 1, d.extent, offset, n);
        code = read_selection(f, name, &d, type, memory, space, n, data, e);
        H5Sclose(memory);
        H5Sclose(space);
    }
    hdf5_close_dataset(&d);
    return code;
}

int hdf5_locate(struct hdf5_file *f, const char *name, enum hdf5_type type, uint64_t *offset,
                size_t *n, struct error *e)
{
    struct hdf5_dataset d;
    int code = hdf5_open_dataset(f, name, &d, e);
    if (code)
        return code;
    haddr_t at = d.contiguous && d.count ? H5Dget_offset(d.id) : 0;
    if (H5Tequal(d.type, hdf5_type_id(type)) <= 0)
        code = error_set(e, ERR_FORMAT, "%s: dataset \"%s\" is not of type %s", f->path, name,
                         hdf5_types[type].name);
    else if (!d.contiguous || at == HADDR_UNDEF)
        code = error_set(e, ERR_FORMAT,
                         "%s: dataset \"%s\" is stored in pieces, it must be contiguous", f->path,
                         name);
    else if (at > f->size || d.bytes > f->size - at)
        code = error_set(e, ERR_FORMAT, "%s: dataset \"%s\" reaches past the end of the file",
                         f->path, name);
    if (!code) {
        *offset = at;
        *n = d.count;
    }
    hdf5_close_dataset(&d);
    return code;
}

/* The checksum of a dataset in blocks of rows. */
static int hash_rows(struct hdf5_file *f, const char *name, const struct hdf5_dataset *d,
                     enum hdf5_type type, uint64_t *hash, struct error *e)
{
    size_t rows = d->rank ? d->extent[0] : 1, row_bytes = rows ? d->bytes / rows : 0;
    size_t block = row_bytes && row_bytes < (4u << 20) ? (4u << 20) / row_bytes : 1;
    void *data = mem_alloc(block < rows ? block : rows, row_bytes);
    struct hash64_state state;
    hash64_begin(&state, 0);
    int code = OK;
    for (size_t i = 0; !code && row_bytes && i < rows; i += block) {
        size_t n = rows - i < block ? rows - i : block;
        hid_t space = H5S_ALL, memory = H5S_ALL;
        if (d->rank) {
            space = H5Dget_space(d->id);
            memory = select_rows(space, d->rank, d->extent, i, n);
        }
        code = read_converting(f, name, d, type, memory, space, data, e);
        hash64_update(&state, data, n * row_bytes);
        if (d->rank) {
            H5Sclose(memory);
            H5Sclose(space);
        }
    }
    *hash = hash64_end(&state);
    mem_free(data);
    return code;
}

/* linnet's name of a stored type, or HDF5_TYPES. */
int hdf5_type_of(hid_t id)
{
    int t = 0;
    while (t < HDF5_TYPES && H5Tequal(id, hdf5_type_id((enum hdf5_type)t)) <= 0)
        t++;
    return t;
}

int hdf5_verify(struct hdf5_file *f, const char *name, struct error *e)
{
    struct hdf5_dataset d;
    int code = hdf5_open_dataset(f, name, &d, e);
    if (code)
        return code;
    int type = hdf5_type_of(d.type);
    uint64_t hash = 0;
    if (H5Aexists(d.id, checksum_name) <= 0)
        code = error_set(e, ERR_FORMAT, "%s: dataset \"%s\" has no checksum (attribute \"%s\")",
                         f->path, name, checksum_name);
    else if (type == HDF5_TYPES)
        code = error_set(e, ERR_FORMAT, "%s: dataset \"%s\" is of a type linnet does not write",
                         f->path, name);
    else
        code = hash_rows(f, name, &d, (enum hdf5_type)type, &hash, e);
    if (!code)
        code = check_hash(f, name, &d, hash, e);
    hdf5_close_dataset(&d);
    return code;
}

struct each {
    struct hdf5_file *file;
    void (*visit)(void *, const char *, const char *, int, const size_t[]);
    void *context;
    struct error *e;
    int code;
};

static herr_t visit_link(hid_t group, const char *name, const H5L_info_t *info, void *context)
{
    (void)group;
    struct each *each = context;
    if (info->type != H5L_TYPE_HARD || !hdf5_has(each->file, name))
        return 0;
    struct hdf5_dataset d;
    each->code = hdf5_open_dataset(each->file, name, &d, each->e);
    if (each->code)
        return 1;
    size_t dims[8] = {0};
    for (int i = 0; i < d.rank; i++)
        dims[i] = d.extent[i];
    int type = hdf5_type_of(d.type);
    each->visit(each->context, name, type < HDF5_TYPES ? hdf5_types[type].name : "other", d.rank, dims);
    hdf5_close_dataset(&d);
    return 0;
}

int hdf5_each(struct hdf5_file *f,
              void (*visit)(void *context, const char *name, const char *type_name, int n_dims,
                            const size_t dims[]),
              void *context, struct error *e)
{
    struct each each = {.file = f, .visit = visit, .context = context, .e = e};
    if (H5Lvisit(f->id, H5_INDEX_NAME, H5_ITER_INC, visit_link, &each) < 0)
        return hdf5_error(f, e, "cannot list the datasets");
    return each.code;
}
