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
        let text = FlagsReference(of: MartletCommand.self, name: "martlet").markdown + VLLMOptions.documentation
        return text.trimmingCharacters(in: .newlines) + "\n"
    }

    func run() throws {
        for document in Self.documents {
            try Terminal.writeFile(document.text, to: URL(filePath: folder).appending(path: document.name).path)
        }
    }
}
