// SPDX-License-Identifier: Apache-2.0
//
// Writes tokens into the KV cache.

#include "CMartletKernels.h"
#include "cache_layout.h"
#include "conversions.h"

#include <string.h>

#pragma clang fp contract(off)

int64_t martlet_cache_key_bytes(MartletFormat format, int64_t head_size, int64_t block_size) {
    return block_size / MARTLET_CACHE_GROUP * group_bytes(format, head_size);
}

int64_t martlet_cache_value_bytes(MartletFormat format, int64_t head_size, int64_t block_size) {
    return block_size / MARTLET_CACHE_GROUP * group_bytes(format, padded_head_size(head_size));
}

// `element` counts from the group's first byte.
static void put(uint8_t *group, int64_t element, float x, MartletFormat format) {
    switch (format) {
    case MartletFormatFloat16: ((uint16_t *)group)[element] = encode_f16(x); break;
    case MartletFormatFloat32: ((float *)group)[element] = x; break;
    default: group[eight_bit_index(element)] = encode_f8(x, format); break;
    }
}

// To whole numbers up to `most`; returns what is 1 in them. Numbers too small to have a unit are zero.
static float round_to_words(const float *input, int64_t count, float most, uint16_t *words) {
    // Magnitudes are in the order of their bits, and what isn't finite is above.
    int32_t largest = 0;
    for (int64_t i = 0; i < count; i++) {
        const int32_t magnitude = __builtin_bit_cast(int32_t, input[i]) & 0x7fffffff;
        largest = magnitude > largest ? magnitude : largest;
    }
    const float unit = __builtin_bit_cast(float, largest) / most;
    const float factor = unit >= 0x1p-126f ? 1 / unit : 0;
    // Added to a number that has no bits below 1, a number is rounded to its low bits.
    for (int64_t i = 0; i < count; i++)
        words[i] = (uint16_t)__builtin_bit_cast(uint32_t, input[i] * factor + 12582912.0f);
    return largest < 0x7f800000 ? unit : __builtin_nanf("");
}

// The formats that lie in pairs of 16 bits: rounded at once, then put in place.
static void write_pairs(const float *key, const float *value, uint8_t *keys, uint8_t *values, int64_t lane,
                        int64_t head_size, MartletFormat format) {
    uint16_t rounded[2][MARTLET_MAX_HEAD_SIZE];
    const int64_t padded = padded_head_size(head_size);
    if (format == MartletFormatInt16) {
        ((float *)(keys + MARTLET_CACHE_GROUP * head_size * 2))[lane] =
            round_to_words(key, head_size, MARTLET_LARGEST_KEY_WORD, rounded[0]);
        ((float *)(values + MARTLET_CACHE_GROUP * padded * 2))[lane] =
            round_to_words(value, head_size, MARTLET_LARGEST_VALUE_WORD, rounded[1]);
    } else {
        for (int64_t d = 0; d < head_size; d++) {
            rounded[0][d] = round_bf16_scalar(key[d]);
            rounded[1][d] = round_bf16_scalar(value[d]);
        }
    }
    for (int64_t d = head_size; d < padded; d++) rounded[1][d] = 0;
    for (int64_t d = 0; d < head_size; d += 2)
        memcpy(keys + (d / 2 * MARTLET_CACHE_GROUP + lane) * 4, rounded[0] + d, 4);
    uint16_t *first = (uint16_t *)values + lane / 2 * padded * 2 + lane % 2;
    for (int64_t d = 0; d < padded; d++) first[2 * d] = rounded[1][d];
}

void martlet_write_cache(const float *key, const float *value, uint8_t *keys, uint8_t *values, int64_t offset,
                         int64_t head_size, MartletFormat format, float key_scale, float value_scale) {
    const int64_t padded = padded_head_size(head_size), bytes = format_bytes(format);
    const int64_t group = offset / MARTLET_CACHE_GROUP, lane = offset % MARTLET_CACHE_GROUP;
    keys += group * group_bytes(format, head_size);
    values += group * group_bytes(format, padded);
    if (format == MartletFormatBfloat16 || format == MartletFormatInt16) {
        write_pairs(key, value, keys, values, lane, head_size, format);
        return;
    }
    if (bytes > 1) key_scale = value_scale = 1;
    const bool paired = is_paired(format);
    for (int64_t d = 0; d < head_size; d++) {
        int64_t element = paired ? (d / 2 * MARTLET_CACHE_GROUP + lane) * 2 + d % 2 : d * MARTLET_CACHE_GROUP + lane;
        put(keys, element, key[d] / key_scale, format);
    }
    for (int64_t d = 0; d < padded; d++) {
        int64_t element = paired ? (lane / 2 * padded + d) * 2 + lane % 2 : lane * padded + d;
        put(values, element, d < head_size ? value[d] / value_scale : 0, format);
    }
}
