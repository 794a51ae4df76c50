#include "base/file.h"

#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool file_is_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int file_size(const char *path, uint64_t *size, struct error *e)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return error_set_errno(e, "%s", path);
    *size = (uint64_t)st.st_size;
    return OK;
}

static int open_regular(const char *path, struct stat *st, int *fd, struct error *e)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0)
        return error_set_errno(e, "%s", path);
    if (fstat(*fd, st) != 0) {
        int code = error_set_errno(e, "%s", path);
        close(*fd);
        return code;
    }
    if (!S_ISREG(st->st_mode)) {
        close(*fd);
        return error_set(e, ERR_IO, "%s: %s", path,
                         S_ISDIR(st->st_mode) ? "is a directory, a file is needed"
                                              : "is not a regular file");
    }
    return OK;
}

int file_read(const char *path, struct buffer *out, size_t limit, struct error *e)
{
    FILE *f = fopen(path, "rbe");
    if (!f)
        return error_set_errno(e, "%s", path);
    int code = OK;
    char chunk[65536];
    size_t n, total = 0;
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0) {
        if (n > limit - total) {
            code = error_set(e, ERR_FORMAT, "%s: larger than the %zu bytes expected here", path,
                             limit);
            break;
        }
        total += n;
        buffer_append(out, chunk, n);
    }
    if (!code && ferror(f))
        code = error_set_errno(e, "%s", path);
    if (!code)
        buffer_append(out, "", 0);
    fclose(f);
    return code;
}

int file_map(const char *path, struct file_map *map, struct error *e)
{
    *map = (struct file_map){0};
    struct stat st;
    int fd;
    int code = open_regular(path, &st, &fd, e);
    if (code)
        return code;
    if (st.st_size > 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED)
            code = error_set_errno(e, "%s: cannot map", path);
        else
            *map = (struct file_map){p, (size_t)st.st_size};
    }
    close(fd);
    return code;
}

void file_unmap(struct file_map *map)
{
    if (map->data)
        munmap((void *)map->data, map->size);
    *map = (struct file_map){0};
}

/* Names handed out and not yet renamed, for file_remove_temporaries. */
static char *volatile temporaries[8];
enum { MOST_TEMPORARIES = sizeof temporaries / sizeof *temporaries };

static void forget_temporary(const char *name)
{
    for (size_t i = 0; i < MOST_TEMPORARIES; i++)
        if (temporaries[i] && strcmp(temporaries[i], name) == 0) {
            char *old = temporaries[i];
            temporaries[i] = NULL; /* first: a signal may come in between */
            mem_free(old);
        }
}

static void remember_temporary(const char *name)
{
    forget_temporary(name);
    for (size_t i = 0; i < MOST_TEMPORARIES; i++)
        if (!temporaries[i]) {
            temporaries[i] = mem_string(name);
            return;
        }
}

void file_remove_temporaries(void)
{
    for (size_t i = 0; i < MOST_TEMPORARIES; i++)
        if (temporaries[i])
            unlink(temporaries[i]);
}

char *file_temporary(const char *path)
{
    char *name = mem_printf("%s.tmp%ld", path, (long)getpid());
    remember_temporary(name);
    return name;
}

/* A rename is durable only once its directory is synced too. */
static void sync_directory_of(const char *path)
{
    char *copy = mem_string(path);
    char *slash = strrchr(copy, '/');
    if (slash == copy)
        slash[1] = 0;
    else if (slash)
        *slash = 0;
    int fd = open(slash ? copy : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    mem_free(copy);
}

int file_replace(const char *temporary, const char *path, struct error *e)
{
    int fd = open(temporary, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(e, "%s", temporary);
    int failed = fsync(fd);
    if (failed)
        error_set_errno(e, "%s: cannot sync", temporary);
    close(fd);
    if (failed)
        return ERR_IO;
    if (rename(temporary, path) != 0)
        return error_set_errno(e, "%s: cannot rename to %s", temporary, path);
    forget_temporary(temporary);
    sync_directory_of(path);
    return OK;
}

int file_writer_open(struct file_writer *w, const char *path, struct error *e)
{
    w->path = mem_string(path);
    w->temporary = file_temporary(path);
    w->stream = fopen(w->temporary, "wbe");
    if (!w->stream) {
        int code = error_set_errno(e, "%s: cannot create", path);
        file_writer_abandon(w);
        return code;
    }
    return OK;
}

int file_writer_commit(struct file_writer *w, struct error *e)
{
    int code = OK;
    if (fflush(w->stream) != 0 || ferror(w->stream)) {
        if (errno == 0)
            errno = EIO;
        code = error_set_errno(e, "%s: cannot write", w->path);
    }
    if (fclose(w->stream) != 0 && !code)
        code = error_set_errno(e, "%s: cannot write", w->path);
    w->stream = NULL;
    if (!code)
        code = file_replace(w->temporary, w->path, e);
    if (code) {
        file_writer_abandon(w);
        return code;
    }
    mem_free(w->path);
    mem_free(w->temporary);
    *w = (struct file_writer){0};
    return OK;
}

void file_writer_abandon(struct file_writer *w)
{
    if (w->stream)
        fclose(w->stream);
    if (w->temporary) {
        unlink(w->temporary);
        forget_temporary(w->temporary);
    }
    mem_free(w->path);
    mem_free(w->temporary);
    *w = (struct file_writer){0};
}

int file_write(const char *path, const void *bytes, size_t n, struct error *e)
{
    struct file_writer w = {0};
    int code = file_writer_open(&w, path, e);
    if (code)
        return code;
    errno = 0;
    if (n)
        fwrite(bytes, 1, n, w.stream);
    return file_writer_commit(&w, e);
}

void file_remove_stale(const char *path)
{
    const char *base = path_basename(path);
    char *directory = base > path ? mem_string_n(path, (size_t)(base - path)) : mem_string(".");
    char *prefix = mem_printf("%s.tmp", base);
    DIR *dir = opendir(directory);
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
            continue;
        char *end, *name = path_join(directory, entry->d_name);
        long pid = strtol(entry->d_name + strlen(prefix), &end, 10);
        if (pid > 0 && !*end && kill((pid_t)pid, 0) != 0 && errno == ESRCH)
            unlink(name);
        mem_free(name);
    }
    if (dir)
        closedir(dir);
    mem_free(prefix);
    mem_free(directory);
}

int dir_lock(const char *path, int *fd, struct error *e)
{
    *fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0)
        return error_set_errno(e, "%s", path);
    if (flock(*fd, LOCK_EX | LOCK_NB) == 0)
        return OK;
    bool taken = errno == EWOULDBLOCK;
    close(*fd);
    *fd = -1;
    return taken ? error_set(e, ERR_USAGE, "%s: another process is writing into it", path) : OK;
}

int dir_make(const char *path, struct error *e)
{
    char *copy = mem_string(path);
    int code = OK;
    for (char *p = copy + 1; !code; p++) {
        if (*p != '/' && *p != 0)
            continue;
        char c = *p;
        *p = 0;
        if (mkdir(copy, 0777) != 0 && errno != EEXIST)
            code = error_set_errno(e, "%s: cannot create directory", copy);
        *p = c;
        if (c == 0)
            break;
    }
    if (!code && !file_is_directory(path))
        code = error_set(e, ERR_IO, "%s: exists and is not a directory", path);
    mem_free(copy);
    return code;
}

static void list_add(struct path_list *list, char *path)
{
    void *paths = list->paths;
    mem_grow(&paths, &list->capacity, list->count, sizeof *list->paths);
    list->paths = paths;
    list->paths[list->count++] = path;
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_below(const char *path, int depth, struct path_list *list, struct error *e)
{
    if (depth > 32)
        return error_set(e, ERR_IO, "%s: folders nested too deeply (a link in a circle?)", path);
    DIR *dir = opendir(path);
    if (!dir)
        return error_set_errno(e, "%s", path);
    int code = OK;
    struct dirent *entry;
    while (!code && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        char *name = path_join(path, entry->d_name);
        if (file_is_directory(name)) {
            code = list_below(name, depth + 1, list, e);
            mem_free(name);
        } else {
            list_add(list, name);
        }
    }
    closedir(dir);
    return code;
}

int dir_list(const char *path, struct path_list *list, struct error *e)
{
    *list = (struct path_list){0};
    struct stat st;
    if (stat(path, &st) != 0)
        return error_set_errno(e, "%s", path);
    int code = OK;
    if (S_ISDIR(st.st_mode))
        code = list_below(path, 0, list, e);
    else
        list_add(list, mem_string(path));
    if (code)
        path_list_free(list);
    else if (list->count)
        qsort(list->paths, list->count, sizeof *list->paths, compare_paths);
    return code;
}

void path_list_free(struct path_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        mem_free(list->paths[i]);
    mem_free(list->paths);
    *list = (struct path_list){0};
}

char *path_join(const char *directory, const char *name)
{
    size_t n = strlen(directory);
    return mem_printf("%s%s%s", directory, n && directory[n - 1] == '/' ? "" : "/", name);
}

const char *path_basename(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool path_has_suffix(const char *path, const char *suffix)
{
    size_t n = strlen(path), m = strlen(suffix);
    return n >= m && strcmp(path + n - m, suffix) == 0;
}
