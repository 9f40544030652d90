// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Martlet
import MartletText

struct TokenizeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tokenize", abstract: "Shows the tokens of a text.")

    @Argument(help: "Path of a GGUF file or of a model's folder, or a short name: smollm2.")
    var model: ModelPath

    @Argument(help: "The text; - reads it from standard input.")
    var text: String

    @Flag(
        inversion: .prefixedNo,
        help: "Whether control tokens that the text spells, such as <|im_end|>, become those tokens.")
    var parseSpecial = true

    @Flag(help: "Puts BOS first where the model wants one.")
    var bos = false

    @Flag(help: "Prints the ids alone, as JSON.")
    var json = false

    func run() async throws {
        FileFaults.exitCleanly()
        let tokenizer = try Tokenizer(ofModelAt: model.resolve())
        let text = text == "-" ? try Terminal.readInput() : text
        let tokens = tokenizer.encode(text, parsingSpecials: parseSpecial, addingBOS: bos)
        if json {
            Terminal.write("[" + tokens.map(String.init).joined(separator: ", ") + "]\n")
            return
        }
        var table = Table()
        for token in tokens {
            let bytes = tokenizer.bytes(of: token, includingSpecials: true)
            // Part of a character: its bytes say more than a replacement mark.
            let hex = bytes.map { String(format: "%02x", $0) }.joined(separator: " ")
            table.add(String(token), String(validating: bytes, as: UTF8.self)?.debugDescription ?? "<\(hex)>")
        }
        Terminal.write(table.text)
        Terminal.note("\(tokens.count) token\(tokens.count == 1 ? "" : "s")")
    }
}
