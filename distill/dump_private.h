/* Shared by distill/dump_*.c. */
#ifndef LINNET_DISTILL_DUMP_PRIVATE_H
#define LINNET_DISTILL_DUMP_PRIVATE_H

#include "base/file.h"
#include "distill/dump.h"
#include "formats/hdf5_file.h"

#define DUMP_FORMAT "linnet-teacher-dump-1"

enum {
    DUMP_BLOCK = 1024, /* positions between two entries of a part's index */
    DUMP_SPARSE_MOST = 1 << 20, /* entries of a position, which readers have memory for */
    DUMP_OPEN_MOST = 32, /* parts whose files are open */
};

extern const char *const dump_kind_names[DUMP_SAMPLED + 1];

/* The columns of distributions. */
enum { COLUMN_COUNTS, COLUMN_GAPS, COLUMN_PROBS, COLUMN_TAIL, DUMP_COLUMNS };
extern const char *const dump_column_names[DUMP_COLUMNS];

struct dump_part {
    char *path;
    size_t first_position, n_positions; /* of the whole dump; in this part */
    size_t n_entries;
    size_t most;      /* entries of a position */
    bool counted;     /* positions have counts of their own, else `most` each */
    uint64_t *blocks; /* counted: entries before position i * DUMP_BLOCK */
    struct hdf5_file *file; /* NULL: not open now */
    struct hdf5_column *columns[DUMP_COLUMNS]; /* those that the kind has */
    uint64_t used;    /* d->uses when it was asked for last */
};

/* A part's attributes and what agrees between parts. */
int dump_read_description(struct hdf5_file *f, const char *path, struct dump_description *d, struct error *e);
/* The tokenizer's hash where only the tokenizer itself is known. path: for the error. */
int dump_hash_tokenizer(struct dump_description *d, const char *path, struct error *e);
int dump_write_description(struct hdf5_file *f, const struct dump_description *d, struct error *e);
/* Whether parts of the one and the other belong together; the error names what differs. `what`: names the other. */
int dump_check_same(const struct dump_description *a, const char *a_name, const struct dump_description *b,
                    const char *b_name, struct error *e);
struct dump_description dump_description_copy(const struct dump_description *d);

/* The files of a dump, in order: those named *.h5 in a folder itself, or the one file. */
int dump_list(const char *path, struct path_list *list, struct error *e);

/* Opens a part's columns if they are not, and closes another part's when too many are open. */
int dump_use_part(struct dump *d, struct dump_part *p, struct error *e);
void dump_close_part(struct dump_part *p);
/* A chunk's fault in positions of the part, as the error line says it. */
int dump_chunk_error(struct dump_part *p, const char *name, const struct hdf5_fault *fault, struct error *e);

#endif
