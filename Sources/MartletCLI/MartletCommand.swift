// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Dispatch
import Foundation
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

    /// Not asynchronous itself: what that needs is there only after the checks.
    static func main() {
        ProcessStart.check()
        Task {
            LoggingSystem.bootstrap { _ in TerminalLogHandler() }
            do {
                await main(try ConfigFile.expand(ProcessStart.arguments))
            } catch {
                exit(withError: error)
            }
            Foundation.exit(0)
        }
        dispatchMain()
    }
}
