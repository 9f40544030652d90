// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Yams

/// A YAML file of flags, as vLLM's `--config` reads it: `max-model-len: 4096`.
///
/// Its flags are put before those of the command line, which so have the last word.
package enum ConfigFile {
    /// Arguments with the file's in them, if they ask for one.
    package static func expand(_ arguments: [String]) throws -> [String] {
        guard arguments.first == "serve" else { return normalized(arguments) }
        var (rest, path) = (VLLMOptions.normalized(Array(arguments.dropFirst())), String?.none)
        for (index, argument) in rest.enumerated() {
            if argument == "--" { break }
            if argument == "--config", index + 1 < rest.count {
                path = rest[index + 1]
                rest.removeSubrange(index...index + 1)
                break
            }
            if argument.hasPrefix("--config=") {
                path = String(argument.dropFirst("--config=".count))
                rest.remove(at: index)
                break
            }
        }
        guard let path else { return ["serve"] + rest }
        let named = Set(rest.filter { $0.hasPrefix("--") }.map { $0.prefix { $0 != "=" } })
        // What the command line says takes the place of what the file says, lists too.
        var (model, flags) = try read(path) { named.contains($0[...]) }
        // As in vLLM, the model comes first on the command line, or it is the file's.
        if let first = rest.first, !first.hasPrefix("-") {
            model = first
            rest.removeFirst()
        }
        let first = model.map { [$0] } ?? []
        try explain(path, model: first, flags: flags, whole: first + flags + rest)
        return ["serve"] + first + flags + rest
    }

    /// Names the file where its flags are at fault and not those of the command line.
    private static func explain(_ path: String, model: [String], flags: [String], whole: [String]) throws {
        guard (try? ServeCommand.parse(whole)) == nil else { return }
        do { _ = try ServeCommand.parse((model.isEmpty ? ["model"] : model) + flags) } catch {
            throw ValidationError("--config: \(path): \(ServeCommand.message(for: error))")
        }
    }

    /// The command lines of commands that take a model, in our spelling.
    private static func normalized(_ arguments: [String]) -> [String] {
        let groups = ["bench", "evaluate", "check"]
        let length = arguments.first.map { groups.contains($0) ? 2 : 1 } ?? 0
        let takesModel = ["run", "chat", "tokenize", "inspect"] + groups
        guard arguments.count > length, takesModel.contains(arguments[0]),
            arguments.contains(where: { $0 == "--model" || $0.hasPrefix("--model=") })
        else { return arguments }
        return arguments[..<length] + VLLMOptions.normalized(Array(arguments[length...]))
    }

    /// Whether a text outside of quotes and comments has YAML's anchors or aliases: a few of them can stand for more values
    /// than memory holds.
    private static func hasAnchors(_ text: String) -> Bool {
        var (quote, previous) = (Unicode.Scalar?.none, Unicode.Scalar("\n"))
        var isComment = false
        for scalar in text.unicodeScalars {
            defer { previous = scalar }
            if isComment {
                isComment = scalar != "\n"
            } else if let open = quote {
                if scalar == open { quote = nil }
            } else if " \t\n[{,:-?".unicodeScalars.contains(previous) {
                switch scalar {
                case "&", "*": return true
                case "'", "\"": quote = scalar
                case "#": isComment = true
                default: break
                }
            }
        }
        return false
    }

    /// Long, because it goes through the kinds of YAML once and each kind is a few lines.
    ///
    /// - Parameter isOverridden: whether a flag of the file doesn't count.
    private static func read(
        _ path: String, unless isOverridden: (String) -> Bool
    ) throws -> (model: String?, flags: [String]) {
        let text: String
        do { text = try Terminal.readSmallFile(path) } catch { throw InputError("--config: \(error)") }
        guard !hasAnchors(text) else {
            throw ValidationError(
                "--config: \(path) has anchors or aliases (& or *), which aren't supported; quote the text if it is none"
            )
        }
        let node: Node?
        do { node = try Yams.compose(yaml: text.hasPrefix("\u{FEFF}") ? String(text.dropFirst()) : text) } catch {
            throw ValidationError("--config: \(path) is not valid YAML: \(error)")
        }
        guard let node else { return (nil, []) }
        guard let mapping = node.mapping else {
            throw ValidationError("--config: \(path) must hold lines like max-model-len: 4096")
        }
        var (model, flags) = (String?.none, [String]())
        let known = ServeFlags()
        for (key, value) in mapping {
            guard let name = key.string else { throw ValidationError("--config: \(path) has a key that is no text") }
            let flag = "--" + name.replacingOccurrences(of: "_", with: "-")
            guard flag != "--config" else { throw ValidationError("--config: \(path) can't name another such file") }
            if name == "model" {
                model = value.string
            } else if isOverridden(flag) {
                continue
            } else if value.null != nil {
                // Without a value a flag has its default. For keys that would open the server.
                guard flag != "--api-key" else {
                    throw ValidationError(
                        "--config: api-key in \(path) has no value: give it one, or leave the line out")
                }
                // So that an unknown name is found.
                if known.options[flag] == nil, !known.switches.contains(flag) { flags.append(flag) }
            } else if let text = value.scalar?.string {
                switch value.bool {
                case let isOn? where known.options[flag] == nil:
                    // A switch that is off by default has no opposite. The parser refuses an unknown name.
                    flags +=
                        isOn || !known.switches.contains(flag) ? [flag] : known.opposite(of: flag).map { [$0] } ?? []
                case .some:
                    throw ValidationError(
                        "--config: \(name) in \(path) needs a value; \(text) is yes or no in YAML: quote it if it is a text"
                    )
                case nil: flags.append("\(flag)=\(text)")
                }
            } else if let list = value.sequence {
                let values = list.compactMap(\.scalar?.string)
                guard values.count == list.count else {
                    throw ValidationError("--config: \(name) in \(path) must be a list of plain values")
                }
                guard !values.isEmpty else { throw ValidationError("--config: \(name) in \(path) is an empty list") }
                guard values.count == 1 || known.options[flag] != false else {
                    throw ValidationError("--config: \(name) in \(path) takes one value, not \(values.count)")
                }
                if flag == "--served-model-name" {
                    flags += [flag] + values
                } else {
                    flags += values.map { "\(flag)=\($0)" }
                }
            } else {
                throw ValidationError("--config: \(name) in \(path) must be a plain value or a list of them")
            }
        }
        return (model, flags)
    }
}
