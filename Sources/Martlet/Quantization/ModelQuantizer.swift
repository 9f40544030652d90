// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
import MartletCPU
import MartletCheckpoints
package import MartletCompute
import MartletModels

/// Makes a smaller model file of one whose matrices are floats.
///
/// Matrices become what `MatrixQuantization` says. All else, and what programs don't read, stays as it is.
package struct ModelQuantizer {
    /// The types that can be asked for, as files are named for them.
    package static let types: [ElementType] = [.q4_0, .q4_1, .q8_0, .q4_k, .q6_k]

    private let source: GGUFFile
    private let blueprint: ModelBlueprint
    private let type: ElementType
    private let pool: WorkerPool

    /// The sizes of the written file.
    package struct Summary {
        package let sourceBytes: Int
        package let byteCount: Int
        /// Tensors of each type.
        package let tensors: [ElementType: Int]
    }

    /// - Throws: for a file that can't be loaded, or whose matrices are quantised.
    package init(path: String, type: ElementType, threads: Int? = nil) throws {
        precondition(Self.types.contains(type), "only some types can be written")
        var isFolder = false
        if FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder {
            throw CheckpointError(
                .unsupportedModel,
                "\(path) is a folder; quantize reads GGUF files, and --quantization quantises a folder's model while it is loaded"
            )
        }
        let model = try GGUFModel(path)
        // A file that can't be served is refused.
        _ = try model.tokenizer()
        (source, blueprint) = (model.file, model.blueprint)
        self.type = type
        let threadCount = threads ?? CPUDevice.defaultThreadCount
        guard CPUDevice.threadCounts.contains(threadCount) else {
            throw EngineError(
                .invalidOptions, "\(threadCount) threads: use 1 to \(CPUDevice.threadCounts.upperBound)",
                field: "threads")
        }
        pool = try WorkerPool(threadCount: threadCount)
        if let entry = blueprint.entries.first(where: { $0.tensor.elementType.isQuantized }) {
            throw CheckpointError(
                .unsupportedModel,
                "\(entry.tensor.name) is \(entry.tensor.elementType.rawValue) already; quantise a file of F32, F16 or BF16"
            )
        }
    }

    /// Writes the file.
    ///
    /// - Parameters:
    ///   - overwrite: whether a regular file that is there is replaced; a part of the source never is.
    ///   - progress: called with the fraction done.
    package func write(
        to path: String, overwrite: Bool = false, progress: ((Double) -> Void)? = nil
    ) throws -> Summary {
        let targets = self.targets
        let tensors = source.contents.tensors
        let writer = try GGUFFileWriter(
            path: path, overwrite: overwrite, metadataOf: source,
            replacing: [
                ("general.file_type", .unsigned(type.fileType, .uint32)),
                ("general.quantization_version", .unsigned(2, .uint32)),
            ],
            tensors: tensors.map {
                GGUFFileWriter.Tensor(
                    name: $0.name, dimensions: $0.dimensions, elementType: targets[$0.name] ?? $0.elementType)
            })
        source.willNeed()
        var done = 0
        for tensor in tensors {
            let host = source.hostTensor(tensor)
            if let target = targets[tensor.name], let encoder = BlockEncoder(target) {
                try MatrixQuantization.encode(host, named: tensor.name, encoder, on: pool) {
                    try writer.writeTensor($0.bytes)
                }
            } else {
                try writer.writeTensor(host.bytes)
            }
            source.release(tensor)
            done += tensor.range.count
            progress?(Double(done) / Double(max(1, source.byteCount)))
        }
        try source.checkUnchanged()
        try writer.finish()
        return Summary(
            sourceBytes: source.byteCount, byteCount: writer.byteCount,
            tensors: Dictionary(grouping: tensors) { targets[$0.name] ?? $0.elementType }.mapValues(\.count))
    }

    /// The new type of each tensor that changes, by name.
    private var targets: [String: ElementType] {
        let quantization = MatrixQuantization(type, of: blueprint.shape)
        var targets: [String: ElementType] = [:]
        for entry in blueprint.entries {
            if let target = quantization.target(of: entry.weight, entry.use) { targets[entry.weight.name] = target }
        }
        return targets
    }
}

extension ElementType {
    /// The number of `general.file_type` for a file whose matrices are of this type.
    fileprivate var fileType: UInt64 {
        switch self {
        case .q4_0: 2
        case .q4_1: 3
        case .q8_0: 7
        case .q4_k: 14
        default: 18
        }
    }
}
