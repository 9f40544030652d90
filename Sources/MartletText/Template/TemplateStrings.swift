// SPDX-License-Identifier: Apache-2.0

/// String operations with Python's meaning, on UTF-8 or scalars: never on graphemes, whose breaking is slow.
extension String {
    /// Where `part` occurs in the UTF-8, from left to right without overlap, at most `limit` times; nowhere if empty.
    ///
    /// - Complexity: O(n + m), by Knuth, Morris and Pratt (1977).
    func occurrences(of part: String, limit: Int = .max) -> [Int] {
        let needle = Array(part.utf8)
        guard !needle.isEmpty, limit > 0 else { return [] }
        // fallback[i]: length of the longest proper prefix of needle[...i] that is also its suffix.
        var fallback = [0]
        for byte in needle.dropFirst() {
            var length = fallback[fallback.count - 1]
            while length > 0, needle[length] != byte { length = fallback[length - 1] }
            fallback.append(needle[length] == byte ? length + 1 : 0)
        }
        var result: [Int] = []
        var matched = 0
        for (index, byte) in utf8.enumerated() {
            while matched > 0, needle[matched] != byte { matched = fallback[matched - 1] }
            if needle[matched] == byte { matched += 1 }
            guard matched == needle.count else { continue }
            result.append(index + 1 - needle.count)
            if result.count == limit { break }
            matched = 0
        }
        return result
    }

    /// Pieces between occurrences of `separator`, of which at most `limit` are used.
    func pieces(separatedBy separator: String, limit: Int = .max) -> [String] {
        let bytes = Array(utf8)
        var result: [String] = []
        var start = 0
        for occurrence in occurrences(of: separator, limit: limit) {
            result.append(String(decoding: bytes[start..<occurrence], as: UTF8.self))
            start = occurrence + separator.utf8.count
        }
        result.append(String(decoding: bytes[start...], as: UTF8.self))
        return result
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
