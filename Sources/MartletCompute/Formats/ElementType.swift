// SPDX-License-Identifier: Apache-2.0

/// How the numbers of a stored tensor are encoded.
///
/// Quantised types hold blocks of 32 consecutive values of a row:
///
/// | type | block | value |
/// |---|---|---|
/// | `q4_0` | f16 d, 16 bytes of nibbles | `d * (q - 8)` |
/// | `q4_1` | f16 d, f16 m, 16 bytes of nibbles | `d * q + m` |
/// | `q8_0` | f16 d, 32 signed bytes | `d * q` |
package enum ElementType: String, Sendable, CaseIterable {
    case float32 = "F32"
    case float16 = "F16"
    case bfloat16 = "BF16"
    case q4_0 = "Q4_0"
    case q4_1 = "Q4_1"
    case q8_0 = "Q8_0"

    /// Whether values are integers that share a scale.
    package var isQuantized: Bool {
        switch self {
        case .float32, .float16, .bfloat16: false
        case .q4_0, .q4_1, .q8_0: true
        }
    }

    /// Values in a block; 1 for the plain types. Rows are whole blocks.
    package var blockLength: Int {
        switch self {
        case .float32, .float16, .bfloat16: 1
        case .q4_0, .q4_1, .q8_0: 32
        }
    }

    /// Bytes of a block.
    package var blockBytes: Int {
        switch self {
        case .float32: 4
        case .float16, .bfloat16: 2
        case .q4_0: 18
        case .q4_1: 20
        case .q8_0: 34
        }
    }

    /// Bytes of `count` values, or nil where `count` isn't whole blocks or the product overflows.
    package func byteCount(of count: Int) -> Int? {
        guard count >= 0, count % blockLength == 0 else { return nil }
        let (bytes, overflow) = (count / blockLength).multipliedReportingOverflow(by: blockBytes)
        return overflow ? nil : bytes
    }
}
