// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Foundation

/// Reads lines from a terminal, with the keys that shells have; from anything else as they come.
final class LineEditor {
    private let prompt = "> "
    private var line = EditedLine()
    private let edits: Bool

    init() {
        let isDumb = ["", "dumb"].contains(ProcessInfo.processInfo.environment["TERM"] ?? "")
        edits = Terminal.inputIsTerminal && isatty(STDOUT_FILENO) == 1 && !isDumb
    }

    /// The next line without its end; nil at the end of the input.
    ///
    /// - Parameter hint: what Ctrl-C says while nothing is answered.
    func next(hint: String) -> String? {
        guard edits else {
            if Terminal.inputIsTerminal { Terminal.write(prompt) }
            return readLine()
        }
        var found = termios()
        guard tcgetattr(STDIN_FILENO, &found) == 0 else { return readLine() }
        let normal = found
        // A signal that ends the program leaves the terminal as it was.
        let signals = [SIGTERM, SIGHUP].map { number in
            DispatchSource.acting(onSignal: number) {
                Self.end(normal)
                _exit(128 + number)
            }
        }
        begin(normal)
        defer {
            Self.end(normal)
            for (number, source) in zip([SIGTERM, SIGHUP], signals) {
                source.cancel()
                signal(number, SIG_DFL)
            }
        }
        while true {
            draw()
            var isOver = false
            let key = Key.read {
                let byte = Self.nextByte()
                isOver = byte == nil
                return byte
            }
            if isOver { return nil }
            guard let key else { continue }
            switch line.apply(key) {
            case .goesOn: continue
            case .entered(let text):
                Terminal.write("\n")
                return text
            case .ended: return nil
            case .interrupted: Terminal.write("\n\(hint)\n")
            case .suspended:
                Self.end(normal)
                raise(SIGTSTP)
                begin(normal)
            }
        }
    }

    /// Keys come one by one and unseen, and a paste between marks.
    private func begin(_ normal: termios) {
        var raw = normal
        raw.c_lflag &= ~tcflag_t(ICANON | ECHO | ISIG | IEXTEN)
        raw.c_iflag &= ~tcflag_t(ICRNL | IXON)
        withUnsafeMutableBytes(of: &raw.c_cc) {
            $0[Int(VMIN)] = 1
            $0[Int(VTIME)] = 0
        }
        tcsetattr(STDIN_FILENO, TCSADRAIN, &raw)
        Terminal.write("\u{1b}[?2004h")
    }

    private static func end(_ normal: termios) {
        var normal = normal
        // A terminal that went away can't be told.
        try? FileHandle.standardOutput.write(contentsOf: Data("\u{1b}[?2004l".utf8))
        tcsetattr(STDIN_FILENO, TCSADRAIN, &normal)
    }

    /// Draws the line on one row; a longer one moves sideways below the cursor.
    private func draw() {
        var size = winsize()
        let known = ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0
        let columns = (known ? Int(size.ws_col) : 80) - prompt.count
        let (text, cursor) = line.visible(columns: max(2, columns - 1), width: Self.width)
        Terminal.write("\r\(prompt)\(text.escapingControlCharacters)\u{1b}[K\r\u{1b}[\(prompt.count + cursor)C")
    }

    /// Columns that a terminal gives a character.
    private static func width(_ character: Character) -> Int {
        guard !character.isNewline, let scalar = character.unicodeScalars.first else { return 1 }
        let shown = String(character).escapingControlCharacters
        guard shown == String(character) else { return shown.count }
        return scalar.properties.isEmojiPresentation || wide.contains { $0.contains(scalar.value) } ? 2 : 1
    }

    /// The scripts that Unicode's East Asian Width calls wide; emoji have a property of their own.
    private static let wide: [ClosedRange<UInt32>] = [
        0x1100...0x115f, 0x2e80...0x303e, 0x3041...0xa4cf, 0xa960...0xa97c, 0xac00...0xd7a3, 0xf900...0xfaff,
        0xfe30...0xfe6f, 0xff01...0xff60, 0xffe0...0xffe6, 0x17000...0x18cff, 0x1b000...0x1b2ff, 0x20000...0x3fffd,
    ]

    /// A byte of standard input; nil at its end. Reads that signals interrupt are repeated.
    private static func nextByte() -> UInt8? {
        var byte: UInt8 = 0
        while true {
            let count = read(STDIN_FILENO, &byte, 1)
            if count == 1 { return byte }
            if count == 0 || errno != EINTR { return nil }
        }
    }
}
