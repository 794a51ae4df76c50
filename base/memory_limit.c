/* How much memory the machine, the control groups and the user's limits leave to this process. */
#include "base/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

/* The number after `key` at the beginning of a line of the file; false when there is none. */
static bool read_entry(const char *path, const char *key, uint64_t *value)
{
    char line[256];
    bool found = false;
    FILE *f = fopen(path, "re");
    while (f && !found && fgets(line, sizeof line, f))
        found = strncmp(line, key, strlen(key)) == 0 &&
                sscanf(line + strlen(key), "%" SCNu64, value) == 1;
    if (f)
        fclose(f);
    return found;
}

static uint64_t meminfo(const char *key)
{
    uint64_t kilobytes;
    return read_entry("/proc/meminfo", key, &kilobytes) ? kilobytes * 1024 : 0;
}

/* The files of the two generations of control groups; https://docs.kernel.org/admin-guide/. */
static const struct generation {
    const char *root, *limit, *used, *cache;
} generations[] = {
    {"/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file "},
    {"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
     "total_inactive_file "},
};

/* One group's share: *limit and *available become smaller where it leaves less. Pages that hold files
 * nobody has read lately count as free: the kernel drops them first. */
static void apply_group(const struct generation *g, const char *group, size_t *limit,
                        size_t *available)
{
    char *limit_path = mem_printf("%s%s/%s", g->root, group, g->limit);
    char *used_path = mem_printf("%s%s/%s", g->root, group, g->used);
    char *stat_path = mem_printf("%s%s/memory.stat", g->root, group);
    uint64_t most, used = 0, cache = 0;
    if (read_entry(limit_path, "", &most)) { /* "max" is no number */
        read_entry(used_path, "", &used);
        read_entry(stat_path, g->cache, &cache);
        used -= cache < used ? cache : used;
        *limit = size_smaller(*limit, most);
        *available = size_smaller(*available, used < most ? most - used : 0);
    }
    mem_free(limit_path);
    mem_free(used_path);
    mem_free(stat_path);
}

/* The group and all above it. In a container the path may be the host's; then only the root is seen,
 * which is the container's own. */
static void apply_groups(const struct generation *g, char *group, size_t *limit, size_t *available)
{
    for (char *slash = group; slash;) {
        apply_group(g, group, limit, available);
        slash = strrchr(group, '/');
        if (slash)
            *slash = 0;
    }
}

static void apply_all_groups(size_t *limit, size_t *available)
{
    char line[4096];
    FILE *f = fopen("/proc/self/cgroup", "re");
    while (f && fgets(line, sizeof line, f)) { /* "0::/path" or "4:memory:/path" */
        line[strcspn(line, "\n")] = 0;
        char *names = strchr(line, ':'), *group = names ? strchr(names + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = 0;
        if (!names[1])
            apply_groups(&generations[0], group, limit, available);
        else if (strstr(names, "memory"))
            apply_groups(&generations[1], group, limit, available);
    }
    if (f)
        fclose(f);
}

void mem_measure(size_t *limit, size_t *available)
{
    struct rlimit address_space;
    uint64_t all = meminfo("MemTotal:"), left = meminfo("MemAvailable:");
    *limit = all ? all : SIZE_MAX;
    *available = left ? left : *limit;
    apply_all_groups(limit, available);
    *limit += size_smaller(meminfo("SwapTotal:"), SIZE_MAX - *limit);
    if (getrlimit(RLIMIT_AS, &address_space) == 0 && address_space.rlim_cur != RLIM_INFINITY)
        *limit = size_smaller(*limit, address_space.rlim_cur);
    *available = size_smaller(*available, *limit);
}
