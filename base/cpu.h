/* What this processor can do, and how many threads to use. */
#ifndef LINNET_BASE_CPU_H
#define LINNET_BASE_CPU_H

#include <stdbool.h>

/* Kernel levels, each including the ones before it. */
enum cpu_level {
    CPU_REF,    /* portable C */
    CPU_AVX2,   /* AVX2, FMA, F16C */
    CPU_AVX512, /* AVX-512 F, BW, DQ, VL */
};

/* The level kernels are chosen by: what the processor has, lowered by LINNET_KERNELS=ref|avx2|
 * avx512. Read once. */
enum cpu_level cpu_level(void);
const char *cpu_level_name(enum cpu_level level);
bool cpu_has_bf16(void); /* AVX512-BF16 or AMX-BF16, and the level allows it */

bool cpu_has_vnni(void); /* AVX512-VNNI, and the level allows it */

/* Sets the level, at most what the hardware has; for tests, which run every variant. */
void cpu_set_level(enum cpu_level level);

/* Physical cores this process may use: scheduling affinity and the cgroup's CPU quota honoured,
 * hyper-threads counted once. At least 1. */
int cpu_default_threads(void);

#endif
