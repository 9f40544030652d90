// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
package import MartletCheckpoints
package import MartletCompute

/// The metadata of a Hugging Face `config.json`.
package struct HuggingFaceMetadata: ModelMetadata {
    /// Far more than any has.
    private static let maximumBytes = 1 << 20

    private let values: [String: Value]
    private let path: String
    package let isGGUF = false

    package init(_ file: MappedFile) throws(CheckpointError) {
        guard file.bytes.count <= Self.maximumBytes else {
            throw CheckpointError(.impossibleCount, "\(file.path) has \(file.bytes.count) bytes; that is no model's")
        }
        path = file.path
        do {
            values = try JSONDecoder().decode([String: Value].self, from: Data(file.bytes))
        } catch {
            throw CheckpointError(
                .invalidMetadata,
                "\(file.path) can't be used: it is not a JSON object, or a number of it is out of range")
        }
    }

    /// Any JSON.
    private indirect enum Value: Decodable {
        case null, bool(Bool), integer(Int), number(Double), text(String), list([Value]), object([String: Value])

        init(from decoder: any Swift.Decoder) throws {
            let container = try decoder.singleValueContainer()
            if container.decodeNil() {
                self = .null
            } else if let bool = try? container.decode(Bool.self) {
                self = .bool(bool)
            } else if let integer = try? container.decode(Int.self) {
                self = .integer(integer)
            } else if let number = try? container.decode(Double.self) {
                self = .number(number)
            } else if let text = try? container.decode(String.self) {
                self = .text(text)
            } else if let list = try? container.decode([Value].self) {
                self = .list(list)
            } else {
                self = .object(try container.decode([String: Value].self))
            }
        }
    }

    /// What stands at a key, or in an object at one; null is absent.
    private func value(_ key: String) -> Value? {
        var found: Value? = .object(values)
        for name in key.split(separator: ".") {
            guard case .object(let members) = found else { return nil }
            found = members[String(name)]
        }
        if case .null = found { return nil }
        return found
    }

    private func find(_ field: MetadataField) -> (key: String, value: Value)? {
        for key in field.config { if let value = value(key) { return (key, value) } }
        return nil
    }

    private func wrongType(_ key: String, _ expected: String) -> CheckpointError {
        CheckpointError(.wrongMetadataType, "\(path) can't be used: \(key) must be \(expected)")
    }

    package func key(_ field: MetadataField) -> String {
        find(field)?.key ?? field.config.first ?? field.gguf.first ?? ""
    }

    package var architecture: String {
        get throws(CheckpointError) {
            guard let value = value("model_type") else {
                throw CheckpointError(.missingMetadata, "\(path) lacks model_type")
            }
            guard case .text(let text) = value else { throw wrongType("model_type", "a string") }
            return text
        }
    }

    package var vocabularySize: Int { get throws(CheckpointError) { try positive(.vocabularySize) } }

    package func count(_ field: MetadataField, layer: Int?) throws(CheckpointError) -> Int? {
        guard let (key, found) = find(field) else { return nil }
        var value = found
        if let layer, case .list(let list) = value {
            guard list.indices.contains(layer) else {
                throw CheckpointError(.invalidMetadata, "\(key) has no count for layer \(layer)")
            }
            value = list[layer]
        }
        guard case .integer(let integer) = value else { throw wrongType(key, "an integer") }
        guard integer >= 0 else { throw CheckpointError(.invalidMetadata, "\(key) is \(integer)") }
        return integer
    }

    package func number(_ field: MetadataField) throws(CheckpointError) -> Double? {
        guard let (key, value) = find(field) else { return nil }
        switch value {
        case .integer(let integer): return Double(integer)
        case .number(let number): return number
        default: throw wrongType(key, "a number")
        }
    }

    package func dimensions(of tensor: String) -> [Int]? { nil }

    package func flag(_ field: MetadataField, layer: Int?) throws(CheckpointError) -> Bool? {
        guard let (key, found) = find(field) else { return nil }
        var value = found
        if let layer, case .list(let list) = value {
            guard list.indices.contains(layer) else {
                throw CheckpointError(.invalidMetadata, "\(key) has no flag for layer \(layer)")
            }
            value = list[layer]
        }
        guard case .bool(let bool) = value else { throw wrongType(key, "true or false") }
        return bool
    }

    package func text(_ field: MetadataField) throws(CheckpointError) -> String? {
        guard let (key, value) = find(field) else { return nil }
        guard case .text(let text) = value else { throw wrongType(key, "a string") }
        return text
    }

    package func holdsTensor(_ name: String) -> Bool? { nil }

    package func vector(_ name: String, length: Int) throws(CheckpointError) -> [Double]? { nil }

    package var isQuantizedOtherwise: Bool { value("quantization_config") != nil }

    /// What the weights of such a model are stored as.
    package var elementType: ElementType {
        get throws(CheckpointError) {
            switch try text(.elementType) ?? "bfloat16" {
            case "float32": return .float32
            case "float16": return .float16
            case "bfloat16": return .bfloat16
            case let other:
                throw CheckpointError(
                    .unsupportedTensorType,
                    "weights of type \(other) are not supported; float32, float16 and bfloat16 are")
            }
        }
    }
}
