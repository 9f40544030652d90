// SPDX-License-Identifier: Apache-2.0

/// What a terminal sends for a key, or for a text that is pasted.
package enum Key: Equatable {
    case text(String)
    case enter, interrupt, endOfInput, suspend, redraw
    case left, right, wordLeft, wordRight, home, end
    case previous, next
    case backspace, delete, deleteWord, deleteToStart, deleteToEnd

    /// Keys of one byte, as Emacs and shells have them.
    private static let controls: [UInt8: Key] = [
        0x01: .home, 0x02: .left, 0x03: .interrupt, 0x04: .endOfInput, 0x05: .end, 0x06: .right, 0x08: .backspace,
        0x0a: .enter, 0x0b: .deleteToEnd, 0x0c: .redraw, 0x0d: .enter, 0x0e: .next, 0x10: .previous,
        0x15: .deleteToStart, 0x17: .deleteWord, 0x1a: .suspend, 0x7f: .backspace,
    ]

    /// Keys that come as Escape, `[` or `O`, numbers and a last character.
    private static let sequences: [String: Key] = [
        "A": .previous, "B": .next, "C": .right, "D": .left, "H": .home, "F": .end,
        "1;5C": .wordRight, "1;5D": .wordLeft, "1;3C": .wordRight, "1;3D": .wordLeft,
        "1~": .home, "7~": .home, "4~": .end, "8~": .end, "3~": .delete,
    ]

    /// Bytes that one paste may have; more are left out.
    static let longestPaste = 1 << 20

    /// Reads one key.
    ///
    /// - Parameter nextByte: waits for the next byte; nil at the end of the input.
    /// - Returns: nil for a key without meaning; `endOfInput` where the bytes end.
    package static func read(_ nextByte: () -> UInt8?) -> Key? {
        guard let first = nextByte() else { return .endOfInput }
        switch first {
        case 0x1b: return readSequence(nextByte)
        case 0..<0x20, 0x7f: return controls[first]
        default:
            // The lead byte of a scalar in UTF-8 tells how many follow.
            let following = first < 0xc0 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3
            let bytes = [first] + (0..<following).compactMap { _ in nextByte() }
            return .text(String(decoding: bytes, as: UTF8.self))
        }
    }

    private static func readSequence(_ nextByte: () -> UInt8?) -> Key? {
        guard var byte = nextByte() else { return .endOfInput }
        // A second Escape begins anew.
        while byte == 0x1b {
            guard let next = nextByte() else { return .endOfInput }
            byte = next
        }
        switch byte {
        case UInt8(ascii: "b"): return .wordLeft
        case UInt8(ascii: "f"): return .wordRight
        case UInt8(ascii: "["), UInt8(ascii: "O"): break
        case 0x7f: return .deleteWord
        // Escape alone, and another key.
        default: return controls[byte]
        }
        var sequence = ""
        while let byte = nextByte(), sequence.utf8.count < 16 {
            sequence.unicodeScalars.append(Unicode.Scalar(byte))
            // A second [ is no end: the Linux console sends it for F1 to F5.
            if (0x40...0x7e).contains(byte), sequence != "[" { break }
        }
        return sequence == "200~" ? readPaste(nextByte) : sequences[sequence]
    }

    /// A text between the marks of a bracketed paste. Its line breaks don't send it.
    private static func readPaste(_ nextByte: () -> UInt8?) -> Key {
        let mark = Array("\u{1b}[201~".utf8)
        var bytes: [UInt8] = []
        while let byte = nextByte() {
            bytes.append(byte)
            if bytes.suffix(mark.count).elementsEqual(mark) {
                bytes.removeLast(mark.count)
                break
            }
            if bytes.count > longestPaste + mark.count { bytes.remove(at: longestPaste) }
        }
        bytes.removeLast(max(0, bytes.count - longestPaste))
        let text = String(decoding: bytes, as: UTF8.self)
        return .text(String(text.map { $0 == "\r" || $0 == "\r\n" ? "\n" : $0 }))
    }
}
