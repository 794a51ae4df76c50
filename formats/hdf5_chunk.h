/* One chunk of an HDF5 dataset through the filters it is stored with (HDF5 File Format Specification, "Data Storage -
 * Filter Pipeline"): without the library, so that chunks can be worked on in threads, and so that what a damaged file
 * claims of itself is checked. */
#ifndef LINNET_FORMATS_HDF5_CHUNK_H
#define LINNET_FORMATS_HDF5_CHUNK_H

#include <stddef.h>
#include <stdint.h>

enum hdf5_filter { FILTER_SHUFFLE, FILTER_DEFLATE, FILTER_FLETCHER32 };
enum { HDF5_FILTERS_MOST = 4 };

struct hdf5_filters {
    int n;
    enum hdf5_filter order[HDF5_FILTERS_MOST]; /* as they are applied when a chunk is written */
};

/* Memory that hdf5_chunk_encode and hdf5_chunk_decode want for each of their buffers. */
size_t hdf5_chunk_capacity(size_t chunk_bytes);

/* Shuffles, deflates (level 0 to 9) and adds the checksum: `n` bytes of elements of `element` bytes become *stored, of
 * hdf5_chunk_capacity(n), as `scratch` is. Returns how many. Of numbers of several bytes deflate looks for runs alone
 * (Z_RLE): but for the upper ones their bytes hardly repeat, and it is several times faster and as small. */
size_t hdf5_chunk_encode(const void *bytes, size_t n, size_t element, int level, unsigned char *stored,
                         unsigned char *scratch);

/* Undoes the filters whose bit in `mask` is not set. `stored` (n_stored bytes, at most hdf5_chunk_capacity) is overwritten; the chunk's
 * chunk_bytes bytes go to `out`, of hdf5_chunk_capacity. NULL, or what is wrong with the chunk. */
const char *hdf5_chunk_decode(const struct hdf5_filters *filters, uint32_t mask, size_t element, unsigned char *stored,
                              size_t n_stored, unsigned char *out, size_t chunk_bytes);

#endif
