// SPDX-License-Identifier: Apache-2.0
//
// Between a file's rows and the kernels' panels. Run once a weight at load, and once a token for its embedding.

#include "CMartletKernels.h"
#include "conversions.h"

#include <string.h>

#pragma clang fp contract(off)

#define COLUMNS MARTLET_PANEL_COLUMNS

// Where the byte of input k (0...31) of a column lies in its block: groups of 4 inputs, which lie together, and halves of
// 16 columns.
static int64_t byte_index(int64_t k, int64_t column) {
    return ((k / 4) * 2 + column / 16) * 64 + (column % 16) * 4 + k % 4;
}

static void put_nibbles(uint8_t *block, int64_t column, const uint8_t *packed) {
    // A GGUF block holds inputs 0...15 in its low and 16...31 in its high nibbles: groups g and g + 4, as here.
    for (int64_t k = 0; k < 16; k += 4) memcpy(block + byte_index(k, column), packed + k, 4);
}

void martlet_pack_q4_0(const uint8_t *rows, int64_t row_bytes, int64_t columns, int64_t blocks, uint8_t *panel) {
    if (columns < COLUMNS) memset(panel, 0, (size_t)(blocks * MARTLET_Q4_0_BLOCK_BYTES));
    for (int64_t c = 0; c < columns; c++) {
        for (int64_t b = 0; b < blocks; b++) {
            const uint8_t *source = rows + c * row_bytes + b * 18;
            uint8_t *block = panel + b * MARTLET_Q4_0_BLOCK_BYTES;
            put_nibbles(block, c, source + 2);
            memcpy(block + 512 + c * 2, source, 2);
        }
    }
}

void martlet_pack_q4_1(const uint8_t *rows, int64_t row_bytes, int64_t columns, int64_t blocks, uint8_t *panel) {
    if (columns < COLUMNS) memset(panel, 0, (size_t)(blocks * MARTLET_Q4_1_BLOCK_BYTES));
    for (int64_t c = 0; c < columns; c++) {
        for (int64_t b = 0; b < blocks; b++) {
            const uint8_t *source = rows + c * row_bytes + b * 20;
            uint8_t *block = panel + b * MARTLET_Q4_1_BLOCK_BYTES;
            put_nibbles(block, c, source + 4);
            memcpy(block + 512 + c * 2, source, 2);
            // Kernels round minimums by adding to their bits, which must not carry out of a NaN.
            const uint16_t given = load16(source + 2), minimum = (given & 0x7fffu) > 0x7c00u ? 0x7e00 : given;
            memcpy(block + 576 + c * 2, &minimum, 2);
        }
    }
}

void martlet_pack_q8_0(const uint8_t *rows, int64_t row_bytes, int64_t columns, int64_t blocks, uint8_t *panel) {
    if (columns < COLUMNS) memset(panel, 0, (size_t)(blocks * MARTLET_Q8_0_BLOCK_BYTES));
    for (int64_t c = 0; c < columns; c++) {
        for (int64_t b = 0; b < blocks; b++) {
            const uint8_t *source = rows + c * row_bytes + b * 34;
            uint8_t *block = panel + b * MARTLET_Q8_0_BLOCK_BYTES;
            for (int64_t k = 0; k < 32; k += 4) {
                uint32_t four;
                memcpy(&four, source + 2 + k, 4);
                four ^= 0x80808080u;
                memcpy(block + byte_index(k, c), &four, 4);
            }
            memcpy(block + 1024 + c * 2, source, 2);
        }
    }
}

// The bits of the power of two that makes the largest of some magnitudes 4096 to 8192, or of the smallest normal one; 0
// where all are 0, because products of subnormal numbers may be slow.
static uint32_t scale_of_words(const float *values, int64_t count) {
    uint32_t largest = 0;
    for (int64_t k = 0; k < count; k++) {
        uint32_t magnitude = __builtin_bit_cast(uint32_t, values[k]) & 0x7fffffffu;
        if (magnitude > largest) largest = magnitude;
    }
    if (largest == 0) return 0;
    if (largest >= 0x7f800000u) return 0x7fc00000u;
    const uint32_t exponent = largest >> 23;
    return (exponent > 13 ? exponent - 12 : 1) << 23;
}

void martlet_pack_words(const float *rows, int64_t columns, int64_t inputs, uint8_t *panel) {
    const int64_t blocks = (inputs + 31) / 32;
    if (columns < COLUMNS || inputs % 32) memset(panel, 0, (size_t)(blocks * MARTLET_WORDS_BLOCK_BYTES));
    for (int64_t b = 0; b < blocks; b++) {
        int16_t *words = (int16_t *)(panel + b * MARTLET_WORDS_BLOCK_BYTES);
        uint16_t *scales = (uint16_t *)(words + 32 * COLUMNS);
        const int64_t count = inputs - b * 32 < 32 ? inputs - b * 32 : 32;
        for (int64_t c = 0; c < columns; c++) {
            const float *values = rows + c * inputs + b * 32;
            const uint32_t bits = scale_of_words(values, count);
            scales[c] = (uint16_t)(bits >> 16);
            const bool finite = bits < 0x7f800000u;
            // The scale's inverse, exactly; adding 1.5 * 2^23 rounds to even and leaves the number in the low bits.
            const float inverse = finite ? __builtin_bit_cast(float, (254u << 23) - bits) : 0;
            for (int64_t k = 0; k < count; k++) {
                const float shifted = (finite ? values[k] : 0) * inverse + 12582912.0f;
                words[word_index(k, c)] = (int16_t)(__builtin_bit_cast(int32_t, shifted) - 0x4b400000);
            }
        }
    }
}

void martlet_pack_bf16(const float *rows, int64_t columns, int64_t inputs, uint16_t *panel) {
    int64_t pairs = (inputs + 1) / 2;
    if (columns < COLUMNS || inputs & 1) memset(panel, 0, (size_t)(pairs * COLUMNS * 2) * sizeof(uint16_t));
    for (int64_t c = 0; c < columns; c++)
        for (int64_t k = 0; k < inputs; k++) panel[word_index(k, c)] = round_bf16_scalar(rows[c * inputs + k]);
}

// Four inputs at a time, as they lie: each four are on another cache line, and a processor that is soon done with some reads
// more of them at once.
static void unpack_nibbles(const uint8_t *block, int64_t column, int zero, float minimum, float *output) {
    const float scale = half_to_float(load16(block + 512 + column * 2));
    for (int64_t k = 0; k < 16; k += 4) {
        uint8_t packed[4];
        memcpy(packed, block + byte_index(k, column), 4);
        for (int i = 0; i < 4; i++) {
            output[k + i] = (float)((packed[i] & 15) - zero) * scale + minimum;
            output[k + i + 16] = (float)((packed[i] >> 4) - zero) * scale + minimum;
        }
    }
}

void martlet_unpack_q4_1(const uint8_t *panel, int64_t column, int64_t blocks, float *output) {
    for (int64_t b = 0; b < blocks; b++, output += 32) {
        const uint8_t *block = panel + b * MARTLET_Q4_1_BLOCK_BYTES;
        unpack_nibbles(block, column, 0, half_to_float(load16(block + 576 + column * 2)), output);
    }
}

void martlet_unpack_q4_0(const uint8_t *panel, int64_t column, int64_t blocks, float *output) {
    // Which changes no number, be it -0.
    for (int64_t b = 0; b < blocks; b++, output += 32)
        unpack_nibbles(panel + b * MARTLET_Q4_0_BLOCK_BYTES, column, 8, -0.0f, output);
}

void martlet_unpack_q8_0(const uint8_t *panel, int64_t column, int64_t blocks, float *output) {
    for (int64_t b = 0; b < blocks; b++, output += 32) {
        const uint8_t *block = panel + b * MARTLET_Q8_0_BLOCK_BYTES;
        float scale = half_to_float(load16(block + 1024 + column * 2));
        for (int64_t k = 0; k < 32; k += 4) {
            uint8_t bytes[4];
            memcpy(bytes, block + byte_index(k, column), 4);
            for (int i = 0; i < 4; i++) output[k + i] = (float)((int)bytes[i] - 128) * scale;
        }
    }
}

void martlet_unpack_words(const uint8_t *panel, int64_t column, int64_t inputs, float *output) {
    for (int64_t k = 0; k < inputs; k++) {
        const uint8_t *block = panel + k / 32 * MARTLET_WORDS_BLOCK_BYTES;
        const int16_t word = (int16_t)load16(block + word_index(k % 32, column) * 2);
        const uint32_t scale = (uint32_t)load16(block + 32 * COLUMNS * 2 + column * 2) << 16;
        output[k] = (float)word * __builtin_bit_cast(float, scale);
    }
}

void martlet_unpack_bf16(const uint16_t *panel, int64_t column, int64_t inputs, float *output) {
    for (int64_t k = 0; k < inputs; k++) {
        uint32_t bits = (uint32_t)panel[word_index(k, column)] << 16;
        output[k] = __builtin_bit_cast(float, bits);
    }
}
