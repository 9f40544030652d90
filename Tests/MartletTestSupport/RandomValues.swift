// SPDX-License-Identifier: Apache-2.0

import Foundation
package import MartletCompute

/// SplitMix64: the same numbers on every machine.
package struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    package init(_ seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        return DrawKey.mix(state)
    }

    /// About normal, mean 0, variance 1.
    package mutating func normal() -> Float {
        (0..<12).reduce(-6) { sum, _ in sum + Float.random(in: 0..<1, using: &self) }
    }

    package mutating func normals(_ count: Int, scale: Float = 1) -> [Float] {
        (0..<count).map { _ in normal() * scale }
    }

    /// Rows of random weights of a type, about normal with the given scale.
    package mutating func weights(_ type: ElementType, rows: Int, columns: Int, scale: Float) -> [UInt8] {
        var result: [UInt8] = []
        for _ in 0..<rows * columns / type.blockLength {
            switch type {
            case .float32: result += GGUFWriter.bytes((normal() * scale).bitPattern)
            case .bfloat16: result += GGUFWriter.bytes(UInt16((normal() * scale).bitPattern >> 16))
            case .float16: result += Self.half(normal() * scale)
            case .q4_0:
                result += Self.half(scale * 0.15 * (1 + Float.random(in: 0..<1, using: &self))) + randomBytes(16)
            case .q4_1:
                let step = scale * 0.15 * (1 + Float.random(in: 0..<1, using: &self))
                result += Self.half(step) + Self.half(-7.5 * step) + randomBytes(16)
            case .q8_0: result += Self.half(scale / 64) + randomBytes(32)
            default:
                var block = randomBytes(type.blockBytes)
                let own = scale * Float.random(in: 0.5..<1, using: &self)
                block.withUnsafeMutableBytes { type.setFactors(ofBlocksIn: $0, scale: own) }
                result += block
            }
        }
        return result
    }

    package mutating func randomBytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) }
    }

    private static func half(_ value: Float) -> [UInt8] { GGUFWriter.bytes(Float16(value).bitPattern) }
}

extension ElementType {
    /// The shortest row of whole blocks that has so many values.
    package func rowLength(atLeast count: Int) -> Int { (count + blockLength - 1) / blockLength * blockLength }
}

/// A file that is removed with this.
package final class TemporaryFile: Sendable {
    package let path: String

    package init(_ bytes: [UInt8], name: String = "model.gguf") throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "martlet-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let file = folder.appending(path: name)
        try Data(bytes).write(to: file)
        path = file.path
    }

    deinit { try? FileManager.default.removeItem(at: URL(filePath: path).deletingLastPathComponent()) }
}
