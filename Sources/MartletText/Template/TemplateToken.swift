// SPDX-License-Identifier: Apache-2.0

/// A token of the template language.
enum TemplateToken: Equatable {
    /// Text outside of any tag.
    case text(String)
    case statementStart, statementEnd
    case outputStart, outputEnd
    case name(String)
    case string(String)
    case integer(Int)
    case float(Double)
    /// Punctuation and operators.
    case symbol(String)
    case end
}

struct LocatedToken {
    let token: TemplateToken
    let line: Int
}
