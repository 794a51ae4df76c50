#include "base/file.h"

#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
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

void file_forget(const void *data, size_t n)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t from = ((uintptr_t)data + page - 1) / page * page, to = ((uintptr_t)data + n) / page * page;
    if (from < to)
        madvise((void *)from, to - from, MADV_DONTNEED); /* advice: what fails only keeps memory */
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

/* Where a write to `path` ends up: a link keeps pointing at the file that is replaced. */
static char *follow_link(const char *path)
{
    struct stat st;
    char *real = lstat(path, &st) == 0 && S_ISLNK(st.st_mode) ? realpath(path, NULL) : NULL;
    char *copy = mem_string(real ? real : path);
    free(real);
    return copy;
}

char *file_temporary(const char *path)
{
    char *target = follow_link(path);
    char *name = mem_printf("%s.tmp%ld", target, (long)getpid());
    mem_free(target);
    remember_temporary(name);
    return name;
}

static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return !slash ? mem_string(".") : mem_string_n(path, slash == path ? 1 : (size_t)(slash - path));
}

int file_check_target(const char *path, struct error *e)
{
    struct stat st;
    if (!*path)
        return error_set(e, ERR_USAGE, "\"\": a file needs a name");
    if (stat(path, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            return error_set(e, ERR_IO, "%s: is a directory; name a file to write", path);
        if (!S_ISREG(st.st_mode))
            return error_set(e, ERR_IO, "%s: is not a regular file, and is left as it is", path);
    }
    char *target = follow_link(path), *directory = directory_of(target);
    int code = OK;
    if (access(directory, W_OK) != 0)
        code = error_set_errno(e, "%s: cannot create", path);
    mem_free(directory);
    mem_free(target);
    return code;
}

/* A rename is durable only once its directory is synced too. */
static void sync_directory_of(const char *path)
{
    char *directory = directory_of(path);
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    mem_free(directory);
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
    char *target = follow_link(path);
    int code = OK;
    if (rename(temporary, target) != 0)
        code = error_set_errno(e, "%s: cannot rename to %s", temporary, target);
    else
        forget_temporary(temporary);
    if (!code)
        sync_directory_of(target);
    mem_free(target);
    return code;
}

int file_writer_open(struct file_writer *w, const char *path, struct error *e)
{
    *w = (struct file_writer){0};
    int refused = file_check_target(path, e);
    if (refused)
        return refused;
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

void file_remove_leftovers(const char *path)
{
    char *directory = directory_of(path), *prefix = mem_printf("%s.tmp", path_basename(path));
    size_t n = strlen(prefix);
    DIR *dir = opendir(directory);
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        const char *number = entry->d_name + n;
        if (strncmp(entry->d_name, prefix, n) != 0 || !*number || number[strspn(number, "0123456789")])
            continue;
        char *name = path_join(directory, entry->d_name);
        unlink(name);
        mem_free(name);
    }
    if (dir)
        closedir(dir);
    mem_free(directory);
    mem_free(prefix);
}

int dir_claim(const char *path, struct error *e)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(e, "%s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return OK; /* fd stays open, and with it the lock */
    bool taken = errno == EWOULDBLOCK; /* anything else: a file system without locks */
    close(fd);
    return taken ? error_set(e, ERR_IO,
                             "%s: another linnet is writing there; wait for it, or choose another "
                             "--out", path)
                 : OK;
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

uint64_t file_free_space(const char *path)
{
    struct statvfs st;
    char *folder = mem_string(path);
    int failed;
    while ((failed = statvfs(*folder ? folder : ".", &st)) != 0 && errno == ENOENT && *folder) {
        char *slash = strrchr(folder, '/');
        if (!slash)
            *folder = '\0';
        else
            slash[slash == folder && slash[1]] = '\0'; /* of "/a" the root is left */
    }
    mem_free(folder);
    return failed ? UINT64_MAX : (uint64_t)st.f_bavail * st.f_frsize;
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
