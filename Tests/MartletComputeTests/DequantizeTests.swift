// SPDX-License-Identifier: Apache-2.0

import Foundation
import MartletCompute
import Testing

/// Random blocks of every quantised type, and their values by PyPI's `gguf`.
private struct RecordedBlocks: Decodable {
    struct Case: Decodable {
        let blocks: Data
        let values: Data
    }
    let types: [String: Case]

    static func load() throws -> RecordedBlocks {
        let url = try #require(
            Bundle.module.url(forResource: "gguf-blocks", withExtension: "json", subdirectory: "Fixtures"))
        return try JSONDecoder().decode(RecordedBlocks.self, from: Data(contentsOf: url))
    }
}

@Suite struct DequantizeTests {
    /// The formulas are exact but for their last rounding, so all bits agree.
    @Test(arguments: ElementType.allCases.filter(\.isQuantized)) func agreesWithGGUF(_ type: ElementType) throws {
        let recorded = try #require(try RecordedBlocks.load().types[type.rawValue])
        let count = recorded.blocks.count / type.blockBytes * type.blockLength
        #expect(type.byteCount(of: count) == recorded.blocks.count && recorded.values.count == 4 * count)
        let values = recorded.blocks.withUnsafeBytes { bytes in
            HostTensor(elementType: type, rows: 1, columns: count, bytes: bytes).dequantizedRow(0)
        }
        let expected = recorded.values.withUnsafeBytes { bytes in
            (0..<count).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self) }
        }
        #expect(zip(values, expected).allSatisfy { $0 == Float(bitPattern: $1) })
        #expect(Set(expected).count > 8)
    }

    @Test(arguments: ElementType.allCases.filter(\.isQuantized)) func randomBlocksAreFiniteAndOfBothSigns(
        _ type: ElementType
    ) {
        var generator = ReplayableRandom(seed: 3)
        var bytes = (0..<40 * type.blockBytes).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
        bytes.withUnsafeMutableBytes { type.setFactors(ofBlocksIn: $0, scale: 1) }
        let values = bytes.withUnsafeBytes {
            HostTensor(elementType: type, rows: 1, columns: 40 * type.blockLength, bytes: $0).dequantizedRow(0)
        }
        let root = (values.reduce(0) { $0 + $1 * $1 } / Float(values.count)).squareRoot()
        #expect(values.allSatisfy { $0.magnitude < 4.5 } && root > 0.2 && root < 2)
        #expect(values.contains { $0 > 0 } && values.contains { $0 < 0 })
    }
}
