// SPDX-License-Identifier: Apache-2.0
//
// The CPU's innermost loops. Raw pointers and sizes in, nothing allocated, nothing kept.
// One portable source (the .inc files) is compiled once for each instruction set; a table of function
// pointers is chosen at start. What computes has a plain Swift twin: in MartletCPU/Reference, attention's in
// MartletAttention.

#ifndef CMARTLETKERNELS_H
#define CMARTLETKERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma clang assume_nonnull begin

/// Output columns in a weight panel, and inputs in a quantised block.
#define MARTLET_PANEL_COLUMNS 32
#define MARTLET_BLOCK_LENGTH 32
/// Bytes of a 32 x 32 block of a panel: Q4_1 `[4 groups][2 halves][64]` nibbles, f16 scale[32], f16 minimum[32]; Q4_0 the
/// same nibbles (q + 8), f16 scale[32]; Q8_0 `[8 groups][2 halves][64]` bytes (q + 128), f16 scale[32]; words
/// `[16 pairs][32 columns][2]` int16, bf16 scale[32].
#define MARTLET_Q4_1_BLOCK_BYTES 640
#define MARTLET_Q4_0_BLOCK_BYTES 576
#define MARTLET_Q8_0_BLOCK_BYTES 1088
#define MARTLET_WORDS_BLOCK_BYTES 2112
/// Bf16 in twelve bits, 64 inputs x 32 columns. An upper byte (sign and seven bits of the exponent) is kept as its index
/// among the sixteen most frequent ones, a lower byte as it is, so nothing is lost. The block holds `table[16]` bytes, 12
/// patches (u16 index as in a panel of bf16, 0xffff behind the last patch; u16 bf16 number) for numbers whose upper byte
/// the table lacks, then for every four inputs `[2 pairs][64]` lower bytes and `[64]` nibbles, the second pair's in the
/// upper half. Among a pair's 64 numbers those of columns 4g ..< 4g + 4 stand beside those of columns
/// 16 + 4g ..< 16 + 4g + 4.
#define MARTLET_TWELVE_BIT_BLOCK_BYTES 3136
#define MARTLET_TWELVE_BIT_INPUTS 64
#define MARTLET_TWELVE_BIT_PATCHES 12
/// The largest magnitudes of words, so that 32 products of them fit into 32 bits.
#define MARTLET_LARGEST_WEIGHT_WORD 8192
#define MARTLET_LARGEST_ACTIVATION_WORD 8191
/// Tokens in a group of the KV cache as the kernels lay it out, and in a tile of the softmax.
#define MARTLET_CACHE_GROUP 16
#define MARTLET_ATTENTION_TILE 64
/// Rows, (token, head) pairs, that attention computes at a time: their accumulators stay in the first cache.
#define MARTLET_ATTENTION_ROWS 48
#define MARTLET_MAX_HEAD_SIZE 512
/// The largest whole numbers that a cache of int16 keeps. What a key is multiplied with adds up to 2^18 at most, what 64
/// values are to 2^15, so that sums of products fit into 32 bits.
#define MARTLET_LARGEST_KEY_WORD 8191
#define MARTLET_LARGEST_VALUE_WORD 32767

/// Rows of activations that lie together, as many as a linear layer's tile has.
#define MARTLET_ROW_GROUP 8

/// What activations are rounded to before a linear layer multiplies them.
typedef enum __attribute__((enum_extensibility(closed))) {
    MartletActivationsInt8,      ///< blocks of 32: x = scale * q, q in ±127
    MartletActivationsInt16,     ///< the same, q = 256 * high + low in ±32639
    MartletActivationsWords,     ///< the same, q in ±8191: for machines that multiply int16 faster than bf16
    MartletActivationsBfloat16,
} MartletActivations;

/// Rows of activations as linear layers read them: `[rows / 8][records]`, a record holding for 8 rows
/// - of a block of 32 inputs: `[1 or 2 planes: high, low][8][32]` bytes, then f32 scale[8], f32 scale * sum(q) [8] (what a
///   4-bit block's minimum is multiplied with) and i32 -128 * sum(q) [8] (what an 8-bit weight's bias of 128 costs, and a
///   centered 4-bit one's of 8 a sixteenth of it). With one plane, in a table that `storesSumsAsPairs`, the field of
///   scale * sum(q) is bf16 `[8][2]` for two blocks in the first one's record, and unused in the second one's;
/// - of a block of words: `[8][32]` int16, then f32 scale[8]; inputs beyond the last are 0;
/// - of a pair of bf16 inputs: `[8][2]`.
typedef struct {
    uint8_t *base;
    int64_t columns;
    MartletActivations format;
} MartletLinearInput;

static inline int64_t martlet_record_bytes(MartletActivations format) {
    switch (format) {
    case MartletActivationsInt8: return MARTLET_ROW_GROUP * (MARTLET_BLOCK_LENGTH + 3 * 4);
    case MartletActivationsInt16: return MARTLET_ROW_GROUP * (2 * MARTLET_BLOCK_LENGTH + 3 * 4);
    case MartletActivationsWords: return MARTLET_ROW_GROUP * (2 * MARTLET_BLOCK_LENGTH + 4);
    case MartletActivationsBfloat16: return MARTLET_ROW_GROUP * 4;
    }
}

/// Records of a group of rows.
static inline int64_t martlet_records(MartletActivations format, int64_t columns) {
    const int64_t inputs = format == MartletActivationsBfloat16 ? 2 : MARTLET_BLOCK_LENGTH;
    return (columns + inputs - 1) / inputs;
}

/// How a weight is packed: as its file has it, but for matrices of floats.
typedef enum __attribute__((enum_extensibility(closed))) {
    MartletPanelFormatQ4_1, ///< x = scale * q + minimum, q in 0 ... 15
    MartletPanelFormatQ4_0, ///< x = scale * q, q in -8 ... 7
    MartletPanelFormatQ8_0,
    // As MartletBlockLayout describes them.
    MartletPanelFormatQ5_0,
    MartletPanelFormatQ5_1,
    MartletPanelFormatQ2_K,
    MartletPanelFormatQ3_K,
    MartletPanelFormatQ4_K,
    MartletPanelFormatQ5_K,
    MartletPanelFormatQ6_K,
    MartletPanelFormatIQ4_NL,
    MartletPanelFormatIQ4_XS,
    MartletPanelFormatMXFP4,
    MartletPanelFormatWords,     ///< of floats: x = scale * q, whose scale is a power of two, in blocks of 32 inputs
    MartletPanelFormatBfloat16,  ///< `[inputs / 2][32 columns][2]`
    MartletPanelFormatTwelveBit, ///< the same numbers in fewer bits
} MartletPanelFormat;

typedef struct {
    const uint8_t *base;
    int64_t panelBytes;
    MartletPanelFormat format;
} MartletPanels;

/// What codes stand for.
typedef enum __attribute__((enum_extensibility(closed))) {
    MartletCodeTableNone, ///< themselves
    MartletCodeTableIQ4,  ///< the sixteen numbers of IQ4_NL
    MartletCodeTableE2M1, ///< twice the numbers of E2M1
} MartletCodeTable;

/// What a section's factors are.
typedef enum __attribute__((enum_extensibility(closed))) {
    MartletScalesFloat16,     ///< an f16 scale for a block
    MartletScalesBFloat16,    ///< a bf16 scale for a block
    MartletScalesBytes,       ///< an f16 scale for eight blocks, and an unsigned byte that multiplies it for each
    MartletScalesSignedBytes, ///< the same with signed bytes
    MartletScalesNibbles,     ///< the same with nibbles, of a byte that holds the minimum's, too, above
} MartletScales;

/// Blocks of a section whose scales share factors: GGUF's super-block of 256 inputs.
#define MARTLET_SECTION_BLOCKS 8

/// How blocks of 32 inputs x 32 columns lie in a panel: x = scale * (number of the code - zero) + minimum. A panel is
/// sections of one block or, with bytes or nibbles of scales, of eight. A section is its head and its blocks' codes. The
/// head is scale[32], then with minimums another f16[32], then bytes `[8 blocks][1 or 2 scales][32]`, then with minimums and
/// no nibbles such bytes for these, which are subtracted. The codes of a block are their low bits and then their high ones:
/// of four bits `[4 groups][2 halves][64]` nibbles, of two `[2 halves of inputs][2 halves][64]` with group g's bits at 2g, of
/// one `[2 halves][64]` with group g's bit at g.
typedef struct {
    int lowBits;    ///< 4 or 2
    int highBits;   ///< 0, 1 or 2
    MartletCodeTable table;
    int zero;       ///< of one scale a block a power of two up to 128, or 0
    MartletScales scales;
    int scaleCount; ///< scales a block: one, or two of 16 inputs each
    bool minimums;
} MartletBlockLayout;

/// The layout of a format, of none where `lowBits` is 0.
static inline MartletBlockLayout martlet_block_layout(MartletPanelFormat format) {
    switch (format) {
    case MartletPanelFormatQ5_0: return (MartletBlockLayout){4, 1, MartletCodeTableNone, 16, MartletScalesFloat16, 1, false};
    case MartletPanelFormatQ5_1: return (MartletBlockLayout){4, 1, MartletCodeTableNone, 0, MartletScalesFloat16, 1, true};
    case MartletPanelFormatQ2_K: return (MartletBlockLayout){2, 0, MartletCodeTableNone, 0, MartletScalesNibbles, 2, true};
    case MartletPanelFormatQ3_K: return (MartletBlockLayout){2, 1, MartletCodeTableNone, 4, MartletScalesSignedBytes, 2, false};
    case MartletPanelFormatQ4_K: return (MartletBlockLayout){4, 0, MartletCodeTableNone, 0, MartletScalesBytes, 1, true};
    case MartletPanelFormatQ5_K: return (MartletBlockLayout){4, 1, MartletCodeTableNone, 0, MartletScalesBytes, 1, true};
    case MartletPanelFormatQ6_K: return (MartletBlockLayout){4, 2, MartletCodeTableNone, 32, MartletScalesSignedBytes, 2, false};
    case MartletPanelFormatIQ4_NL: return (MartletBlockLayout){4, 0, MartletCodeTableIQ4, 128, MartletScalesFloat16, 1, false};
    case MartletPanelFormatIQ4_XS: return (MartletBlockLayout){4, 0, MartletCodeTableIQ4, 128, MartletScalesSignedBytes, 1, false};
    case MartletPanelFormatMXFP4: return (MartletBlockLayout){4, 0, MartletCodeTableE2M1, 16, MartletScalesBFloat16, 1, false};
    case MartletPanelFormatQ4_1:
    case MartletPanelFormatQ4_0:
    case MartletPanelFormatQ8_0:
    case MartletPanelFormatWords:
    case MartletPanelFormatBfloat16:
    case MartletPanelFormatTwelveBit: return (MartletBlockLayout){0, 0, MartletCodeTableNone, 0, MartletScalesFloat16, 0, false};
    }
}

/// Blocks of a section.
static inline int64_t martlet_section_blocks(MartletBlockLayout layout) {
    return layout.scales <= MartletScalesBFloat16 ? 1 : MARTLET_SECTION_BLOCKS;
}

/// Bytes of a section's head.
static inline int64_t martlet_head_bytes(MartletBlockLayout layout) {
    const int64_t bytes = layout.scales <= MartletScalesBFloat16 ? 0 : MARTLET_SECTION_BLOCKS * layout.scaleCount;
    const bool apart = layout.minimums && layout.scales != MartletScalesNibbles;
    return MARTLET_PANEL_COLUMNS * ((layout.minimums ? 4 : 2) + (apart ? 2 : 1) * bytes);
}

/// Bytes of a block's codes.
static inline int64_t martlet_code_bytes(MartletBlockLayout layout) { return (layout.lowBits + layout.highBits) * 128; }

/// Bytes of a panel of `blocks` blocks, which fill sections.
static inline int64_t martlet_block_panel_bytes(MartletBlockLayout layout, int64_t blocks) {
    return blocks / martlet_section_blocks(layout) * martlet_head_bytes(layout) + blocks * martlet_code_bytes(layout);
}

/// A function of each number by itself; the last is of a gate and what it lets through.
typedef enum __attribute__((enum_extensibility(closed))) {
    MartletFunctionSilu,          ///< x / (1 + e^-x)
    MartletFunctionGelu,          ///< x * Phi(x)
    MartletFunctionGeluTanh,      ///< 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
    MartletFunctionReluSquared,   ///< max(x, 0)^2
    MartletFunctionClampedSwiGLU, ///< (u + 1) g / (1 + e^(-alpha g)), g = min(gate, limit), u held to +-limit
} MartletFunction;

/// function(gate) * up, but for the last function.
typedef struct {
    MartletFunction function;
    float alpha;
    float limit;
} MartletGate;

/// (x - mean) / sqrt(mean((x - mean)^2) + epsilon) * weight + bias
typedef struct {
    const float *_Nullable weight;
    const float *_Nullable bias;
    float epsilon;
    bool centers;      ///< whether the mean is subtracted; otherwise it counts as 0
    bool accumulates;  ///< adds to what is there
} MartletNorm;

/// Where a linear layer's results go: `output[row * stride + column]`, columns < `columns`.
typedef struct {
    float *output;
    int64_t stride;
    int64_t columns;
    const float *_Nullable bias;   ///< [columns]
    bool accumulates;              ///< adds to what is there
} MartletLinearOutput;

/// The number formats that attention reads, keeps and writes.
typedef enum __attribute__((enum_extensibility(closed))) {
    MartletFormatBfloat16,
    MartletFormatFloat16,
    MartletFormatFloat32,
    MartletFormatFloat8E4M3,  ///< no infinities, largest 448
    MartletFormatFloat8E5M2,  ///< largest finite 57344
    MartletFormatInt16,       ///< of the cache alone: whole numbers, and an f32 unit for each head's key or value
} MartletFormat;

/// What is multiplied, and summed in 32 bits.
typedef enum __attribute__((enum_extensibility(closed))) {
    MartletProductFloat32,
    MartletProductBfloat16,
    MartletProductInt16,
    MartletProductInt8,
} MartletProduct;

/// A layer's attention: what all work items of a launch share.
typedef struct {
    const uint8_t *cache;          ///< the layer's part of the first chunk, as cache_layout.h draws it
    int64_t chunkBytes;            ///< from a chunk to the next
    int64_t chunkBlocks;           ///< blocks in a chunk
    MartletFormat cacheFormat;
    MartletFormat queryFormat;     ///< what queries are rounded to
    MartletFormat outputFormat;    ///< what outputs are rounded to
    MartletProduct product;        ///< int16 beside a cache of it; else bf16 or f32
    /// 8-bit caches: what each code stands for, `[256]`, in the product's format.
    const void *_Nullable keyTable;
    const void *_Nullable valueTable;
    int64_t keyValueHeads;
    int64_t groupSize;             ///< query heads a KV head
    int64_t headSize;              ///< a multiple of 8 up to MARTLET_MAX_HEAD_SIZE
    int64_t blockSize;             ///< a multiple of MARTLET_CACHE_GROUP
    int64_t segmentLength;         ///< a multiple of MARTLET_ATTENTION_TILE
    float queryScale;              ///< 8-bit queries are divided by it before they are rounded
    float scale;                   ///< multiplies scores
    float outputFactor;            ///< multiplies outputs before they are rounded
    float softcap;                 ///< 0: none
    bool causal;
    int64_t window;                ///< keys that a row sees, itself included; 0: all
    int64_t chunk;                 ///< tokens in a chunk; 0: no chunks
    int64_t chunkLookback;         ///< chunks seen before a row's own
    const float *_Nullable sinks;  ///< [query heads]
    const float *_Nullable slopes; ///< [query heads]: ALiBi
    bool slopesOfSquareRoot;       ///< ALiBi of the distance's square root
} MartletAttentionLayer;

/// One work item: consecutive query rows of one sequence against some segments of its keys.
typedef struct {
    const float *query;            ///< first row, `[query heads, headSize]`
    int64_t queryStride;
    float *output;                 ///< first row, `[query heads, headSize]`
    int64_t outputStride;
    const int32_t *blockTable;     ///< the sequence's blocks
    int64_t rows;                  ///< query tokens
    int64_t firstPosition;         ///< the first row's position in its sequence
    int64_t contextLength;         ///< position of the sequence's first query token of this step
    int64_t sequenceLength;        ///< keys that exist
    int64_t firstSegment;
    int64_t segmentCount;
    /// `[rows][partialStride][query heads][martlet_partial_floats]`, the item's first segment first;
    /// null: the item holds all segments, folds them and writes the output.
    float *_Nullable partials;
    int64_t partialStride;
    const int32_t *_Nullable prefixRanges; ///< `[prefixRangeCount][2]`, inclusive; keys that see each other
    int64_t prefixRangeCount;
    const float *_Nullable bias;   ///< [query token of the step, key - contextLength]
    int64_t biasStride;
    int64_t biasExtent;            ///< rows and columns that `bias` has
} MartletAttentionItem;

/// Floats that a segment leaves for one query head: accumulator, maximum, sum.
static inline int64_t martlet_partial_floats(int64_t headSize) { return (headSize + 15) / 16 * 16 + 16; }

typedef struct {
    /// How matrices of floats are packed: as words, or as bf16 in twelve bits and, where that can't be, bf16 itself.
    MartletPanelFormat floatPanels;
    /// Whether records of one plane keep scale * sum(q) as bf16, two blocks' together, because a product of two pairs of
    /// those takes no longer than one of f32. 4-bit minimums then meet int8 as bf16, too, of two equally near ones the
    /// larger in magnitude.
    bool storesSumsAsPairs;
    /// What a cache of 16 bits a number best keeps: bf16 or int16, whichever is multiplied faster.
    MartletFormat cacheFormat;
    /// Rounds columns `first ..< first + count` of rows `row ..< row + rows`, which `input` holds `stride` floats apart, to
    /// the output's format. Of quantised rows whole blocks; the last columns of words and of bf16 get zeros beside them.
    void (*encodeRows)(const float *input, int64_t stride, int64_t row, int64_t rows, int64_t first, int64_t count,
                       const MartletLinearInput *output);
    /// Norms a row; `output` may be `input`.
    void (*norm)(const MartletNorm *norm, const float *input, float *output, int64_t count);
    /// output = function(input)
    void (*activate)(MartletFunction function, const float *input, float *output, int64_t count);
    /// output = function(gate) * up, where `input` is `[gate | up]`
    void (*gate)(const MartletGate *gate, const float *input, float *output, int64_t count);
    /// sum of a * b
    float (*dot)(const float *a, const float *b, int64_t count);
    /// Rotates adjacent pairs of each head; `angles` is `[cos | sin]`, each headSize / 2 long or shorter.
    void (*rotateHeads)(float *heads, int64_t count, int64_t headSize, const float *angles, int64_t pairs);
    /// The same of elements i and i + `pairs`.
    void (*rotateHalves)(float *heads, int64_t count, int64_t headSize, const float *angles, int64_t pairs);

    /// output[row, column] (+)= input[row] . weight[column] for rows 0 ..< rows and the columns of some panels.
    void (*linear)(const MartletLinearInput *input, int64_t rows, const MartletPanels *weight, int64_t panelBegin,
                   int64_t panelEnd, const MartletLinearOutput *output);
    /// output[row, column] = gating(input[row] . gate[column], input[row] . up[column]), rounded to the output's format.
    void (*gatedLinear)(const MartletLinearInput *input, int64_t rows, const MartletPanels *gate,
                        const MartletPanels *up, const MartletGate *gating, int64_t panelBegin, int64_t panelEnd,
                        const MartletLinearInput *output);

    /// Writes tokens' K (`headSize` floats each, `stride` from token to token) of one head into their cache block, rounded
    /// to `format`; 8-bit formats after a division by `scale`, saturating. As int16 the largest magnitude is
    /// MARTLET_LARGEST_KEY_WORD units, and what isn't finite makes its key NaN. `keys` points at the head's part of the
    /// block, `offset` is the first token's number in the block.
    void (*writeKeys)(const float *key, int64_t stride, int64_t tokens, uint8_t *keys, int64_t offset, int64_t headSize,
                      MartletFormat format, float scale);
    /// The same for V, with MARTLET_LARGEST_VALUE_WORD.
    void (*writeValues)(const float *value, int64_t stride, int64_t tokens, uint8_t *values, int64_t offset,
                        int64_t headSize, MartletFormat format, float scale);
    /// Attention of one work item for the query heads in a half-open range.
    void (*attend)(const MartletAttentionLayer *layer, const MartletAttentionItem *item, int64_t headBegin,
                   int64_t headEnd);
    /// Folds `count` consecutive partials of one query token and writes its output, for a range of query heads.
    void (*merge)(const MartletAttentionLayer *layer, const float *partials, int64_t count, float *output,
                  int64_t headBegin, int64_t headEnd);

    /// Reads the cache that `attend` would read, in its order and with its prefetches, and nothing else: its limit.
    uint64_t (*readItem)(const MartletAttentionLayer *layer, const MartletAttentionItem *item);
    /// Reads `lines` cache lines in order.
    uint64_t (*readLines)(const void *memory, int64_t lines);
    /// Keeps the multipliers busy from registers; returns the operations done, a multiply and an add each counted.
    int64_t (*multiply)(MartletProduct product, int64_t repetitions);

    /// The largest finite value and, of the lowest index, where; -1 and -inf where nothing is finite.
    int64_t (*argumentOfMaximum)(const float *values, int64_t count, float *maximum);
    /// sum of exp((x - maximum) * factor) over the finite values; `weights`, if given, receives each term (0 where
    /// the value is not finite).
    double (*sumOfExponentials)(const float *values, int64_t count, float maximum, float factor,
                                float *_Nullable weights);
} MartletKernelTable;

/// Any x86-64 or other machine.
const MartletKernelTable *martlet_kernels_portable(void);
/// Null where the machine lacks AVX2, FMA or F16C.
const MartletKernelTable *_Nullable martlet_kernels_avx2(void);
/// Null where the machine lacks AVX-512 F, BW, DQ, VL, VBMI or VNNI.
const MartletKernelTable *_Nullable martlet_kernels_avx512(void);
/// The same with products of bf16; null where the machine lacks them.
const MartletKernelTable *_Nullable martlet_kernels_avx512_bf16(void);
/// Whether a machine that has products of bf16 is faster with them than with those of int16.
bool martlet_multiplies_bf16_fast(void);

/// Packs `columns` rows of a GGUF matrix (each `blocks` blocks of 32) into one panel; absent columns are zero.
void martlet_pack_q4_0(const uint8_t *rows, int64_t rowBytes, int64_t columns, int64_t blocks, uint8_t *panel);
void martlet_pack_q4_1(const uint8_t *rows, int64_t rowBytes, int64_t columns, int64_t blocks, uint8_t *panel);
void martlet_pack_q8_0(const uint8_t *rows, int64_t rowBytes, int64_t columns, int64_t blocks, uint8_t *panel);
/// The same of a format that has a MartletBlockLayout; `blocks` fill sections.
void martlet_pack_blocks(MartletPanelFormat format, const uint8_t *rows, int64_t rowBytes, int64_t columns, int64_t blocks,
                         uint8_t *panel);
/// The same for `columns` rows of `inputs` floats each. Of a column's block the largest weight becomes a word of 4096 to
/// MARTLET_LARGEST_WEIGHT_WORD (a smaller one below 2^-114), so that those of bf16 are kept as they are down to 1/32 of it;
/// what isn't finite makes the block NaN.
void martlet_pack_words(const float *rows, int64_t columns, int64_t inputs, uint8_t *panel);
/// The same, rounded to bf16.
void martlet_pack_bf16(const float *rows, int64_t columns, int64_t inputs, uint16_t *panel);
/// The same in twelve bits. Returns false where a block has more numbers to patch than there is room for.
bool martlet_pack_twelve_bit(const float *rows, int64_t columns, int64_t inputs, uint8_t *panel);

/// Reads one column of a panel back as floats: an embedding row.
void martlet_unpack_q4_1(const uint8_t *panel, int64_t column, int64_t blocks, float *output);
void martlet_unpack_q4_0(const uint8_t *panel, int64_t column, int64_t blocks, float *output);
void martlet_unpack_q8_0(const uint8_t *panel, int64_t column, int64_t blocks, float *output);
void martlet_unpack_blocks(MartletPanelFormat format, const uint8_t *panel, int64_t column, int64_t blocks, float *output);
void martlet_unpack_words(const uint8_t *panel, int64_t column, int64_t inputs, float *output);
void martlet_unpack_bf16(const uint16_t *panel, int64_t column, int64_t inputs, float *output);
void martlet_unpack_twelve_bit(const uint8_t *panel, int64_t column, int64_t inputs, float *output);

/// Bytes of one head's K in one block, and of its V.
int64_t martlet_cache_key_bytes(MartletFormat format, int64_t headSize, int64_t blockSize);
int64_t martlet_cache_value_bytes(MartletFormat format, int64_t headSize, int64_t blockSize);

/// Asks memory for some bytes that will be read soon.
static inline void martlet_prefetch(const void *memory, int64_t bytes) {
    for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch((const char *)memory + i, 0, 2);
}

/// One turn of a spinning wait.
static inline void martlet_spin(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#pragma clang assume_nonnull end

#ifdef __cplusplus
}
#endif

#endif
