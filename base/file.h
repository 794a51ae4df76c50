/* Files and paths. Writers go to a temporary name beside the target, are synced and renamed, so a
 * crash or a full disk never damages what was there. A link to a file stays, its file is replaced. */
#ifndef LINNET_BASE_FILE_H
#define LINNET_BASE_FILE_H

#include "base/buffer.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

bool file_exists(const char *path);
bool file_is_directory(const char *path);
int file_size(const char *path, uint64_t *size, struct error *e);
/* Bytes that this user may still write where `path` is, or would be: the nearest of its folders that exists counts.
 * UINT64_MAX where unknown. */
uint64_t file_free_space(const char *path);

/* Appends the whole file; fails when it holds more than `limit` bytes. */
int file_read(const char *path, struct buffer *out, size_t limit, struct error *e);

/* A read-only memory mapping of a whole regular file. `data` is NULL when the file is empty. */
struct file_map {
    const unsigned char *data;
    size_t size;
};
int file_map(const char *path, struct file_map *map, struct error *e);
void file_unmap(struct file_map *map);
/* n bytes at `data`, within a mapping, are not needed for now: they no longer count as this process' memory,
 * and are read again when they are touched. In an arena, which is a mapping of no file, they are lost. */
void file_forget(const void *data, size_t n);

/* Whether `path` can become a file: what is there (through links) is nothing or a regular file, and
 * its directory exists and may be written to. Every writer asks; a command asks before long work. A
 * device must never be renamed over, were it only because root said --out /dev/null. */
int file_check_target(const char *path, struct error *e);

/* Atomic replacement: open, write to `stream`, then commit (flush, sync, rename) or abandon
 * (remove the temporary). `commit` reports any earlier write error, a full disk among them. */
struct file_writer {
    FILE *stream;
    char *path, *temporary;
};
int file_writer_open(struct file_writer *w, const char *path, struct error *e);
int file_writer_commit(struct file_writer *w, struct error *e);
void file_writer_abandon(struct file_writer *w); /* harmless after commit */

/* The whole of `bytes` atomically into `path`. */
int file_write(const char *path, const void *bytes, size_t n, struct error *e);

/* For files a library writes by name (HDF5): a temporary name beside `path` to write to (caller
 * frees), then sync it and rename it over `path`. */
char *file_temporary(const char *path);
int file_replace(const char *temporary, const char *path, struct error *e);
/* Unlinks the temporaries (of up to eight files being written) that are not renamed yet. For a
 * signal handler about to end the process: async-signal-safe. */
void file_remove_temporaries(void);

/* Removes the temporaries for `path` of processes that were killed. Nobody else may be writing it. */
void file_remove_leftovers(const char *path);

/* Makes this process the one that writes into the directory, until it ends: ERR_IO when another one
 * has. */
int dir_claim(const char *path, struct error *e);
int dir_make(const char *path, struct error *e); /* and its parents; fine if it exists */

struct path_list {
    char **paths;
    size_t count, capacity;
};
/* Every regular file below `path` in byte order of the path, hidden ones skipped; `path` itself
 * if it is a file. */
int dir_list(const char *path, struct path_list *list, struct error *e);
void path_list_free(struct path_list *list);

char *path_join(const char *directory, const char *name); /* caller frees */
const char *path_basename(const char *path);
bool path_has_suffix(const char *path, const char *suffix);

#endif
