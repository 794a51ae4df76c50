#include "kernels/table.h"

#include "base/cpu.h"

const struct kernel_table *kernel_table(void)
{
#if defined(__x86_64__)
    static const struct kernel_table *const tables[] = {
        [CPU_REF] = &kernel_table_ref,
        [CPU_AVX2] = &kernel_table_avx2,
        [CPU_AVX512] = &kernel_table_avx512,
    };
    return tables[cpu_level()];
#else
    return &kernel_table_ref;
#endif
}
