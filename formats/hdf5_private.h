/* Shared by formats/hdf5_*.c, the only files that know HDF5. */
#ifndef LINNET_FORMATS_HDF5_PRIVATE_H
#define LINNET_FORMATS_HDF5_PRIVATE_H

#include "formats/hdf5_file.h"

#include <hdf5.h>

struct hdf5_file {
    hid_t id;
    char *path, *temporary; /* temporary: only while creating */
    uint64_t size;          /* of an opened file */
    int write_errno;        /* set by the driver */
    struct error failure;   /* the first failed write; nothing is written after it */
};

/* Makes `access` (a file access property list) use the driver for files being created. The errno of
 * the first failed write, which the driver hides from HDF5, goes to *failure; while that is not
 * zero all writes are dropped. */
void hdf5_use_driver(hid_t access, int *failure);

enum { HDF5_TYPES = HDF5_F16 + 1 };
extern const struct hdf5_type_row {
    const char *name;
    size_t size;
} hdf5_types[HDF5_TYPES];
hid_t hdf5_type_id(enum hdf5_type type); /* as it is stored */
int hdf5_type_of(hid_t id);              /* linnet's name of a stored type, or HDF5_TYPES */

struct hdf5_dataset {
    hid_t id, type;
    int rank;
    hsize_t extent[H5S_MAX_RANK];
    size_t count, bytes;
    bool contiguous, chunked;
};
/* Opens a dataset and holds its claimed size against what the file stores of it. */
int hdf5_open_dataset(struct hdf5_file *f, const char *name, struct hdf5_dataset *d, struct error *e);
void hdf5_close_dataset(struct hdf5_dataset *d);

/* Whether the library gets through the file's metadata, tried in a child process. */
bool hdf5_survives(const char *path);

/* "PATH: WHAT: why HDF5 says it failed". Must be called before any other HDF5 call, which would
 * clear the library's error stack. */
int hdf5_error(const struct hdf5_file *f, struct error *e, const char *what, ...)
    __attribute__((format(printf, 3, 4)));
/* The same, and remembers that the file being created is spoilt. A failure of the driver comes
 * before what HDF5 says. */
int hdf5_write_error(struct hdf5_file *f, struct error *e, const char *what, ...)
    __attribute__((format(printf, 3, 4)));
/* Fails with the remembered error when an earlier write failed. */
int hdf5_writable(struct hdf5_file *f, struct error *e);

#endif
