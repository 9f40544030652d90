// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
import MartletCheckpoints
import MartletCompute
import MartletModels
import MartletText

/// Random weights of a model's shapes: for measuring what one hasn't got. They are the same each time.
struct DummyModel: ModelSource {
    let name: String
    let shape: ModelShape
    let programs: DecoderPrograms
    let matrixType: ElementType
    /// In the order of use; vectors are f32.
    private let weights: [(weight: Weight, use: WeightUse, type: ElementType)]
    /// The file whose tokenizer and template are taken, if one was given.
    private let tokenizerSource: GGUFModel?

    /// - Parameter quantization: what matrices are of; nil for what the file says.
    init(_ path: String, _ quantization: WeightQuantization? = nil, freeMemory: Int?) throws {
        var isFolder = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw CheckpointError(.notReadable, "there is no file \(path)")
        }
        let file = isFolder ? URL(filePath: path).appending(path: "config.json").path : path
        guard file.hasSuffix(".json") else {
            let model = try GGUFModel(path)
            self.init(
                model.shape, model.programs, matrixType: model.matrixType, quantization, name: model.name,
                tokenizerSource: model)
            try requireMemory(freeMemory)
            return
        }
        let config = try HuggingFaceMetadata(MappedFile(path: file))
        let family = try ModelFamilies.family(of: config)
        let metadata = config.with(defaults: family.hubDefaults, tensors: nil)
        let shape = try family.shape(of: metadata)
        try shape.validate()
        let folder = URL(filePath: file).deletingLastPathComponent().lastPathComponent
        self.init(
            shape, family.programs(shape), matrixType: try metadata.elementType, quantization,
            name: folder.isEmpty ? "dummy" : folder, tokenizerSource: nil)
        try requireMemory(freeMemory)
    }

    /// What is packed, and the largest matrix beside it while it is made.
    private func requireMemory(_ free: Int?) throws {
        let needed = weightBytes + (weights.map(byteCount).max() ?? 0)
        guard let free, needed > free else { return }
        throw DeviceError(
            code: .outOfMemory,
            message: "random weights of these shapes take about \(needed) bytes; \(free) are free. Use a smaller model")
    }

    private init(
        _ shape: ModelShape, _ programs: DecoderPrograms, matrixType: ElementType,
        _ quantization: WeightQuantization?, name: String, tokenizerSource: GGUFModel?
    ) {
        self.shape = shape
        self.programs = programs
        self.matrixType = quantization?.elementType ?? matrixType
        self.name = "\(name) (random weights)"
        self.tokenizerSource = tokenizerSource
        let types = tokenizerSource.map { model in
            Dictionary(uniqueKeysWithValues: model.blueprint.entries.map { ($0.weight.name, $0.tensor.elementType) })
        }
        let targets = quantization.map { MatrixQuantization($0.elementType, of: shape) }
        // Matrices first: the same order of random numbers whatever the order of use.
        let uses = programs.weights
        weights =
            uses.filter { !$0.use.roles.contains(.vector) }.map { weight, use in
                let own = types?[weight.name] ?? matrixType
                return (weight, use, targets.map { $0.target(of: weight, use) ?? own } ?? own)
            }
            + uses.filter { $0.use.roles.contains(.vector) }.map { ($0, $1, .float32) }
    }

    func tokenizer() throws -> Tokenizer {
        try tokenizerSource?.tokenizer() ?? Tokenizer(bytesAndFillersUpTo: shape.vocabularySize)
    }

    func chatTemplateSource() throws -> String? { try tokenizerSource?.chatTemplateSource() }

    var weightBytes: Int { weights.reduce(0) { $0 + byteCount($1) } }

    private func byteCount(_ entry: (weight: Weight, use: WeightUse, type: ElementType)) -> Int {
        (entry.type.byteCount(of: entry.weight.columns) ?? 0) * entry.weight.rows * entry.weight.count
    }

    func forEachWeight(_ body: (Weight, WeightUse, HostTensor) throws -> Void) throws {
        var random = RandomWeights()
        for (weight, use, type) in weights {
            let tensor = try random.tensor(
                type, weight, scale: use.roles.contains(.vector) ? 0.5 : 1 / Float(weight.columns).squareRoot())
            try withExtendedLifetime(tensor) { try body(weight, use, tensor.borrowed) }
        }
    }
}
