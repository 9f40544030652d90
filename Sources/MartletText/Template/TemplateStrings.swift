// SPDX-License-Identifier: Apache-2.0

/// String operations with Python's meaning, on UTF-8 or scalars: never on graphemes, whose breaking is slow.
extension String {
    /// The first occurrence of `part` at or after `start`.
    func firstRange(ofBytes part: String, from start: Index? = nil) -> Range<Index>? {
        let needle = Array(part.utf8)
        var index = start ?? startIndex
        guard let first = needle.first else { return index..<index }
        while let candidate = utf8[index...].firstIndex(of: first) {
            if utf8[candidate...].starts(with: needle) {
                return candidate..<utf8.index(candidate, offsetBy: needle.count)
            }
            index = utf8.index(after: candidate)
        }
        return nil
    }

    /// Pieces between occurrences of `separator`, of which at most `limit` are used.
    func pieces(separatedBy separator: String, limit: Int = .max) -> [String] {
        var result: [String] = []
        var start = startIndex
        while result.count < limit, let range = firstRange(ofBytes: separator, from: start), !range.isEmpty {
            result.append(String(self[start..<range.lowerBound]))
            start = range.upperBound
        }
        result.append(String(self[start...]))
        return result
    }

    func replacingBytes(_ old: String, with new: String, limit: Int = .max) -> String {
        old.isEmpty ? self : pieces(separatedBy: old, limit: limit).joined(separator: new)
    }

    enum Side { case start, end, both }

    /// Without the characters at its ends that are in `characters`, or that are whitespace.
    func stripped(_ side: Side, of characters: String? = nil) -> String {
        let set = characters.map { Set($0.unicodeScalars) }
        func isStripped(_ scalar: Unicode.Scalar) -> Bool {
            set?.contains(scalar) ?? (scalar.properties.isWhitespace || (0x1c...0x1f).contains(scalar.value))
        }
        var view = unicodeScalars[...]
        if side != .end { view = view.drop(while: isStripped) }
        if side != .start { while let last = view.last, isStripped(last) { view.removeLast() } }
        return String(view)
    }

    /// Words separated by whitespace.
    var words: [String] { unicodeScalars.split(whereSeparator: { $0.properties.isWhitespace }).map(String.init) }

    var capitalizedFirst: String {
        guard let first = unicodeScalars.first else { return self }
        return first.properties.titlecaseMapping + String(unicodeScalars.dropFirst()).lowercased()
    }

    /// Every word capitalised, a word being a run of letters.
    var titleCased: String {
        var result = ""
        var inWord = false
        for scalar in unicodeScalars {
            result += inWord ? scalar.properties.lowercaseMapping : scalar.properties.titlecaseMapping
            inWord = scalar.properties.isCased
        }
        return result
    }

    func hasBytesPrefix(_ prefix: String) -> Bool { utf8.starts(with: prefix.utf8) }
    func hasBytesSuffix(_ suffix: String) -> Bool { utf8.reversed().starts(with: suffix.utf8.reversed()) }
}
