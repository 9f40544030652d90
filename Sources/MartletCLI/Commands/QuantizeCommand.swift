// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Martlet
import MartletCheckpoints
import MartletCompute

struct QuantizeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "quantize", abstract: "Makes a smaller model file of one of floats.",
        discussion: """
            Matrices of F32, F16 or BF16 become TYPE, and the output matrix, or the embedding table that stands for it, Q6_K \
            unless TYPE is Q8_0. Rows that aren't whole blocks of 256 become Q5_0 in place of Q4_K and Q8_0 in place of Q6_K. \
            Norms, biases and routers stay as they are. The file is one that llama.cpp reads, too.
            """)

    @Argument(help: "Path of a GGUF file of floats; of a split one any part.")
    var input: ModelPath

    @Argument(help: "Path of the file to write.", completion: .file())
    var output: String

    @Option(
        help: ArgumentHelp(
            "What matrices become: \(ModelQuantizer.types.map(\.rawValue).joined(separator: ", ")).", valueName: "type")
    )
    var type: QuantizedType

    @Flag(help: "Replaces a file that is there.")
    var overwrite = false

    @Option(parsing: .unconditional, help: "Threads; all processors by default.")
    var threads: Int?

    func run() async throws {
        FileFaults.exitCleanly()
        let quantizer = try ModelQuantizer(path: input.resolve(), type: type.elementType, threads: threads)
        let bar = ProgressBar(title: "Quantising")
        defer { bar.clear() }
        let summary: ModelQuantizer.Summary
        do {
            summary = try quantizer.write(to: output, overwrite: overwrite) { bar.show($0) }
        } catch let error as CheckpointError where error.code == .alreadyExists {
            throw InputError("\(error); name another file or give --overwrite")
        }
        bar.clear()
        let types = summary.tensors.sorted { ($1.value, $0.key.rawValue) < ($0.value, $1.key.rawValue) }
        Terminal.write(
            "\(output): \(summary.byteCount.formattedBytes), of \(summary.sourceBytes.formattedBytes); tensors: "
                + types.map { "\($0.value) \($0.key.rawValue)" }.joined(separator: ", ") + "\n")
    }
}

/// A type that `quantize` makes, in capitals or not.
struct QuantizedType: ExpressibleByArgument {
    let elementType: ElementType

    init?(argument: String) {
        guard let type = ModelQuantizer.types.first(where: { $0.rawValue == argument.uppercased() }) else { return nil }
        elementType = type
    }

    static var allValueStrings: [String] { ModelQuantizer.types.map(\.rawValue) }
}
