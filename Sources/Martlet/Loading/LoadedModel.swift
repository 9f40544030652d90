// SPDX-License-Identifier: Apache-2.0

public import MartletCompute
package import MartletModels
public import MartletText

/// What is known of a loaded model.
public struct LoadedModel: Sendable {
    /// From the file, or the file's own name.
    public let name: String
    package let shape: ModelShape
    /// What a step runs.
    package let programs: DecoderPrograms
    /// How most of the matrices are stored in the file.
    package let matrixType: ElementType
    /// Its tokenizer and chat template.
    public let text: ModelText
    /// Tokens of prompt and answer together, as requests are held to them.
    public let maxModelLength: Int
    /// How steps are run: what was asked for, or what the device can do of it.
    public let graphMode: GraphMode
    /// The device, for people.
    public let deviceName: String
    /// Bytes of the packed weights.
    public let weightBytes: Int
    /// Bytes of those that linear layers read, once a step.
    package let linearBytes: Int
    /// Bytes of the KV cache's address space; pages are touched about as it fills.
    public let cacheBytes: Int
    /// Blocks of the KV cache that sequences may hold.
    public let cacheBlocks: Int
    /// What the cache keeps: what was asked for, or the device's choice.
    public let cacheFormat: CacheFormat
    /// Tokens that the cache holds together, where sequences are as long as `maxModelLength`.
    public let cacheTokens: Int
    /// Tokens of a block of the cache.
    public let blockSize: Int
    /// Groups of layers that take blocks of their own. There is more than one where some layers see a window alone.
    package let cacheGroups: Int

    /// Bytes of the cache that a token takes in all layers, before any window has moved past it.
    package var cacheBytesPerToken: Double {
        Double(cacheBytes) / Double(max(1, cacheBlocks * blockSize)) * Double(cacheGroups)
    }
    /// Most tokens of a step.
    public let maxNumBatchedTokens: Int
    /// Most sequences of a step.
    public let maxNumSeqs: Int
    /// Seconds that loading took.
    public let loadSeconds: Double

    /// The tokenizer of `text`.
    public var tokenizer: Tokenizer { text.tokenizer }
    /// The chat template of `text`.
    public var chatTemplate: ChatTemplate? { text.chatTemplate }
    /// Why the chat template can't be read.
    public var chatTemplateFault: TemplateError? { text.chatTemplateFault }
    /// Tokens that the model was trained for; `maxModelLength` may be less.
    public var contextLength: Int { shape.contextLength }

    /// A conversation's tokens; see `ModelText.tokens(of:tools:variables:)`.
    public func tokens(
        of messages: [ChatMessage], tools: [JSONValue] = [], variables: [String: JSONValue] = [:]
    ) throws(EngineError) -> [Int32] {
        try text.tokens(of: messages, tools: tools, variables: variables)
    }
}
