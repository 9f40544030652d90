// SPDX-License-Identifier: Apache-2.0
//
// Where the KV cache keeps what. A layer's part of a chunk of blocks is the K of all its blocks, then their V, each
// `[block][head]`: what attention reads one after the other follows each other as far as a table's blocks do. A head's K
// or V of a block of B tokens is in groups of 16 tokens; H is the head size, P the head size rounded up to 16:
//
//   bf16       K  [B / 16][H / 2][16 tokens][2]    one load gives a pair of elements of 16 keys
//              V  [B / 2][P][2 tokens]             one load gives a pair of tokens of 16 elements
//   f16, f32   K  [B / 16][H][16 tokens]           one element of 16 keys
//              V  [B][P]                           one token of 16 elements
//   int16      as bf16, and behind each group's K, and each group's V, what is 1 in them: f32 [16 tokens]
//   8 bits     as bf16, each two lines of 32 elements in one of 64 bytes: its quarters of 16 bytes hold 8 elements of
//              the first line and 8 of the second, which is what unpacking the low and high halves of a quarter undoes

#pragma once

#include "CMartletKernels.h"

static inline int64_t padded_head_size(int64_t head_size) { return (head_size + 15) / 16 * 16; }

static inline int64_t format_bytes(MartletFormat format) {
    switch (format) {
    case MartletFormatBfloat16:
    case MartletFormatFloat16:
    case MartletFormatInt16: return 2;
    case MartletFormatFloat32: return 4;
    default: return 1;
    }
}

static inline bool is_paired(MartletFormat format) {
    return format != MartletFormatFloat16 && format != MartletFormatFloat32;
}

// Bytes of a group of 16 tokens whose keys or values are `size` elements: the head size, or it rounded up.
static inline int64_t group_bytes(MartletFormat format, int64_t size) {
    const int64_t units = format == MartletFormatInt16 ? MARTLET_CACHE_GROUP * (int64_t)sizeof(float) : 0;
    return MARTLET_CACHE_GROUP * size * format_bytes(format) + units;
}

// Where an element of a group's K or V, counted as in bf16, stands among the bytes of an 8-bit group.
static inline int64_t eight_bit_index(int64_t element) {
    int64_t line = element / 32 % 2, within = element % 32;
    return element / 64 * 64 + within / 8 * 16 + line * 8 + within % 8;
}
