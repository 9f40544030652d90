// SPDX-License-Identifier: Apache-2.0

#include "CMartletKernels.h"
#include "code_tables.h"
#include "conversions.h"
#if defined(__x86_64__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "table.inc"

const MartletKernelTable *martlet_kernels_portable(void) { return &table; }
