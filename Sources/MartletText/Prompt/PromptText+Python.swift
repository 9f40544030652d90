// SPDX-License-Identifier: Apache-2.0

/// String operations with Python's meaning, on UTF-8 or scalars: never on graphemes, whose breaking is slow.
extension PromptText {
    // MARK: Searching

    /// Where `part` occurs in the bytes, from left to right without overlap, at most `limit` times; nowhere if empty.
    ///
    /// - Complexity: O(n + m), by Knuth, Morris and Pratt (1977).
    func occurrences(of part: PromptText, limit: Int = .max) -> [Int] {
        let needle = part.bytes
        guard !needle.isEmpty, limit > 0, needle.count <= bytes.count else { return [] }
        // fallback[i]: length of the longest proper prefix of needle[...i] that is also its suffix.
        var fallback = [0]
        for byte in needle.dropFirst() {
            var length = fallback[fallback.count - 1]
            while length > 0, needle[length] != byte { length = fallback[length - 1] }
            fallback.append(needle[length] == byte ? length + 1 : 0)
        }
        var result: [Int] = []
        var matched = 0
        for (index, byte) in bytes.enumerated() {
            while matched > 0, needle[matched] != byte { matched = fallback[matched - 1] }
            if needle[matched] == byte { matched += 1 }
            guard matched == needle.count else { continue }
            result.append(index + 1 - needle.count)
            if result.count == limit { break }
            matched = 0
        }
        return result
    }

    func contains(_ part: PromptText) -> Bool { part.isEmpty || !occurrences(of: part, limit: 1).isEmpty }
    func hasPrefix(_ prefix: PromptText) -> Bool { bytes.starts(with: prefix.bytes) }
    func hasSuffix(_ suffix: PromptText) -> Bool { bytes.suffix(suffix.count).elementsEqual(suffix.bytes) }

    /// Pieces between occurrences of `separator`, of which at most `limit` are used.
    func pieces(separatedBy separator: PromptText, limit: Int = .max) -> [PromptText] {
        var result: [PromptText] = []
        var start = 0
        for occurrence in occurrences(of: separator, limit: limit) {
            result.append(slice(start..<occurrence))
            start = occurrence + separator.count
        }
        result.append(slice(start..<count))
        return result
    }

    /// Pieces between whitespace. After `limit` cuts the rest is one piece, with the whitespace at its end.
    func words(limit: Int = .max) -> [PromptText] {
        var result: [PromptText] = []
        var start: Int?
        var isRest = false
        forEachScalar { element in
            guard !isRest else { return }
            if element.scalar.isPythonSpace {
                if let from = start { result.append(slice(from..<element.range.lowerBound)) }
                start = nil
            } else if start == nil {
                start = element.range.lowerBound
                isRest = result.count >= limit
            }
        }
        if let start { result.append(slice(start..<count)) }
        return result
    }

    /// Python's `splitlines`: lines without their ends; nothing behind the last end.
    func lines() -> [PromptText] {
        var result: [PromptText] = []
        var start = 0
        var afterReturn = false
        forEachScalar { element in
            defer { afterReturn = element.scalar == "\r" }
            if element.scalar == "\n", afterReturn {
                start = element.range.upperBound
            } else if element.scalar.isPythonLineEnd {
                result.append(slice(start..<element.range.lowerBound))
                start = element.range.upperBound
            }
        }
        if start < count { result.append(slice(start..<count)) }
        return result
    }

    // MARK: Ends

    enum Side { case start, end, both }

    /// Without the characters at its ends that are in `characters`, or that are whitespace.
    func stripped(_ side: Side, of characters: PromptText? = nil) -> PromptText {
        let set = characters.map { Set($0.string.unicodeScalars) }
        func isStripped(_ scalar: Unicode.Scalar) -> Bool { set?.contains(scalar) ?? scalar.isPythonSpace }
        let text = string
        var view = text.unicodeScalars[...]
        var (start, end) = (0, count)
        if side != .end {
            while let first = view.first, isStripped(first) {
                view.removeFirst()
                start += UTF8.width(first)
            }
        }
        if side != .start {
            while let last = view.last, isStripped(last) {
                view.removeLast()
                end -= UTF8.width(last)
            }
        }
        return slice(start..<end)
    }

    // MARK: Case

    func uppercased() -> PromptText { mapScalars { $0.scalar.properties.uppercaseMapping } }

    func lowercased() -> PromptText {
        let scalars = string.unicodeScalars.map { $0 }
        var index = -1
        return mapScalars { element in
            index += 1
            return Self.lowercase(element.scalar, at: index, in: scalars)
        }
    }

    /// The first character as in titles, all others lowercase.
    func capitalizedFirst() -> PromptText {
        let scalars = string.unicodeScalars.map { $0 }
        var index = -1
        return mapScalars { element in
            index += 1
            return index == 0
                ? element.scalar.properties.titlecaseMapping : Self.lowercase(element.scalar, at: index, in: scalars)
        }
    }

    /// Python's `str.title`: characters behind one without case are capitals, so `it's` becomes `It'S`.
    func titleCased() -> PromptText {
        let scalars = string.unicodeScalars.map { $0 }
        var (index, isBehindCased) = (-1, false)
        return mapScalars { element in
            index += 1
            defer { isBehindCased = element.scalar.properties.isCased }
            return isBehindCased
                ? Self.lowercase(element.scalar, at: index, in: scalars) : element.scalar.properties.titlecaseMapping
        }
    }

    /// Jinja's filter `title`: the first character of each word is a capital, words being cut at whitespace and `-({[<`.
    func titleCasedWords() -> PromptText {
        let cuts: Set<Unicode.Scalar> = ["-", "(", "{", "[", "<"]
        var result = PromptText()
        var start = 0
        func add(upTo end: Int) {
            guard start < end else { return }
            let word = slice(start..<end)
            let first = word.offset(ofScalar: 1)
            result.append(word.slice(0..<first).uppercased())
            result.append(word.slice(first..<word.count).lowercased())
            start = end
        }
        var isBehindCut = false
        forEachScalar { element in
            let isCut = cuts.contains(element.scalar) || element.scalar.isPythonSpace
            if isCut != isBehindCut { add(upTo: element.range.lowerBound) }
            isBehindCut = isCut
        }
        add(upTo: count)
        return result
    }

    /// A capital sigma at the end of a word becomes a final one.
    private static func lowercase(_ scalar: Unicode.Scalar, at index: Int, in text: [Unicode.Scalar]) -> String {
        guard scalar == "\u{3A3}" else { return scalar.properties.lowercaseMapping }
        var before = index - 1
        while before >= 0, text[before].properties.isCaseIgnorable { before -= 1 }
        guard before >= 0, text[before].properties.isCased else { return "\u{3C3}" }
        var after = index + 1
        while after < text.count, text[after].properties.isCaseIgnorable { after += 1 }
        return after < text.count && text[after].properties.isCased ? "\u{3C3}" : "\u{3C2}"
    }

    // MARK: Making

    func repeated(_ times: Int) -> PromptText {
        // Nothing stays nothing, however often it is repeated.
        guard !isEmpty else { return self }
        var result = PromptText()
        for _ in 0..<max(0, times) { result.append(self) }
        return result
    }

    func reversed() -> PromptText {
        var result = PromptText()
        var (end, rangeIndex) = (count, userRanges.count - 1)
        while end > 0 {
            var start = end - 1
            while start > 0, bytes[start] & 0xc0 == 0x80 { start -= 1 }
            while rangeIndex >= 0, userRanges[rangeIndex].lowerBound > start { rangeIndex -= 1 }
            let isUser = rangeIndex >= 0 && userRanges[rangeIndex].contains(start)
            result.append(bytes[start..<end], isUser: isUser)
            end = start
        }
        return result
    }

    /// Pieces with this text between them.
    func joining(_ pieces: [PromptText]) -> PromptText {
        var result = PromptText()
        for (index, piece) in pieces.enumerated() {
            if index > 0 { result.append(self) }
            result.append(piece)
        }
        return result
    }

    /// With `new` for `old`, at most `limit` times. An empty `old` is found before each character and at the end.
    func replacing(_ old: PromptText, with new: PromptText, limit: Int = .max) -> PromptText {
        var result = PromptText()
        guard old.isEmpty else {
            var start = 0
            for occurrence in occurrences(of: old, limit: limit) {
                result.append(slice(start..<occurrence))
                result.append(new)
                start = occurrence + old.count
            }
            result.append(slice(start..<count))
            return result
        }
        var left = limit
        forEachScalar { element in
            if left > 0 { result.append(new) }
            left -= 1
            result.append(bytes[element.range], isUser: element.isUser)
        }
        if left > 0 { result.append(new) }
        return result
    }
}

extension Unicode.Scalar {
    /// What Python's `str.isspace` and its regular expressions' `\s` take for whitespace.
    var isPythonSpace: Bool {
        switch value {
        case 0x09...0x0d, 0x1c...0x20, 0x85, 0xa0, 0x1680, 0x2000...0x200a, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000: true
        default: false
        }
    }

    /// What ends a line for Python's `splitlines`.
    var isPythonLineEnd: Bool {
        switch value {
        case 0x0a...0x0d, 0x1c...0x1e, 0x85, 0x2028, 0x2029: true
        default: false
        }
    }
}
