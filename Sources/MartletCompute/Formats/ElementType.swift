// SPDX-License-Identifier: Apache-2.0

/// How the numbers of a stored tensor are encoded.
///
/// Quantised types hold blocks of 32 or 256 consecutive values of a row; sub-blocks of 16 or 32 of the latter have a scale
/// `s` and perhaps a minimum `t` of few bits each. `HostTensor.dequantizedRow` has the layouts.
///
/// | type | values | value |
/// |---|---|---|
/// | `q4_0`, `q5_0` | 32 | `d * (q - 8)`, `d * (q - 16)` |
/// | `q4_1`, `q5_1` | 32 | `d * q + m` |
/// | `q8_0` | 32 | `d * q` |
/// | `iq4_nl`, `mxfp4` | 32 | `d * table[q]` |
/// | `q2_k`, `q4_k`, `q5_k` | 256 | `d * s * q - m * t` |
/// | `q3_k`, `q6_k` | 256 | `d * s * (q - 4)`, `d * s * (q - 32)` |
/// | `iq4_xs` | 256 | `d * s * table[q]` |
package enum ElementType: String, Sendable, CaseIterable {
    case float32 = "F32"
    case float16 = "F16"
    case bfloat16 = "BF16"
    case q4_0 = "Q4_0"
    case q4_1 = "Q4_1"
    case q5_0 = "Q5_0"
    case q5_1 = "Q5_1"
    case q8_0 = "Q8_0"
    case q2_k = "Q2_K"
    case q3_k = "Q3_K"
    case q4_k = "Q4_K"
    case q5_k = "Q5_K"
    case q6_k = "Q6_K"
    case iq4_nl = "IQ4_NL"
    case iq4_xs = "IQ4_XS"
    case mxfp4 = "MXFP4"

    /// Whether values are integers that share a scale.
    package var isQuantized: Bool {
        blockLength > 1
    }

    /// Values in a block; 1 for the plain types. Rows are whole blocks.
    package var blockLength: Int {
        switch self {
        case .float32, .float16, .bfloat16: 1
        case .q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .iq4_nl, .mxfp4: 32
        case .q2_k, .q3_k, .q4_k, .q5_k, .q6_k, .iq4_xs: 256
        }
    }

    /// Bytes of a block.
    package var blockBytes: Int {
        switch self {
        case .float32: 4
        case .float16, .bfloat16: 2
        case .q4_0: 18
        case .q4_1: 20
        case .q5_0: 22
        case .q5_1: 24
        case .q8_0: 34
        case .q2_k: 84
        case .q3_k: 110
        case .q4_k: 144
        case .q5_k: 176
        case .q6_k: 210
        case .iq4_nl: 18
        case .iq4_xs: 136
        case .mxfp4: 17
        }
    }

    /// Where a quantised block has its f16 factor, and behind it, if it has one, the minimum's; not of `mxfp4`.
    var factorOffset: Int {
        switch self {
        case .q2_k: 80
        case .q3_k: 108
        case .q6_k: 208
        default: 0
        }
    }

    /// Whether blocks have a factor for what is added to or subtracted from their numbers.
    var hasMinimum: Bool {
        switch self {
        case .q4_1, .q5_1, .q2_k, .q4_k, .q5_k: true
        default: false
        }
    }

    /// Its number in GGUF files.
    package var ggufNumber: UInt32 {
        switch self {
        case .float32: 0
        case .float16: 1
        case .q4_0: 2
        case .q4_1: 3
        case .q5_0: 6
        case .q5_1: 7
        case .q8_0: 8
        case .q2_k: 10
        case .q3_k: 11
        case .q4_k: 12
        case .q5_k: 13
        case .q6_k: 14
        case .iq4_nl: 20
        case .iq4_xs: 23
        case .bfloat16: 30
        case .mxfp4: 39
        }
    }

    /// Bytes of `count` values, or nil where `count` isn't whole blocks or the product overflows.
    package func byteCount(of count: Int) -> Int? {
        guard count >= 0, count % blockLength == 0 else { return nil }
        let (bytes, overflow) = (count / blockLength).multipliedReportingOverflow(by: blockBytes)
        return overflow ? nil : bytes
    }
}
