// SPDX-License-Identifier: Apache-2.0
//
// Writes tokens into the KV cache.

#include "CMartletKernels.h"
#include "cache_layout.h"
#include "conversions.h"

#include <string.h>

#pragma clang fp contract(off)

int64_t martlet_cache_head_bytes(MartletFormat format, int64_t head_size, int64_t block_size) {
    return (head_size + padded_head_size(head_size)) * block_size * format_bytes(format);
}

// `element` counts from the group's first byte.
static void put(uint8_t *group, int64_t element, float x, MartletFormat format) {
    switch (format) {
    case MartletFormatFloat16: ((uint16_t *)group)[element] = encode_f16(x); break;
    case MartletFormatFloat32: ((float *)group)[element] = x; break;
    default: group[eight_bit_index(element)] = encode_f8(x, format); break;
    }
}

// The format that models have most: rounded at once, then put in place.
static void write_bf16(const float *key, const float *value, uint8_t *keys, uint8_t *values, int64_t lane,
                       int64_t head_size) {
    uint16_t rounded[2][MARTLET_MAX_HEAD_SIZE];
    const int64_t padded = padded_head_size(head_size);
    for (int64_t d = 0; d < head_size; d++) {
        rounded[0][d] = round_bf16_scalar(key[d]);
        rounded[1][d] = round_bf16_scalar(value[d]);
    }
    for (int64_t d = head_size; d < padded; d++) rounded[1][d] = 0;
    for (int64_t d = 0; d < head_size; d += 2)
        memcpy(keys + (d / 2 * MARTLET_CACHE_GROUP + lane) * 4, rounded[0] + d, 4);
    uint16_t *first = (uint16_t *)values + lane / 2 * padded * 2 + lane % 2;
    for (int64_t d = 0; d < padded; d++) first[2 * d] = rounded[1][d];
}

void martlet_write_cache(const float *key, const float *value, uint8_t *head, int64_t offset, int64_t head_size,
                         int64_t block_size, MartletFormat format, float key_scale, float value_scale) {
    const int64_t padded = padded_head_size(head_size), bytes = format_bytes(format);
    const int64_t group = offset / MARTLET_CACHE_GROUP, lane = offset % MARTLET_CACHE_GROUP;
    uint8_t *keys = head + group * MARTLET_CACHE_GROUP * head_size * bytes;
    uint8_t *values = head + (block_size * head_size + group * MARTLET_CACHE_GROUP * padded) * bytes;
    if (format == MartletFormatBfloat16) {
        write_bf16(key, value, keys, values, lane, head_size);
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
