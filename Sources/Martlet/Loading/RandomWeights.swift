// SPDX-License-Identifier: Apache-2.0

import MartletCheckpoints
import MartletCompute

/// Random numbers in the form that files store weights in.
struct RandomWeights {
    private var random = ReplayableRandom(seed: 0)

    /// A tensor's memory, for as long as it is kept.
    final class Tensor {
        let borrowed: HostTensor

        init(_ tensor: HostTensor) { borrowed = tensor }

        deinit { UnsafeMutableRawBufferPointer(mutating: borrowed.bytes).deallocate() }
    }

    /// Values of both signs, none further from zero than twice the scale.
    mutating func tensor(_ type: ElementType, _ weight: Weight, scale: Float) throws -> Tensor {
        guard let rowBytes = type.byteCount(of: weight.columns) else {
            throw CheckpointError(
                .partialBlock,
                "\(weight.columns) columns are not whole blocks of \(type.blockLength) (\(type.rawValue))")
        }
        let (count, overflow) = rowBytes.multipliedReportingOverflow(by: weight.rows * weight.count)
        guard !overflow, count < 1 << 40 else {
            throw CheckpointError(
                .invalidDimensions,
                "\(weight.name), of \(weight.count) x \(weight.rows) x \(weight.columns), is too large")
        }
        // A word more, so that whole words can be written.
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: count + 8, alignment: 64)
        for offset in stride(from: 0, to: count, by: 8) {
            bytes.storeBytes(of: random.next(), toByteOffset: offset, as: UInt64.self)
        }
        let tensor = Tensor(
            HostTensor(
                elementType: type, count: weight.count, rows: weight.rows, columns: weight.columns,
                bytes: UnsafeRawBufferPointer(rebasing: bytes[..<count])))
        scaleBlocks(of: type, in: bytes, count: count, to: scale)
        return tensor
    }

    /// Makes numbers of random bytes: quants stay as they are and get a scale, floats keep all but their exponent.
    private func scaleBlocks(of type: ElementType, in bytes: UnsafeMutableRawBufferPointer, count: Int, to scale: Float)
    {
        func half(_ value: Float) -> UInt16 { Float16(value).bitPattern }
        switch type {
        case .float32:
            let exponent = scale.bitPattern & 0x7f80_0000
            for at in stride(from: 0, to: count, by: 4) {
                let bits = bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self)
                bytes.storeBytes(of: bits & 0x807f_ffff | exponent, toByteOffset: at, as: UInt32.self)
            }
        case .bfloat16, .float16:
            let (kept, exponent): (UInt16, UInt16) =
                type == .bfloat16
                ? (0x807f, UInt16(scale.bitPattern >> 16) & 0x7f80) : (0x83ff, half(scale) & 0x7c00)
            for at in stride(from: 0, to: count, by: 2) {
                let bits = bytes.loadUnaligned(fromByteOffset: at, as: UInt16.self)
                bytes.storeBytes(of: bits & kept | exponent, toByteOffset: at, as: UInt16.self)
            }
        default: type.setFactors(ofBlocksIn: UnsafeMutableRawBufferPointer(rebasing: bytes[..<count]), scale: scale)
        }
    }
}
