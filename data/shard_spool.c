#include "data/shard_spool.h"

#include "base/check.h"
#include "base/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int shard_spool_open(struct shard_spool *s, const char *path, size_t token_bytes, struct error *e)
{
    *s = (struct shard_spool){.token_bytes = token_bytes};
    char *name = mem_printf("%s.spoolXXXXXX", path);
    int fd = mkstemp(name);
    int code = OK;
    if (fd < 0) {
        code = error_set_errno(e, "%s: cannot create a temporary file beside it", path);
    } else {
        unlink(name);
        s->file = fdopen(fd, "w+b");
        CHECK(s->file);
    }
    mem_free(name);
    return code;
}

void shard_spool_close(struct shard_spool *s)
{
    if (s->file)
        fclose(s->file);
    mem_free(s->ends);
    mem_free(s->bytes);
    *s = (struct shard_spool){0};
}

int shard_spool_append(struct shard_spool *s, const int32_t *ids, size_t n, const char *path,
                       struct error *e)
{
    unsigned char block[4096 * 4];
    for (size_t done = 0; done < n;) {
        size_t m = n - done < 4096 ? n - done : 4096;
        for (size_t i = 0; i < m; i++)
            memcpy(block + i * s->token_bytes, &ids[done + i], s->token_bytes);
        errno = 0;
        if (fwrite(block, s->token_bytes, m, s->file) != m)
            return error_set_errno(e, "%s: cannot write the tokens to a temporary file beside it",
                                   path);
        done += m;
    }
    s->n_tokens += n;
    return OK;
}

void shard_spool_end_document(struct shard_spool *s)
{
    if (s->n_documents == s->capacity) {
        s->capacity = s->capacity ? 2 * s->capacity : 1024;
        s->ends = mem_resize(s->ends, s->capacity, sizeof *s->ends);
        s->bytes = mem_resize(s->bytes, s->capacity, sizeof *s->bytes);
    }
    s->ends[s->n_documents] = s->n_tokens;
    s->bytes[s->n_documents++] = s->open_bytes;
    s->open_bytes = 0;
}

uint64_t shard_spool_bytes(const struct shard_spool *s)
{
    uint64_t total = 0;
    for (size_t i = 0; i < s->n_documents; i++)
        total += s->bytes[i];
    return total;
}

int shard_spool_read(struct shard_spool *s, size_t offset, size_t n, void *out, const char *path,
                     struct error *e)
{
    errno = 0;
    if (fflush(s->file) != 0)
        return error_set_errno(e, "%s: cannot write the tokens to a temporary file beside it",
                               path);
    if (fseeko(s->file, (off_t)(offset * s->token_bytes), SEEK_SET) != 0 ||
        fread(out, s->token_bytes, n, s->file) != n)
        return error_set_errno(e, "%s: cannot read back the temporary file beside it", path);
    return OK;
}
