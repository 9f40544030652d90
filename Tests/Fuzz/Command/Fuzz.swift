// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

@main
struct Fuzz: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fuzz", abstract: "Sends the parts of Martlet that read strangers' input random input.",
        subcommands: [
            FuzzTemplates.self, FuzzFiles.self, FuzzRequests.self, FuzzConnections.self, TinyModelCommand.self,
        ])
}
