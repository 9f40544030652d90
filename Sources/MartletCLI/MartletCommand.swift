// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Dispatch
import Foundation
import Logging
import Martlet
import MartletText

@main
package struct MartletCommand: AsyncParsableCommand {
    package init() {}

    static let configuration = CommandConfiguration(
        commandName: "martlet",
        abstract: "Runs language models from GGUF files on the CPU.",
        discussion: "MODEL is the path of a GGUF file, or the short name of a fetched model: smollm2.",
        version: MartletVersion.current,
        subcommands: [
            RunCommand.self, ChatCommand.self, ServeCommand.self, TokenizeCommand.self, InspectCommand.self,
            EvaluateCommand.self, QuantizeCommand.self,
            CheckCommand.self, BenchCommand.self, GenerateDocumentationCommand.self,
        ])

    /// Says so where there is no command of a name, and which one may be meant.
    static func requireCommand(_ arguments: [String]) throws {
        var command: any ParsableCommand.Type = MartletCommand.self
        for name in arguments {
            let subcommands = command.configuration.subcommands
            if name == "help", command == MartletCommand.self { continue }
            guard !subcommands.isEmpty, !name.hasPrefix("-") else { return }
            let names = subcommands.compactMap { $0.configuration.commandName }
            guard let next = subcommands.first(where: { $0.configuration.commandName == name }) else {
                let hint = name.nearest(of: names).map { "; do you mean \($0)?" }
                let known = subcommands.filter { $0.configuration.shouldDisplay }.compactMap {
                    $0.configuration.commandName
                }
                let group = command == MartletCommand.self ? [] : [command.configuration.commandName ?? ""]
                throw UnknownCommand(
                    description: "there is no command \((group + [name]).joined(separator: " ").debugDescription)"
                        + (hint ?? "; there are \(known.joined(separator: ", "))"), group: group)
            }
            command = next
        }
    }

    private struct UnknownCommand: Error {
        let description: String
        /// The commands before it.
        let group: [String]
    }

    /// Ends as where a command line is wrong.
    private static func end(_ message: String, helpOf commands: [String]) -> Never {
        let command = (["martlet"] + commands).joined(separator: " ")
        Terminal.showError("Error: \(message)\nSee '\(command) --help' for more information.\n")
        Foundation.exit(EX_USAGE)
    }

    /// Not asynchronous itself: what that needs is there only after the checks.
    static func main() {
        ProcessStart.check()
        Task {
            LoggingSystem.bootstrap { _ in TerminalLogHandler() }
            let arguments = ProcessStart.arguments
            do {
                try requireCommand(arguments)
                await main(try ConfigFile.expand(arguments))
            } catch let error as UnknownCommand {
                end(error.description, helpOf: error.group)
            } catch let error as ValidationError {
                // A file of flags is a server's.
                end(error.message, helpOf: ["serve"])
            } catch {
                exit(withError: error)
            }
            Foundation.exit(0)
        }
        dispatchMain()
    }
}
