// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation

/// A model as it is named on the command line, resolved to a file.
package struct ModelPath: ExpressibleByArgument {
    /// Short names of the models that `make model` fetches.
    static let shortNames = ["smollm2": "SmolLM2-135M-Instruct.Q4_1.gguf"]

    private let argument: String

    init(argument: String) { self.argument = argument }

    /// What to call it: its short name, or the file's name without what its type adds.
    package var name: String {
        Self.shortNames[argument.lowercased()] == nil
            ? URL(filePath: argument).deletingPathExtension().lastPathComponent : argument.lowercased()
    }

    static func isFolder(_ path: String) -> Bool {
        var isFolder: ObjCBool = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder.boolValue
    }

    /// Says which file to give instead of the folder.
    private var folderMessage: String {
        let files = ((try? FileManager.default.contentsOfDirectory(atPath: argument)) ?? []).sorted()
        let models = files.filter { $0.lowercased().hasSuffix(".gguf") }
        if !models.isEmpty {
            return
                "\(argument) is a folder; give one of the GGUF files in it: \(models.prefix(5).joined(separator: ", "))"
        }
        return files.contains { $0.hasSuffix(".safetensors") }
            ? "\(argument) is a folder of safetensors without a config.json; fetch that and tokenizer.json, too"
            : "\(argument) is a folder without a model; give the path of a GGUF file, or of a folder with a config.json"
    }

    /// The file: the argument itself, or a short name's in `Models/` here, in the package, or where `make install` puts it.
    func resolve() throws -> String {
        var isFolder: ObjCBool = false
        if FileManager.default.fileExists(atPath: argument, isDirectory: &isFolder) {
            let hasConfiguration = FileManager.default.fileExists(
                atPath: URL(filePath: argument).appending(path: "config.json").path)
            guard isFolder.boolValue, !hasConfiguration else { return argument }
            throw InputError(folderMessage)
        }
        guard let fileName = Self.shortNames[argument.lowercased()] else {
            let names = Self.shortNames.keys.sorted().joined(separator: ", ")
            let isHubName = argument.split(separator: "/", omittingEmptySubsequences: false).count == 2
            throw InputError(
                "there is no file \(argument), and it is no short name either (\(names))"
                    + (isHubName && !argument.hasPrefix(".")
                        ? "; models are not downloaded: fetch a GGUF file of it yourself and give its path" : ""))
        }
        var folder = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
        let shared = folder.deletingLastPathComponent().appending(path: "share/martlet")
        var candidates = [URL(filePath: FileManager.default.currentDirectoryPath), shared]
        // The package's root, from .build/<platform>/<configuration>/martlet.
        for _ in 0..<3 {
            folder = folder.deletingLastPathComponent()
            candidates.append(folder)
        }
        for candidate in candidates {
            let file = candidate.appending(path: "Models").appending(path: fileName)
            if FileManager.default.fileExists(atPath: file.path) { return file.path }
        }
        throw InputError(
            "\(fileName) is not here: run `make model` in Martlet's sources, and `make install` for use elsewhere")
    }
}
