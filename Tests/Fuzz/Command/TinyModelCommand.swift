// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import MartletTestSupport

struct TinyModelCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tiny-model", abstract: "Writes a model that answers nonsense at once, for a server under test.")

    @Argument(help: "The file.") var path: String

    func run() throws { try Data(TinyModel().writer.file).write(to: URL(filePath: path)) }
}
