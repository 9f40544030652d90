// SPDX-License-Identifier: Apache-2.0

import MartletText

/// Renders a conversation and encodes it so that no message can forge a special token.
///
/// Where a message spells one, the template is rendered again with a mark at both ends of every message. What stands
/// between marks is the user's and plain text; the rest is the template's own and may hold special tokens.
struct ChatPrompt {
    let template: ChatTemplate
    let tokenizer: Tokenizer

    /// A noncharacter: no text means anything by it.
    private static let mark: Unicode.Scalar = "\u{10FFFF}"

    func tokens(of messages: [ChatMessage]) throws -> [Int32] {
        for message in messages where tokenizer.spellsSpecialToken(message.role) {
            throw EngineError(.invalidRequest, "a role spells a special token", field: "role")
        }
        let isGuarded = messages.contains { message in
            tokenizer.spellsSpecialToken(message.content) || message.content.unicodeScalars.contains(Self.mark)
        }
        let prompt = try render(isGuarded ? messages.map(marked) : messages)
        var tokens: [Int32] = []
        // Templates that write BOS themselves must not get a second one.
        if tokenizer.addsBOS, let bos = tokenizer.bosToken, !prompt.hasPrefix(text(of: bos)) { tokens.append(bos) }
        guard isGuarded else { return tokens + tokenizer.encode(prompt, parsingSpecials: true) }
        let parts = prompt.unicodeScalars.split(separator: Self.mark, omittingEmptySubsequences: false)
        for (index, part) in parts.enumerated() {
            // Even parts are the template's, odd ones a message's.
            tokens += tokenizer.encode(String(part), parsingSpecials: index % 2 == 0)
        }
        return tokens
    }

    private func render(_ messages: [ChatMessage]) throws -> String {
        try template.render(
            messages, bosToken: tokenizer.bosToken.map(text) ?? "", eosToken: tokenizer.eosToken.map(text) ?? "")
    }

    /// The marks stand inside of the content's own whitespace, which templates like to trim.
    private func marked(_ message: ChatMessage) -> ChatMessage {
        let scalars = message.content.unicodeScalars.filter { $0 != Self.mark }
        let start = scalars.prefix { $0.properties.isWhitespace }
        let end = scalars.dropFirst(start.count).reversed().prefix { $0.properties.isWhitespace }.reversed()
        var content = String.UnicodeScalarView(start)
        content.append(Self.mark)
        content.append(contentsOf: scalars.dropFirst(start.count).dropLast(end.count))
        content.append(Self.mark)
        content.append(contentsOf: end)
        return ChatMessage(role: message.role, content: String(content))
    }

    private func text(of token: Int32) -> String { tokenizer.decode([token], includingSpecials: true) }
}
