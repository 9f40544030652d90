// SPDX-License-Identifier: Apache-2.0

#include "CMartletKernels.h"
#include "code_tables.h"
#include "conversions.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define MARTLET_AVX2 1
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#include "table.inc"
#pragma clang attribute pop

const MartletKernelTable *_Nullable martlet_kernels_avx2(void) {
    bool supported = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    return supported ? &table : NULL;
}
#else
const MartletKernelTable *_Nullable martlet_kernels_avx2(void) { return NULL; }
#endif
