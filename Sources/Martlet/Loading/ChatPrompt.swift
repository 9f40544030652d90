// SPDX-License-Identifier: Apache-2.0

import MartletText

/// Renders a conversation and encodes it so that no message can forge a special token.
///
/// A message that spells one is rendered between two marks. What then stands between them is the user's and plain
/// text; the rest is the template's own and may hold special tokens.
struct ChatPrompt {
    let template: ChatTemplate
    let tokenizer: Tokenizer

    // Noncharacters: no text means anything by them.
    private static let open: Unicode.Scalar = "\u{10FFFE}"
    private static let close: Unicode.Scalar = "\u{10FFFF}"

    func tokens(of messages: [ChatMessage], until deadline: ContinuousClock.Instant? = nil) throws -> [Int32] {
        func encode(_ text: Substring.UnicodeScalarView, parsingSpecials: Bool) throws -> [Int32] {
            guard let deadline else { return tokenizer.encode(String(text), parsingSpecials: parsingSpecials) }
            return try tokenizer.encode(String(text), parsingSpecials: parsingSpecials, until: deadline)
        }
        for message in messages where needsMarks(message.role) {
            throw EngineError(.invalidRequest, "a role spells a special token", field: "role")
        }
        let prompt = try template.render(
            messages.map { needsMarks($0.content) ? marked($0) : $0 },
            bosToken: tokenizer.bosToken.map(text) ?? "", eosToken: tokenizer.eosToken.map(text) ?? "")
        var tokens: [Int32] = []
        // Templates that write BOS themselves must not get a second one.
        if tokenizer.addsBOS, let bos = tokenizer.bosToken, !prompt.utf8.starts(with: text(of: bos).utf8) {
            tokens.append(bos)
        }
        var rest = prompt.unicodeScalars[...]
        while let start = rest.firstIndex(where: isMark) {
            let inside = rest[start...].dropFirst()
            guard rest[start] == Self.open, let end = inside.firstIndex(where: isMark), rest[end] == Self.close else {
                throw EngineError(
                    .invalidRequest,
                    "a message spells a special token, and the chat template cuts that message; take the token out",
                    field: "content")
            }
            tokens += try encode(rest[..<start], parsingSpecials: true)
            tokens += try encode(inside[..<end], parsingSpecials: false)
            rest = rest[end...].dropFirst()
        }
        return try tokens + encode(rest, parsingSpecials: true)
    }

    private func isMark(_ scalar: Unicode.Scalar) -> Bool { scalar == Self.open || scalar == Self.close }

    private func needsMarks(_ text: String) -> Bool {
        tokenizer.spellsSpecialToken(text) || text.unicodeScalars.contains(where: isMark)
    }

    /// The marks stand inside of the content's own whitespace, which templates like to trim.
    private func marked(_ message: ChatMessage) -> ChatMessage {
        let scalars = message.content.unicodeScalars.filter { !isMark($0) }
        let start = scalars.prefix { $0.properties.isWhitespace }
        let end = scalars.dropFirst(start.count).reversed().prefix { $0.properties.isWhitespace }.reversed()
        var content = String.UnicodeScalarView(start)
        content.append(Self.open)
        content.append(contentsOf: scalars.dropFirst(start.count).dropLast(end.count))
        content.append(Self.close)
        content.append(contentsOf: end)
        return ChatMessage(role: message.role, content: String(content))
    }

    private func text(of token: Int32) -> String { tokenizer.decode([token], includingSpecials: true) }
}
