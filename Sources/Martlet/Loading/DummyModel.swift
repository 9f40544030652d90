// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
import MartletCheckpoints
import MartletCompute
import MartletModels
import MartletText

/// Random weights of a model's shapes: for measuring what one hasn't got. They are the same each time.
struct DummyModel: ModelSource {
    let name: String
    let configuration: DecoderConfiguration
    let programs: DecoderPrograms
    let matrixType: ElementType
    /// In the order of use; vectors are f32.
    private let weights: [(weight: Weight, isMatrix: Bool, type: ElementType)]
    /// Where there is a file that has words too.
    private let words: GGUFModel?

    init(_ path: String, freeMemory: Int?) throws {
        var isFolder = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw CheckpointError(.notReadable, "there is no file \(path)")
        }
        let file = isFolder ? URL(filePath: path).appending(path: "config.json").path : path
        guard file.hasSuffix(".json") else {
            let model = try GGUFModel(path)
            self.init(model.configuration, matrixType: model.matrixType, name: model.name, words: model)
            try requireMemory(freeMemory)
            return
        }
        let description = try HuggingFaceConfiguration(MappedFile(path: file))
        let folder = URL(filePath: file).deletingLastPathComponent().lastPathComponent
        self.init(
            try description.decoder, matrixType: try description.elementType,
            name: folder.isEmpty ? "dummy" : folder, words: nil)
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

    private init(_ configuration: DecoderConfiguration, matrixType: ElementType, name: String, words: GGUFModel?) {
        self.configuration = configuration
        self.matrixType = matrixType
        self.name = "\(name) (random weights)"
        self.words = words
        programs = Decoder(configuration).programs
        let types = words.map { model in
            Dictionary(uniqueKeysWithValues: model.blueprint.matrices.map { ($0.weight.name, $0.tensor.elementType) })
        }
        weights =
            programs.weights.matrices.map { ($0, true, types?[$0.name] ?? matrixType) }
            + programs.weights.vectors.map { ($0, false, .float32) }
    }

    func tokenizer() throws -> Tokenizer {
        try words?.tokenizer() ?? Tokenizer(bytesAndFillersUpTo: configuration.vocabularySize)
    }

    func chatTemplateSource() throws -> String? { try words?.chatTemplateSource() }

    var weightBytes: Int { weights.reduce(0) { $0 + byteCount($1) } }

    private func byteCount(_ entry: (weight: Weight, isMatrix: Bool, type: ElementType)) -> Int {
        (entry.type.byteCount(of: entry.weight.columns) ?? 0) * entry.weight.rows
    }

    func forEachWeight(_ body: (Weight, Bool, HostTensor) throws -> Void) throws {
        var random = RandomWeights()
        for (weight, isMatrix, type) in weights {
            let tensor = try random.tensor(
                type, rows: weight.rows, columns: weight.columns,
                scale: isMatrix ? 1 / Float(weight.columns).squareRoot() : 0.5)
            try withExtendedLifetime(tensor) { try body(weight, isMatrix, tensor.borrowed) }
        }
    }
}
