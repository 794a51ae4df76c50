/* The HDF5 file driver behind files being created. HDF5 does not survive a failed write: what it
 * could not write stays in its caches, closing the file fails, and so does the library's own exit
 * (1.10 crashes there). This driver therefore never reports one. It remembers the first reason,
 * drops everything after it, and lets HDF5 close in peace; hdf5_writable passes the reason on. */
#include "base/check.h"
#include "base/memory.h"
#include "formats/hdf5_private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct sink {
    H5FD_t base; /* HDF5's own fields come first */
    int fd;
    haddr_t allocated, end;
    int *failure; /* errno of the first write that failed; the creator's */
};

static H5FD_t *sink_open(const char *name, unsigned flags, hid_t access, haddr_t max)
{
    (void)max;
    int mode = O_RDWR | O_CLOEXEC;
    mode |= (flags & H5F_ACC_TRUNC ? O_TRUNC : 0) | (flags & H5F_ACC_CREAT ? O_CREAT : 0);
    int fd = open(name, mode, 0666);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        int reason = errno;
        if (fd >= 0)
            close(fd);
        errno = reason;
        return NULL;
    }
    struct sink *s = mem_zero(1, sizeof *s);
    s->fd = fd;
    s->failure = *(int *const *)H5Pget_driver_info(access);
    s->end = (haddr_t)st.st_size;
    return &s->base;
}

static herr_t sink_close(H5FD_t *file)
{
    close(((struct sink *)file)->fd);
    mem_free(file);
    return 0;
}

/* Merging of small accesses as in HDF5's standard driver, which must be able to read the file. */
static herr_t sink_query(const H5FD_t *file, unsigned long *flags)
{
    (void)file;
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
             H5FD_FEAT_AGGREGATE_SMALLDATA | H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
    return 0;
}

static haddr_t sink_get_eoa(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return ((const struct sink *)file)->allocated;
}

static herr_t sink_set_eoa(H5FD_t *file, H5FD_mem_t type, haddr_t address)
{
    (void)type;
    ((struct sink *)file)->allocated = address;
    return 0;
}

static haddr_t sink_get_eof(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return ((const struct sink *)file)->end;
}

/* Bytes beyond the end of the file read as zero, as HDF5 expects. */
static herr_t sink_read(H5FD_t *file, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t size,
                        void *bytes)
{
    (void)type, (void)transfer;
    char *to = bytes;
    while (size > 0) {
        ssize_t n = pread(((struct sink *)file)->fd, to, size, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0) {
            memset(to, 0, size);
            return 0;
        }
        to += n, at += (haddr_t)n, size -= (size_t)n;
    }
    return 0;
}

static herr_t sink_write(H5FD_t *file, H5FD_mem_t type, hid_t transfer, haddr_t at, size_t size,
                         const void *bytes)
{
    (void)type, (void)transfer;
    struct sink *s = (struct sink *)file;
    const char *from = bytes;
    haddr_t end = at + size;
    while (size > 0 && !*s->failure) {
        ssize_t n = pwrite(s->fd, from, size, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            *s->failure = n < 0 ? errno : ENOSPC;
            break;
        }
        from += n, at += (haddr_t)n, size -= (size_t)n;
    }
    if (end > s->end)
        s->end = end;
    return 0;
}

static herr_t sink_truncate(H5FD_t *file, hid_t transfer, hbool_t closing)
{
    (void)transfer, (void)closing;
    struct sink *s = (struct sink *)file;
    if (s->end != s->allocated && !*s->failure && ftruncate(s->fd, (off_t)s->allocated) != 0)
        *s->failure = errno;
    s->end = s->allocated;
    return 0;
}

void hdf5_use_driver(hid_t access, int *failure)
{
    static const H5FD_class_t class = {
#ifdef H5FD_CLASS_VERSION
        .version = H5FD_CLASS_VERSION,
        .value = 600, /* of those free for local use */
#endif
        .name = "linnet",
        .maxaddr = ((haddr_t)1 << 62) - 1,
        .fapl_size = sizeof(int *),
        .fc_degree = H5F_CLOSE_STRONG,
        .open = sink_open,
        .close = sink_close,
        .query = sink_query,
        .get_eoa = sink_get_eoa,
        .set_eoa = sink_set_eoa,
        .get_eof = sink_get_eof,
        .read = sink_read,
        .write = sink_write,
        .truncate = sink_truncate,
        .fl_map = H5FD_FLMAP_DICHOTOMY,
    };
    static hid_t id = H5I_INVALID_HID;
    if (H5Iget_type(id) != H5I_VFL)
        id = H5FDregister(&class);
    CHECK(H5Pset_driver(access, id, &failure) >= 0);
}
