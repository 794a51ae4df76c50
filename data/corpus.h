/* Reading a corpus: .txt (one document a file), .jsonl (a document a line, field `text`), either
 * gzipped (.gz), single files and directories. */
#ifndef LINNET_DATA_CORPUS_H
#define LINNET_DATA_CORPUS_H

#include "base/buffer.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct corpus;

/* Opens the files and directories in order (a directory's files in byte order of their paths;
 * files with other endings in a directory are skipped with a count). `text_field` names the
 * .jsonl member to read. Missing or unreadable paths and a corpus without any file: an error. */
int corpus_open(const char *const *paths, size_t n_paths, const char *text_field,
                struct corpus **corpus, struct error *e);
void corpus_close(struct corpus *c);

/* A hash over the files' paths, sizes and modification times: the same when nothing changed. */
uint64_t corpus_fingerprint(const struct corpus *c);
uint64_t corpus_bytes_total(const struct corpus *c); /* on disk, for progress */
uint64_t corpus_bytes_read(const struct corpus *c);

/* A run of whole documents: document i is text.data[offsets[i] .. offsets[i+1]). A long .txt file is
 * one document, but may come in pieces (continues[i] true: the next piece, maybe in the next
 * chunk, belongs to the same document) cut where a splitter would cut too: before a line that
 * follows a blank-free newline boundary is not enough, see corpus.c. */
struct corpus_chunk {
    struct buffer text;
    size_t *offsets;   /* n + 1 */
    bool *continues;   /* n */
    size_t n, capacity;
};
/* Clears and fills `chunk` with about `target_bytes`. chunk->n == 0 at the end. Binary content (NUL
 * bytes) and malformed JSON are errors that name file and line or offset; invalid UTF-8 is an error
 * that names the offset. Empty documents are skipped and counted. */
int corpus_next(struct corpus *c, size_t target_bytes, struct corpus_chunk *chunk,
                struct error *e);
void corpus_chunk_free(struct corpus_chunk *chunk);
void corpus_rewind(struct corpus *c);

#endif
