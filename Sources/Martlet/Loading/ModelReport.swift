// SPDX-License-Identifier: Apache-2.0

import MartletCPU
public import MartletCheckpoints
import MartletCompute
import MartletModels
import MartletText

/// What a model file holds, and what running it needs.
public struct ModelReport: Encodable, Sendable {
    public struct Metadata: Encodable, Sendable {
        public let key: String
        public let type: String
        public let value: GGUFValue
        /// The value in one short line.
        public let summary: String
    }

    public struct TensorEntry: Encodable, Sendable {
        public let name: String
        public let type: String
        /// Fastest first, as in the file.
        public let dimensions: [Int]
        public let bytes: Int
    }

    public struct Quantization: Encodable, Sendable {
        public let type: String
        public let tensors: Int
        public let parameters: Int
        public let bytes: Int
    }

    public struct Memory: Encodable, Sendable {
        public let weightBytes: Int
        public let cacheBytesPerToken: Int
        public let contextLength: Int
        /// For a whole context.
        public let cacheBytes: Int
    }

    public let path: String
    public let fileBytes: Int
    public let version: Int
    public let parameters: Int
    public let metadata: [Metadata]
    public let tensors: [TensorEntry]
    public let quantization: [Quantization]
    /// Tensors of types that can't be read, by type.
    public let unsupportedTensors: [String: Int]
    /// nil where the model can't be loaded.
    public let memory: Memory?
    /// Why it can't be: all that stands in the way.
    public let problems: [String]
    /// Why its chat template can't be read, and what of it will be missed.
    public let templateProblems: [String]

    public init(of file: GGUFFile) {
        let header = file.contents
        path = file.file.path
        fileBytes = file.file.bytes.count
        version = Int(header.version)
        metadata = header.keys.compactMap { key in
            header.metadata[key].map {
                Metadata(key: key, type: "\($0.type)", value: $0, summary: $0.abbreviated)
            }
        }
        tensors = header.tensors.map {
            TensorEntry(name: $0.name, type: $0.elementType.rawValue, dimensions: $0.dimensions, bytes: $0.range.count)
        }
        func count(_ tensors: [GGUFTensor]) -> Int { tensors.reduce(0) { $0 + $1.dimensions.reduce(1, *) } }
        parameters = count(header.tensors)
        quantization = Dictionary(grouping: header.tensors, by: \.elementType).map { type, tensors in
            Quantization(
                type: type.rawValue, tensors: tensors.count, parameters: count(tensors),
                bytes: tensors.reduce(0) { $0 + $1.range.count })
        }.sorted { $0.bytes > $1.bytes }
        unsupportedTensors = header.unsupportedTensors.mapValues(\.count)
        var problems = ModelObstacles.of(file)
        var memory: Memory?
        if problems.isEmpty {
            do { memory = try Self.memory(of: file) } catch { problems = ["\(error)"] }
        }
        self.problems = problems
        self.memory = memory
        do {
            let source = try header.string("tokenizer.chat_template")
            templateProblems = try source.map { try ChatTemplate($0).missing.map { "\($0)" } } ?? []
        } catch {
            templateProblems = ["\(error)"]
        }
    }

    private static func memory(of file: GGUFFile) throws -> Memory {
        let blueprint = try ModelBlueprint(of: file)
        let shape = blueprint.shape
        let weightBytes = blueprint.entries.reduce(0) { sum, entry in
            let isVector = entry.use.roles.contains(.vector)
            return sum
                + (isVector
                    ? 4 * entry.tensor.dimensions.reduce(1, *) : InstructionSet.best.packedByteCount(of: entry.tensor))
        }
        let heads = shape.cacheHeads
        let perToken =
            shape.layers.count * heads.keyValueHeads
            * InstructionSet.best.defaultCacheFormat.byteCount(headSize: heads.headSize)
        return Memory(
            weightBytes: weightBytes, cacheBytesPerToken: perToken,
            contextLength: shape.contextLength, cacheBytes: perToken * shape.contextLength)
    }
}

extension InstructionSet {
    fileprivate func packedByteCount(of tensor: GGUFTensor) -> Int {
        packedByteCount(
            elementType: tensor.elementType, count: tensor.count, rows: tensor.rows, columns: tensor.columns)
    }
}

extension GGUFValue {
    /// One short line.
    fileprivate var abbreviated: String {
        switch self {
        case .unsigned(let value, _): return "\(value)"
        case .signed(let value, _): return "\(value)"
        case .floating(let value, _): return "\(Float(value))"
        case .bool(let value): return "\(value)"
        case .string(let value):
            let line = value.debugDescription.dropFirst().dropLast()
            return line.count <= 80 ? String(line) : line.prefix(77) + "..."
        case .array(let array): return "[\(array.count) x \(array.elementType)]"
        }
    }
}
