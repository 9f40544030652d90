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

// A token's K or V as 16 bits a number, ready to be put in place. What is 1 in whole numbers goes to the lane's place
// among the group's units.
static void round_token(const float *input, int64_t count, int64_t padded, MartletFormat format, float most,
                        uint8_t *units, int64_t lane, uint16_t *rounded) {
    if (format == MartletFormatInt16) {
        ((float *)units)[lane] = round_to_words(input, count, most, rounded);
    } else {
        for (int64_t d = 0; d < count; d++) rounded[d] = round_bf16_scalar(input[d]);
    }
    for (int64_t d = count; d < padded; d++) rounded[d] = 0;
}

// The formats that lie in pairs of 16 bits, for a token, or for the two of a pair: `lane` is even then.
static void write_pairs(const float *key, const float *value, int64_t stride, int64_t tokens, uint8_t *keys,
                        uint8_t *values, int64_t lane, int64_t head_size, MartletFormat format) {
    uint16_t k[2][MARTLET_MAX_HEAD_SIZE], v[2][MARTLET_MAX_HEAD_SIZE];
    const int64_t padded = padded_head_size(head_size);
    uint8_t *key_units = keys + MARTLET_CACHE_GROUP * head_size * 2;
    uint8_t *value_units = values + MARTLET_CACHE_GROUP * padded * 2;
    for (int64_t t = 0; t < tokens; t++) {
        round_token(key + t * stride, head_size, head_size, format, MARTLET_LARGEST_KEY_WORD, key_units, lane + t,
                    k[t]);
        round_token(value + t * stride, head_size, padded, format, MARTLET_LARGEST_VALUE_WORD, value_units, lane + t,
                    v[t]);
    }
    uint8_t *pairs = keys + lane * 4;
    uint16_t *rows = (uint16_t *)values + lane / 2 * padded * 2;
    if (tokens == 2) {
        for (int64_t d = 0; d < head_size; d += 2, pairs += MARTLET_CACHE_GROUP * 4) {
            memcpy(pairs, k[0] + d, 4);
            memcpy(pairs + 4, k[1] + d, 4);
        }
        for (int64_t d = 0; d < padded; d++) {
            rows[2 * d] = v[0][d];
            rows[2 * d + 1] = v[1][d];
        }
    } else {
        for (int64_t d = 0; d < head_size; d += 2, pairs += MARTLET_CACHE_GROUP * 4) memcpy(pairs, k[0] + d, 4);
        for (int64_t d = 0; d < padded; d++) rows[2 * d + lane % 2] = v[0][d];
    }
}

static void write_elements(const float *key, const float *value, uint8_t *keys, uint8_t *values, int64_t lane,
                           int64_t head_size, MartletFormat format, float key_scale, float value_scale) {
    const int64_t padded = padded_head_size(head_size);
    if (format_bytes(format) > 1) key_scale = value_scale = 1;
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

void martlet_write_cache(const float *key, const float *value, int64_t stride, int64_t tokens, uint8_t *keys,
                         uint8_t *values, int64_t offset, int64_t head_size, MartletFormat format, float key_scale,
                         float value_scale) {
    const bool in_pairs = format == MartletFormatBfloat16 || format == MartletFormatInt16;
    for (int64_t end = offset + tokens; offset < end;) {
        const int64_t group = offset / MARTLET_CACHE_GROUP, lane = offset % MARTLET_CACHE_GROUP;
        uint8_t *k = keys + group * group_bytes(format, head_size);
        uint8_t *v = values + group * group_bytes(format, padded_head_size(head_size));
        const int64_t count = in_pairs && lane % 2 == 0 && offset + 1 < end ? 2 : 1;
        if (in_pairs) write_pairs(key, value, stride, count, k, v, lane, head_size, format);
        else write_elements(key, value, k, v, lane, head_size, format, key_scale, value_scale);
        offset += count;
        key += count * stride;
        value += count * stride;
    }
}
