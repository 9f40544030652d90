// SPDX-License-Identifier: Apache-2.0
//
// Panels of bf16 in twelve bits, without loss: of a trained matrix's numbers nearly all have one of a few exponents.

#include "CMartletKernels.h"
#include "conversions.h"
#include "twelve_bit.h"

#include <string.h>

#define COLUMNS MARTLET_PANEL_COLUMNS

// Where a pair's number `index` stands among its 64, and the other way round.
static int64_t position_of(int64_t index) { return index % 32 / 8 * 16 + index / 32 * 8 + index % 8; }
static int64_t index_at(int64_t position) { return position % 16 / 8 * 32 + position / 16 * 8 + position % 8; }

// The most frequent upper bytes first, as many as a table holds; returns how many numbers of the block have another one.
static int64_t choose_table(const uint16_t *words, uint8_t *table) {
    uint16_t counts[256] = {0};
    for (int64_t i = 0; i < MARTLET_TWELVE_BIT_INPUTS * COLUMNS; i++) counts[words[i] >> 8]++;
    uint8_t present[256];
    int64_t kinds = 0, others = 0;
    for (int byte = 0; byte < 256; byte++)
        if (counts[byte]) present[kinds++] = (uint8_t)byte;
    for (int64_t t = 0; t < 16; t++) {
        int64_t most = t;
        for (int64_t i = t + 1; i < kinds; i++)
            if (counts[present[i]] > counts[present[most]]) most = i;
        if (t >= kinds) {
            table[t] = 0;
            continue;
        }
        table[t] = present[most];
        present[most] = present[t];
    }
    for (int64_t i = 16; i < kinds; i++) others += counts[present[i]];
    return others;
}

static bool pack_block(const uint16_t *words, uint8_t *block) {
    if (choose_table(words, block) > MARTLET_TWELVE_BIT_PATCHES) return false;
    uint8_t codes[256];
    memset(codes, 16, sizeof codes);
    for (int t = 15; t >= 0; t--) codes[block[t]] = (uint8_t)t;
    uint8_t *patch = block + TWELVE_BIT_PATCHES, *unit = block + TWELVE_BIT_UNITS;
    memset(patch, 0xff, MARTLET_TWELVE_BIT_PATCHES * 4);
    for (int64_t first = 0; first < MARTLET_TWELVE_BIT_INPUTS * COLUMNS; first += 128, unit += TWELVE_BIT_UNIT_BYTES)
        for (int64_t pair = 0; pair < 2; pair++)
            for (int64_t position = 0; position < 64; position++) {
                const uint16_t index = (uint16_t)(first + pair * 64 + index_at(position)), word = words[index];
                uint8_t code = codes[word >> 8];
                if (code > 15) {
                    memcpy(patch, &index, 2), memcpy(patch + 2, &word, 2);
                    patch += 4, code = 0;
                }
                unit[pair * 64 + position] = (uint8_t)word;
                unit[128 + position] = (uint8_t)(pair == 0 ? code : unit[128 + position] | code << 4);
            }
    return true;
}

bool martlet_pack_twelve_bit(const float *rows, int64_t columns, int64_t inputs, uint8_t *panel) {
    for (int64_t first = 0; first < inputs; first += MARTLET_TWELVE_BIT_INPUTS) {
        uint16_t words[MARTLET_TWELVE_BIT_INPUTS * COLUMNS];
        const int64_t count = inputs - first < MARTLET_TWELVE_BIT_INPUTS ? inputs - first : MARTLET_TWELVE_BIT_INPUTS;
        if (columns < COLUMNS || count < MARTLET_TWELVE_BIT_INPUTS) memset(words, 0, sizeof words);
        for (int64_t c = 0; c < columns; c++)
            for (int64_t k = 0; k < count; k++)
                words[word_index(k, c)] = round_bf16_scalar(rows[c * inputs + first + k]);
        if (!pack_block(words, panel)) return false;
        panel += MARTLET_TWELVE_BIT_BLOCK_BYTES;
    }
    return true;
}

void martlet_unpack_twelve_bit(const uint8_t *panel, int64_t column, int64_t inputs, float *output) {
    for (int64_t k = 0; k < inputs; k++) {
        const uint8_t *block = panel + k / MARTLET_TWELVE_BIT_INPUTS * MARTLET_TWELVE_BIT_BLOCK_BYTES;
        const int64_t input = k % MARTLET_TWELVE_BIT_INPUTS, index = word_index(input, column);
        const int64_t position = position_of(index % 64), pair = input / 2 % 2;
        const uint8_t *unit = block + TWELVE_BIT_UNITS + input / 4 * TWELVE_BIT_UNIT_BYTES;
        const uint8_t code = unit[128 + position] >> (pair * 4) & 15;
        uint16_t word = (uint16_t)(block[code] << 8 | unit[pair * 64 + position]);
        for (int64_t i = 0; twelve_bit_patch(block, i).index != 0xffff; i++)
            if (twelve_bit_patch(block, i).index == index) word = twelve_bit_patch(block, i).word;
        output[k] = __builtin_bit_cast(float, (uint32_t)word << 16);
    }
}
