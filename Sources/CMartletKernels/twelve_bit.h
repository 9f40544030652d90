// SPDX-License-Identifier: Apache-2.0
//
// A block of bf16 in twelve bits as packing and kernels see it.

#pragma once

#include "CMartletKernels.h"

// Where its parts begin; its table stands first.
#define TWELVE_BIT_PATCHES 16
#define TWELVE_BIT_UNITS 64
#define TWELVE_BIT_UNIT_BYTES 192

_Static_assert(TWELVE_BIT_PATCHES + 4 * MARTLET_TWELVE_BIT_PATCHES == TWELVE_BIT_UNITS
                   && TWELVE_BIT_UNITS + MARTLET_TWELVE_BIT_INPUTS / 4 * TWELVE_BIT_UNIT_BYTES
                       == MARTLET_TWELVE_BIT_BLOCK_BYTES,
               "a block's parts fill it");

// Those of a unit stand together, the first unit's first; what isn't used has the largest index.
typedef struct {
    uint16_t index, word;
} TwelveBitPatch;

// The one behind the last has the largest index, too.
static inline TwelveBitPatch twelve_bit_patch(const uint8_t *block, int64_t i) {
    TwelveBitPatch patch = {0xffff, 0};
    if (i < MARTLET_TWELVE_BIT_PATCHES) __builtin_memcpy(&patch, block + TWELVE_BIT_PATCHES + i * 4, 4);
    return patch;
}
