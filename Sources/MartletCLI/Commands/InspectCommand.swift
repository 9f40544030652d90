// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Martlet
import MartletCheckpoints

struct InspectCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect", abstract: "Shows what a model file holds and what it needs.")

    @Argument(help: "Path of a GGUF file, or a short name: smollm2.")
    var model: ModelPath

    @Flag(help: "Prints JSON.")
    var json = false

    func run() async throws {
        FileFaults.exitCleanly()
        let report = ModelReport(of: try GGUFFile(path: model.resolve()))
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            Terminal.write(String(decoding: try encoder.encode(report), as: UTF8.self) + "\n")
        } else {
            Terminal.write(report.text)
        }
    }
}

extension ModelReport {
    fileprivate var text: String {
        var metadata = Table()
        for entry in self.metadata { metadata.add("  " + entry.key, entry.type, entry.summary) }
        var types = Table()
        for type in quantization {
            types.add(
                "  " + type.type, "\(type.tensors) tensors", "\(type.parameters.formattedCount) parameters",
                type.bytes.formattedBytes)
        }
        var tensors = Table()
        for tensor in self.tensors {
            tensors.add("  " + tensor.name, tensor.type, "\(tensor.dimensions)", tensor.bytes.formattedBytes)
        }
        var memory = Table()
        if let estimate = self.memory {
            memory.add("  weights, packed", estimate.weightBytes.formattedBytes)
            memory.add("  KV cache, a token", estimate.cacheBytesPerToken.formattedBytes)
            memory.add("  KV cache, \(estimate.contextLength) tokens", estimate.cacheBytes.formattedBytes)
            memory.add("  together", (estimate.weightBytes + estimate.cacheBytes).formattedBytes)
        }
        return """
            \(path): GGUF v\(version), \(fileBytes.formattedBytes), \(parameters.formattedCount) parameters

            metadata
            \(metadata.text)
            tensors
            \(tensors.text)
            quantisation
            \(types.text)
            memory
            \(problem.map { "  can't be loaded: \($0)\n" } ?? memory.text)
            """
    }
}
