// SPDX-License-Identifier: Apache-2.0

/// What a KV cache keeps of keys and values.
public enum CacheFormat: Hashable, Sendable, CaseIterable, RawRepresentable {
    /// Each number by itself.
    case float(FloatFormat)
    /// Integers of 16 bits, and a scale (f32) for each head's key or value. The largest magnitude of a key maps to ±8191,
    /// of a value to ±32767. A number that isn't finite makes its key or value NaN.
    case int16

    /// All formats that some device keeps.
    public static let allCases = FloatFormat.allCases.map(CacheFormat.float) + [.int16]

    /// vLLM's spelling of floating-point formats; `int16`.
    public var rawValue: String {
        switch self {
        case .float(let format): format.rawValue
        case .int16: "int16"
        }
    }

    public init?(rawValue: String) {
        guard let format = Self.allCases.first(where: { $0.rawValue == rawValue }) else { return nil }
        self = format
    }

    /// Whether its range is so small that tensors are kept in it divided by a scale.
    package var isEightBit: Bool {
        guard case .float(let format) = self else { return false }
        return format.isEightBit
    }

    /// Whether every number of the format is a bf16 number.
    package var fitsBFloat16: Bool {
        guard case .float(let format) = self else { return false }
        return format.fitsBFloat16
    }

    /// Bytes of a token's key and value in one head.
    package func byteCount(headSize: Int) -> Int {
        switch self {
        case .float(let format): 2 * headSize * format.byteCount
        case .int16: 2 * (headSize * 2 + 4)
        }
    }
}
