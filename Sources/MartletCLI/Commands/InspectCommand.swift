// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Martlet
import MartletCPU
import MartletCheckpoints
import MartletCompute

struct InspectCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect", abstract: "Shows what a model file holds and what it needs.",
        discussion: "Says at the end what stands in the way where it can't be loaded.")

    @Argument(help: "Path of a GGUF file or of a model's folder, or a short name: smollm2.")
    var model: ModelPath

    @Flag(help: "Prints JSON.")
    var json = false

    @Flag(help: "Prints the programs that steps run, and what they become here: kernels, and what was fused of them.")
    var program = false

    @OptionGroup var device: DeviceOptions

    @Option(help: "Activations that meet quantised weights, int16 or int8; for --program.")
    var activations = EngineOptions().activations

    @Option(help: "dummy takes a config.json alone, or its folder; for --program.")
    var loadFormat = EngineOptions().loadFormat

    func validate() throws {
        if json, program { throw ValidationError("--program is for people; it has no --json") }
        let isDefault =
            device.threads == nil && device.instructionSet == nil && activations == EngineOptions().activations
            && loadFormat == EngineOptions().loadFormat
        guard program || isDefault else {
            throw ValidationError("--threads, --instruction-set, --activations and --load-format are for --program")
        }
    }

    func run() async throws {
        FileFaults.exitCleanly()
        if program {
            var options = EngineOptions()
            options.threads = device.threads
            options.instructionSet = device.instructionSet
            options.activations = activations
            options.loadFormat = loadFormat
            Terminal.write(try ProgramReport(path: model.resolve(), options: options).text)
            return
        }
        let path = try model.resolve()
        let report = try ModelPath.isFolder(path) ? ModelReport(folder: path) : ModelReport(of: GGUFFile(path: path))
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            Terminal.write(String(decoding: try encoder.encode(report), as: UTF8.self) + "\n")
        } else {
            Terminal.write(report.text)
        }
    }
}

extension ProgramReport {
    fileprivate var text: String {
        var text = ""
        for entry in entries {
            text += "\(entry.name): \(entry.kernels.count) kernels\n"
            text += Self.listing(entry.kernels.map { ($0, RepeatedLines.key($0)) }, numbered: true)
            text +=
                "\(entry.name) as one graph on \(deviceName): \(entry.listing.phases.count) phases, a barrier between two\n"
            text += Self.listing(entry.listing.phases)
            if entry.listing.bands.count < entry.listing.phases.count {
                text +=
                    "\(entry.name) of \(entry.listing.leastBandRows) tokens a thread or more: \(entry.listing.bands.count) phases\n"
                text += Self.listing(entry.listing.bands)
            }
            text += "\n"
        }
        let counts = GraphRuntimeMode.allCases.map { "\($0.rawValue) \(wakeUps[$0] ?? 0)" }
        return text + "wake-ups of the workers in a step: \(counts.joined(separator: ", "))\n"
    }

    private static func listing(_ phases: [ProgramListing.Phase]) -> String {
        listing(
            phases.map { phase in
                let range = phase.kernels
                let kernels =
                    range.count == 1
                    ? "kernel \(range.lowerBound)" : "kernels \(range.lowerBound) to \(range.upperBound)"
                return ("\(phase.name)  (\(kernels))", "\(phase.name) \(range.count)")
            }, numbered: false)
    }

    private static func listing(_ lines: [(text: String, key: String)], numbered: Bool) -> String {
        var text = ""
        for stretch in RepeatedLines.stretches(of: lines.map(\.key)) {
            for index in stretch.lines {
                let number = numbered ? String(repeating: " ", count: max(0, 5 - "\(index)".count)) + "\(index)" : "   "
                text += "\(number)  \(lines[index].text.escapingControlCharacters)\n"
            }
            if stretch.repeats > 0 {
                text += "       … these \(stretch.lines.count) another \(stretch.repeats) times, a layer each\n"
            }
        }
        return text
    }
}

extension ModelReport.Shape {
    fileprivate var text: String {
        var table = Table()
        table.add("  layers", "\(layers) of \(hiddenSize) columns")
        table.add("  vocabulary", "\(vocabularySize) tokens\(tiesOutput ? ", output from the embedding" : "")")
        table.add("  context", "\(contextLength) tokens")
        for kind in kinds {
            table.add("  attention, layers \(kind.numbers)", kind.attention)
            table.add("  feed-forward, layers \(kind.numbers)", kind.feedForward)
        }
        return "shape\n\(table.text)\n"
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
        for (type, count) in unsupportedTensors.sorted(by: { $0.key < $1.key }) {
            types.add("  " + type, "\(count) tensors", "not supported", "")
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
            \(path): \(format), \(fileBytes.formattedBytes), \(parameters.formattedCount) parameters

            metadata
            \(metadata.text)
            tensors
            \(tensors.text)
            \(shape?.text ?? "")\
            quantisation
            \(types.text)
            memory
            \(problems.isEmpty ? memory.text : problems.map { "  can't be loaded: \($0)\n" }.joined())\
            \(templateProblems.map { "  conversations: \($0)\n" }.joined())
            """
    }
}
