// SPDX-License-Identifier: Apache-2.0

import MartletCheckpoints
import MartletCompute
import MartletModels
import MartletText

/// Why a model file can't be served: all reasons at once, and what can be served instead.
enum ModelObstacles {
    /// The reasons, the most fundamental first; empty where there is none.
    static func of(_ file: GGUFFile) -> [String] {
        let header = file.contents
        var obstacles: [String] = []
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
                "tensors are of types that are not supported: \(list); fetch the model as Q4_K_M, IQ4_XS or Q8_0, or any other of \(ElementType.allCases.map(\.rawValue).joined(separator: ", "))"
            )
        }
        return obstacles
    }

    /// Throws what `of` finds.
    static func check(_ file: GGUFFile) throws {
        let obstacles = of(file)
        guard let first = obstacles.first else { return }
        let path = file.path
        guard obstacles.count > 1 else { throw CheckpointError(.unsupportedModel, "\(path): \(first)") }
        throw CheckpointError(
            .unsupportedModel,
            "\(path) can't be served, for \(obstacles.count) reasons: "
                + obstacles.enumerated().map { "(\($0 + 1)) \($1)" }.joined(separator: "; "))
    }
}
