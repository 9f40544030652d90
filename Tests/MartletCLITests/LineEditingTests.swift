// SPDX-License-Identifier: Apache-2.0

import MartletCLI
import MartletTestSupport
import Testing

@Suite struct LineEditingTests {
    /// What each line is that these bytes enter; `^C` where Ctrl-C was, `^D` at the end.
    private func lines(_ typed: String) -> [String] {
        var bytes = Array(typed.utf8).makeIterator()
        var line = EditedLine()
        var lines: [String] = []
        while true {
            var isOver = false
            let key = Key.read {
                let byte = bytes.next()
                isOver = byte == nil
                return byte
            }
            guard let key else { continue }
            switch line.apply(key) {
            case .goesOn, .suspended: if isOver { return lines + ["^D \(String(line.text))"] }
            case .entered(let text): lines.append(text)
            case .interrupted: lines.append("^C")
            case .ended: return lines + ["^D"]
            }
        }
    }

    @Test(arguments: [
        ("hello\r", ["hello", "^D"]),
        ("helo\u{1b}[Dl\r", ["hello", "^D"]),
        ("ello\u{1}h\u{5}!\r", ["hello!", "^D"]),
        ("\u{1b}OHab\u{1b}[1~x\u{1b}[4~y\r", ["xaby", "^D"]),
        ("ab\u{7f}c\r", ["ac", "^D"]),
        ("abc\u{1b}[D\u{1b}[D\u{1b}[3~\r", ["ac", "^D"]),
        ("one two  \u{17}x\r", ["one x", "^D"]),
        ("one two\u{1b}b\u{b}x\r", ["one x", "^D"]),
        ("one two\u{1b}[1;5D\u{15}\r", ["two", "^D"]),
        ("one two\u{1}\u{1b}f,\r", ["one, two", "^D"]),
        // The history, with the line that was begun.
        ("a\rb\rc\u{1b}[A\u{1b}[A\r", ["a", "b", "a", "^D"]),
        ("a\rbegun\u{10}\u{e}\r", ["a", "begun", "^D"]),
        ("a\ra\r\u{1b}[A\u{1b}[A\u{1b}[Ab\r", ["a", "a", "ab", "^D"]),
        // Characters of several bytes and scalars.
        ("é日👨‍👩‍👧\u{7f}\r", ["é日", "^D"]),
        ("e\u{301}x\u{7f}\u{7f}o\r", ["o", "^D"]),
        // A paste is one text with its line breaks; other keys in it are nothing but text.
        ("\u{1b}[200~a\r\nb\rc\u{1b}[201~!\r", ["a\nb\nc!", "^D"]),
        ("\u{1b}[200~never ends", ["^D never ends"]),
        ("typed\u{3}x\r", ["^C", "x", "^D"]),
        ("x\u{1b}[D\u{4}\r", ["", "^D"]),
        // Keys without meaning, cut sequences, bytes that are no UTF-8.
        ("a\u{1b}[99;99Zb\u{1}\u{1b}q\r", ["ab", "^D"]),
        ("a\u{1b}\r\u{1b}\u{3}", ["a", "^C", "^D"]),
        ("a\r\u{1b}\u{1b}[A\r", ["a", "a", "^D"]),
        ("a\u{1b}[[Ab\r", ["ab", "^D"]),
        ("one two\u{1b}\u{7f}\r", ["one ", "^D"]),
        // A line of the history that was changed is left as it is while another one is looked at.
        ("a\rb\r\u{10}\u{10}x\u{e}\u{10}\r", ["a", "b", "ax", "^D"]),
        ("a\u{1b}[", ["^D a"]),
        ("", ["^D"]),
    ])
    func keysEdit(_ typed: String, _ expected: [String]) {
        #expect(lines(typed) == expected)
    }

    @Test func anyBytesEnd() {
        var generator = SeededGenerator(28)
        // Half of them begin or end what has a meaning.
        let common: [UInt8] = [0x1b, 0x5b, 0x0d, 0x7f, 0x41, 0xe2, 0x7e, 0x32]
        for _ in 0..<2000 {
            var bytes = generator.randomBytes(64).map { $0 & 1 == 0 ? common[Int($0 >> 5)] : $0 }.makeIterator()
            var line = EditedLine()
            var ended = false
            while !ended {
                let key = Key.read {
                    let byte = bytes.next()
                    ended = byte == nil
                    return byte
                }
                if let key { _ = line.apply(key) }
                #expect(line.cursor <= line.text.count)
                let visible = line.visible(columns: 9) { $0.isASCII ? 1 : 2 }
                #expect(visible.cursor < 9)
            }
        }
    }

    @Test func longLinesMoveSideways() {
        var line = EditedLine()
        _ = line.apply(.text("0123456789"))
        #expect(line.visible(columns: 5) { _ in 1 } == ("6789", 4))
        _ = line.apply(.home)
        #expect(line.visible(columns: 5) { _ in 1 } == ("01234", 0))
        _ = line.apply(.right)
        #expect(line.visible(columns: 5) { _ in 2 } == ("01", 2))
        _ = line.apply(.text("\n"))
        #expect(line.visible(columns: 5) { _ in 1 } == ("0⏎123", 2))
    }
}
