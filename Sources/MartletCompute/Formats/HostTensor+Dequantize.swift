// SPDX-License-Identifier: Apache-2.0

extension HostTensor {
    /// One row, of all matrices', as f32, by GGUF's formulas: slow, obvious, and what fast kernels are held against.
    package func dequantizedRow(_ row: Int) -> [Float] {
        precondition(row >= 0 && row < totalRows, "row out of range")
        let length = elementType.blockLength
        var result: [Float] = []
        result.reserveCapacity(columns)
        for block in 0..<(columns / length) {
            let values = StoredBlock(
                bytes: bytes, start: row * rowBytes + block * elementType.blockBytes, elementType: elementType)
            for index in 0..<length { result.append(values[index]) }
        }
        return result
    }

    /// All values, row after row.
    package func dequantized() -> [Float] {
        (0..<totalRows).flatMap { dequantizedRow($0) }
    }
}

/// One block of a tensor's bytes. Layouts: https://github.com/ggml-org/ggml, `ggml-common.h`.
private struct StoredBlock {
    private let bytes: UnsafeRawBufferPointer
    private let start: Int
    private let elementType: ElementType
    /// The block's f16 scale, and minimum if it has one, decoded once for all its values.
    private var d: Float = 0
    private var m: Float = 0

    init(bytes: UnsafeRawBufferPointer, start: Int, elementType: ElementType) {
        (self.bytes, self.start, self.elementType) = (bytes, start, elementType)
        guard elementType.isQuantized else { return }
        d = elementType == .mxfp4 ? exponential(byte(0)) : half(elementType.factorOffset)
        if elementType.hasMinimum { m = half(elementType.factorOffset + 2) }
    }

    /// The block's value `i`.
    subscript(i: Int) -> Float {
        switch elementType {
        case .float32: return Float(bitPattern: bytes.loadUnaligned(fromByteOffset: start, as: UInt32.self))
        case .float16: return half(0)
        case .bfloat16: return Float(bitPattern: UInt32(word(0)) << 16)
        case .q4_0: return d * Float(nibble(i, at: 2) - 8)
        case .q4_1: return d * Float(nibble(i, at: 4)) + m
        case .q5_0: return d * Float((nibble(i, at: 6) | bit(i, at: 2) << 4) - 16)
        case .q5_1: return d * Float(nibble(i, at: 8) | bit(i, at: 4) << 4) + m
        case .q8_0: return d * Float(signed(2 + i))
        case .iq4_nl: return d * Self.iq4[nibble(i, at: 2)]
        case .mxfp4: return d * Self.e2m1[nibble(i, at: 1)]
        case .q2_k:
            let both = byte(i / 16)
            return d * Float(both & 15) * Float(field(i, at: 16)) - m * Float(both >> 4)
        case .q3_k:
            let q = field(i, at: 32) | (byte(i % 32) >> (i / 32) & 1) << 2
            return d * Float(signedSixBits(i / 16)) * Float(q - 4)
        case .q4_k:
            let (scale, minimum) = sixBits(i / 32)
            return d * Float(scale) * Float(superNibble(i, at: 16)) - m * Float(minimum)
        case .q5_k:
            let (scale, minimum) = sixBits(i / 32)
            let q = superNibble(i, at: 48) | (byte(16 + i % 32) >> (i / 32) & 1) << 4
            return d * Float(scale) * Float(q) - m * Float(minimum)
        case .q6_k:
            let low = byte(i / 128 * 64 + i % 64) >> (i % 128 < 64 ? 0 : 4) & 15
            return d * Float(signed(192 + i / 16)) * Float((low | field(i, at: 128) << 4) - 32)
        case .iq4_xs:
            let s = i / 32
            let scale = (byte(4 + s / 2) >> (4 * (s % 2)) & 15) | (Int(word(2)) >> (2 * s) & 3) << 4
            return d * Float(scale - 32) * Self.iq4[nibble(i % 32, at: 8 + 16 * s)]
        }
    }

    private static let iq4: [Float] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113]
    /// Twice E2M1's numbers.
    private static let e2m1: [Float] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12]

    private func byte(_ offset: Int) -> Int { Int(bytes[start + offset]) }
    private func signed(_ offset: Int) -> Int { Int(Int8(bitPattern: bytes[start + offset])) }
    private func word(_ offset: Int) -> UInt16 { bytes.loadUnaligned(fromByteOffset: start + offset, as: UInt16.self) }
    private func half(_ offset: Int) -> Float { FloatFormat.float16.decode(UInt32(word(offset))) }

    /// Of 32 values the first 16 are the low nibbles of 16 bytes, the others the high ones.
    private func nibble(_ i: Int, at offset: Int) -> Int { byte(offset + i % 16) >> (i < 16 ? 0 : 4) & 15 }

    /// Bit `i` of those that follow `offset`.
    private func bit(_ i: Int, at offset: Int) -> Int { byte(offset + i / 8) >> (i % 8) & 1 }

    /// Of each 64 values of a super-block the first 32 are the low nibbles of 32 bytes, the others the high ones.
    private func superNibble(_ i: Int, at offset: Int) -> Int {
        byte(offset + i / 64 * 32 + i % 32) >> (i % 64 < 32 ? 0 : 4) & 15
    }

    /// Of each 128 values of a super-block 32 bytes hold two bits each, the first 32 values' the lowest.
    private func field(_ i: Int, at offset: Int) -> Int {
        byte(offset + i / 128 * 32 + i % 32) >> (i % 128 / 32 * 2) & 3
    }

    /// Scale and minimum of 32 values, six bits each, of which twelve bytes hold eight.
    private func sixBits(_ s: Int) -> (scale: Int, minimum: Int) {
        func scales(_ index: Int) -> Int { byte(4 + index) }
        guard s >= 4 else { return (scales(s) & 63, scales(s + 4) & 63) }
        return (scales(s + 4) & 15 | (scales(s - 4) >> 6) << 4, scales(s + 4) >> 4 | (scales(s) >> 6) << 4)
    }

    /// The scale of 16 values, of which twelve bytes hold sixteen: four low bits each, then two high ones.
    private func signedSixBits(_ s: Int) -> Int {
        let low = s < 8 ? byte(96 + s) & 15 : byte(96 + s - 8) >> 4
        return (low | (byte(96 + 8 + s % 4) >> (2 * (s / 4)) & 3) << 4) - 32
    }

    /// 2^(e - 128).
    private func exponential(_ e: Int) -> Float { Float(sign: .plus, exponent: e - 128, significand: 1) }
}
