// SPDX-License-Identifier: Apache-2.0

#include "CMartletKernels.h"
#include "code_tables.h"
#include "conversions.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define MARTLET_AVX512 1
#pragma clang attribute push( \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni"))), \
    apply_to = function)
#include "table.inc"
#pragma clang attribute pop

const MartletKernelTable *_Nullable martlet_kernels_avx512(void) {
    bool supported = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
        && __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni");
    return supported ? &table : NULL;
}
#else
const MartletKernelTable *_Nullable martlet_kernels_avx512(void) { return NULL; }
#endif
