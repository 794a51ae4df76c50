#include "base/cpu.h"

#include "base/log.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const level_names[] = {"ref", "avx2", "avx512"};

const char *cpu_level_name(enum cpu_level level)
{
    return level_names[level];
}

static enum cpu_level hardware_level(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return CPU_REF;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl"))
        return CPU_AVX2;
    return CPU_AVX512;
#else
    return CPU_REF;
#endif
}

static enum cpu_level current_level;
static bool level_known;

enum cpu_level cpu_level(void)
{
    if (level_known)
        return current_level;
    current_level = hardware_level();
    level_known = true;
    const char *wanted = getenv("LINNET_KERNELS");
    if (!wanted || !*wanted)
        return current_level;
    for (int i = 0; i <= CPU_AVX512; i++) {
        if (strcmp(wanted, level_names[i]) != 0)
            continue;
        if ((enum cpu_level)i <= current_level)
            current_level = (enum cpu_level)i;
        else
            log_warn("LINNET_KERNELS=%s: this processor has no more than %s, using that", wanted,
                     level_names[current_level]);
        return current_level;
    }
    log_warn("LINNET_KERNELS=%s is unknown (ref, avx2 or avx512), using %s", wanted,
             level_names[current_level]);
    return current_level;
}

void cpu_set_level(enum cpu_level level)
{
    cpu_level();
    enum cpu_level most = hardware_level();
    current_level = level < most ? level : most;
}

bool cpu_has_bf16(void)
{
#if defined(__x86_64__)
    return cpu_level() == CPU_AVX512 && __builtin_cpu_supports("avx512bf16");
#else
    return false;
#endif
}

bool cpu_has_vnni(void)
{
#if defined(__x86_64__)
    return cpu_level() == CPU_AVX512 && __builtin_cpu_supports("avx512vnni");
#else
    return false;
#endif
}

/* The first thread of each core names itself in its siblings list. */
static bool is_first_of_core(int cpu)
{
    char path[128];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
    FILE *f = fopen(path, "re");
    if (!f)
        return true;
    int first = cpu;
    if (fscanf(f, "%d", &first) != 1)
        first = cpu;
    fclose(f);
    return first == cpu;
}

static int cgroup_quota(void)
{
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (!f)
        return 0;
    long quota, period;
    int n = fscanf(f, "%ld %ld", &quota, &period);
    fclose(f);
    if (n != 2 || quota <= 0 || period <= 0)
        return 0;
    return (int)((quota + period - 1) / period);
}

int cpu_default_threads(void)
{
    cpu_set_t set;
    int allowed = 0, first = 0;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &set))
            continue;
        allowed++;
        first += is_first_of_core(cpu);
    }
    int threads = first > 0 ? first : allowed; /* pinned to second threads only: use those */
    int quota = cgroup_quota();
    if (quota > 0 && quota < threads)
        threads = quota;
    return threads > 0 ? threads : 1;
}
