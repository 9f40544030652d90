// SPDX-License-Identifier: Apache-2.0

import MartletCheckpoints
import MartletModels
import MartletText

/// Why a model file can't be served: all reasons at once, and what can be served instead.
enum ModelObstacles {
    /// The reasons, the most fundamental first; empty where there is none.
    static func of(_ file: GGUFFile) -> [String] {
        let header = file.contents
        var obstacles: [String] = []
        if let part = try? splitPart(of: header) { obstacles.append(part) }
        let types = header.unsupportedTensors.sorted { ($0.value.count, $1.key) > ($1.value.count, $0.key) }
        do {
            _ = try ModelBlueprint(of: file)
        } catch {
            // A file that lacks tensors because their types aren't known says that below.
            let isConsequence =
                !types.isEmpty && (error.code == .missingTensor || error.code == .unsupportedTensorType)
            if !isConsequence, obstacles.isEmpty || error.code != .missingTensor { obstacles.append("\(error)") }
        }
        do { _ = try Tokenizer(of: file) } catch { obstacles.append("\(error)") }
        if !types.isEmpty {
            let list = types.map { "\($0.value.count) of \($0.key)" }.joined(separator: ", ")
            obstacles.append(
                "tensors are of types that are not supported: \(list); F32, F16, BF16, Q4_0, Q4_1 and Q8_0 are, so fetch the model as Q8_0 or Q4_0"
            )
        }
        return obstacles
    }

    /// Throws what `of` finds.
    static func check(_ file: GGUFFile) throws {
        let obstacles = of(file)
        guard let first = obstacles.first else { return }
        let path = file.file.path
        guard obstacles.count > 1 else { throw CheckpointError(.unsupportedModel, "\(path): \(first)") }
        throw CheckpointError(
            .unsupportedModel,
            "\(path) can't be served, for \(obstacles.count) reasons: "
                + obstacles.enumerated().map { "(\($0 + 1)) \($1)" }.joined(separator: "; "))
    }

    /// Which part of a model a file is, if it is not all of it.
    private static func splitPart(of header: GGUFContents) throws -> String? {
        guard let count = try header.count("split.count"), count > 1 else { return nil }
        let number = try header.count("split.no") ?? 0
        return
            "the file is part \(number &+ 1) of \(count) of a model; join the parts into one file with llama.cpp's `llama-gguf-split --merge`"
    }
}
