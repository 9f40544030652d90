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

    /// Says so where there is no command of a name, and which one may be meant.
    static func requireCommand(_ arguments: [String]) throws {
        var command: any ParsableCommand.Type = MartletCommand.self
        for name in arguments {
            let subcommands = command.configuration.subcommands
            guard !subcommands.isEmpty, !name.hasPrefix("-"), name != "help" else { return }
            let names = subcommands.compactMap { $0.configuration.commandName }
            guard let next = subcommands.first(where: { $0.configuration.commandName == name }) else {
                let near = names.min { name.distance(to: $0) < name.distance(to: $1) }
                let hint = near.flatMap { name.distance(to: $0) <= 2 ? "; do you mean \($0)?" : nil }
                let known = subcommands.filter { $0.configuration.shouldDisplay }.compactMap {
                    $0.configuration.commandName
                }
                throw ValidationError(
                    "there is no command \(name.debugDescription)"
                        + (hint ?? "; there are \(known.joined(separator: ", "))"))
            }
            command = next
        }
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
            } catch {
                // A file of flags is a server's.
                if arguments.first == "serve" { ServeCommand.exit(withError: error) }
                exit(withError: error)
            }
            Foundation.exit(0)
        }
        dispatchMain()
    }
}

extension String {
    /// Characters to put in, take out, change or swap with a neighbour until it is the other text (Damerau's distance),
    /// as far as the texts are short.
    fileprivate func distance(to other: String) -> Int {
        let (a, b) = (Array(utf8.prefix(32)), Array(other.utf8.prefix(32)))
        var rows = [Array(0...b.count)]
        for i in a.indices {
            var row = [i + 1]
            for j in b.indices {
                var least = Swift.min(rows[i][j] + (a[i] == b[j] ? 0 : 1), rows[i][j + 1] + 1, row[j] + 1)
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { least = Swift.min(least, rows[i - 1][j - 1] + 1) }
                row.append(least)
            }
            rows.append(row)
        }
        return rows[a.count][b.count]
    }
}
