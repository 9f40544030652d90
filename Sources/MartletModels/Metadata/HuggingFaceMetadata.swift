// SPDX-License-Identifier: Apache-2.0

package import MartletCheckpoints
package import MartletCompute
package import MartletJSON

/// The metadata of a Hugging Face `config.json`, in the style before transformers 5 and since. Where a model of several kinds
/// of input nests its language model's numbers under `text_config`, those count.
package struct HuggingFaceMetadata: ModelMetadata {
    /// Far more than any has.
    private static let maximumBytes = 1 << 20
    /// Objects in objects that keys lead into.
    private static let maximumDepth = 64

    private let root: JSONObject
    /// What counts before `root`, the innermost first.
    private let nested: [JSONObject]
    /// What counts where the file says nothing: the family's own defaults.
    private let defaults: JSONObject
    private let path: String
    package let isGGUF = false
    package let tensors: (any TensorListing)?

    package init(_ file: MappedFile) throws(CheckpointError) {
        guard file.bytes.count <= Self.maximumBytes else {
            throw CheckpointError(.impossibleCount, "\(file.path) has \(file.bytes.count) bytes; that is no model's")
        }
        let json: JSONValue
        do {
            json = try JSONParser.parse([UInt8](file.bytes), maximumDepth: Self.maximumDepth)
        } catch {
            throw CheckpointError(.invalidMetadata, "\(file.path) can't be used: \(error)")
        }
        guard case .object(let root) = json else {
            throw CheckpointError(.invalidMetadata, "\(file.path) can't be used: it is not a JSON object")
        }
        var nested: [JSONObject] = []
        if case .object(let text) = root["text_config"] { nested.append(text) }
        (self.root, self.nested, path, defaults, tensors) = (root, nested, file.path, JSONObject(), nil)
    }

    private init(_ other: HuggingFaceMetadata, defaults: JSONObject, tensors: (any TensorListing)?) {
        (root, nested, path) = (other.root, other.nested, other.path)
        (self.defaults, self.tensors) = (defaults, tensors)
    }

    /// The same with a family's defaults, and with the tensors that lie beside the file.
    package func with(defaults: JSONObject, tensors: (any TensorListing)?) -> HuggingFaceMetadata {
        HuggingFaceMetadata(self, defaults: defaults, tensors: tensors)
    }

    /// What stands at a key, or in an object at one; null is absent.
    private func value(_ key: String) -> JSONValue? {
        for object in nested + [root, defaults] {
            var found: JSONValue? = .object(object)
            for name in key.split(separator: ".") {
                guard case .object(let members) = found else {
                    found = nil
                    break
                }
                found = members[String(name)]
            }
            if let found, found != .null { return found }
        }
        return nil
    }

    private func find(_ field: MetadataField, layer: Int? = nil) -> (key: String, value: JSONValue)? {
        if let layer {
            for key in field.config {
                let own = "per_layer_config.\(layer).\(key)"
                if let value = value(own) { return (own, value) }
            }
        }
        for key in field.config { if let value = value(key) { return (key, value) } }
        return nil
    }

    /// The field's value; of a list the layer's.
    private func element(_ field: MetadataField, layer: Int?) throws(CheckpointError) -> (
        key: String, value: JSONValue
    )? {
        guard let (key, value) = find(field, layer: layer) else { return nil }
        guard let layer, case .array(let list) = value else { return (key, value) }
        guard list.indices.contains(layer) else {
            throw CheckpointError(.invalidMetadata, "\(key) says nothing of layer \(layer)")
        }
        return list[layer] == .null ? nil : (key, list[layer])
    }

    private func wrongType(_ key: String, _ expected: String) -> CheckpointError {
        CheckpointError(.wrongMetadataType, "\(path) can't be used: \(key) must be \(expected)")
    }

    /// The key that is there; of an absent field the one that stands in an object which is.
    package func key(_ field: MetadataField) -> String {
        if let found = find(field) { return found.key }
        let inObject = field.config.first { key in
            key.lastIndex(of: ".").map { value(String(key[..<$0])) != nil } ?? false
        }
        return inObject ?? field.config.first { !$0.contains(".") } ?? field.config.first ?? field.gguf.first ?? ""
    }

    /// The language model's kind; of a model of several kinds of input its own where it says none.
    package var architecture: String {
        get throws(CheckpointError) {
            guard let value = value("model_type") else {
                throw CheckpointError(.missingMetadata, "\(path) lacks model_type")
            }
            guard case .string(let text) = value else { throw wrongType("model_type", "a string") }
            return text
        }
    }

    package var vocabularySize: Int { get throws(CheckpointError) { try positive(.vocabularySize) } }

    package func count(_ field: MetadataField, layer: Int?) throws(CheckpointError) -> Int? {
        guard let (key, value) = try element(field, layer: layer) else { return nil }
        guard case .integer(let integer) = value.wholeNumber else { throw wrongType(key, "an integer") }
        guard integer >= 0 else { throw CheckpointError(.invalidMetadata, "\(key) is \(integer)") }
        return integer
    }

    package func number(_ field: MetadataField, layer: Int?) throws(CheckpointError) -> Double? {
        guard let (key, value) = try element(field, layer: layer) else { return nil }
        switch value {
        case .integer(let integer): return Double(integer)
        case .number(let number): return number
        default: throw wrongType(key, "a number")
        }
    }

    /// Flags may be numbers, as in `no_rope_layers`, kinds of attention, as in `layer_types`, or letters, a pattern that
    /// repeats.
    package func flag(_ field: MetadataField, layer: Int?) throws(CheckpointError) -> Bool? {
        guard let (key, value) = try element(field, layer: layer) else { return nil }
        switch (value, layer) {
        case (.bool(let bool), _): return bool
        case (.integer(0), _?): return false
        case (.integer(1), _?): return true
        case (.string("sliding_attention"), _?): return true
        case (.string("full_attention"), _?): return false
        case (.string(let pattern), let layer?)
        where !pattern.isEmpty && pattern.utf8.allSatisfy(Self.letters.contains):
            return Array(pattern.utf8)[layer % pattern.utf8.count] == UInt8(ascii: "L")
        case (.string(let kind), _?):
            throw CheckpointError(
                .unsupportedModel, "layers of \(kind.debugDescription), as \(key) has them, are not supported")
        default: throw wrongType(key, "true or false")
        }
    }

    /// Of a pattern such as `LLLG`: local attention has a window, global none.
    private static let letters = Set("LG".utf8)

    package func text(_ field: MetadataField) throws(CheckpointError) -> String? {
        guard let (key, value) = find(field) else { return nil }
        guard case .string(let text) = value else { throw wrongType(key, "a string") }
        return text
    }

    /// Of a checkpoint's own tensors, or those that a GGUF file would have and the configuration says: longrope's factors.
    package func vector(_ name: String, length: Int) throws(CheckpointError) -> [Double]? {
        guard let key = Self.listedVectors[name] else {
            guard let tensors = tensors as? HubTensors, let tensor = tensors.tensor(named: name) else { return nil }
            guard tensor.dimensions == [length] else {
                throw CheckpointError(.wrongTensorShape, "\(name) must hold \(length) values, not \(tensor.dimensions)")
            }
            return try tensors.values(of: tensor).map(Double.init)
        }
        guard let (key, value) = find(key) else { return nil }
        guard case .array(let list) = value, list.count == length else {
            throw wrongType(key, "a list of \(length) numbers")
        }
        var numbers: [Double] = []
        for element in list {
            switch element {
            case .integer(let integer): numbers.append(Double(integer))
            case .number(let number): numbers.append(number)
            default: throw wrongType(key, "a list of \(length) numbers")
            }
        }
        return numbers
    }

    private static let listedVectors = [
        RotaryEmbedding.longFactorTensor: MetadataField(rope: "long_factor"),
        RotaryEmbedding.shortFactorTensor: MetadataField(rope: "short_factor"),
    ]

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
