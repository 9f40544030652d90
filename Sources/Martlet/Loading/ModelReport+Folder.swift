// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
import MartletCheckpoints
import MartletJSON
import MartletModels
import MartletText

extension ModelReport {
    /// What a folder of the hub's holds: its tensors by the names that its files give them, and the keys of `config.json`.
    package init(folder path: String) throws {
        let folder = try SafetensorsFolder(path: path)
        let config = try MappedFile(path: URL(filePath: path).appending(path: "config.json").path)
        self.path = path
        fileBytes = folder.byteCount
        format = "safetensors"
        tensors = folder.tensors.map { name, location in
            TensorEntry(
                name: name, type: location.tensor.type, dimensions: location.tensor.shape.reversed(),
                bytes: location.tensor.range.count)
        }.sorted { $0.name < $1.name }
        parameters = tensors.reduce(0) { $0 + $1.dimensions.reduce(1, *) }
        quantization = Dictionary(grouping: tensors, by: \.type).map { type, tensors in
            Quantization(
                type: type, tensors: tensors.count,
                parameters: tensors.reduce(0) { $0 + $1.dimensions.reduce(1, *) },
                bytes: tensors.reduce(0) { $0 + $1.bytes })
        }.sorted { $0.bytes > $1.bytes }
        unsupportedTensors = [:]
        metadata = Self.metadata(of: config)
        var (shape, memory): (Shape?, Memory?)
        do {
            let model = try FolderModel(path)
            shape = Shape(model.shape)
            _ = try model.tokenizer()
            memory = Memory(of: model.blueprint)
            problems = []
        } catch { problems = ["\(error)"] }
        (self.shape, self.memory) = (shape, memory)
        do {
            let source = try FolderText(path: path).chatTemplate()
            templateProblems = try source.map { try ChatTemplate($0).missing.map { "\($0)" } } ?? []
        } catch { templateProblems = ["\(error)"] }
    }

    private static func metadata(of config: MappedFile) -> [Metadata] {
        guard let json = try? JSONParser.parse([UInt8](config.bytes), maximumDepth: 64), case .object(let object) = json
        else { return [] }
        return object.members.map { member in
            let summary = member.value.excerpt.escapingControlCharacters
            return Metadata(key: member.key, type: member.value.kind, value: .string(summary), summary: summary)
        }
    }
}

extension ModelReport.Memory {
    /// With the options that an engine has where none are given.
    init(of blueprint: ModelBlueprint) {
        let memory = ModelMemory(of: blueprint, options: EngineOptions())
        self.init(
            weightBytes: memory.weightBytes, cacheBytesPerToken: memory.cacheBytesPerToken,
            contextLength: blueprint.shape.contextLength,
            cacheBytes: memory.cacheBytes(tokens: blueprint.shape.contextLength))
    }
}
