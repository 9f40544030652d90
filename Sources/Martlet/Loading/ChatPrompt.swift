// SPDX-License-Identifier: Apache-2.0

import MartletText

/// Renders a conversation and encodes it so that no message can forge a control token.
///
/// The rendered text knows which of its bytes a user wrote; control tokens are found in the others alone. An answer that
/// was given may therefore be sent back, whatever it spells.
package struct ChatPrompt {
    let template: ChatTemplate
    let tokenizer: Tokenizer

    package init(template: ChatTemplate, tokenizer: Tokenizer) {
        self.template = template
        self.tokenizer = tokenizer
    }

    package func tokens(of messages: [ChatMessage], until deadline: ContinuousClock.Instant? = nil) throws -> [Int32] {
        let bos = tokenizer.bosToken.map(text) ?? ""
        let prompt = try template.render(
            messages, bosToken: bos, eosToken: tokenizer.eosToken.map(text) ?? "", until: deadline)
        // Templates that write BOS themselves must not get a second one.
        let writesBOS =
            prompt.bytes.starts(with: bos.utf8)
            && prompt.userRanges.first.map { $0.lowerBound >= bos.utf8.count } ?? true
        return try tokenizer.encode(prompt, addingBOS: !writesBOS, until: deadline)
    }

    private func text(of token: Int32) -> String { tokenizer.decode([token], includingSpecials: true) }
}
