/* HDF5 files the way linnet uses them: flat datasets and attributes, each dataset with an XXH64
 * checksum of its bytes in the attribute "xxh64", verified on every whole read. The only includer
 * of hdf5.h. The files are plain HDF5: h5py reads and writes them.
 *
 * Not thread-safe (Debian's HDF5 is not): use a file from one thread. The library's own error
 * stack is never printed; its innermost description goes into `struct error`. */
#ifndef LINNET_FORMATS_HDF5_FILE_H
#define LINNET_FORMATS_HDF5_FILE_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* HDF5_F16 is IEEE binary16 (numpy's float16), in memory the uint16_t of its bits. */
enum hdf5_type {
    HDF5_F32, HDF5_F64, HDF5_U8, HDF5_U16, HDF5_U32, HDF5_I32, HDF5_I64, HDF5_U64, HDF5_F16,
};

struct hdf5_file;

/* Creation writes to a temporary name; hdf5_commit closes, syncs and renames it over `path`;
 * hdf5_close without a commit removes it. After a failed write (a full disk) everything further,
 * the commit included, fails with that first error, and what was at `path` stays. */
int hdf5_create(const char *path, struct hdf5_file **file, struct error *e);
int hdf5_commit(struct hdf5_file *file, struct error *e); /* frees file, also on failure */
int hdf5_open(const char *path, struct hdf5_file **file, struct error *e); /* read only */
void hdf5_close(struct hdf5_file *file);

/* Attributes of the root group. Reads of an absent one or one of another kind are errors that name
 * path and attribute. Strings read are owned by the caller. */
int hdf5_put_string(struct hdf5_file *f, const char *name, const char *value, struct error *e);
int hdf5_put_u64(struct hdf5_file *f, const char *name, uint64_t value, struct error *e);
int hdf5_put_f64(struct hdf5_file *f, const char *name, double value, struct error *e);
bool hdf5_has_attribute(struct hdf5_file *f, const char *name);
int hdf5_get_string(struct hdf5_file *f, const char *name, char **value, struct error *e);
int hdf5_get_u64(struct hdf5_file *f, const char *name, uint64_t *value, struct error *e);
int hdf5_get_f64(struct hdf5_file *f, const char *name, double *value, struct error *e);

/* A whole dataset of `n_dims` dimensions (slowest first) at once. `name` may hold slashes; groups
 * are made as needed. Contiguous storage. */
int hdf5_write(struct hdf5_file *f, const char *name, enum hdf5_type type, int n_dims,
               const size_t dims[], const void *data, struct error *e);
/* The dimensions of an existing dataset into dims[8]. */
int hdf5_dims(struct hdf5_file *f, const char *name, int *n_dims, size_t dims[8], struct error *e);
bool hdf5_has(struct hdf5_file *f, const char *name);
/* Reads all n elements, converting to `type`'s memory layout, into data; verifies the checksum
 * when there is one (h5py writes none) and the stored type is the same. A different element count
 * is an error, and so is a value that `type` cannot hold; rounding to f32 is not. */
int hdf5_read(struct hdf5_file *f, const char *name, enum hdf5_type type, size_t n, void *data,
              struct error *e);
/* n elements from `offset` of a one-dimensional dataset; no checksum. */
int hdf5_read_range(struct hdf5_file *f, const char *name, enum hdf5_type type, size_t offset,
                    size_t n, void *data, struct error *e);

/* A one-dimensional dataset of known length written piece by piece; contiguous, so that its bytes
 * can be mapped. The checksum is of all bytes in order. */
struct hdf5_stream;
int hdf5_stream_open(struct hdf5_file *f, const char *name, enum hdf5_type type, size_t total,
                     struct hdf5_stream **stream, struct error *e);
int hdf5_stream_append(struct hdf5_stream *s, const void *data, size_t n, struct error *e);
/* All `total` elements must have been appended, else ERR_FORMAT and the file cannot be committed.
 * Frees the stream, also on failure; call it before hdf5_commit or hdf5_close. */
int hdf5_stream_finish(struct hdf5_stream *s, struct error *e);
/* Where a contiguous little-endian dataset's bytes lie in the file, for file_map; ERR_FORMAT when
 * it is chunked, of another type, or reaches past the end of the file. In files linnet wrote the
 * offset is a multiple of 64; in others it may have any alignment. */
int hdf5_locate(struct hdf5_file *f, const char *name, enum hdf5_type type, uint64_t *offset,
                size_t *n, struct error *e);
bool hdf5_has_checksum(struct hdf5_file *f, const char *name); /* false also without the dataset */
/* Recomputes a dataset's checksum in blocks and compares: ERR_FORMAT when it differs or there is
 * none. */
int hdf5_verify(struct hdf5_file *f, const char *name, struct error *e);

/* Columns: datasets of one dimension, or of two with rows of fixed width, that grow along the first. In chunks, each
 * shuffled, compressed with deflate and with HDF5's own checksum (fletcher32), which h5py reads and can go on writing.
 *
 * Reading takes any little-endian dataset of numbers, in one piece or in chunks of whole rows with these filters or none;
 * no more than some chunks are in memory, and the last ones are kept, so that neighbours come cheap. Chunks are compressed
 * and decompressed in threads. */
struct hdf5_column;
struct hdf5_column_info {
    enum hdf5_type type; /* as stored */
    size_t rows, width;  /* width 1: one dimension */
    size_t chunk_rows;
    bool checked;        /* chunks have checksums */
};
/* width 0: one dimension. A chunk may have 32 MB. level: of deflate, 0 (as it is) to 9. */
int hdf5_column_create(struct hdf5_file *f, const char *name, enum hdf5_type type, size_t width, size_t chunk_rows,
                       int level, struct hdf5_column **column, struct error *e);
int hdf5_column_append(struct hdf5_column *c, const void *data, size_t rows, struct error *e);
/* Frees the column, also on failure; NULL is fine. Before hdf5_commit or hdf5_close. */
int hdf5_column_finish(struct hdf5_column *c, struct error *e);

int hdf5_column_open(struct hdf5_file *f, const char *name, struct hdf5_column **column, struct error *e);
const struct hdf5_column_info *hdf5_column_info(const struct hdf5_column *c);
/* Which chunk an error is about: its number, its rows from begin to end, and what is wrong with it. */
struct hdf5_fault {
    size_t chunk, begin, end;
    const char *what; /* NULL: the error is about no chunk */
};
/* Rows from `offset` on as `type`: any whole number from any other that fits, F32 from F16 and F64. `fault`, zeroed by
 * the caller, may be NULL. ERR_FORMAT: a damaged chunk, a value that does not fit. */
int hdf5_column_read(struct hdf5_column *c, enum hdf5_type type, size_t offset, size_t rows, void *data,
                     struct hdf5_fault *fault, struct error *e);
void hdf5_column_close(struct hdf5_column *c);

/* Calls visit for every dataset in name order with its dimensions; for `linnet info`. */
int hdf5_each(struct hdf5_file *f,
              void (*visit)(void *context, const char *name, const char *type_name, int n_dims,
                            const size_t dims[]),
              void *context, struct error *e);
/* Calls visit for every attribute of the root group in name order. */
int hdf5_each_attribute(struct hdf5_file *f, void (*visit)(void *context, const char *name),
                        void *context, struct error *e);

#endif
