// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
import MartletCheckpoints
import MartletCompute
import MartletModels
import MartletText

/// A GGUF file with all of its own.
struct GGUFModel: StoredModel {
    let file: GGUFFile
    let blueprint: ModelBlueprint
    let name: String

    /// - Parameter longest: tokens of the longest sequence that will be computed; nil for the model's own context.
    init(_ path: String, longest: Int? = nil) throws {
        file = try GGUFFile(path: path)
        do { blueprint = try ModelBlueprint(of: file, longest: longest) } catch {
            // Rather all that stands in the way than the first of it.
            try ModelObstacles.check(file)
            throw error
        }
        let fileName = URL(filePath: path).deletingPathExtension().lastPathComponent
        name = try file.contents.string("general.name") ?? fileName
    }

    var parameterCount: Int { file.contents.parameterCount }

    func tokenizer() throws -> Tokenizer {
        do { return try Tokenizer(of: file) } catch {
            try ModelObstacles.check(file)
            throw error
        }
    }

    func chatTemplateSource() throws -> String? { try file.contents.string("tokenizer.chat_template") }

    func forEachWeight(_ body: (Weight, WeightUse, HostTensor) throws -> Void) throws {
        file.willNeed()
        for entry in blueprint.entries {
            guard let tensor = file.contents.tensor(named: entry.tensor.name) else { continue }
            try body(entry.weight, entry.use, file.hostTensor(tensor))
            // The device has a copy of its own from here on.
            file.release(tensor)
        }
        try file.checkUnchanged()
    }
}
