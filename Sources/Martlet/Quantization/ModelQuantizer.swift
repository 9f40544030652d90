// SPDX-License-Identifier: Apache-2.0

import MartletCPU
import MartletCheckpoints
package import MartletCompute
import MartletModels
import Synchronization

/// Makes a smaller model file of one whose matrices are floats.
///
/// Matrices become the type that was asked for; the output matrix, or the embedding table that stands for it, Q6_K where that is
/// finer, as llama.cpp's mixes have it. Rows that aren't whole super-blocks become Q5_0 in place of Q4_K and Q8_0 in place of
/// Q6_K. Norms, biases, routers, tables of positions and what programs don't read stay as they are.
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
                try write(host, named: tensor.name, encoder, to: writer)
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
        let output = blueprint.shape.tiesOutput ? WeightName.embedding : WeightName.output
        var targets: [String: ElementType] = [:]
        for entry in blueprint.entries where !entry.use.roles.contains(.vector) && entry.tensor.rows > 1 {
            guard entry.tensor.name != WeightName.positions else { continue }
            let wanted = entry.tensor.name == output ? type.typeOfOutput : type
            targets[entry.tensor.name] = wanted.fitting(columns: entry.tensor.columns)
        }
        return targets
    }

    private func write(
        _ tensor: HostTensor, named name: String, _ encoder: BlockEncoder, to writer: GGUFFileWriter
    ) throws {
        guard let byteCount = encoder.type.byteCount(of: tensor.totalRows * tensor.columns) else {
            throw CheckpointError(.partialBlock, "\(name) has no whole blocks of \(encoder.type.rawValue)")
        }
        let output = UnsafeMutableRawBufferPointer.allocate(byteCount: byteCount, alignment: 64)
        defer { output.deallocate() }
        let job = EncodingJob(tensor: tensor, encoder: encoder, output: output)
        pool.run(job)
        guard job.isFinite else {
            throw CheckpointError(.unsupportedModel, "\(name) holds numbers that are not finite")
        }
        try writer.writeTensor(UnsafeRawBufferPointer(output))
    }
}

/// Encodes a tensor's rows, some a chunk.
///
/// Unchecked: the bytes are borrowed for the length of the run, and each chunk writes its own rows.
private final class EncodingJob: PhasedJob, @unchecked Sendable {
    private let tensor: HostTensor
    private let encoder: BlockEncoder
    private let output: UnsafeMutableRawBufferPointer
    private let sawInfinity = Atomic(false)

    /// Whether all numbers were; once it has run.
    var isFinite: Bool { !sawInfinity.load(ordering: .relaxed) }

    init(tensor: HostTensor, encoder: BlockEncoder, output: UnsafeMutableRawBufferPointer) {
        self.tensor = tensor
        self.encoder = encoder
        self.output = output
    }

    var phaseCount: Int { 1 }
    func chunkCount(phase: Int) -> Int { min(tensor.totalRows, 1024) }

    func run(phase: Int, chunk: Int, of chunkCount: Int, worker: Int) {
        let rows = tensor.totalRows
        let rowBytes = output.count / rows
        for row in rows * chunk / chunkCount..<rows * (chunk + 1) / chunkCount {
            let values = tensor.dequantizedRow(row)
            guard values.allSatisfy(\.isFinite) else {
                sawInfinity.store(true, ordering: .relaxed)
                return
            }
            values.withUnsafeBufferPointer {
                encoder.encode(
                    $0, to: UnsafeMutableRawBufferPointer(rebasing: output[row * rowBytes..<(row + 1) * rowBytes]))
            }
        }
    }
}

extension ElementType {
    /// The output matrix's type beside matrices of this type.
    fileprivate var typeOfOutput: ElementType { self == .q8_0 ? .q8_0 : .q6_k }

    /// The type itself, or what takes its place where rows aren't whole blocks of it; nil where nothing does.
    fileprivate func fitting(columns: Int) -> ElementType? {
        if columns % blockLength == 0 { return self }
        guard columns % 32 == 0 else { return nil }
        return self == .q4_k ? .q5_0 : .q8_0
    }

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
