// SPDX-License-Identifier: Apache-2.0

package import MartletCheckpoints
import MartletCompute

/// The metadata of a GGUF file.
package struct GGUFMetadata: ModelMetadata {
    private let file: GGUFFile
    package let architecture: String
    package let isGGUF = true
    package let isQuantizedOtherwise = false

    package init(_ file: GGUFFile) throws(CheckpointError) {
        self.file = file
        architecture = try file.contents.required(file.contents.name("general.architecture"), "general.architecture")
    }

    package func key(_ field: MetadataField) -> String {
        let keys = field.gguf.map { "\(architecture).\($0)" }
        return keys.first { file.contents.metadata[$0] != nil } ?? keys.first ?? field.config.first ?? ""
    }

    package var vocabularySize: Int {
        get throws(CheckpointError) {
            let tokens = try file.contents.required(
                file.contents.array("tokenizer.ggml.tokens"), "tokenizer.ggml.tokens")
            if let size = try count(.vocabularySize), size != tokens.count {
                throw CheckpointError(
                    .invalidMetadata, "\(key(.vocabularySize)) is \(size), but \(tokens.count) tokens follow")
            }
            return tokens.count
        }
    }

    package func count(_ field: MetadataField, layer: Int?) throws(CheckpointError) -> Int? {
        guard !field.gguf.isEmpty else { return nil }
        let key = key(field)
        guard let layer, case .array(let array) = file.contents.metadata[key] else {
            return try file.contents.count(key)
        }
        guard let layers = try count(.layers), array.count == layers, ModelShape.layerCounts.contains(layers) else {
            throw CheckpointError(.invalidMetadata, "\(key) holds \(array.count) counts, not one for each layer")
        }
        let values = try file.integers(key) ?? []
        guard values.indices.contains(layer), values[layer] >= 0 else {
            throw CheckpointError(.invalidMetadata, "\(key) has no count for layer \(layer)")
        }
        return Int(values[layer])
    }

    package func number(_ field: MetadataField, layer: Int?) throws(CheckpointError) -> Double? {
        field.gguf.isEmpty ? nil : try file.contents.float(key(field))
    }

    package func flag(_ field: MetadataField, layer: Int?) throws(CheckpointError) -> Bool? {
        guard !field.gguf.isEmpty else { return nil }
        let key = key(field)
        guard let layer, case .array(let array) = file.contents.metadata[key] else {
            return try file.contents.bool(key)
        }
        guard let layers = try count(.layers), array.count == layers, ModelShape.layerCounts.contains(layers),
            let values = try file.flags(key), values.indices.contains(layer)
        else { throw CheckpointError(.invalidMetadata, "\(key) holds \(array.count) flags, not one for each layer") }
        return values[layer]
    }

    package var tensors: (any TensorListing)? { file }

    package func text(_ field: MetadataField) throws(CheckpointError) -> String? {
        field.gguf.isEmpty ? nil : try file.contents.name(key(field))
    }

    package func vector(_ name: String, length: Int) throws(CheckpointError) -> [Double]? {
        guard let tensor = file.contents.tensor(named: name) else { return nil }
        guard tensor.dimensions == [length], tensor.elementType == .float32 else {
            throw CheckpointError(
                .wrongTensorShape,
                "\(name) must hold \(length) F32 values, not \(tensor.dimensions) \(tensor.elementType.rawValue)",
                offset: tensor.range.lowerBound)
        }
        return file.hostTensor(tensor).dequantized().map(Double.init)
    }
}

extension GGUFFile: TensorListing {
    package func tensor(named name: String) -> StoredTensor? { contents.tensor(named: name)?.stored }
    package var tensors: [StoredTensor] { contents.tensors.map(\.stored) }
    package var unsupportedTensors: [String: [String]] { contents.unsupportedTensors }
}
