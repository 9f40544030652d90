// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
import MartletCheckpoints
import MartletCompute
import MartletModels
import MartletText

/// A model's folder as the hub lays it out: `config.json`, safetensors files, and its tokenizer's files.
struct FolderModel: StoredModel {
    let name: String
    let blueprint: ModelBlueprint
    private let text: FolderText
    private let tensors: HubTensors

    /// - Parameter longest: tokens of the longest sequence that will be computed; nil for the model's own context.
    init(_ path: String, longest: Int? = nil) throws {
        let config = try HuggingFaceMetadata(MappedFile(path: URL(filePath: path).appending(path: "config.json").path))
        let family = try ModelFamilies.family(of: config)
        let known = config.with(defaults: family.hubDefaults, tensors: nil)
        // Some hold the output matrix though it is the embedding table.
        let isTied = try known.flag(.tiesOutput) ?? false
        do throws(CheckpointError) {
            tensors = try HubTensors(SafetensorsFolder(path: path), family.hubNames(known)) {
                isTied && $0 == WeightName.output
            }
            blueprint = try ModelBlueprint(
                of: family, known.with(defaults: family.hubDefaults, tensors: tensors), tensors, longest: longest)
        } catch {
            throw error.message.contains(path)
                ? error : CheckpointError(error.code, "\(path): \(error.message)", offset: error.offset)
        }
        text = try FolderText(path: path)
        name = URL(filePath: path).standardizedFileURL.lastPathComponent
    }

    var parameterCount: Int { tensors.tensors.reduce(0) { $0 + $1.parameterCount } }

    func tokenizer() throws -> Tokenizer { try text.tokenizer(vocabularySize: shape.vocabularySize) }

    func chatTemplateSource() throws -> String? { try text.chatTemplate() }

    func forEachWeight(_ body: (Weight, WeightUse, HostTensor) throws -> Void) throws {
        tensors.willNeed()
        for entry in blueprint.entries {
            try tensors.withTensor(named: entry.tensor.name) { try body(entry.weight, entry.use, $0) }
            // The device has a copy of its own from here on.
            tensors.release(entry.tensor.name)
        }
        try tensors.checkUnchanged()
    }
}
