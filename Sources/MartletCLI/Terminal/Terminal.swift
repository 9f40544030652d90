// SPDX-License-Identifier: Apache-2.0

import Foundation
import Martlet

/// Output as it comes: answers to standard output, everything about them to standard error.
enum Terminal {
    static func write(_ text: String) { FileHandle.standardOutput.write(Data(text.utf8)) }
    static func note(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }

    static var errorIsTerminal: Bool { isatty(STDERR_FILENO) == 1 }
    static var inputIsTerminal: Bool { isatty(STDIN_FILENO) == 1 }

    /// All of standard input as text.
    static func readInput() throws -> String {
        String(decoding: try FileHandle.standardInput.readToEnd() ?? Data(), as: UTF8.self)
    }

    /// Streams an answer and says at the end how fast it was. Returns its text.
    static func stream(_ answer: GenerationStream) async throws -> String {
        var text = ""
        for try await piece in answer {
            write(piece.text)
            text += piece.text
            if let summary = piece.summary {
                write("\n")
                note(summary.line)
            }
        }
        return text
    }
}

extension GenerationSummary {
    /// One line for people.
    var line: String {
        func rate(_ value: Double) -> String { String(format: "%.1f tokens/s", value) }
        return "prompt: \(promptTokens) tokens, \(rate(promptTokensPerSecond)) | "
            + "answer: \(completionTokens) tokens, \(rate(generationTokensPerSecond)) | \(finishReason.rawValue)"
    }
}

/// A bar on standard error, if that is a terminal.
final class ProgressBar: Sendable {
    private let title: String
    private let isShown = Terminal.errorIsTerminal

    init(title: String) { self.title = title }

    func show(_ fraction: Double) {
        guard isShown else { return }
        let width = 40
        let filled = Int(min(max(fraction, 0), 1) * Double(width))
        let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: width - filled)
        FileHandle.standardError.write(Data("\r\(title) \(bar) \(Int(fraction * 100)) %".utf8))
    }

    func clear() {
        guard isShown else { return }
        FileHandle.standardError.write(Data("\r\u{1b}[K".utf8))
    }
}

/// Columns for people.
struct Table {
    var rows: [[String]] = []

    mutating func add(_ cells: String...) { rows.append(cells) }

    var text: String {
        let widths = (0..<(rows.map(\.count).max() ?? 0)).map { column in
            rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
        }
        return rows.map { row in
            let cells = row.enumerated().map { index, cell in
                index == row.count - 1 ? cell : cell.padding(toLength: widths[index], withPad: " ", startingAt: 0)
            }
            return cells.joined(separator: "  ") + "\n"
        }.joined()
    }
}

extension Int {
    /// As a size, for people.
    var formattedBytes: String {
        let units = ["B", "KB", "MB", "GB", "TB"]
        var (value, unit) = (Double(self), 0)
        while value >= 1000, unit < units.count - 1 {
            value /= 1000
            unit += 1
        }
        return unit == 0 ? "\(self) B" : String(format: "%.1f \(units[unit])", value)
    }
}
