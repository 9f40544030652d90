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
    public let tokenizer: Tokenizer
    /// nil where the file has none, or one that can't be read.
    public let chatTemplate: ChatTemplate?
    /// Why the file's chat template can't be read; nil where it can, or where there is none.
    public let chatTemplateFault: TemplateError?
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
    public let cacheBlocks: Int
    /// What the cache keeps: what was asked for, or the device's choice.
    public let cacheFormat: CacheFormat
    /// Tokens that the cache's blocks hold together.
    public let cacheTokens: Int
    public let maxNumBatchedTokens: Int
    public let maxNumSeqs: Int
    /// Seconds that loading took.
    public let loadSeconds: Double

    /// A conversation as the prompt that the model was trained to answer.
    ///
    /// Only the template's own words become special tokens; a message that spells one is plain text.
    ///
    /// - Parameter deadline: when to give a text up that takes too long; nil for never.
    public func tokens(of messages: [ChatMessage], until deadline: ContinuousClock.Instant? = nil) throws -> [Int32] {
        guard let chatTemplate else {
            throw EngineError(
                .noChatTemplate,
                chatTemplateFault.map {
                    "the model's \($0), so conversations can't be answered; give another template, or send a plain prompt"
                } ?? "the model has no chat template: send it a plain prompt, or give it a template")
        }
        return try ChatPrompt(template: chatTemplate, tokenizer: tokenizer).tokens(
            of: messages, until: deadline)
    }
}
