// SPDX-License-Identifier: Apache-2.0

extension HostTensor {
    /// One row, of all matrices', as f32, by the formulas beside `ElementType`: slow, obvious, and what fast kernels are held against.
    package func dequantizedRow(_ row: Int) -> [Float] {
        precondition(row >= 0 && row < totalRows, "row out of range")
        let start = row * rowBytes
        var result: [Float] = []
        result.reserveCapacity(columns)
        func half(_ offset: Int) -> Float {
            FloatFormat.float16.decode(UInt32(bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self)))
        }
        for block in 0..<(columns / elementType.blockLength) {
            let at = start + block * elementType.blockBytes
            switch elementType {
            case .float32:
                result.append(Float(bitPattern: bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self)))
            case .float16:
                result.append(half(at))
            case .bfloat16:
                let bits = bytes.loadUnaligned(fromByteOffset: at, as: UInt16.self)
                result.append(Float(bitPattern: UInt32(bits) << 16))
            case .q4_0:
                let scale = half(at)
                for k in 0..<32 { result.append(scale * Float(Int(nibble(k, at: at + 2)) - 8)) }
            case .q4_1:
                let scale = half(at)
                let minimum = half(at + 2)
                for k in 0..<32 { result.append(scale * Float(nibble(k, at: at + 4)) + minimum) }
            case .q8_0:
                let scale = half(at)
                for k in 0..<32 { result.append(scale * Float(Int8(bitPattern: bytes[at + 2 + k]))) }
            }
        }
        return result
    }

    /// All values, row after row.
    package func dequantized() -> [Float] {
        (0..<totalRows).flatMap { dequantizedRow($0) }
    }

    /// Values 0…15 of a block are the low nibbles of its 16 bytes, 16…31 the high ones.
    private func nibble(_ k: Int, at offset: Int) -> UInt8 {
        k < 16 ? bytes[offset + k] & 15 : bytes[offset + k - 16] >> 4
    }
}
