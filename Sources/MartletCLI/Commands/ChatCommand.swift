// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Dispatch
import Foundation
import Martlet
import MartletCheckpoints
import MartletText
import Synchronization

struct ChatCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "chat", abstract: "Holds a conversation.",
        discussion: """
            Ctrl-C stops an answer, Ctrl-D, /exit or /quit leaves, /clear forgets the conversation. Lines are edited as in a \
            shell, and the arrow keys bring earlier ones back; what is pasted may have many lines.
            """)

    @OptionGroup var load: LoadOptions

    @OptionGroup var template: ChatTemplateOptions

    @Option(help: "A system message that stands before the conversation.")
    var system: String?

    @OptionGroup(title: "Sampling") var sampling: SamplingOptions

    func run() async throws {
        let run = try await load.loadEngine(template)
        try await converse(with: run.engine)
        try await run.finish()
    }

    private func converse(with engine: Engine) async throws {
        var conversation = Conversation(
            system: system, maxModelLength: engine.model.maxModelLength, answerLength: sampling.maxTokens)
        // Fail now, not at the first question, if there is no template or no room for one.
        let count = try engine.model.tokens(of: conversation.messages + [.user("")]).count
        guard count + conversation.reserve < conversation.maxModelLength else {
            throw InputError(
                """
                before any question the conversation has \(count) tokens, and an answer is left \
                \(conversation.reserve), but the context holds \(conversation.maxModelLength): shorten --system, or \
                raise --max-model-len
                """)
        }
        let interrupt = Interrupt()
        let editor = LineEditor()
        Terminal.note("Ctrl-C stops an answer; /exit leaves.")
        while true {
            guard let line = editor.next(hint: "(/exit or Ctrl-D leaves)") else { break }
            switch line.trimmingCharacters(in: .whitespacesAndNewlines) {
            case "": continue
            case "/exit", "/quit": return
            case "/clear": conversation.clear()
            // A text of many lines that begins with / is a question.
            case let command where command.hasPrefix("/") && !command.contains("\n"):
                Terminal.note("/clear forgets the conversation; /exit, /quit or Ctrl-D leaves")
            default: await answer(line, in: &conversation, engine, interrupt)
            }
        }
        if Terminal.inputIsTerminal { Terminal.write("\n") }
    }

    /// What goes wrong with one answer is said, and the conversation goes on.
    private func answer(
        _ question: String, in conversation: inout Conversation, _ engine: Engine, _ interrupt: Interrupt
    ) async {
        var next = conversation
        next.messages.append(.user(question))
        do {
            let forgotten = try next.fit { try engine.model.tokens(of: $0).count }
            let stream = try engine.generate(next.messages, sampling: sampling.parameters(engine.model.tokenizer))
            if forgotten > 0 {
                Terminal.note(
                    "note: the conversation outgrew the context; its oldest \(forgotten) messages are forgotten")
            }
            let text = try await interrupt.stopping(stream) { try await Terminal.stream(stream) }
            next.messages.append(.assistant(text))
            conversation = next
        } catch {
            Terminal.note("Error: \(error)")
        }
    }
}

/// Ctrl-C, turned into the end of whatever is being answered.
private final class Interrupt {
    private final class Running: Sendable {
        let answer = Mutex<GenerationStream?>(nil)
    }

    private let running = Running()
    private let source: any DispatchSourceSignal

    init() {
        source = DispatchSource.acting(onSignal: SIGINT) { [running] in
            if let answer = running.answer.withLock({ $0 }) {
                answer.cancel()
            } else {
                Terminal.write("\n(/exit or Ctrl-D leaves)\n> ")
            }
        }
    }

    /// Reads an answer, which Ctrl-C ends meanwhile.
    func stopping(_ answer: GenerationStream, _ read: () async throws -> String) async throws -> String {
        running.answer.withLock { $0 = answer }
        defer { running.answer.withLock { $0 = nil } }
        return try await read()
    }
}
