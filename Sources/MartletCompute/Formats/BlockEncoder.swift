// SPDX-License-Identifier: Apache-2.0

/// Rounds numbers to the blocks of a quantised type; the inverse of `HostTensor.dequantizedRow`.
///
/// Blocks of 32 take their scale from their extremes. In super-blocks a search finds each sub-block's scale, and minimum if it
/// has one, by weighted least squares over some roundings, as ggml's quantisers do.
package struct BlockEncoder: Sendable {
    package let type: ElementType

    /// The types that can be written.
    package static let types: [ElementType] = [.q4_0, .q4_1, .q5_0, .q8_0, .q4_k, .q6_k]

    /// nil for a type that can't be written.
    package init?(_ type: ElementType) {
        guard Self.types.contains(type) else { return nil }
        self.type = type
    }

    /// - Parameters:
    ///   - values: finite numbers, whole blocks.
    ///   - output: `type.byteCount(of: values.count)` bytes.
    package func encode(_ values: UnsafeBufferPointer<Float>, to output: UnsafeMutableRawBufferPointer) {
        let (length, bytes) = (type.blockLength, type.blockBytes)
        precondition(values.count % length == 0 && output.count == values.count / length * bytes, "not whole blocks")
        for block in 0..<values.count / length {
            let numbers = UnsafeBufferPointer(rebasing: values[block * length..<(block + 1) * length])
            let target = UnsafeMutableRawBufferPointer(rebasing: output[block * bytes..<(block + 1) * bytes])
            switch type {
            case .q4_0: encodeCentered(numbers, zero: 8, to: target)
            case .q5_0: encodeCentered(numbers, zero: 16, to: target)
            case .q4_1: encodeFourBit(numbers, to: target)
            case .q8_0: encodeEightBit(numbers, to: target)
            case .q4_k: encodeFourBitSuperBlock(numbers, to: target)
            default: encodeSixBitSuperBlock(numbers, to: target)
            }
        }
    }

    // MARK: Blocks of 32

    /// The number of largest magnitude becomes the lowest code, which is one step farther from zero than the highest.
    private func encodeCentered(
        _ values: UnsafeBufferPointer<Float>, zero: Int, to output: UnsafeMutableRawBufferPointer
    ) {
        let peak = values.max { $0.magnitude < $1.magnitude } ?? 0
        let scale = Float16(peak / Float(-zero))
        output.storeBytes(of: scale.bitPattern, as: UInt16.self)
        let codes = values.map { Self.code($0, over: Float(scale), in: -zero...zero - 1) + zero }
        let nibbles = zero == 8 ? 2 : 6
        putNibbles(codes, at: nibbles, of: output)
        guard zero == 16 else { return }
        let high = codes.enumerated().reduce(UInt32(0)) { $0 | UInt32($1.element >> 4) << UInt32($1.offset) }
        output.storeBytes(of: high, toByteOffset: 2, as: UInt32.self)
    }

    private func encodeFourBit(_ values: UnsafeBufferPointer<Float>, to output: UnsafeMutableRawBufferPointer) {
        let (smallest, largest) = (values.min() ?? 0, values.max() ?? 0)
        let (scale, minimum) = (Float16((largest - smallest) / 15), Float16(smallest))
        output.storeBytes(of: scale.bitPattern, as: UInt16.self)
        output.storeBytes(of: minimum.bitPattern, toByteOffset: 2, as: UInt16.self)
        putNibbles(
            values.map { Self.code($0 - Float(minimum), over: Float(scale), in: 0...15) }, at: 4, of: output)
    }

    private func encodeEightBit(_ values: UnsafeBufferPointer<Float>, to output: UnsafeMutableRawBufferPointer) {
        let peak = values.reduce(0) { max($0, $1.magnitude) }
        let scale = Float16(peak / 127)
        output.storeBytes(of: scale.bitPattern, as: UInt16.self)
        for (index, value) in values.enumerated() {
            output[2 + index] = UInt8(bitPattern: Int8(Self.code(value, over: Float(scale), in: -128...127)))
        }
    }

    /// The low nibbles of 16 bytes take the first 16 of 32 codes, the high ones the others.
    private func putNibbles(_ codes: [Int], at offset: Int, of output: UnsafeMutableRawBufferPointer) {
        for index in 0..<16 { output[offset + index] = UInt8(codes[index] & 15 | (codes[index + 16] & 15) << 4) }
    }

    /// The nearest code of a number; 0 where the scale is.
    static func code(_ value: Float, over scale: Float, in range: ClosedRange<Int>) -> Int {
        guard scale != 0, scale.isFinite else { return min(max(0, range.lowerBound), range.upperBound) }
        let quotient = (value / scale).rounded(.toNearestOrEven)
        return Int(min(max(quotient, Float(range.lowerBound)), Float(range.upperBound)))
    }
}
