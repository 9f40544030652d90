// SPDX-License-Identifier: Apache-2.0

import MartletCPU
package import MartletCheckpoints
import MartletCompute
import MartletModels
import MartletText

/// What a model file holds, and what running it needs.
package struct ModelReport: Encodable, Sendable {
    package struct Metadata: Encodable, Sendable {
        package let key: String
        package let type: String
        package let value: GGUFValue
        /// The value in one short line.
        package let summary: String
    }

    package struct TensorEntry: Encodable, Sendable {
        package let name: String
        package let type: String
        /// Fastest first, as in the file.
        package let dimensions: [Int]
        package let bytes: Int
    }

    package struct Quantization: Encodable, Sendable {
        package let type: String
        package let tensors: Int
        package let parameters: Int
        package let bytes: Int
    }

    package struct Memory: Encodable, Sendable {
        package let weightBytes: Int
        package let cacheBytesPerToken: Int
        package let contextLength: Int
        /// For a whole context.
        package let cacheBytes: Int
    }

    package let path: String
    package let fileBytes: Int
    /// What kind of file it is: `GGUF v3`, or `safetensors`.
    package let format: String
    package let parameters: Int
    package let metadata: [Metadata]
    package let tensors: [TensorEntry]
    package let quantization: [Quantization]
    /// Tensors of types that can't be read, by type.
    package let unsupportedTensors: [String: Int]
    /// nil where the model's family isn't known, or its metadata can't be read.
    package let shape: Shape?
    /// nil where the model can't be loaded.
    package let memory: Memory?
    /// Why it can't be: all that stands in the way.
    package let problems: [String]
    /// Why its chat template can't be read, and what of it will be missed.
    package let templateProblems: [String]

    package init(of file: GGUFFile) {
        let header = file.contents
        path = file.path
        fileBytes = file.byteCount
        format = "GGUF v\(header.version)"
        metadata = header.keys.compactMap { key in
            header.metadata[key].map {
                Metadata(key: key, type: "\($0.type)", value: $0, summary: $0.abbreviated)
            }
        }
        tensors = header.tensors.map {
            TensorEntry(name: $0.name, type: $0.elementType.rawValue, dimensions: $0.dimensions, bytes: $0.range.count)
        }
        parameters = header.parameterCount
        quantization = Dictionary(grouping: header.tensors, by: \.elementType).map { type, tensors in
            Quantization(
                type: type.rawValue, tensors: tensors.count, parameters: tensors.reduce(0) { $0 + $1.parameterCount },
                bytes: tensors.reduce(0) { $0 + $1.range.count })
        }.sorted { $0.bytes > $1.bytes }
        unsupportedTensors = header.unsupportedTensors.mapValues(\.count)
        shape = Shape(of: file)
        var problems = ModelObstacles.of(file)
        var memory: Memory?
        if problems.isEmpty {
            do { memory = Memory(of: try ModelBlueprint(of: file)) } catch { problems = ["\(error)"] }
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
