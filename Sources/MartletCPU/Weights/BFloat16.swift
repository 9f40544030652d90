// SPDX-License-Identifier: Apache-2.0

/// bf16 as its bits: the upper half of an f32.
package enum BFloat16 {
    /// To nearest, ties to even; NaN stays NaN.
    package static func round(_ value: Float) -> UInt16 {
        let bits = value.bitPattern
        if value.isNaN { return UInt16(truncatingIfNeeded: bits >> 16) | 0x40 }
        // Can't overflow: the largest pattern that isn't NaN is infinity's, 0xff800000.
        return UInt16(truncatingIfNeeded: (bits + 0x7fff + (bits >> 16 & 1)) >> 16)
    }

    package static func float(_ bits: UInt16) -> Float { Float(bitPattern: UInt32(bits) << 16) }
}

extension Float {
    /// From IEEE binary16.
    package init(half bits: UInt16) {
        let magnitude = UInt32(bits & 0x7fff) << 13
        // The exponent is 112 too small in its new place; a multiplication corrects it, subnormals included.
        let finite = Float(bitPattern: magnitude) * 0x1p112
        let special = magnitude | 0x7f80_0000
        let sign = UInt32(bits & 0x8000) << 16
        self = Float(bitPattern: sign | (bits & 0x7c00 == 0x7c00 ? special : finite.bitPattern))
    }
}
