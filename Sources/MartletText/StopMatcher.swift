// SPDX-License-Identifier: Apache-2.0

/// Finds the first of several strings in a text that arrives in pieces, and holds back what may become one.
///
/// Works on UTF-8; since stop strings are whole characters, so is everything it lets through.
package struct StopMatcher: Sendable {
    /// What is certain after a piece.
    package struct Match: Equatable, Sendable {
        /// Text that no stop string can be part of any more; all before the match, if there is one.
        package var text: String
        /// The string that was found, by its index among those looked for.
        package var stop: Int?

        package init(text: String, stop: Int? = nil) {
            self.text = text
            self.stop = stop
        }
    }

    private let stops: [[UInt8]]
    private let includesStop: Bool
    /// The end of the text so far, held back.
    private var held: [UInt8] = []

    /// - Parameters:
    ///   - stops: in UTF-8, none empty.
    ///   - includesStop: whether the string that was found is part of the text.
    package init(stops: [[UInt8]], includesStop: Bool = false) {
        precondition(stops.allSatisfy { !$0.isEmpty })
        self.stops = stops
        self.includesStop = includesStop
    }

    /// Takes the next piece. The string that is complete first counts, of several the one that begins first: so it
    /// doesn't matter how the text is cut into pieces.
    ///
    /// - Complexity: O(piece + held) times the strings' lengths.
    package mutating func append(_ piece: String) -> Match {
        guard !stops.isEmpty else { return Match(text: piece, stop: nil) }
        // What ended before was no match, and isn't now.
        let known = held.count
        held.append(contentsOf: piece.utf8)
        for end in stride(from: known + 1, through: held.count, by: 1) {
            guard let (index, stop) = longestStop(endingAt: end) else { continue }
            defer { held.removeAll() }
            return Match(
                text: String(decoding: held[..<(includesStop ? end : end - stop.count)], as: UTF8.self), stop: index)
        }
        return Match(text: release(), stop: nil)
    }

    private func longestStop(endingAt end: Int) -> (index: Int, stop: [UInt8])? {
        var found: (index: Int, stop: [UInt8])?
        for (index, stop) in stops.enumerated() where stop.count <= end && stop.count > found?.stop.count ?? 0 {
            if held[(end - stop.count)..<end].elementsEqual(stop) { found = (index, stop) }
        }
        return found
    }

    /// Takes a piece that doesn't end the text, whatever it completes. What it begins may yet.
    package mutating func pass(_ piece: String) -> String {
        guard !stops.isEmpty else { return piece }
        held.append(contentsOf: piece.utf8)
        return release()
    }

    /// What was held back: no more text will come.
    package mutating func finish() -> String {
        defer { held.removeAll() }
        return String(decoding: held, as: UTF8.self)
    }

    /// Lets go of all that can't be the beginning of a stop string.
    private mutating func release() -> String {
        let keep = lengthOfPossibleStop()
        defer { held.removeFirst(held.count - keep) }
        return String(decoding: held.dropLast(keep), as: UTF8.self)
    }

    /// Bytes at the end that are the beginning of a stop string.
    private func lengthOfPossibleStop() -> Int {
        let longest = stops.reduce(0) { max($0, $1.count) } - 1
        return stride(from: min(longest, held.count), to: 0, by: -1).first { length in
            stops.contains { $0.count > length && $0.starts(with: held.suffix(length)) }
        } ?? 0
    }
}
