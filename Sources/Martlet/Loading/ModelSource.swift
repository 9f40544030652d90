// SPDX-License-Identifier: Apache-2.0

import MartletCheckpoints
import MartletCompute
import MartletModels
import MartletText

/// Where a model's weights come from, under the names of vLLM's `load_format`.
public enum LoadFormat: String, Sendable, CaseIterable {
    case auto, gguf
    /// Random weights of the shapes that a GGUF file, or a Hugging Face `config.json` alone, describes.
    case dummy
}

/// What an engine is loaded from: a model's shape and words, and its weights one after the other.
protocol ModelSource {
    var name: String { get }
    var configuration: DecoderConfiguration { get }
    var programs: DecoderPrograms { get }
    /// How most of the matrices are stored.
    var matrixType: ElementType { get }
    func tokenizer() throws -> Tokenizer
    /// nil where there is none.
    func chatTemplate() throws -> ChatTemplate?
    /// The weights that the programs name, each lent for the time of a call. A vector is a matrix of one row.
    func forEachWeight(_ body: (_ weight: Weight, _ isMatrix: Bool, _ tensor: HostTensor) throws -> Void) throws
    /// Bytes of all those.
    var weightBytes: Int { get }
}

extension LoadFormat {
    /// Opens a model.
    ///
    /// - Parameter path: a GGUF file; for dummy weights also a `config.json`, or a folder that holds one.
    func open(_ path: String) throws -> any ModelSource {
        switch self {
        case .auto, .gguf: try GGUFModel(path)
        case .dummy: try DummyModel(path)
        }
    }
}
