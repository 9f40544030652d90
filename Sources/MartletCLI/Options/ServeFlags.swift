// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Which flags `serve` has, as far as a file of flags must know.
struct ServeFlags {
    /// Those without a value.
    private(set) var switches: Set<String> = []
    /// Those with a value, and whether they may be given several times.
    private(set) var options: [String: Bool] = [:]

    /// By what the command says of itself.
    init() {
        struct Dump: Decodable {
            struct Command: Decodable { let arguments: [Argument]? }
            struct Argument: Decodable {
                struct Name: Decodable { let name: String }
                let kind: String
                let isRepeating: Bool
                let names: [Name]?
            }
            let command: Command
        }
        let dump = try? JSONDecoder().decode(Dump.self, from: Data(ServeCommand._dumpHelp().utf8))
        for argument in dump?.command.arguments ?? [] {
            for name in argument.names ?? [] {
                switch argument.kind {
                case "flag": switches.insert("--" + name.name)
                case "option": options["--" + name.name] = argument.isRepeating
                default: break
                }
            }
        }
    }

    /// The switch that turns another one off, if it is on by default.
    func opposite(of name: String) -> String? {
        let opposite = "--no-" + name.dropFirst(2)
        return switches.contains(opposite) ? opposite : nil
    }
}
