// SPDX-License-Identifier: Apache-2.0

#include "CMartletKernels.h"
#include "code_tables.h"
#include "conversions.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define MARTLET_AVX512 1
#define MARTLET_BF16 1
#pragma clang attribute push( \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni,avx512bf16"))), \
    apply_to = function)
#include "table.inc"
#pragma clang attribute pop

const MartletKernelTable *_Nullable martlet_kernels_avx512_bf16(void) {
    return martlet_kernels_avx512() && __builtin_cpu_supports("avx512bf16") ? &table : NULL;
}

// AMD's processors multiply as many numbers of bf16 as of int16 in a cycle, Intel's a quarter of them.
bool martlet_multiplies_bf16_fast(void) { return !__builtin_cpu_is("intel"); }
#else
const MartletKernelTable *_Nullable martlet_kernels_avx512_bf16(void) { return NULL; }
bool martlet_multiplies_bf16_fast(void) { return false; }
#endif
