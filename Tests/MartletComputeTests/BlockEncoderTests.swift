// SPDX-License-Identifier: Apache-2.0

import MartletCompute
import MartletTestSupport
import Testing

@Suite struct BlockEncoderTests {
    private func encoded(_ values: [Float], as type: ElementType) throws -> (bytes: [UInt8], values: [Float]) {
        let encoder = try #require(BlockEncoder(type))
        var bytes = [UInt8](repeating: 0xa5, count: try #require(type.byteCount(of: values.count)))
        values.withUnsafeBufferPointer { values in bytes.withUnsafeMutableBytes { encoder.encode(values, to: $0) } }
        let decoded = bytes.withUnsafeBytes {
            HostTensor(elementType: type, rows: 1, columns: values.count, bytes: $0).dequantizedRow(0)
        }
        return (bytes, decoded)
    }

    /// About what ggml's own quantisers lose of normal numbers, which is measured in the same way.
    @Test(arguments: [
        (ElementType.q4_0, 0.092), (.q4_1, 0.082), (.q5_0, 0.046), (.q8_0, 0.0060), (.q4_k, 0.077), (.q6_k, 0.0192),
    ]) func losesLittle(_ type: ElementType, _ most: Double) throws {
        var random = SeededGenerator(5)
        for scale in [Float(1e-3), 1, 300] {
            let values = random.normals(64 * 256, scale: scale)
            let decoded = try encoded(values, as: type).values
            func squares(_ numbers: [Float]) -> Double { numbers.reduce(0) { $0 + Double($1) * Double($1) } }
            let loss = (squares(zip(values, decoded).map { $0 - $1 }) / squares(values)).squareRoot()
            #expect(loss < most, "\(loss)")
        }
    }

    /// What is a block's numbers already stays: encoding is the inverse of decoding.
    @Test(arguments: [ElementType.q8_0, .q4_0, .q5_0]) func keepsItsOwnNumbers(_ type: ElementType) throws {
        var random = SeededGenerator(6)
        let first = try encoded(random.normals(2048), as: type)
        #expect(try encoded(first.values, as: type).values == first.values)
    }

    @Test(arguments: BlockEncoder.types) func extremesAreFinite(_ type: ElementType) throws {
        var cases = [[Float](repeating: 0, count: 256), [Float](repeating: -3, count: 256)]
        cases.append((0..<256).map { $0 == 100 ? 60_000 : 0 })
        cases.append((0..<256).map { $0 % 2 == 0 ? .leastNonzeroMagnitude : -1e-30 })
        cases.append((0..<256).map { Float($0) })
        for values in cases {
            let decoded = try encoded(values, as: type).values
            let largest = values.map(\.magnitude).max() ?? 0
            #expect(zip(values, decoded).allSatisfy { abs($0 - $1) <= 0.14 * largest + 1e-6 }, "\(values[..<4])")
        }
    }

    @Test func othersCantBeWritten() {
        #expect(ElementType.allCases.filter { BlockEncoder($0) != nil }.count == BlockEncoder.types.count)
    }
}
