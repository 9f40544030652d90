// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import OrderedCollections

/// Docs/Flags.md: the help of every command. A titled group of options that several commands share stands in it once.
struct FlagsReference {
    /// The help of one command, cut at its titles.
    private struct CommandHelp {
        let name: String
        /// What stands before the first titled group of options, and the options without a title.
        var own = ""
        var groups: OrderedDictionary<String, String> = [:]
    }

    private let commands: [CommandHelp]

    init(of root: any ParsableCommand.Type, name: String) {
        func helps(of command: any ParsableCommand.Type, _ path: [String]) -> [CommandHelp] {
            let subcommands = command.configuration.subcommands.filter { $0.configuration.shouldDisplay }
            guard subcommands.isEmpty else {
                return subcommands.flatMap { helps(of: $0, path + [$0.configuration.commandName ?? ""]) }
            }
            return [Self.cut(root.helpMessage(for: command, columns: 100), of: path.joined(separator: " "))]
        }
        commands = helps(of: root, [name])
    }

    /// Titles that ArgumentParser gives itself.
    private static let plainTitles: Set<Substring> = ["ARGUMENTS:", "OPTIONS:"]

    private static func cut(_ help: String, of name: String) -> CommandHelp {
        var command = CommandHelp(name: name)
        var group: String?
        for line in help.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasSuffix(":"), line.first?.isUppercase == true, line == line.uppercased() {
                group = plainTitles.contains(line) ? nil : String(line.dropLast())
            }
            if let group {
                command.groups[group, default: ""] += line + "\n"
            } else {
                command.own += line + "\n"
            }
        }
        return command
    }

    /// The groups that more than one command has, in the order in which commands name them first.
    private var sharedGroups: OrderedDictionary<String, String> {
        var counts: [String: Int] = [:]
        var shared: OrderedDictionary<String, String> = [:]
        for (title, text) in commands.flatMap(\.groups) {
            counts[title, default: 0] += 1
            precondition(shared.updateValue(text, forKey: title) ?? text == text, "\(title) differs between commands")
        }
        return shared.filter { counts[$0.key] ?? 0 > 1 }
    }

    var markdown: String {
        let shared = sharedGroups
        var text = """
            # Flags

            The help of every command, as `martlet help COMMAND` prints it. Groups of options that several commands share
            come first, once each; a command names those that it has. Made by `make docs`.

            ## Shared options


            """
        for (title, group) in shared {
            let body = group.drop { $0 != "\n" }.dropFirst()
            text += "### \(Self.heading(title))\n\n" + Self.fenced(String(body))
        }
        for command in commands {
            let own = command.groups.filter { shared[$0.key] == nil }
            text += "## \(command.name)\n\n" + Self.fenced(command.own + own.values.joined())
            let links = command.groups.keys.filter { shared[$0] != nil }.map(Self.link)
            if !links.isEmpty { text += "And the options of: " + links.joined(separator: ", ") + ".\n\n" }
        }
        return text
    }

    private static func fenced(_ help: String) -> String {
        // No blanks at the ends of lines.
        let lines = help.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            String(line.reversed().drop { $0 == " " }.reversed())
        }
        var text = lines.joined(separator: "\n")
        while text.hasSuffix("\n") { text.removeLast() }
        while text.contains("\n\n\n") { text.replace("\n\n\n", with: "\n\n") }
        return "```\n\(text)\n```\n\n"
    }

    /// `KV CACHE` is printed in capitals; a heading isn't.
    private static func heading(_ title: String) -> String {
        let lower = title.lowercased().replacing("kv ", with: "KV ")
        return lower.prefix(1).uppercased() + lower.dropFirst()
    }

    private static func link(_ title: String) -> String {
        "[\(heading(title))](#\(title.lowercased().replacing(" ", with: "-")))"
    }
}
