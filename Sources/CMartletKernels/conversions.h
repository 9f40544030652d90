// SPDX-License-Identifier: Apache-2.0
//
// Scalar conversions and the index of a panel element, shared by kernels and packing.

#pragma once

#include "CMartletKernels.h"

#include <stdint.h>

// Where input k's 16 bits of a column lie in a block of words or in a panel of bf16.
static inline int64_t word_index(int64_t k, int64_t column) {
    return (k / 2 * MARTLET_PANEL_COLUMNS + column) * 2 + k % 2;
}

static inline uint16_t load16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }

static inline float half_to_float(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, magnitude = h & 0x7fffu;
    float finite = __builtin_bit_cast(float, magnitude << 13) * 0x1p112f;
    uint32_t bits = magnitude >= 0x7c00u ? (magnitude << 13) | 0x7f800000u : __builtin_bit_cast(uint32_t, finite);
    return __builtin_bit_cast(float, bits | sign);
}

// To nearest even; NaN stays NaN.
static inline uint16_t round_bf16_scalar(float x) {
    uint32_t bits = __builtin_bit_cast(uint32_t, x);
    if (x != x) return (uint16_t)((bits >> 16) | 0x40u);
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// A format smaller than f32, as the numbers that rounding needs.
typedef struct {
    int mantissa, bias;
    float smallest;     // the smallest normal number
    float subnormal;    // adding it rounds a smaller number to a multiple of the smallest subnormal
    float largest;      // saturates here; infinity does not
    uint32_t infinity;  // code that overflow becomes, or the largest finite one
    uint32_t nan;
} SmallFormat;

static inline SmallFormat small_format(MartletFormat format) {
    switch (format) {
    case MartletFormatFloat8E4M3: return (SmallFormat){3, 7, 0x1p-6f, 0x1p14f, 448, 0x7e, 0x7f};
    case MartletFormatFloat8E5M2: return (SmallFormat){2, 15, 0x1p-14f, 0x1p7f, 57344, 0x7b, 0x7e};
    default: return (SmallFormat){10, 15, 0x1p-14f, 0x1p-1f, __builtin_inff(), 0x7c00, 0x7e00};
    }
}

// The code without its sign, to nearest even; 8-bit formats saturate, f16 becomes infinite.
static inline uint32_t encode_magnitude(float x, SmallFormat f) {
    uint32_t bits = __builtin_bit_cast(uint32_t, x) & 0x7fffffffu;
    if (x != x) return f.nan;
    float magnitude = __builtin_bit_cast(float, bits);
    if (magnitude < f.smallest)
        return __builtin_bit_cast(uint32_t, magnitude + f.subnormal) - __builtin_bit_cast(uint32_t, f.subnormal);
    int shift = 23 - f.mantissa;
    uint32_t code = (bits + (1u << (shift - 1)) - 1 + ((bits >> shift) & 1u) - ((uint32_t)(127 - f.bias) << 23)) >> shift;
    return code > f.infinity ? f.infinity : code;
}

static inline uint16_t encode_f16(float x) {
    uint32_t sign = __builtin_bit_cast(uint32_t, x) >> 16 & 0x8000u;
    return (uint16_t)(sign | encode_magnitude(x, small_format(MartletFormatFloat16)));
}

static inline uint8_t encode_f8(float x, MartletFormat format) {
    uint32_t sign = __builtin_bit_cast(uint32_t, x) >> 24 & 0x80u;
    return (uint8_t)(sign | encode_magnitude(x, small_format(format)));
}

// The number of `format` that is nearest to x.
static inline float round_to_format(float x, MartletFormat format) {
    if (format == MartletFormatFloat32 || x != x) return x;
    if (format == MartletFormatBfloat16)
        return __builtin_bit_cast(float, (uint32_t)round_bf16_scalar(x) << 16);
    SmallFormat f = small_format(format);
    uint32_t bits = __builtin_bit_cast(uint32_t, x), sign = bits & 0x80000000u;
    float magnitude = __builtin_bit_cast(float, bits & 0x7fffffffu);
    if (magnitude < f.smallest) {
        magnitude = (magnitude + f.subnormal) - f.subnormal;
    } else if (magnitude < __builtin_inff()) {
        int shift = 23 - f.mantissa;
        bits &= 0x7fffffffu;
        bits = (bits + (1u << (shift - 1)) - 1 + ((bits >> shift) & 1u)) >> shift << shift;
        magnitude = __builtin_bit_cast(float, bits);
        // What rounds past f16's largest number is infinite.
        if (format == MartletFormatFloat16 && magnitude > 65504) magnitude = __builtin_inff();
    }
    if (magnitude > f.largest) magnitude = f.largest;
    return __builtin_bit_cast(float, __builtin_bit_cast(uint32_t, magnitude) | sign);
}
