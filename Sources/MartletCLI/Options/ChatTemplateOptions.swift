// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation

/// How conversations become prompts.
struct ChatTemplateOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "A Jinja chat template in place of the model's own: a file, or the text.", valueName: "template"))
    var chatTemplate: String?

    /// The template's text; nil for the model's own.
    var source: String? {
        get throws {
            guard let chatTemplate else { return nil }
            let isFile = FileManager.default.fileExists(atPath: chatTemplate)
            guard isFile || chatTemplate.contains("{") else {
                throw InputError("--chat-template: there is no file \(chatTemplate)")
            }
            return isFile ? try Terminal.readFile(chatTemplate) : chatTemplate
        }
    }
}
