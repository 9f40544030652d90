// SPDX-License-Identifier: Apache-2.0

/// A floating-point format that attention reads, keeps or writes. Raw values are vLLM's spellings.
public enum FloatFormat: String, Sendable, CaseIterable {
    case bfloat16
    case float16
    case float32
    /// 4 bits of exponent, 3 of mantissa, no infinities; the largest number is 448.
    case float8E4M3 = "fp8_e4m3"
    /// 5 bits of exponent, 2 of mantissa; the largest finite number is 57,344.
    case float8E5M2 = "fp8_e5m2"

    package var byteCount: Int {
        switch self {
        case .bfloat16, .float16: 2
        case .float32: 4
        case .float8E4M3, .float8E5M2: 1
        }
    }

    /// Whether its range is so small that tensors are kept in it divided by a scale.
    package var isEightBit: Bool { byteCount == 1 }

    /// Whether every number of the format is a bf16 number.
    package var fitsBFloat16: Bool { self == .bfloat16 || isEightBit }

    /// Bits of exponent and mantissa.
    private var widths: (exponent: Int, mantissa: Int) {
        switch self {
        case .bfloat16: (8, 7)
        case .float16: (5, 10)
        case .float32: (8, 23)
        case .float8E4M3: (4, 3)
        case .float8E5M2: (5, 2)
        }
    }

    /// The number that a code stands for. Exact.
    package func decode(_ code: UInt32) -> Float {
        let (exponentBits, mantissaBits) = widths
        let sign: Float = code >> (exponentBits + mantissaBits) & 1 == 1 ? -1 : 1
        let exponent = Int(code >> mantissaBits) & ((1 << exponentBits) - 1)
        let mantissa = Int(code) & ((1 << mantissaBits) - 1)
        let bias = (1 << (exponentBits - 1)) - 1
        if self == .float8E4M3 {
            if exponent == 15, mantissa == 7 { return .nan }
        } else if exponent == (1 << exponentBits) - 1 {
            return mantissa == 0 ? sign * .infinity : .nan
        }
        let scale = Float(sign: .plus, exponent: max(exponent, 1) - bias - mantissaBits, significand: 1)
        let significand = mantissa + (exponent > 0 ? 1 << mantissaBits : 0)
        return sign * Float(significand) * scale
    }

    /// The format's number nearest to a value, ties to even; 8-bit formats saturate, the others become infinite.
    package func round(_ value: Float) -> Float {
        guard self != .float32, value.isFinite, value != 0 else {
            return isEightBit && value.isInfinite ? (value < 0 ? -largest : largest) : value
        }
        let (exponentBits, mantissaBits) = widths
        let smallestExponent = 2 - (1 << (exponentBits - 1))
        let step = Float(
            sign: .plus, exponent: max(Int(value.exponent), smallestExponent) - mantissaBits, significand: 1)
        // Division and product by a power of two are exact but for f32's own subnormals, where bf16 ends too.
        let rounded = (value / step).rounded(.toNearestOrEven) * step
        guard rounded.magnitude > largest else { return rounded }
        return isEightBit ? (value < 0 ? -largest : largest) : (value < 0 ? -.infinity : .infinity)
    }

    /// The largest finite number.
    package var largest: Float {
        switch self {
        case .bfloat16: Float(bitPattern: 0x7f7f_0000)
        case .float16: 65_504
        case .float32: .greatestFiniteMagnitude
        case .float8E4M3: 448
        case .float8E5M2: 57_344
        }
    }

    /// The distance from a value to its neighbours in the format.
    package func ulp(at value: Double) -> Double {
        let (exponentBits, mantissaBits) = widths
        let smallestExponent = 2 - (1 << (exponentBits - 1))
        let exponent = value == 0 || !value.isFinite ? smallestExponent : Int(value.exponent)
        return Double(sign: .plus, exponent: max(exponent, smallestExponent) - mantissaBits, significand: 1)
    }
}
