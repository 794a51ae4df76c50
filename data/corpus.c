#include "data/corpus.h"

#include "base/check.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/memory.h"
#include "data/text_check.h"

#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

struct source {
    char *path;
    uint64_t size;
    int64_t modified; /* nanoseconds */
    bool lines, gzip; /* .jsonl; .gz */
};

struct corpus {
    struct source *sources;
    size_t n_sources, capacity;
    size_t skipped;
    char *text_field;
    bool keep_whole;
    bool rows; /* whole lines of .jsonl are delivered, and places; text_field is NULL */

    /* the position */
    size_t source; /* the one being read, or to be opened next */
    gzFile in;
    bool at_end;        /* of the source's bytes; `held` has the rest */
    struct buffer held; /* read and not delivered yet, from held_start on */
    size_t held_start;
    uint64_t offset;   /* of held_start in the uncompressed source */
    size_t line;       /* of held_start, from 1 */
    uint64_t finished; /* bytes on disk of the sources before */
    size_t documents, empty;
};

/* ---- the list of files ---- */

static bool recognise(struct source *s)
{
    char *stem = mem_string(s->path);
    s->gzip = path_has_suffix(stem, ".gz");
    if (s->gzip)
        stem[strlen(stem) - 3] = 0;
    s->lines = path_has_suffix(stem, ".jsonl");
    bool known = s->lines || path_has_suffix(stem, ".txt");
    mem_free(stem);
    return known;
}

static int add_source(struct corpus *c, const char *path, bool named, struct error *e)
{
    struct source s = {.path = (char *)path};
    if (!recognise(&s)) {
        if (named)
            return error_set(e, ERR_USAGE, "%s: a %s file ends in .txt, .jsonl, .txt.gz or .jsonl.gz", path,
                             c->rows ? "dataset" : "corpus");
        c->skipped++;
        return OK;
    }
    struct stat st;
    if (stat(path, &st) != 0)
        return error_set_errno(e, "%s", path);
    if (!S_ISREG(st.st_mode))
        return error_set(e, ERR_IO, "%s: is not a regular file", path);
    s.path = mem_string(path);
    s.size = (uint64_t)st.st_size;
    s.modified = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    void *sources = c->sources;
    mem_grow(&sources, &c->capacity, c->n_sources, sizeof *c->sources);
    c->sources = sources;
    c->sources[c->n_sources++] = s;
    return OK;
}

static int add_path(struct corpus *c, const char *path, struct error *e)
{
    struct path_list list;
    bool directory = file_is_directory(path);
    int code = dir_list(path, &list, e);
    if (code)
        return code;
    size_t before = c->n_sources;
    for (size_t i = 0; i < list.count && !code; i++)
        code = add_source(c, list.paths[i], !directory, e);
    if (!code && c->n_sources == before)
        code = error_set(e, ERR_FORMAT, "%s: holds no .txt, .jsonl, .txt.gz or .jsonl.gz file (%zu others)", path,
                         list.count);
    path_list_free(&list);
    return code;
}

/* Rows where there is no field. */
static int open_paths(const char *const *paths, size_t n_paths, const char *text_field,
                      struct corpus **corpus, struct error *e)
{
    *corpus = NULL;
    if (n_paths == 0)
        return error_set(e, ERR_USAGE, "no %s: name at least one file or directory",
                         text_field ? "corpus" : "dataset");
    struct corpus *c = mem_zero(1, sizeof *c);
    c->text_field = mem_string(text_field);
    c->rows = !text_field;
    int code = OK;
    for (size_t i = 0; i < n_paths && !code; i++)
        code = add_path(c, paths[i], e);
    if (code) {
        corpus_close(c);
        return code;
    }
    corpus_rewind(c);
    *corpus = c;
    return OK;
}

int corpus_open(const char *const *paths, size_t n_paths, const char *text_field,
                struct corpus **corpus, struct error *e)
{
    CHECK(text_field);
    return open_paths(paths, n_paths, text_field, corpus, e);
}

int corpus_open_rows(const char *const *paths, size_t n_paths, struct corpus **corpus, struct error *e)
{
    return open_paths(paths, n_paths, NULL, corpus, e);
}

const char *corpus_path(const struct corpus *c, size_t file)
{
    CHECK(file < c->n_sources);
    return c->sources[file].path;
}

static void close_source(struct corpus *c)
{
    if (c->in)
        gzclose(c->in);
    c->in = NULL;
    c->at_end = false;
    buffer_clear(&c->held);
    c->held_start = 0;
    c->offset = 0;
    c->line = 1;
}

void corpus_close(struct corpus *c)
{
    if (!c)
        return;
    close_source(c);
    for (size_t i = 0; i < c->n_sources; i++)
        mem_free(c->sources[i].path);
    mem_free(c->sources);
    mem_free(c->text_field);
    buffer_free(&c->held);
    mem_free(c);
}

void corpus_rewind(struct corpus *c)
{
    close_source(c);
    c->source = 0;
    c->finished = 0;
    c->documents = c->empty = 0;
}

void corpus_keep_whole(struct corpus *c)
{
    c->keep_whole = true;
}

uint64_t corpus_fingerprint(const struct corpus *c)
{
    uint64_t hash = c->n_sources;
    for (size_t i = 0; i < c->n_sources; i++) {
        const struct source *s = &c->sources[i];
        hash = hash64_combine(hash, hash64(s->path, strlen(s->path), 0));
        hash = hash64_combine(hash, s->size);
        hash = hash64_combine(hash, (uint64_t)s->modified);
    }
    return hash;
}

uint64_t corpus_bytes_total(const struct corpus *c)
{
    uint64_t total = 0;
    for (size_t i = 0; i < c->n_sources; i++)
        total += c->sources[i].size;
    return total;
}

uint64_t corpus_bytes_read(const struct corpus *c)
{
    return c->finished + (c->in ? (uint64_t)gzoffset(c->in) : 0);
}

struct corpus_counts corpus_counts(const struct corpus *c)
{
    return (struct corpus_counts){c->n_sources, c->skipped, c->documents, c->empty};
}

/* ---- bytes of one source ---- */

static const struct source *current(const struct corpus *c)
{
    return &c->sources[c->source];
}

static size_t held_size(const struct corpus *c)
{
    return c->held.size - c->held_start;
}

static const char *held_data(const struct corpus *c)
{
    return c->held.data + c->held_start;
}

static int gzip_error(const struct corpus *c, struct error *e)
{
    int status;
    const char *why = gzerror(c->in, &status);
    if (status == Z_ERRNO)
        return error_set_errno(e, "%s: cannot read", current(c)->path);
    if (status == Z_BUF_ERROR)
        why = "the file is cut off; fetch or compress it again";
    return error_set(e, ERR_FORMAT, "%s: damaged gzip data after %llu bytes of text: %s",
                     current(c)->path, (unsigned long long)(c->offset + held_size(c)), why);
}

/* Reads some more bytes into `held`; sets at_end when there are none. */
static int read_more(struct corpus *c, struct error *e)
{
    if (c->held_start > 0) { /* make room at the front first */
        size_t n = held_size(c);
        memmove(c->held.data, c->held.data + c->held_start, n);
        c->held.size = n;
        c->held_start = 0;
    }
    static _Thread_local char block[1 << 16];
    int n = gzread(c->in, block, sizeof block);
    if (n < 0)
        return gzip_error(c, e);
    buffer_append(&c->held, block, (size_t)n);
    if ((size_t)n < sizeof block) {
        int status;
        gzerror(c->in, &status);
        if (status == Z_BUF_ERROR)
            return gzip_error(c, e);
        c->at_end = n == 0 || gzeof(c->in);
    }
    return OK;
}

static void consume(struct corpus *c, size_t n)
{
    const char *p = held_data(c), *end = p + n;
    while (p < end && (p = memchr(p, '\n', (size_t)(end - p)))) {
        c->line++;
        p++;
    }
    c->held_start += n;
    c->offset += n;
}

static int open_source(struct corpus *c, struct error *e)
{
    const struct source *s = current(c);
    c->in = gzopen(s->path, "rbe");
    if (!c->in)
        return error_set_errno(e, "%s", s->path);
    gzbuffer(c->in, 1 << 16);
    bool plain = gzdirect(c->in) != 0;
    if (s->size > 0 && plain == s->gzip)
        return error_set(e, ERR_FORMAT,
                         plain ? "%s: ends in .gz but holds no gzip data"
                               : "%s: holds gzip data; its name must end in .gz",
                         s->path);
    int code = read_more(c, e);
    if (code)
        return code;
    const char *p = held_data(c);
    size_t n = held_size(c);
    if (n >= 2 && (memcmp(p, "\xFF\xFE", 2) == 0 || memcmp(p, "\xFE\xFF", 2) == 0))
        return error_set(e, ERR_FORMAT,
                         "%s: is UTF-16; convert it to UTF-8 first (iconv -f UTF-16 -t UTF-8)",
                         s->path);
    if (n >= 3 && memcmp(p, "\xEF\xBB\xBF", 3) == 0)
        consume(c, 3);
    return OK;
}

/* Checks the next n held bytes. */
static int check_text(const struct corpus *c, size_t n, struct error *e)
{
    const char *text = held_data(c);
    size_t fault = text_find_fault(text, n);
    if (fault == n)
        return OK;
    size_t line = c->line;
    for (size_t i = 0; i < fault; i++)
        line += text[i] == '\n';
    unsigned long long offset = c->offset + fault;
    if (text[fault] == 0)
        return error_set(e, ERR_FORMAT,
                         "%s: a NUL byte at offset %llu (line %zu): this is not a text file",
                         current(c)->path, offset, line);
    return error_set(
        e, ERR_FORMAT,
        "%s: invalid UTF-8 at offset %llu (line %zu): byte 0x%02X; convert the file to UTF-8",
        current(c)->path, offset, line, (unsigned char)text[fault]);
}

/* ---- documents ---- */

static void deliver(struct corpus *c, struct corpus_chunk *chunk, const char *text, size_t n,
                    bool continues)
{
    if (chunk->n + 1 >= chunk->capacity) {
        chunk->capacity = chunk->capacity ? 2 * chunk->capacity : 64;
        chunk->offsets = mem_resize(chunk->offsets, chunk->capacity, sizeof *chunk->offsets);
        chunk->continues = mem_resize(chunk->continues, chunk->capacity, sizeof *chunk->continues);
        if (c->rows)
            chunk->places = mem_resize(chunk->places, chunk->capacity, sizeof *chunk->places);
    }
    if (c->rows)
        chunk->places[chunk->n] = (struct corpus_place){c->source, current(c)->lines ? c->line : 1, !current(c)->lines};
    chunk->offsets[chunk->n] = chunk->text.size;
    buffer_append(&chunk->text, text, n);
    chunk->continues[chunk->n++] = continues;
    chunk->offsets[chunk->n] = chunk->text.size;
    c->documents += !continues;
}

/* One document, or a piece of one, from a .txt source. */
static int next_piece(struct corpus *c, struct corpus_chunk *chunk, struct error *e)
{
    size_t wanted = CORPUS_PIECE + 1, cut = 0;
    int code;
    for (;;) {
        while (!c->at_end && (c->keep_whole || held_size(c) < wanted))
            if ((code = read_more(c, e)))
                return code;
        cut = c->at_end && (c->keep_whole || held_size(c) < wanted)
                  ? held_size(c)
                  : text_last_cut(held_data(c), wanted);
        if (cut)
            break;
        if (held_size(c) == 0) {
            c->empty++;
            return OK;
        }
        if (wanted > CORPUS_LIMIT)
            return error_set(
                e, ERR_FORMAT,
                "%s: %d MB from offset %llu on without a line break or a space between "
                "words: is this text?",
                current(c)->path, CORPUS_LIMIT >> 20, (unsigned long long)c->offset);
        wanted *= 2;
    }
    if ((code = check_text(c, cut, e)))
        return code;
    deliver(c, chunk, held_data(c), cut, !c->at_end || cut < held_size(c));
    consume(c, cut);
    return OK;
}

static void list_members(const json_t *object, struct buffer *out)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        if (out->size > 200) {
            buffer_string(out, ", ...");
            return;
        }
        buffer_printf(out, "%s\"%s\"", out->size ? ", " : "", key);
    }
}

static int deliver_member(struct corpus *c, const json_t *root, struct corpus_chunk *chunk,
                          struct error *e)
{
    if (!json_is_object(root))
        return error_set(e, ERR_FORMAT, "a JSON object is needed on every line");
    const json_t *text = json_object_get(root, c->text_field);
    if (!text) {
        struct buffer members = {0};
        list_members(root, &members);
        int code = error_set(e, ERR_FORMAT, "no member \"%s\"; there %s: %s", c->text_field,
                             json_object_size(root) == 1 ? "is" : "are",
                             members.size ? members.data : "none");
        buffer_free(&members);
        return code;
    }
    if (!json_is_string(text))
        return error_set(e, ERR_FORMAT, "\"%s\" must be a string", c->text_field);
    const char *value = json_string_value(text);
    size_t n = json_string_length(text);
    if (memchr(value, 0, n))
        return error_set(e, ERR_FORMAT, "\"%s\" holds a NUL character (\\u0000)", c->text_field);
    if (n)
        deliver(c, chunk, value, n, false);
    else
        c->empty++;
    return OK;
}

/* One line of a .jsonl source; blank ones are passed over. */
static int next_line(struct corpus *c, struct corpus_chunk *chunk, struct error *e)
{
    size_t searched = 0, n;
    int code;
    for (;;) {
        const char *text = held_data(c), *end = NULL;
        if (held_size(c) > searched)
            end = memchr(text + searched, '\n', held_size(c) - searched);
        n = end ? (size_t)(end - text) : held_size(c);
        if (end || c->at_end)
            break;
        searched = n;
        if (searched > CORPUS_LIMIT)
            return error_set(e, ERR_FORMAT, "%s:%zu: a line of more than %d MB", current(c)->path,
                             c->line, CORPUS_LIMIT >> 20);
        if ((code = read_more(c, e)))
            return code;
    }
    if (!c->rows && (code = check_text(c, n, e)))
        return code;
    bool blank = n == 0 || strspn(held_data(c), " \t\r") >= n;
    if (c->rows && !blank) {
        deliver(c, chunk, held_data(c), n, false);
    } else if (!blank) {
        json_t *root = NULL;
        code = json_parse_line(held_data(c), n, &root, e);
        if (!code)
            code = deliver_member(c, root, chunk, e);
        json_decref(root);
        if (code)
            return error_prefix(e, "%s:%zu", current(c)->path, c->line);
    }
    consume(c, n < held_size(c) ? n + 1 : n);
    return OK;
}

static int next_document(struct corpus *c, struct corpus_chunk *chunk, struct error *e)
{
    if (!c->in) {
        int code = open_source(c, e);
        if (code)
            return code;
    }
    int code = current(c)->lines ? next_line(c, chunk, e) : next_piece(c, chunk, e);
    if (code)
        return code;
    if (c->at_end && held_size(c) == 0) {
        c->finished += current(c)->size;
        close_source(c);
        c->source++;
    }
    return OK;
}

int corpus_next(struct corpus *c, size_t target_bytes, struct corpus_chunk *chunk, struct error *e)
{
    buffer_clear(&chunk->text);
    chunk->n = 0;
    while (c->source < c->n_sources && (chunk->n == 0 || chunk->text.size < target_bytes)) {
        int code = next_document(c, chunk, e);
        if (code)
            return code;
    }
    if (chunk->n == 0 && c->documents == 0)
        return error_set(e, ERR_FORMAT, "the %s: %s%s",
                         c->rows ? "dataset holds no row" : "corpus holds no text", c->sources[0].path,
                         c->n_sources == 1 ? " is empty" : " and all other files are empty");
    return OK;
}

void corpus_chunk_free(struct corpus_chunk *chunk)
{
    buffer_free(&chunk->text);
    mem_free(chunk->offsets);
    mem_free(chunk->continues);
    mem_free(chunk->places);
    *chunk = (struct corpus_chunk){0};
}
