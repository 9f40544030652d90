// SPDX-License-Identifier: Apache-2.0
//
// The kernels' properties without Swift, for machines that have none here: run by `make aarch64` under an emulator.
// Each kernel against its plain formula in f64 at odd sizes, and the promise that a row's bits don't depend on its
// neighbours, with ==. One file, so that a cross compiler needs nothing but its name.

#include "CMartletKernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures = 0;

#define CHECK(condition, ...)                                                                                    \
    do {                                                                                                         \
        if (!(condition) && failures++ < 20) {                                                                   \
            printf("%s:%d: " #condition ": ", __FILE__, __LINE__);                                               \
            printf(__VA_ARGS__);                                                                                 \
            printf("\n");                                                                                        \
        }                                                                                                        \
    } while (0)

static uint64_t state = 1;

static uint32_t next(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

static float uniform(float scale) { return ((float)(next() % 20001) / 10000 - 1) * scale; }

static float *values(int64_t count, float scale) {
    float *result = malloc((size_t)count * sizeof(float));
    for (int64_t i = 0; i < count; i++) result[i] = uniform(scale);
    return result;
}

// Memory that was not written yet: bits that are NaN in every format.
static void *garbage(size_t bytes) { return memset(malloc(bytes), 0xff, bytes); }

static float bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
    memcpy(&x, &bits, 4);
    return x;
}

// A random weight in each format, packed, and its rows by the kernels' own unpacking, which is checked for itself.
typedef struct {
    MartletPanels panels;
    float *rows;      // [outputs, inputs]
    float *minimums;  // of 4-bit blocks, [outputs, inputs / 32]
    int64_t outputs, inputs;
} Weight;

// How far packing may move a float.
static float most_moved(MartletPanelFormat format, const float *row, int64_t k, int64_t inputs) {
    if (format >= MartletPanelFormatBfloat16) return fabsf(row[k]) / 256;
    float largest = 0;
    for (int64_t i = k / 32 * 32; i < inputs && i < k / 32 * 32 + 32; i++) largest = fmaxf(largest, fabsf(row[i]));
    return largest / 8192;
}

// Where a format's blocks have their f16 scale, and their minimum, if that is more than 0; the least scale's bits.
typedef struct {
    int64_t length, bytes, scale, minimum;
    uint16_t least_scale;
} FileFormat;

static FileFormat file_format(MartletPanelFormat format) {
    switch (format) {
    case MartletPanelFormatQ4_1: return (FileFormat){32, 20, 0, 2, 0x2c00};
    case MartletPanelFormatQ4_0: return (FileFormat){32, 18, 0, 0, 0x2c00};
    case MartletPanelFormatQ5_0: return (FileFormat){32, 22, 0, 0, 0x2800};
    case MartletPanelFormatQ5_1: return (FileFormat){32, 24, 0, 2, 0x2800};
    case MartletPanelFormatQ2_K: return (FileFormat){256, 84, 80, 82, 0x2000};
    case MartletPanelFormatQ3_K: return (FileFormat){256, 110, 108, 0, 0x2000};
    case MartletPanelFormatQ4_K: return (FileFormat){256, 144, 0, 2, 0x2000};
    case MartletPanelFormatQ5_K: return (FileFormat){256, 176, 0, 2, 0x2000};
    case MartletPanelFormatQ6_K: return (FileFormat){256, 210, 208, 0, 0x1000};
    case MartletPanelFormatIQ4_NL: return (FileFormat){32, 18, 0, 0, 0x2000};
    case MartletPanelFormatIQ4_XS: return (FileFormat){256, 136, 0, 0, 0x1000};
    case MartletPanelFormatMXFP4: return (FileFormat){32, 17, 0, 0, 0};
    default: return (FileFormat){32, 34, 0, 0, 0x2c00};
    }
}

static Weight weight(MartletPanelFormat format, int64_t outputs, int64_t inputs) {
    const int64_t panels = (outputs + 31) / 32, blocks = inputs / 32;
    const MartletBlockLayout layout = martlet_block_layout(format);
    const int64_t bytes = layout.lowBits > 0          ? martlet_block_panel_bytes(layout, blocks)
        : format == MartletPanelFormatQ4_1            ? blocks * MARTLET_Q4_1_BLOCK_BYTES
        : format == MartletPanelFormatQ4_0            ? blocks * MARTLET_Q4_0_BLOCK_BYTES
        : format == MartletPanelFormatQ8_0            ? blocks * MARTLET_Q8_0_BLOCK_BYTES
        : format == MartletPanelFormatWords           ? (inputs + 31) / 32 * MARTLET_WORDS_BLOCK_BYTES
        : format == MartletPanelFormatTwelveBit       ? (inputs + 63) / 64 * MARTLET_TWELVE_BIT_BLOCK_BYTES
                                                      : (inputs + 1) / 2 * 128;
    uint8_t *base = calloc((size_t)(panels * bytes + 64), 1);
    Weight w = {{base, bytes, format}, malloc((size_t)(outputs * inputs) * sizeof(float)),
                malloc((size_t)(outputs * blocks) * sizeof(float)), outputs, inputs};
    const FileFormat in_file = file_format(format);
    const int64_t block = in_file.bytes, row_bytes = inputs / in_file.length * block;
    uint8_t *file = malloc((size_t)(outputs * row_bytes));
    float *floats = values(outputs * inputs, 1);
    for (int64_t i = 0; i < outputs * row_bytes; i++) file[i] = (uint8_t)next();
    for (int64_t b = 0; b < outputs * (inputs / in_file.length); b++) {
        const uint16_t scale = (uint16_t)(in_file.least_scale + next() % 1024), minimum = (uint16_t)(0xb000 + next() % 1024);
        if (format == MartletPanelFormatMXFP4) file[b * block] = (uint8_t)(124 + next() % 3);
        else memcpy(file + b * block + in_file.scale, &scale, 2);
        if (in_file.minimum > 0) memcpy(file + b * block + in_file.minimum, &minimum, 2);
        if (format == MartletPanelFormatQ4_1) w.minimums[b] = -(1 + (float)(minimum - 0xb000) / 1024) / 8;
    }
    for (int64_t p = 0; p < panels; p++) {
        const int64_t columns = outputs - p * 32 < 32 ? outputs - p * 32 : 32;
        uint8_t *panel = base + p * bytes;
        if (layout.lowBits > 0)
            martlet_pack_blocks(format, file + p * 32 * row_bytes, row_bytes, columns, blocks, panel);
        else if (format == MartletPanelFormatQ4_1)
            martlet_pack_q4_1(file + p * 32 * row_bytes, row_bytes, columns, blocks, panel);
        else if (format == MartletPanelFormatQ4_0)
            martlet_pack_q4_0(file + p * 32 * row_bytes, row_bytes, columns, blocks, panel);
        else if (format == MartletPanelFormatQ8_0)
            martlet_pack_q8_0(file + p * 32 * row_bytes, row_bytes, columns, blocks, panel);
        else if (format == MartletPanelFormatWords) martlet_pack_words(floats + p * 32 * inputs, columns, inputs, panel);
        else if (format == MartletPanelFormatTwelveBit)
            CHECK(martlet_pack_twelve_bit(floats + p * 32 * inputs, columns, inputs, panel), "twelve bits are too few");
        else martlet_pack_bf16(floats + p * 32 * inputs, columns, inputs, (uint16_t *)panel);
        for (int64_t c = 0; c < columns; c++) {
            float *row = w.rows + (p * 32 + c) * inputs;
            if (layout.lowBits > 0) martlet_unpack_blocks(format, panel, c, blocks, row);
            else if (format == MartletPanelFormatQ4_1) martlet_unpack_q4_1(panel, c, blocks, row);
            else if (format == MartletPanelFormatQ4_0) martlet_unpack_q4_0(panel, c, blocks, row);
            else if (format == MartletPanelFormatQ8_0) martlet_unpack_q8_0(panel, c, blocks, row);
            else if (format == MartletPanelFormatWords) martlet_unpack_words(panel, c, inputs, row);
            else if (format == MartletPanelFormatTwelveBit) martlet_unpack_twelve_bit(panel, c, inputs, row);
            else martlet_unpack_bf16((uint16_t *)panel, c, inputs, row);
        }
    }
    for (int64_t i = 0; i < outputs * inputs && format >= MartletPanelFormatWords; i++) {
        const float most = most_moved(format, floats + i / inputs * inputs, i % inputs, inputs);
        CHECK(fabsf(w.rows[i] - floats[i]) <= most, "a weight of %g is kept as %g", floats[i], w.rows[i]);
    }
    free(file), free(floats);
    return w;
}

// What a row becomes once it is rounded to what the weight is multiplied with.
static void seen(const float *row, int64_t count, MartletActivations format, double *output) {
    for (int64_t k = 0; k < count; k++) output[k] = bf16(row[k]);
    if (format == MartletActivationsBfloat16) return;
    const float limit = format == MartletActivationsInt8 ? 127
        : format == MartletActivationsInt16              ? 32639
                                                         : MARTLET_LARGEST_ACTIVATION_WORD;
    for (int64_t b = 0; b < count; b += 32) {
        const int64_t end = b + 32 < count ? b + 32 : count;
        float largest = 0;
        for (int64_t k = b; k < end; k++) largest = fmaxf(largest, fabsf(row[k]));
        const float inverse = largest > 0 ? limit / largest : 0;
        for (int64_t k = b; k < end; k++) output[k] = (double)nearbyintf(row[k] * inverse) * (largest / limit);
    }
}

// What a minimum's product with a block's sum changes by when both are bf16.
static double product_moved(float minimum, const float *block) {
    float largest = 0, sum = 0;
    for (int k = 0; k < 32; k++) largest = fmaxf(largest, fabsf(block[k]));
    const float scale = largest / 127;
    for (int k = 0; k < 32; k++) sum += nearbyintf(block[k] * (largest > 0 ? 127 / largest : 0));
    uint32_t bits;
    memcpy(&bits, &minimum, 4);
    bits = (bits + 0x8000) & 0xffff0000u;
    float rounded;
    memcpy(&rounded, &bits, 4);
    return (double)rounded * bf16(scale * sum) - (double)minimum * scale * sum;
}

// What matrices of floats are multiplied with.
static MartletActivations floats_of(const MartletKernelTable *kernels) {
    return kernels->floatPanels == MartletPanelFormatWords ? MartletActivationsWords : MartletActivationsBfloat16;
}

static void check_linear(const MartletKernelTable *kernels, MartletPanelFormat format, MartletActivations activations,
                         int64_t outputs, int64_t inputs) {
    enum { rows = 19 };
    const Weight w = weight(format, outputs, inputs);
    float *input = values(rows * inputs, 3);
    MartletLinearInput encoded = {garbage((size_t)(inputs + 2) * 24 * 16), inputs, activations};
    kernels->encodeRows(input, inputs, 0, rows, 0, inputs, &encoded);
    float *all = calloc((size_t)(rows * outputs), 4), *some = calloc((size_t)(rows * outputs), 4);
    MartletLinearOutput output = {all, outputs, outputs, NULL, false};
    const int64_t panels = (outputs + 31) / 32;
    kernels->linear(&encoded, rows, &w.panels, 0, panels, &output);
    double *x = malloc((size_t)inputs * sizeof(double));
    for (int64_t r = 0; r < rows; r++) {
        seen(input + r * inputs, inputs, activations, x);
        for (int64_t o = 0; o < outputs; o++) {
            double sum = 0, bound = 0;
            for (int64_t k = 0; k < inputs; k++) {
                sum += x[k] * w.rows[o * inputs + k];
                bound += fabs(x[k]) * (fabs(w.rows[o * inputs + k]) + 8);
            }
            const bool pairs = kernels->storesSumsAsPairs && activations == MartletActivationsInt8;
            for (int64_t b = 0; pairs && format == MartletPanelFormatQ4_1 && b < inputs / 32; b++)
                sum += product_moved(w.minimums[o * (inputs / 32) + b], input + r * inputs + b * 32);
            CHECK(fabs(all[r * outputs + o] - sum) <= 2e-6 * bound, "format %d of activations %d: %g, not %g", format, activations,
                  all[r * outputs + o], sum);
        }
    }
    output.output = some;
    for (int64_t count = 1; count < rows; count++) {
        kernels->linear(&encoded, count, &w.panels, 0, panels, &output);
        CHECK(memcmp(some, all, (size_t)(count * outputs) * 4) == 0, "%lld rows differ from %d", (long long)count, rows);
    }
    // Gate and up in one go are the two layers, the activation and the rounding one after the other.
    MartletLinearInput joined = {calloc(1, (size_t)(outputs + 34) * 24 * 16), outputs, floats_of(kernels)};
    MartletLinearInput apart = {calloc(1, (size_t)(outputs + 34) * 24 * 16), outputs, floats_of(kernels)};
    const MartletGate silu = {MartletFunctionSilu, 0, 0};
    kernels->gatedLinear(&encoded, rows, &w.panels, &w.panels, &silu, 0, panels, &joined);
    float *both = malloc((size_t)outputs * 8), *activated = malloc((size_t)outputs * 4);
    for (int64_t r = 0; r < rows; r++) {
        memcpy(both, all + r * outputs, (size_t)outputs * 4);
        memcpy(both + outputs, all + r * outputs, (size_t)outputs * 4);
        kernels->gate(&silu, both, activated, outputs);
        kernels->encodeRows(activated, 0, r, 1, 0, outputs, &apart);
    }
    const size_t bytes = (size_t)(martlet_records(joined.format, joined.columns) * martlet_record_bytes(joined.format)) * ((rows + 7) / 8);
    CHECK(memcmp(joined.base, apart.base, bytes) == 0, "gated layers of %lld outputs", (long long)outputs);
    free(w.rows), free(w.minimums);
    free((void *)w.panels.base);
    free(input), free(encoded.base), free(all), free(some), free(x), free(joined.base), free(apart.base), free(both);
    free(activated);
}

// Twelve bits hold what sixteen hold, numbers of rare exponents too, and where they are multiplied their products have the
// same bits.
static void check_twelve_bit(const MartletKernelTable *kernels, int64_t outputs, int64_t inputs) {
    enum { rows = 19 };
    const int64_t panels = (outputs + 31) / 32, plain = (inputs + 1) / 2 * 128;
    const int64_t packed = (inputs + 63) / 64 * MARTLET_TWELVE_BIT_BLOCK_BYTES;
    float *weights = values(outputs * inputs, 1), *input = values(rows * inputs, 3), *row = malloc((size_t)inputs * 4);
    // In many inputs no NaN, which would make most products one.
    const float rare[] = {INFINITY, -0.0f, 0x1p-133f, -0x1p100f, 0x1.5p-70f, NAN, 0x1p-40f};
    for (int64_t i = 0, k = 0; k < inputs; i++, k += i % 3 == 0 ? 63 : 1 + next() % 30)
        weights[next() % (uint32_t)outputs * inputs + k] = rare[i % (inputs > 100 ? 5 : 7)] * (i % 4 < 2 ? 1 : 1.5f);
    MartletLinearInput encoded = {garbage((size_t)(inputs + 2) * 24 * 16), inputs, floats_of(kernels)};
    kernels->encodeRows(input, inputs, 0, rows, 0, inputs, &encoded);
    MartletPanels weight[2] = {{calloc((size_t)(panels * plain), 1), plain, MartletPanelFormatBfloat16},
                               {calloc((size_t)(panels * packed), 1), packed, MartletPanelFormatTwelveBit}};
    for (int64_t p = 0; p < panels; p++) {
        const int64_t columns = outputs - p * 32 < 32 ? outputs - p * 32 : 32;
        const float *first = weights + p * 32 * inputs;
        uint8_t *panel = (uint8_t *)weight[1].base + p * packed;
        martlet_pack_bf16(first, columns, inputs, (uint16_t *)(weight[0].base + p * plain));
        CHECK(martlet_pack_twelve_bit(first, columns, inputs, panel), "%lld x %lld", (long long)outputs, (long long)inputs);
        for (int64_t c = 0; c < columns; c++) {
            martlet_unpack_twelve_bit(panel, c, inputs, row);
            for (int64_t k = 0; k < inputs; k++) {
                const float kept = bf16(first[c * inputs + k]);
                CHECK(memcmp(row + k, &kept, 4) == 0 || (kept != kept && row[k] != row[k]), "%g is kept as %g", kept,
                      row[k]);
            }
        }
    }
    float *sums[2];
    for (int64_t count = 1; count <= rows && kernels->floatPanels == MartletPanelFormatTwelveBit; count++) {
        for (int f = 0; f < 2; f++) {
            sums[f] = calloc((size_t)(rows * outputs), 4);
            MartletLinearOutput output = {sums[f], outputs, outputs, NULL, false};
            kernels->linear(&encoded, count, &weight[f], 0, panels, &output);
        }
        CHECK(memcmp(sums[0], sums[1], (size_t)(rows * outputs) * 4) == 0, "%lld rows of twelve bits", (long long)count);
        free(sums[0]), free(sums[1]);
    }
    // A table's sixteen and twelve patches, zero among them, but no more.
    float *many = calloc(32 * 64, 4);
    for (int i = 0; i < 28; i++) {
        many[i * 70] = ldexpf(1, i < 15 ? 8 * i - 60 : 2 * (i - 15) - 100);
        const bool fits = martlet_pack_twelve_bit(many, 32, 64, (uint8_t *)weight[1].base);
        CHECK(fits == (i < 27), "%d exponents and zero", i + 1);
    }
    free(weights), free(input), free(row), free(many), free(encoded.base);
    free((void *)weight[0].base), free((void *)weight[1].base);
}

// Each function by its formula in f64.
static double function_of(MartletFunction function, double x) {
    switch (function) {
    case MartletFunctionSilu: return x / (1 + exp(-x));
    case MartletFunctionGelu: return x * 0.5 * erfc(-x / sqrt(2));
    case MartletFunctionGeluTanh: return 0.5 * x * (1 + tanh(sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
    case MartletFunctionReluSquared: return x > 0 ? x * x : 0;
    case MartletFunctionClampedSwiGLU: return 0;
    }
    return 0;
}

static void check_functions(const MartletKernelTable *kernels, const float *x, int64_t count) {
    float *y = malloc((size_t)count * 4);
    for (int f = MartletFunctionSilu; f <= MartletFunctionClampedSwiGLU; f++) {
        const MartletGate gate = {(MartletFunction)f, 1.702f, 2};
        kernels->gate(&gate, x, y, count);
        for (int64_t i = 0; i < count; i++) {
            double expected = function_of(gate.function, x[i]) * x[count + i];
            if (gate.function == MartletFunctionClampedSwiGLU) {
                const double g = fmin(x[i], gate.limit), u = fmax(-(double)gate.limit, fmin(x[count + i], gate.limit));
                expected = (u + 1) * g / (1 + exp(-(double)gate.alpha * g));
            }
            CHECK(fabs(y[i] - expected) <= 2e-6 * fmax(1, fabs(expected)), "gate %d: %g, not %g", f, y[i], expected);
        }
        if (gate.function == MartletFunctionClampedSwiGLU) continue;
        kernels->activate(gate.function, x, y, count);
        for (int64_t i = 0; i < count; i++) {
            const double expected = function_of(gate.function, x[i]);
            CHECK(fabs(y[i] - expected) <= 2e-6 * fmax(1, fabs(expected)), "function %d: %g, not %g", f, y[i], expected);
        }
    }
    free(y);
}

// With and without each of what a norm may have, and in place.
static void check_norms(const MartletKernelTable *kernels, const float *x, const float *w, int64_t count) {
    float *y = malloc((size_t)count * 4);
    for (int kind = 0; kind < 16; kind++) {
        const bool centers = kind & 1, accumulates = kind & 2;
        const MartletNorm norm = {kind & 4 ? w : NULL, kind & 8 ? x + count : NULL, 1e-5f, centers, accumulates};
        double mean = 0, squares = 0;
        for (int64_t i = 0; i < count && centers; i++) mean += x[i] / (double)count;
        for (int64_t i = 0; i < count; i++) squares += (x[i] - mean) * (x[i] - mean);
        memcpy(y, x, (size_t)count * 4);
        kernels->norm(&norm, y, y, count);
        for (int64_t i = 0; i < count; i++) {
            double expected = (x[i] - mean) / sqrt(squares / (double)count + 1e-5) * (norm.weight ? w[i] : 1);
            expected += (norm.bias ? x[count + i] : 0) + (accumulates ? x[i] : 0);
            CHECK(fabs(y[i] - expected) <= 1e-5 * fmax(1, fabs(expected)), "norm %d: %g, not %g", kind, y[i], expected);
        }
    }
    const float product = kernels->dot(x, w, count);
    double sum = 0, bound = 0;
    for (int64_t i = 0; i < count; i++) sum += (double)x[i] * w[i], bound += fabs((double)x[i] * w[i]);
    CHECK(fabs(product - sum) <= 1e-6 * bound, "dot: %g, not %g", product, sum);
    free(y);
}

static void check_rows(const MartletKernelTable *kernels, int64_t count) {
    float *x = values(2 * count, 4), *w = values(count, 2), *y = malloc((size_t)count * 4);
    check_norms(kernels, x, w, count);
    check_functions(kernels, x, count);
    float maximum;
    const int64_t at = kernels->argumentOfMaximum(x, count, &maximum);
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        CHECK(x[i] <= maximum && x[at] == maximum, "the maximum of %lld", (long long)count);
        sum += exp((double)x[i] - maximum);
    }
    const double found = kernels->sumOfExponentials(x, count, maximum, 1, NULL);
    CHECK(fabs(found - sum) <= 1e-5 * sum, "sum of exponentials: %g, not %g", found, sum);
    const int64_t pairs = count / 2;
    float *angles = values(2 * pairs, 1), *heads = malloc((size_t)count * 4);
    memcpy(heads, x, (size_t)count * 4);
    kernels->rotateHeads(heads, 1, count, angles, pairs);
    for (int64_t i = 0; i < pairs; i++) {
        const double c = angles[i], s = angles[pairs + i];
        CHECK(fabs(heads[2 * i] - (x[2 * i] * c - x[2 * i + 1] * s)) <= 1e-5, "rotation");
        CHECK(fabs(heads[2 * i + 1] - (x[2 * i] * s + x[2 * i + 1] * c)) <= 1e-5, "rotation");
    }
    memcpy(heads, x, (size_t)count * 4);
    kernels->rotateHalves(heads, 1, count, angles, pairs);
    for (int64_t i = 0; i < pairs; i++) {
        const double c = angles[i], s = angles[pairs + i];
        CHECK(fabs(heads[i] - (x[i] * c - x[i + pairs] * s)) <= 1e-5, "rotation of halves");
        CHECK(fabs(heads[i + pairs] - (x[i] * s + x[i + pairs] * c)) <= 1e-5, "rotation of halves");
    }
    free(x), free(w), free(y), free(angles), free(heads);
}

// One sequence whose tokens all attend at once, and its last token alone as a decode in segments: formula, and ==.
static void check_attention(const MartletKernelTable *kernels, MartletFormat format, int64_t head_size, int64_t length) {
    enum { kv_heads = 2, group = 3, heads = kv_heads * group, block = 16, chunk = 4, segment = 128 };
    const int64_t key_bytes = martlet_cache_key_bytes(format, head_size, block);
    const int64_t value_bytes = martlet_cache_value_bytes(format, head_size, block);
    const int64_t blocks = (length + block - 1) / block, chunks = (blocks + chunk - 1) / chunk;
    const int64_t columns = heads * head_size;
    // The middle one of three layers.
    const int64_t layer_bytes = chunk * kv_heads * (key_bytes + value_bytes), chunk_bytes = 3 * layer_bytes;
    uint8_t *memory = malloc((size_t)(chunks * chunk_bytes + 64)), *cache = memory + layer_bytes;
    memset(memory, 0xff, (size_t)(chunks * chunk_bytes + 64));  // NaN where no token stands
    int32_t *table = malloc((size_t)blocks * 4);
    for (int64_t b = 0; b < blocks; b++) table[b] = (int32_t)(blocks - 1 - b);
    float *k = values(length * kv_heads * head_size, 1), *v = values(length * kv_heads * head_size, 1);
    float *q = values(length * columns, 2), *output = calloc((size_t)(length * columns), 4);
    for (int64_t i = 0; i < length * kv_heads * head_size; i++) k[i] = bf16(k[i]), v[i] = bf16(v[i]);
    for (int64_t i = 0; i < length * columns; i++) q[i] = bf16(q[i]);
    // So many tokens at once that runs end before, at and behind a block's end.
    for (int64_t t = 0, run; t < length; t += run) {
        run = 1 + t % 7;
        if (run > block - t % block) run = block - t % block;
        if (run > length - t) run = length - t;
        for (int64_t h = 0; h < kv_heads; h++) {
            uint8_t *keys = cache + table[t / block] / chunk * chunk_bytes, *values = keys + chunk * kv_heads * key_bytes;
            const int64_t place = table[t / block] % chunk * kv_heads + h;
            kernels->writeKeys(k + (t * kv_heads + h) * head_size, kv_heads * head_size, run, keys + place * key_bytes,
                               t % block, head_size, format, 1);
            kernels->writeValues(v + (t * kv_heads + h) * head_size, kv_heads * head_size, run,
                                 values + place * value_bytes, t % block, head_size, format, 1);
        }
    }
    MartletAttentionLayer layer = {0};
    layer.cache = cache, layer.chunkBytes = chunk_bytes, layer.chunkBlocks = chunk, layer.cacheFormat = format;
    layer.queryFormat = MartletFormatBfloat16;
    layer.outputFormat = MartletFormatFloat32;
    layer.product = format == MartletFormatFloat32 ? MartletProductFloat32
        : format == MartletFormatInt16 ? MartletProductInt16 : MartletProductBfloat16;
    layer.keyValueHeads = kv_heads, layer.groupSize = group, layer.headSize = head_size, layer.blockSize = block;
    layer.segmentLength = segment, layer.queryScale = 1, layer.scale = 0.125f, layer.outputFactor = 1;
    layer.causal = true;
    MartletAttentionItem item = {0};
    item.query = q, item.queryStride = columns, item.output = output, item.outputStride = columns;
    item.blockTable = table, item.rows = length, item.sequenceLength = length;
    item.segmentCount = (length + segment - 1) / segment;
    kernels->attend(&layer, &item, 0, heads);
    // Heads by themselves, in parts of groups and in several, are what they are together.
    const int64_t cuts[] = {0, 1, 2, 4, heads};
    float *apart = calloc((size_t)(length * columns), 4);
    MartletAttentionItem same = item;
    same.output = apart;
    for (int c = 0; c < 4; c++) kernels->attend(&layer, &same, cuts[c], cuts[c + 1]);
    CHECK(memcmp(apart, output, (size_t)(length * columns) * 4) == 0, "heads of %lld tokens differ from all together",
          (long long)length);
    free(apart);
    double *p = malloc((size_t)length * sizeof(double));
    for (int64_t t = 0; t < length; t += 7)
        for (int64_t h = 0; h < heads; h++) {
            double total = 0;
            for (int64_t s = 0; s <= t; s++) {
                double score = 0;
                for (int64_t d = 0; d < head_size; d++)
                    score += (double)q[(t * heads + h) * head_size + d] * k[(s * kv_heads + h / group) * head_size + d];
                total += p[s] = exp(score * 0.125);
            }
            for (int64_t d = 0; d < head_size; d++) {
                double sum = 0;
                for (int64_t s = 0; s <= t; s++) sum += p[s] / total * v[(s * kv_heads + h / group) * head_size + d];
                const float found = output[(t * heads + h) * head_size + d];
                CHECK(fabs(found - sum) <= 8e-3, "attention of head size %lld: %g, not %g", (long long)head_size, found, sum);
            }
        }
    // The last token alone, its segments as partials that are merged.
    const int64_t floats = heads * martlet_partial_floats(head_size);
    float *partials = calloc((size_t)(item.segmentCount * floats), 4), *decoded = calloc((size_t)columns, 4);
    for (int64_t s = 0; s < item.segmentCount; s++) {
        MartletAttentionItem part = item;
        part.query = q + (length - 1) * columns, part.rows = 1, part.firstPosition = part.contextLength = length - 1;
        part.firstSegment = s, part.segmentCount = 1, part.partials = partials + s * floats, part.partialStride = 1;
        for (int c = 0; c < 4; c++) kernels->attend(&layer, &part, cuts[c], cuts[c + 1]);
    }
    for (int c = 0; c < 4; c++) kernels->merge(&layer, partials, item.segmentCount, decoded, cuts[c], cuts[c + 1]);
    CHECK(memcmp(decoded, output + (length - 1) * columns, (size_t)columns * 4) == 0,
          "a decode of %lld keys differs from the prefill", (long long)length);
    // Whose scores are all minus infinity has nothing, in one segment or several, be there a value that isn't finite.
    float *bias = values(length * length, 1), *endless = values(head_size, 1);
    for (int64_t i = 0; i < length * length; i++) bias[i] = -INFINITY;
    for (int64_t d = 0; d < head_size; d++) endless[d] = INFINITY;
    for (int64_t h = 0; h < kv_heads && format != MartletFormatInt16; h++) {
        uint8_t *values = cache + table[0] / chunk * chunk_bytes + chunk * kv_heads * key_bytes;
        const int64_t place = table[0] % chunk * kv_heads + h;
        kernels->writeValues(endless, 0, 1, values + place * value_bytes, 0, head_size, format, 1);
    }
    item.bias = bias, item.biasStride = item.biasExtent = length;
    kernels->attend(&layer, &item, 0, heads);
    for (int64_t i = 0; i < length * columns; i++) CHECK(output[i] == 0, "%g of no score", output[i]);
    free(bias), free(endless);
    free(memory), free(table), free(k), free(v), free(q), free(output), free(p), free(partials), free(decoded);
}

int main(void) {
    const MartletKernelTable *tables[] = {martlet_kernels_portable(), martlet_kernels_avx2(), martlet_kernels_avx512(),
                                          martlet_kernels_avx512_bf16()};
    int count = 0;
    for (int i = 0; i < 4; i++) {
        const MartletKernelTable *kernels = tables[i];
        if (!kernels) continue;
        count++;
        const int64_t sizes[][2] = {{1, 32}, {31, 64}, {33, 160}, {70, 288}};
        for (int s = 0; s < 4; s++) {
            for (int f = MartletPanelFormatQ4_1; f <= MartletPanelFormatMXFP4; f++)
                for (int a = MartletActivationsInt8; a <= MartletActivationsInt16; a++) {
                    const bool super = file_format(f).length == 256;
                    check_linear(kernels, f, a, sizes[s][0], super ? (sizes[s][1] + 255) / 256 * 256 : sizes[s][1]);
                }
            check_linear(kernels, kernels->floatPanels, floats_of(kernels), sizes[s][0], sizes[s][1] - 1);
            check_linear(kernels, kernels->floatPanels, floats_of(kernels), sizes[s][0], sizes[s][1] - 3);
            check_twelve_bit(kernels, sizes[s][0], sizes[s][1] - 1);
            check_twelve_bit(kernels, sizes[s][0], sizes[s][1] - 3);
        }
        const int64_t lengths[] = {2, 15, 17, 100, 577};
        for (int l = 0; l < 5; l++) check_rows(kernels, lengths[l]);
        for (int l = 1; l < 5; l++) {
            check_attention(kernels, MartletFormatBfloat16, 64, lengths[l]);
            check_attention(kernels, MartletFormatBfloat16, 24, lengths[l]);
            check_attention(kernels, MartletFormatFloat32, 40, lengths[l]);
            check_attention(kernels, MartletFormatInt16, 64, lengths[l]);
            check_attention(kernels, MartletFormatInt16, 40, lengths[l]);
        }
    }
    printf("%d kernel table%s, %d failure%s\n", count, count == 1 ? "" : "s", failures, failures == 1 ? "" : "s");
    return failures != 0;
}
