// SPDX-License-Identifier: Apache-2.0

import Foundation
package import MartletCompute

/// A GGUF file without its numbers: metadata, and the tensors' names, types and sizes.
package struct CheckpointHeader: Sendable, CustomStringConvertible {
    /// A key and its value in GGUF's bytes.
    package struct Pair: Sendable {
        package let key: String
        package let type: UInt32
        package let value: [UInt8]

        package init(key: String, type: UInt32, value: [UInt8]) {
            self.key = key
            self.type = type
            self.value = value
        }
    }

    package struct Tensor: Sendable {
        package var name: String
        package var type: ElementType
        /// The fastest first.
        package var dimensions: [Int]

        package var byteCount: Int {
            let count = dimensions.reduce(1, *)
            return count / type.blockLength * type.blockBytes
        }

        /// Whether its numbers stand around 1: something is divided or multiplied by them.
        package var isFactor: Bool {
            dimensions.count == 1 && type == .float32 && (name.hasPrefix("rope_") || name.hasSuffix("_scale.weight"))
        }
    }

    package let name: String
    package var pairs: [Pair] = []
    package var tensors: [Tensor] = []

    package var description: String { name }

    /// Whether its kind can be loaded; others are refused by name.
    package var isSupported: Bool {
        !["apertus", "gemma4_e", "gemma4_moe", "lfm2", "qwen3_5"].contains(name)
    }

    /// A file of it in which every number of a tensor is 0, but 1 where something is divided or multiplied by it.
    package var writer: GGUFWriter {
        var writer = GGUFWriter()
        for pair in pairs { writer.add(pair.key, type: pair.type, pair.value) }
        for tensor in tensors {
            writer.add(
                tensor: tensor.name, dimensions: tensor.dimensions.map { UInt64($0) }, type: tensor.type.ggufNumber,
                data: tensor.isFactor
                    ? (0..<tensor.dimensions[0]).flatMap { _ in GGUFWriter.bytes(Float(1).bitPattern) }
                    : [UInt8](repeating: 0, count: tensor.byteCount))
        }
        return writer
    }

    /// A file of it with random weights and `TinyModel`'s tokenizer.
    ///
    /// - Parameter contextLength: nil for the checkpoint's own.
    package func randomModel(contextLength: Int? = nil, seed: UInt64 = 1) -> GGUFWriter {
        var (writer, random) = (GGUFWriter(), SeededGenerator(seed))
        for pair in pairs where pair.key != "tokenizer.ggml.tokens" {
            let length = pair.key.hasSuffix(".context_length") ? contextLength : nil
            writer.add(pair.key, type: pair.type, length.map { GGUFWriter.bytes(UInt32($0)) } ?? pair.value)
        }
        let embedding = tensors.first { $0.name == "token_embd.weight" }
        TinyModel.addTokenizer(to: &writer, count: embedding?.dimensions.last ?? 0)
        for tensor in tensors {
            let (columns, rows) = (tensor.dimensions[0], tensor.dimensions.dropFirst().reduce(1, *))
            let isNorm = rows == 1 && tensor.name.hasSuffix("norm.weight") || tensor.isFactor
            let data =
                isNorm
                ? random.normals(columns, scale: 0.1).flatMap { GGUFWriter.bytes(($0 + 1).bitPattern) }
                : random.weights(
                    tensor.type, rows: rows, columns: columns,
                    scale: tensor.name == embedding?.name ? 0.5 : 1 / Float(columns).squareRoot())
            writer.add(
                tensor: tensor.name, dimensions: tensor.dimensions.map { UInt64($0) }, type: tensor.type.ggufNumber,
                data: data)
        }
        return writer
    }

    // MARK: Checkpoints that are there

    /// One checkpoint of each kind that models differ in; those of families that aren't supported too.
    package static let all: [CheckpointHeader] = {
        guard let url = Bundle.module.url(forResource: "Fixtures/checkpoints", withExtension: "txt"),
            let text = try? String(contentsOf: url, encoding: .utf8)
        else { return [] }
        var headers: [CheckpointHeader] = []
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            let fields = line.split(separator: " ").map(String.init)
            if fields[0] == "checkpoint" {
                headers.append(CheckpointHeader(name: fields[1]))
            } else if !headers.isEmpty {
                headers[headers.count - 1].add(fields)
            }
        }
        return headers
    }()

    /// Adds what a line says: `type key value…`, `tokens count` or `tensor name type dimensions…`.
    private mutating func add(_ fields: [String]) {
        let values = fields.dropFirst(2)
        switch fields[0] {
        case "tensor":
            let dimensions = fields.dropFirst(3).compactMap { Int($0) }
            guard let type = ElementType(rawValue: fields[2]) else { return }
            for name in Self.names(fields[1]) {
                tensors.append(Tensor(name: name, type: type, dimensions: dimensions))
            }
        case "tokens":
            let count = Int(fields[1]) ?? 0
            let empty = [UInt8](repeating: 0, count: 8 * count)
            pairs.append(Pair(key: "tokenizer.ggml.tokens", type: 9, value: Self.array(8, count, empty)))
        case "string":
            let text = values.joined(separator: " ")
            pairs.append(Pair(key: fields[1], type: 8, value: GGUFWriter.string(text)))
        case let type where type.hasSuffix("s"):
            let (number, bytes) = Self.scalar(String(type.dropLast()))
            pairs.append(
                Pair(key: fields[1], type: 9, value: Self.array(number, values.count, values.flatMap(bytes))))
        default:
            let (number, bytes) = Self.scalar(fields[0])
            pairs.append(Pair(key: fields[1], type: number, value: values.flatMap(bytes)))
        }
    }

    /// The number of a type of metadata, and what writes its values.
    private static func scalar(_ type: String) -> (UInt32, (String) -> [UInt8]) {
        switch type {
        case "float32": (6, { GGUFWriter.bytes((Float($0) ?? .nan).bitPattern) })
        case "bool": (7, { [$0 == "true" ? 1 : 0] })
        case "int32": (5, { GGUFWriter.bytes(Int32($0) ?? -1) })
        default: (4, { GGUFWriter.bytes(UInt32($0) ?? 0) })
        }
    }

    private static func array(_ type: UInt32, _ count: Int, _ values: [UInt8]) -> [UInt8] {
        GGUFWriter.bytes(type) + GGUFWriter.bytes(UInt64(count)) + values
    }

    /// Of `blk.0-2,4.attn_q.weight` the four names it stands for.
    private static func names(_ name: String) -> [String] {
        let parts = name.split(separator: ".", maxSplits: 2).map(String.init)
        guard parts.count == 3, parts[0] == "blk" else { return [name] }
        return parts[1].split(separator: ",").flatMap { stretch -> [String] in
            let ends = stretch.split(separator: "-").compactMap { Int($0) }
            guard let first = ends.first, let last = ends.last else { return [] }
            return (first...last).map { "blk.\($0).\(parts[2])" }
        }
    }
}
