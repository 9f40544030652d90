// SPDX-License-Identifier: Apache-2.0
//
// Between GGUF's rows and panels of the formats that MartletBlockLayout describes. Run once a weight at load, and once a
// token for its embedding. GGUF's layouts: https://github.com/ggml-org/ggml, ggml-common.h.

#include "CMartletKernels.h"
#include "code_tables.h"
#include "conversions.h"

#include <string.h>

#pragma clang fp contract(off)

#define INLINE static inline __attribute__((always_inline))
#define COLUMNS MARTLET_PANEL_COLUMNS

// A block of a row: codes in their order, and the factors that are its own.
typedef struct {
    uint8_t codes[MARTLET_BLOCK_LENGTH];
    uint8_t scales[2], minimums[2];
} Block;

// Bytes of a row that hold a section: a block of 32 or a super-block.
INLINE int64_t section_bytes(const MartletPanelFormat format) {
    switch (format) {
    case MartletPanelFormatQ5_0: return 22;
    case MartletPanelFormatQ5_1: return 24;
    case MartletPanelFormatQ2_K: return 84;
    case MartletPanelFormatQ3_K: return 110;
    case MartletPanelFormatQ4_K: return 144;
    case MartletPanelFormatQ5_K: return 176;
    case MartletPanelFormatQ6_K: return 210;
    case MartletPanelFormatIQ4_NL: return 18;
    case MartletPanelFormatIQ4_XS: return 136;
    case MartletPanelFormatMXFP4: return 17;
    default: return 0;
    }
}

// The section's scale and minimum, as the head keeps them.
INLINE void read_head(const MartletPanelFormat format, const uint8_t *section, uint16_t *scale, uint16_t *minimum) {
    *minimum = 0;
    switch (format) {
    case MartletPanelFormatQ2_K: *scale = load16(section + 80), *minimum = load16(section + 82); break;
    case MartletPanelFormatQ3_K: *scale = load16(section + 108); break;
    case MartletPanelFormatQ6_K: *scale = load16(section + 208); break;
    case MartletPanelFormatQ5_1:
    case MartletPanelFormatQ4_K:
    case MartletPanelFormatQ5_K: *scale = load16(section), *minimum = load16(section + 2); break;
    // 2^(e - 128) as bf16: below 2^-126 a bit of the mantissa.
    case MartletPanelFormatMXFP4: *scale = (uint16_t)(section[0] > 1 ? (section[0] - 1) << 7 : 0x20 << section[0]); break;
    default: *scale = load16(section);
    }
}

// Six bits of a scale and a minimum, of which eight each stand in twelve bytes.
INLINE void read_six_bits(const uint8_t *bytes, int s, Block *block) {
    if (s < 4) {
        block->scales[0] = bytes[s] & 63;
        block->minimums[0] = bytes[s + 4] & 63;
    } else {
        block->scales[0] = (uint8_t)((bytes[s + 4] & 15) | bytes[s - 4] >> 6 << 4);
        block->minimums[0] = (uint8_t)(bytes[s + 4] >> 4 | bytes[s] >> 6 << 4);
    }
}

// A signed scale of Q3_K, of which sixteen stand in twelve bytes: four low bits each, then two high ones.
INLINE uint8_t read_signed_six_bits(const uint8_t *bytes, int s) {
    const int low = s < 8 ? bytes[s] & 15 : bytes[s - 8] >> 4, high = bytes[8 + s % 4] >> 2 * (s / 4) & 3;
    return (uint8_t)((low | high << 4) - 32);
}

// Block `s` of a section.
INLINE Block read_block(const MartletPanelFormat format, const uint8_t *section, int s) {
    Block block = {{0}, {0}, {0}};
    // Which half of a super-block's 256, and which 32 of its half.
    const int h = s / 4, j = s % 4;
    switch (format) {
    case MartletPanelFormatQ5_0:
    case MartletPanelFormatQ5_1: {
        const uint8_t *high = section + (format == MartletPanelFormatQ5_0 ? 2 : 4);
        for (int i = 0; i < 16; i++) {
            block.codes[i] = (uint8_t)((high[4 + i] & 15) | (high[i / 8] >> i % 8 & 1) << 4);
            block.codes[i + 16] = (uint8_t)(high[4 + i] >> 4 | (high[2 + i / 8] >> i % 8 & 1) << 4);
        }
        break;
    }
    case MartletPanelFormatQ2_K:
        for (int i = 0; i < 32; i++) block.codes[i] = section[16 + 32 * h + i] >> 2 * j & 3;
        for (int i = 0; i < 2; i++) block.scales[i] = section[2 * s + i];
        break;
    case MartletPanelFormatQ3_K:
        for (int i = 0; i < 32; i++)
            block.codes[i] = (uint8_t)((section[32 + 32 * h + i] >> 2 * j & 3) | (section[i] >> s & 1) << 2);
        for (int i = 0; i < 2; i++) block.scales[i] = read_signed_six_bits(section + 96, 2 * s + i);
        break;
    case MartletPanelFormatQ4_K:
        for (int i = 0; i < 32; i++) block.codes[i] = section[16 + s / 2 * 32 + i] >> 4 * (s % 2) & 15;
        read_six_bits(section + 4, s, &block);
        break;
    case MartletPanelFormatQ5_K:
        for (int i = 0; i < 32; i++)
            block.codes[i] = (uint8_t)((section[48 + s / 2 * 32 + i] >> 4 * (s % 2) & 15) | (section[16 + i] >> s & 1) << 4);
        read_six_bits(section + 4, s, &block);
        break;
    case MartletPanelFormatQ6_K:
        for (int i = 0; i < 32; i++) {
            const int low = section[64 * h + 32 * (j % 2) + i] >> 4 * (j / 2) & 15;
            block.codes[i] = (uint8_t)(low | (section[128 + 32 * h + i] >> 2 * j & 3) << 4);
        }
        for (int i = 0; i < 2; i++) block.scales[i] = section[192 + 2 * s + i];
        break;
    case MartletPanelFormatIQ4_NL:
    case MartletPanelFormatIQ4_XS:
    case MartletPanelFormatMXFP4: {
        const uint8_t *packed = section + (format == MartletPanelFormatIQ4_XS ? 8 + 16 * s : format == MartletPanelFormatMXFP4 ? 1 : 2);
        for (int i = 0; i < 16; i++) block.codes[i] = packed[i] & 15, block.codes[i + 16] = packed[i] >> 4;
        if (format == MartletPanelFormatIQ4_XS) {
            const int low = section[4 + s / 2] >> 4 * (s % 2) & 15, high = load16(section + 2) >> 2 * s & 3;
            block.scales[0] = (uint8_t)((low | high << 4) - 32);
        }
        break;
    }
    default: break;
    }
    return block;
}

// Four codes as they lie in memory.
INLINE uint32_t four(const Block *block, int group) {
    uint32_t codes;
    memcpy(&codes, block->codes + group * 4, 4);
    return codes;
}

// The columns' bytes of four inputs lie together, in halves of 16 columns.
INLINE void put_four(uint8_t *lines, int64_t column, uint32_t bytes) { memcpy(lines + column / 16 * 64 + column % 16 * 4, &bytes, 4); }

INLINE void put_codes(const MartletBlockLayout layout, const Block *block, uint8_t *codes, int64_t column) {
    if (layout.lowBits == 4)
        for (int g = 0; g < 4; g++)
            put_four(codes + g * 128, column, (four(block, g) & 0x0f0f0f0fu) | (four(block, g + 4) & 0x0f0f0f0fu) << 4);
    uint32_t bits[2] = {0, 0};
    if (layout.lowBits == 2) {
        for (int g = 0; g < 8; g++) bits[g / 4] |= (four(block, g) & 0x03030303u) << 2 * (g % 4);
        for (int half = 0; half < 2; half++) put_four(codes + half * 128, column, bits[half]);
    }
    uint8_t *high = codes + layout.lowBits * 128;
    bits[0] = bits[1] = 0;
    if (layout.highBits == 1) {
        for (int g = 0; g < 8; g++) bits[0] |= (four(block, g) >> layout.lowBits & 0x01010101u) << g;
        put_four(high, column, bits[0]);
    }
    if (layout.highBits == 2) {
        for (int g = 0; g < 8; g++) bits[g / 4] |= (four(block, g) >> layout.lowBits & 0x03030303u) << 2 * (g % 4);
        for (int half = 0; half < 2; half++) put_four(high + half * 128, column, bits[half]);
    }
}

INLINE void pack(const MartletPanelFormat format, const uint8_t *rows, int64_t row_bytes, int64_t columns, int64_t blocks,
                 uint8_t *panel) {
    const MartletBlockLayout layout = martlet_block_layout(format);
    const int64_t head_bytes = martlet_head_bytes(layout), code_bytes = martlet_code_bytes(layout);
    const int count = (int)martlet_section_blocks(layout);
    const int64_t step = head_bytes + count * code_bytes;
    if (columns < COLUMNS) memset(panel, 0, (size_t)martlet_block_panel_bytes(layout, blocks));
    for (int64_t c = 0; c < columns; c++) {
        const uint8_t *section = rows + c * row_bytes;
        uint8_t *head = panel;
        for (int64_t b = 0; b < blocks; b += count, section += section_bytes(format), head += step) {
            uint16_t scale, minimum;
            read_head(format, section, &scale, &minimum);
            memcpy(head + c * 2, &scale, 2);
            if (layout.minimums) memcpy(head + 2 * COLUMNS + c * 2, &minimum, 2);
            uint8_t *bytes = head + (layout.minimums ? 4 : 2) * COLUMNS + c;
            for (int s = 0; s < count; s++) {
                const Block block = read_block(format, section, s);
                put_codes(layout, &block, head + head_bytes + s * code_bytes, c);
                for (int i = 0; i < layout.scaleCount && count > 1; i++) {
                    uint8_t *at = bytes + (s * layout.scaleCount + i) * COLUMNS;
                    *at = block.scales[i];
                    if (layout.minimums && layout.scales == MartletScalesBytes)
                        at[count * layout.scaleCount * COLUMNS] = block.minimums[i];
                }
            }
        }
    }
}

// The code of input k of a column.
INLINE int code_at(const MartletBlockLayout layout, const uint8_t *codes, int64_t column, int k) {
    const int half = k / 16, group = k % 16 / 4;
    const uint8_t *byte = codes + column / 16 * 64 + column % 16 * 4 + k % 4, *high = byte + layout.lowBits * 128;
    int code = layout.lowBits == 4 ? byte[group * 128] >> 4 * half & 15 : byte[half * 128] >> 2 * group & 3;
    if (layout.highBits == 1) code |= (high[0] >> (half * 4 + group) & 1) << layout.lowBits;
    if (layout.highBits == 2) code |= (high[half * 128] >> 2 * group & 3) << layout.lowBits;
    switch (layout.table) {
    case MartletCodeTableNone: return code;
    case MartletCodeTableIQ4: return martlet_iq4_codes[code];
    case MartletCodeTableE2M1: return martlet_e2m1_codes[code];
    }
}

INLINE void unpack(const MartletPanelFormat format, const uint8_t *panel, int64_t column, int64_t blocks, float *output) {
    const MartletBlockLayout layout = martlet_block_layout(format);
    const int64_t head_bytes = martlet_head_bytes(layout), code_bytes = martlet_code_bytes(layout);
    const int count = (int)martlet_section_blocks(layout), scales = layout.scaleCount;
    for (int64_t b = 0; b < blocks; b++, output += MARTLET_BLOCK_LENGTH) {
        const uint8_t *head = panel + b / count * (head_bytes + count * code_bytes);
        const uint16_t bits = load16(head + column * 2);
        const float first = layout.scales == MartletScalesBFloat16 ? __builtin_bit_cast(float, (uint32_t)bits << 16) : half_to_float(bits);
        const float least = layout.minimums ? half_to_float(load16(head + 2 * COLUMNS + column * 2)) : 0;
        const uint8_t *bytes = head + (layout.minimums ? 4 : 2) * COLUMNS + column;
        for (int s = 0; s < scales; s++) {
            const int64_t at = (b % count * scales + s) * COLUMNS;
            float scale = first, minimum = least;
            switch (layout.scales) {
            case MartletScalesFloat16:
            case MartletScalesBFloat16: break;
            case MartletScalesBytes:
                scale *= bytes[at];
                minimum *= -(float)bytes[at + count * scales * COLUMNS];
                break;
            case MartletScalesSignedBytes: scale *= (int8_t)bytes[at]; break;
            case MartletScalesNibbles:
                scale *= bytes[at] & 15;
                minimum *= -(float)(bytes[at] >> 4);
                break;
            }
            const int length = MARTLET_BLOCK_LENGTH / scales;
            for (int k = s * length; k < (s + 1) * length; k++) {
                const float product = scale * (float)(code_at(layout, head + head_bytes + b % count * code_bytes, column, k) - layout.zero);
                output[k] = layout.minimums ? product + minimum : product;
            }
        }
    }
}

// Each format's loops by themselves, so that what a layout says is a constant in them.
#define EACH_FORMAT(call)                                                                            \
    switch (format) {                                                                                \
    case MartletPanelFormatQ5_0: call(MartletPanelFormatQ5_0); break;                                \
    case MartletPanelFormatQ5_1: call(MartletPanelFormatQ5_1); break;                                \
    case MartletPanelFormatQ2_K: call(MartletPanelFormatQ2_K); break;                                \
    case MartletPanelFormatQ3_K: call(MartletPanelFormatQ3_K); break;                                \
    case MartletPanelFormatQ4_K: call(MartletPanelFormatQ4_K); break;                                \
    case MartletPanelFormatQ5_K: call(MartletPanelFormatQ5_K); break;                                \
    case MartletPanelFormatQ6_K: call(MartletPanelFormatQ6_K); break;                                \
    case MartletPanelFormatIQ4_NL: call(MartletPanelFormatIQ4_NL); break;                            \
    case MartletPanelFormatIQ4_XS: call(MartletPanelFormatIQ4_XS); break;                            \
    case MartletPanelFormatMXFP4: call(MartletPanelFormatMXFP4); break;                              \
    default: __builtin_trap();                                                                       \
    }

void martlet_pack_blocks(MartletPanelFormat format, const uint8_t *rows, int64_t row_bytes, int64_t columns, int64_t blocks,
                         uint8_t *panel) {
#define PACK(constant) pack(constant, rows, row_bytes, columns, blocks, panel)
    EACH_FORMAT(PACK)
}

void martlet_unpack_blocks(MartletPanelFormat format, const uint8_t *panel, int64_t column, int64_t blocks, float *output) {
#define UNPACK(constant) unpack(constant, panel, column, blocks, output)
    EACH_FORMAT(UNPACK)
}
