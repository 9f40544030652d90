// SPDX-License-Identifier: Apache-2.0

import Foundation
import Martlet
import MartletCheckpoints
import Synchronization

/// Something the user gave can't be used; unlike a `ValidationError` it is no question of how the command is written.
package struct InputError: Error, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}

/// Output as it comes: answers to standard output, everything about them to standard error.
enum Terminal {
    static func write(_ text: String) {
        do {
            try FileHandle.standardOutput.write(contentsOf: Data(text.utf8))
        } catch {
            note("Error: can't write the output: \(String(cString: strerror(errno)))")
            exit(74)
        }
    }

    /// Best effort: there is nowhere left to complain.
    static func showError(_ text: String) { try? FileHandle.standardError.write(contentsOf: Data(text.utf8)) }
    static func note(_ text: String) { showError(text + "\n") }

    static var errorIsTerminal: Bool { isatty(STDERR_FILENO) == 1 }
    static var inputIsTerminal: Bool { isatty(STDIN_FILENO) == 1 }

    /// All of standard input as text.
    static func readInput() throws -> String {
        String(decoding: try FileHandle.standardInput.readToEnd() ?? Data(), as: UTF8.self)
    }

    /// A text file's contents.
    static func readFile(_ path: String) throws -> String {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw InputError("there is no file \(path)")
        }
        guard !isFolder.boolValue else { throw InputError("\(path) is a folder; give a file") }
        guard access(path, R_OK) == 0 else {
            throw InputError("can't read \(path): \(String(cString: strerror(errno)))")
        }
        guard let data = FileManager.default.contents(atPath: path) else {
            throw InputError("can't read \(path): it is no file with contents")
        }
        return try text(data, of: path)
    }

    private static func text(_ data: Data, of path: String) throws -> String {
        guard let text = String(validating: data, as: UTF8.self) else {
            throw InputError("\(path) is not a text in UTF-8")
        }
        return text
    }

    /// A file of settings: at most a megabyte, however large the file says it is.
    static func readSmallFile(_ path: String) throws -> String {
        guard let file = FileHandle(forReadingAtPath: path), let data = try? file.read(upToCount: 1 << 20 + 1) else {
            // Says why not.
            return try readFile(path)
        }
        guard data.count <= 1 << 20 else { throw InputError("\(path) has more than a megabyte") }
        return try text(data, of: path)
    }

    /// Says so where there is no such folder.
    static func requireFolder(_ path: String) throws {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw InputError("there is no folder \(path)")
        }
        guard isFolder.boolValue else { throw InputError("\(path) is a file; give the folder that it is in") }
    }

    /// Refuses now what could not be written at the end.
    static func requireWritable(_ path: String) throws {
        let folder = URL(filePath: path).deletingLastPathComponent().path
        var isFolder: ObjCBool = false
        guard !path.isEmpty,
            !FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) || !isFolder.boolValue
        else { throw InputError("can't write to \(path.debugDescription): it is no file's name") }
        guard FileManager.default.isWritableFile(atPath: folder) else {
            throw InputError("can't write \(path): \(folder) is not a folder to write to")
        }
    }

    /// Writes a value as JSON, for other tools.
    static func writeJSON(_ value: some Encodable, to path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        let data = try encoder.encode(value)
        do { try data.write(to: URL(filePath: path)) } catch { throw InputError("can't write \(path)") }
    }

    /// Adds a value to a file of JSON lines.
    static func appendJSON(_ value: some Encodable, to path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        var data = FileManager.default.contents(atPath: path) ?? Data()
        if let last = data.last, last != UInt8(ascii: "\n") { data.append(UInt8(ascii: "\n")) }
        data += try encoder.encode(value) + [UInt8(ascii: "\n")]
        do { try data.write(to: URL(filePath: path)) } catch { throw InputError("can't write \(path)") }
    }

    static func writeFile(_ text: String, to path: String) throws {
        do { try Data(text.utf8).write(to: URL(filePath: path)) } catch { throw InputError("can't write \(path)") }
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
        let cached = cachedTokens > 0 ? " (\(cachedTokens) cached)" : ""
        return "prompt: \(promptTokens) tokens\(cached), \(rate(promptTokensPerSecond)) | "
            + "answer: \(completionTokens) tokens, \(rate(generationTokensPerSecond)) | \(finishReason.rawValue)"
    }
}

/// A bar on standard error, if that is a terminal.
final class ProgressBar: Sendable {
    private let title: String
    private let isShown = Terminal.errorIsTerminal
    private let shownPercent = Atomic<Int>(-1)

    init(title: String) { self.title = title }

    /// Draws the bar where its percent has changed.
    func show(_ fraction: Double) {
        guard isShown, fraction.isFinite else { return }
        let percent = Int(min(max(fraction, 0), 1) * 100)
        guard shownPercent.exchange(percent, ordering: .relaxed) != percent else { return }
        let width = 40
        let filled = percent * width / 100
        let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: width - filled)
        Terminal.showError("\r\(title) \(bar) \(percent) %")
    }

    func clear() {
        guard isShown else { return }
        Terminal.showError("\r\u{1b}[K")
    }
}

extension Int {
    /// As a size, for people: `98.4 MB`.
    var formattedBytes: String { scaled("B", ["KB", "MB", "GB", "TB"]) }

    /// As a count, for people: `134.5 M`.
    var formattedCount: String { scaled("", ["K", "M", "G", "T"]) }

    private func scaled(_ unit: String, _ larger: [String]) -> String {
        var (value, name) = (Double(self), unit)
        for next in larger where value >= 1000 { (value, name) = (value / 1000, next) }
        return name == unit ? "\(self) \(unit)" : String(format: "%.1f \(name)", value)
    }
}
