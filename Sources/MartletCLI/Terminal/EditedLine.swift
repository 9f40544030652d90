// SPDX-License-Identifier: Apache-2.0

/// A line while it is typed, and the lines before it.
package struct EditedLine {
    package private(set) var text: [Character] = []
    /// Before which character the next one is put.
    package private(set) var cursor = 0

    private var history: [String] = []
    /// Which line of the history is shown; `history.count` is the new one.
    private var shown = 0
    /// Lines as they were left, by their number, while another one is shown.
    private var drafts: [Int: [Character]] = [:]

    package init() {}

    package enum Outcome: Equatable {
        case goesOn, ended, interrupted, suspended
        case entered(String)
    }

    package mutating func apply(_ key: Key) -> Outcome {
        switch key {
        case .text(let added):
            // A combining mark joins the character before it.
            let start = max(0, cursor - 1)
            let joined = Array(String(text[start..<cursor]) + added)
            text.replaceSubrange(start..<cursor, with: joined)
            cursor = start + joined.count
        case .enter: return .entered(enter())
        case .interrupt:
            begin()
            return .interrupted
        case .endOfInput:
            if text.isEmpty { return .ended }
            remove(cursor..<min(cursor + 1, text.count))
        case .suspend: return .suspended
        case .redraw: break
        case .left: cursor = max(0, cursor - 1)
        case .right: cursor = min(text.count, cursor + 1)
        case .wordLeft: cursor = startOfWord
        case .wordRight:
            cursor = text[cursor...].firstIndex { !$0.isWhitespace } ?? text.count
            cursor = text[cursor...].firstIndex(where: \.isWhitespace) ?? text.count
        case .home: cursor = 0
        case .end: cursor = text.count
        case .previous: show(shown - 1)
        case .next: show(shown + 1)
        case .backspace: remove(max(0, cursor - 1)..<cursor)
        case .delete: remove(cursor..<min(cursor + 1, text.count))
        case .deleteWord: remove(startOfWord..<cursor)
        case .deleteToStart: remove(0..<cursor)
        case .deleteToEnd: remove(cursor..<text.count)
        }
        return .goesOn
    }

    private var startOfWord: Int {
        let end = (text[..<cursor].lastIndex { !$0.isWhitespace } ?? -1) + 1
        return (text[..<end].lastIndex(where: \.isWhitespace) ?? -1) + 1
    }

    private mutating func remove(_ range: Range<Int>) {
        text.removeSubrange(range)
        cursor = range.lowerBound
    }

    private mutating func show(_ index: Int) {
        guard index != shown, 0...history.count ~= index else { return }
        drafts[shown] = text
        shown = index
        text = drafts[index] ?? Array(history[index])
        cursor = text.count
    }

    private mutating func enter() -> String {
        let line = String(text)
        if !text.allSatisfy(\.isWhitespace), line != history.last { history.append(line) }
        begin()
        return line
    }

    private mutating func begin() {
        (text, cursor, shown, drafts) = ([], 0, history.count, [:])
    }

    /// The part of the line that is shown in `columns` columns, and the cursor's column.
    ///
    /// - Parameter width: columns of a character.
    package func visible(columns: Int, width: (Character) -> Int) -> (text: String, cursor: Int) {
        func columnsOf(_ characters: ArraySlice<Character>) -> Int { characters.reduce(0) { $0 + width($1) } }
        // The cursor may stand behind the last character and takes a column itself.
        var first = cursor
        var used = 1
        while first > 0, used + width(text[first - 1]) <= columns {
            first -= 1
            used += width(text[first])
        }
        let before = used - 1
        var end = cursor
        used = before
        while end < text.count, used + width(text[end]) <= columns {
            used += width(text[end])
            end += 1
        }
        return (String(text[first..<end].map { $0.isNewline ? "⏎" : $0 }), before)
    }
}
