// SPDX-License-Identifier: Apache-2.0

public import MartletText

/// What turns a model's text into tokens and back.
public struct ModelText: Sendable {
    /// Text to tokens and back.
    public let tokenizer: Tokenizer
    /// nil where the file has none, or one that can't be read.
    public let chatTemplate: ChatTemplate?
    /// Why the file's chat template can't be read; nil where it can, or where there is none.
    public let chatTemplateFault: TemplateError?

    package init(tokenizer: Tokenizer, chatTemplate: ChatTemplate?, chatTemplateFault: TemplateError? = nil) {
        self.tokenizer = tokenizer
        self.chatTemplate = chatTemplate
        self.chatTemplateFault = chatTemplateFault
    }

    /// A prompt's tokens, with BOS where the model wants it.
    public func tokens(of prompt: PromptText) -> [Int32] { tokenizer.encode(prompt, addingBOS: true) }

    /// A conversation as the prompt that the model was trained to answer.
    ///
    /// Only the template's own text becomes control tokens; a message, a tool or a variable that spells one is plain text.
    public func tokens(
        of messages: [ChatMessage], tools: [JSONValue] = [], variables: [String: JSONValue] = [:]
    ) throws(EngineError) -> [Int32] {
        guard !messages.isEmpty else { throw EngineError(.invalidRequest, "there is no message", field: "messages") }
        do { return try tokens(of: messages, tools: tools, variables: variables, until: nil) } catch {
            throw EngineError(error)
        }
    }

    /// - Parameter deadline: when to give a text up that takes too long; nil for never.
    package func tokens(
        of messages: [ChatMessage], tools: [JSONValue] = [], variables: [String: JSONValue] = [:],
        until deadline: ContinuousClock.Instant?
    ) throws -> [Int32] {
        guard let chatTemplate else {
            throw EngineError(
                .noChatTemplate,
                chatTemplateFault.map {
                    "the model's \($0), so conversations can't be answered; give another template, or send a plain prompt"
                } ?? "the model has no chat template: send it a plain prompt, or give it a template")
        }
        let bos = tokenizer.bosToken.map(spelling) ?? ""
        let prompt = try chatTemplate.render(
            messages, tools: tools, variables: variables, bosToken: bos,
            eosToken: tokenizer.eosToken.map(spelling) ?? "", until: deadline)
        // Templates that write BOS themselves must not get a second one.
        let writesBOS =
            prompt.bytes.starts(with: bos.utf8)
            && prompt.userRanges.first.map { $0.lowerBound >= bos.utf8.count } ?? true
        return try tokenizer.encode(prompt, addingBOS: !writesBOS, until: deadline)
    }

    private func spelling(_ token: Int32) -> String { tokenizer.decode([token], includingSpecials: true) }
}
