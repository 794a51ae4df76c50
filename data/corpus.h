/* Reading a corpus: .txt (one document a file), .jsonl (a document a line, in the member `text` or
 * another one), either gzipped (.gz); single files and directories. */
#ifndef LINNET_DATA_CORPUS_H
#define LINNET_DATA_CORPUS_H

#include "base/buffer.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct corpus;

/* Opens files and directories in the order given; a directory stands for the files below it in byte
 * order of their paths, hidden ones and those with other endings left out. `text_field` names the
 * .jsonl member to read. Errors: a missing or unreadable path, a file (named itself) with another
 * ending, no file at all. The content is looked at only by corpus_next. */
int corpus_open(const char *const *paths, size_t n_paths, const char *text_field,
                struct corpus **corpus, struct error *e);
/* The rows of a dataset, with their places: of .jsonl files corpus_next delivers whole lines as they are, neither parsed
 * nor checked, blank ones passed over; .txt files come as with corpus_open, each a row. */
int corpus_open_rows(const char *const *paths, size_t n_paths, struct corpus **corpus, struct error *e);
void corpus_close(struct corpus *c); /* NULL is fine */
/* The path of a file by its number, which is below corpus_counts().files; it lives as long as the corpus. */
const char *corpus_path(const struct corpus *c, size_t file);

/* A hash over the files' paths, sizes and modification times: the same when nothing changed. */
uint64_t corpus_fingerprint(const struct corpus *c);
/* Bytes on disk, for progress. */
uint64_t corpus_bytes_total(const struct corpus *c);
uint64_t corpus_bytes_read(const struct corpus *c);

struct corpus_counts {
    size_t files, files_skipped;       /* to be read; of other endings in directories */
    size_t documents, empty_documents; /* so far: delivered (whole ones), left out */
};
struct corpus_counts corpus_counts(const struct corpus *c);

/* A .txt file of more than this may come in pieces of about this size. They are cut only where no
 * byte-level splitter's result changes (text_last_cut), so the pieces' tokens in a row are the
 * tokens of the whole. */
enum { CORPUS_PIECE = 1 << 20 };
/* Text without any such place, or a single line of .jsonl, may not be larger than this, so that
 * memory stays bounded. */
enum { CORPUS_LIMIT = 1 << 28 };

/* Never cut documents, whatever their size; for vocabularies that are not split beforehand
 * (SentencePiece), and for whoever wants a row at once. Before the first corpus_next. */
void corpus_keep_whole(struct corpus *c);

/* A run of documents and pieces: number i is text.data[offsets[i] .. offsets[i+1]). With
 * continues[i], number i + 1 (of this chunk, or the first of the next one) is a further piece of
 * the same document. */
struct corpus_chunk {
    struct buffer text;
    size_t *offsets; /* n + 1 */
    bool *continues; /* n */
    struct corpus_place {
        size_t file, line; /* from 0; from 1 (of a .txt file, and each of its pieces, 1) */
        bool text;         /* of a .txt file */
    } * places;            /* n, of corpus_open_rows; else NULL */
    size_t n, capacity;
};
/* Clears `chunk` (zeroed before its first use) and fills it with documents and pieces until it
 * holds target_bytes or more; chunk->n is 0 at the end. A byte order mark at the beginning of a
 * file is left out; line ends are kept as they are; empty documents are skipped and counted. Errors
 * name the file and the place: a NUL byte or invalid UTF-8 (byte offset and line), malformed JSON
 * (line), no member `text_field` (line, and what members there are), damaged or truncated gzip; at
 * the end, a corpus without any text. */
int corpus_next(struct corpus *c, size_t target_bytes, struct corpus_chunk *chunk, struct error *e);
void corpus_chunk_free(struct corpus_chunk *chunk);
void corpus_rewind(struct corpus *c); /* back to the first document */

#endif
