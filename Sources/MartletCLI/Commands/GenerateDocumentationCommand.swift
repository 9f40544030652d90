// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import MartletServer

/// For `make docs`.
package struct GenerateDocumentationCommand: ParsableCommand {
    package init() {}

    static let configuration = CommandConfiguration(
        commandName: "generate-documentation", abstract: "Writes the documents that are made from the program.",
        shouldDisplay: false)

    @Argument(help: "The folder.") var folder: String

    /// File names and contents.
    package static var documents: [(name: String, text: String)] {
        [("Flags.md", flags), ("HTTP.md", ServerReference.http), ("Metrics.md", ServerReference.metrics)]
    }

    private static var flags: String {
        var text = """
            # Flags

            The help of every command, as `martlet help COMMAND` prints it. Made by `make docs`.


            """
        func add(_ command: any ParsableCommand.Type, _ path: [String]) {
            let subcommands = command.configuration.subcommands.filter { $0.configuration.shouldDisplay }
            if subcommands.isEmpty {
                let help = MartletCommand.helpMessage(for: command, columns: 100)
                text += "## \(path.joined(separator: " "))\n\n```\n\(help)\n```\n\n"
            }
            for subcommand in subcommands { add(subcommand, path + [subcommand.configuration.commandName ?? ""]) }
        }
        add(MartletCommand.self, ["martlet"])
        text += VLLMOptions.documentation
        // No blanks at the ends of lines, and one line feed at the end.
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            String(line.reversed().drop { $0 == " " }.reversed())
        }
        return lines.joined(separator: "\n").trimmingCharacters(in: .newlines) + "\n"
    }

    func run() throws {
        for document in Self.documents {
            try Terminal.writeFile(document.text, to: URL(filePath: folder).appending(path: document.name).path)
        }
    }
}
