// SPDX-License-Identifier: Apache-2.0

import MartletCheckpoints
import MartletModels

/// A model's file or folder without its weights: its name, tokenizer and template, and the memory that its model takes.
///
/// ```swift
/// let file = try ModelFile("model.gguf")
/// let megabytes = file.memory.bytes(forTokens: 4096) / 1_000_000
/// ```
public struct ModelFile: Sendable {
    /// From the file, or the file's own name.
    public let name: String
    /// Tokens that the model was trained for.
    public let contextLength: Int
    /// Numbers in its matrices and vectors.
    public let parameterCount: Int
    /// Its tokenizer and chat template.
    public let text: ModelText
    /// The memory that the loaded model takes.
    public let memory: ModelMemory

    /// - Parameters:
    ///   - path: a GGUF file, or a folder of the hub's.
    ///   - options: those that the engine would be loaded with. The cache's format and the chat template count here.
    /// - Throws: `EngineError`, as `Engine.load` would for the same file.
    /// - Complexity: O(header), whose largest part is the vocabulary.
    public init(_ path: String, options: EngineOptions = EngineOptions()) throws(EngineError) {
        do {
            let model = try LoadFormat.openCheckpoint(path)
            name = model.name
            contextLength = model.shape.contextLength
            parameterCount = model.parameterCount
            text = try ModelText(of: model, options: options)
            memory = ModelMemory(of: model.blueprint, options: options)
        } catch {
            throw EngineError(error)
        }
    }
}
