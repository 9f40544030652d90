// SPDX-License-Identifier: Apache-2.0

import Foundation
public import MartletText

/// A loaded model that answers.
///
/// ```swift
/// let engine = try await Engine.load("model.gguf")
/// for try await piece in try engine.generate("Once upon a time") {
///     print(piece.text, terminator: "")
/// }
/// ```
///
/// The model's state lives on a thread of its own; requests are served in the order they come. An engine that
/// is let go of ends once it has served what it was asked.
public final class Engine: Sendable {
    public let model: LoadedModel
    private let validator: RequestValidator
    private let mailbox: Mailbox

    private init(model: LoadedModel, mailbox: Mailbox) {
        self.model = model
        self.mailbox = mailbox
        validator = RequestValidator(
            limits: RequestLimits(
                maxModelLength: model.maxModelLength, vocabularySize: model.configuration.vocabularySize))
    }

    deinit { mailbox.post(.stop) }

    /// Loads a GGUF file.
    ///
    /// - Parameter progress: called from the engine's thread with the fraction loaded.
    public static func load(
        _ path: String, options: EngineOptions = EngineOptions(),
        progress: (@Sendable (Double) -> Void)? = nil
    ) async throws -> Engine {
        let mailbox = Mailbox()
        let model = try await withCheckedThrowingContinuation { continuation in
            let thread = Thread {
                do {
                    let (model, loop) = try ModelLoader(path: path, options: options).load(progress: progress)
                    continuation.resume(returning: model)
                    loop.serve(mailbox)
                } catch {
                    continuation.resume(throwing: error)
                }
            }
            thread.name = "martlet-engine"
            thread.stackSize = 8 << 20
            thread.start()
        }
        return Engine(model: model, mailbox: mailbox)
    }

    /// Generates from token ids. Cancelling the consuming task, or letting go of the stream, ends it within a step.
    public func generate(_ request: GenerationRequest) throws(EngineError) -> GenerationStream {
        let validated = try validator.validate(request)
        let cancellation = CancellationFlag()
        // Holds at most the answer, whose length the context bounds.
        let (stream, continuation) = GenerationStream.makeStream()
        continuation.onTermination = { _ in cancellation.set() }
        mailbox.post(.generate(validated, continuation, cancellation))
        return stream
    }

    /// Continues a text. Control tokens that it spells are taken for text.
    public func generate(
        _ prompt: String, sampling: SamplingParameters = SamplingParameters()
    ) throws -> GenerationStream {
        let tokens = model.tokenizer.encode(prompt, addingBOS: true)
        return try generate(GenerationRequest(promptTokens: tokens, sampling: sampling))
    }

    /// Answers a conversation, by the model's own chat template.
    public func generate(
        _ messages: [ChatMessage], sampling: SamplingParameters = SamplingParameters()
    ) throws -> GenerationStream {
        let tokens = try model.tokens(of: messages)
        return try generate(GenerationRequest(promptTokens: tokens, sampling: sampling))
    }

    /// What the model thinks of tokens given all before them: one score for each token after `firstPosition`.
    ///
    /// - Parameter firstPosition: the first position whose next token is scored.
    public func score(_ tokens: [Int32], from firstPosition: Int = 0) async throws -> [TokenScore] {
        // All but the last are computed, so one more than a prompt may have fits.
        try validator.validate(tokens: Array(tokens.dropLast()))
        try validator.validate(tokens: Array(tokens.suffix(1)))
        guard firstPosition >= 0, firstPosition < tokens.count - 1 else {
            throw EngineError(.invalidRequest, "position \(firstPosition) has no next token", field: "firstPosition")
        }
        return try await withCheckedThrowingContinuation { continuation in
            mailbox.post(.score(tokens, positions: firstPosition..<tokens.count - 1, continuation))
        }
    }
}
