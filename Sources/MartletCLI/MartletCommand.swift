// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Logging

@main
struct MartletCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "martlet",
        abstract: "Runs language models from GGUF files on the CPU.",
        discussion: "MODEL is the path of a GGUF file, or the short name of a fetched model: smollm2.",
        version: version,
        subcommands: [
            RunCommand.self, ChatCommand.self, ServeCommand.self, TokenizeCommand.self, InspectCommand.self,
            EvaluateCommand.self,
            CheckCommand.self, BenchCommand.self, GenerateDocumentationCommand.self,
        ])

    static let version = "0.1.0"

    static func main() async {
        LoggingSystem.bootstrap { _ in TerminalLogHandler() }
        do {
            await main(try ConfigFile.expand(Array(CommandLine.arguments.dropFirst())))
        } catch {
            exit(withError: error)
        }
    }
}
