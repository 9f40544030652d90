// SPDX-License-Identifier: Apache-2.0
//
// Scalar conversions that the kernels and the packing share.

#pragma once

#include <stdint.h>

// To nearest even; NaN stays NaN.
static inline uint16_t round_bf16_scalar(float x) {
    uint32_t bits = __builtin_bit_cast(uint32_t, x);
    if (x != x) return (uint16_t)((bits >> 16) | 0x40u);
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
