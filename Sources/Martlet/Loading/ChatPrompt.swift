// SPDX-License-Identifier: Apache-2.0

import MartletText

/// Renders a conversation and encodes it so that no message can forge a special token.
///
/// The template is rendered over private-use stand-ins for each message's text. What it renders around them is the
/// template's own and may hold special tokens; what stands in their place is the user's and may not.
struct ChatPrompt {
    let template: ChatTemplate
    let tokenizer: Tokenizer

    func tokens(of messages: [ChatMessage]) throws -> [Int32] {
        let rendered = try render(messages)
        let hasSpecial = messages.contains { holdsSpecial($0.content) || holdsSpecial($0.role) }
        let prompt = hasSpecial ? try renderGuarded(messages) : rendered
        var tokens: [Int32] = []
        // Templates that write BOS themselves must not get a second one.
        if tokenizer.addsBOS, let bos = tokenizer.bosToken, !rendered.hasPrefix(text(of: bos)) { tokens.append(bos) }
        for (index, part) in prompt.split(separator: Self.boundary, omittingEmptySubsequences: false).enumerated() {
            // Even parts are the template's, odd ones a message's.
            tokens += tokenizer.encode(String(part), parsingSpecials: index % 2 == 0)
        }
        return tokens
    }

    private static let boundary: Character = "\u{10FFFF}"

    private func render(_ messages: [ChatMessage]) throws -> String {
        try template.render(
            messages, bosToken: tokenizer.bosToken.map(text) ?? "", eosToken: tokenizer.eosToken.map(text) ?? "")
    }

    private func renderGuarded(_ messages: [ChatMessage]) throws -> String {
        try render(
            messages.map { message in
                let content = message.content.filter { $0 != Self.boundary }
                return ChatMessage(
                    role: message.role, content: String(Self.boundary) + content + String(Self.boundary))
            })
    }

    private func holdsSpecial(_ text: String) -> Bool {
        text.contains(Self.boundary) || tokenizer.encode(text, parsingSpecials: true) != tokenizer.encode(text)
    }

    private func text(of token: Int32) -> String { tokenizer.decode([token], includingSpecials: true) }
}
