// SPDX-License-Identifier: Apache-2.0

import MartletCPU
import MartletCheckpoints
import MartletCompute
import MartletModels
import Synchronization

/// Which matrices of floats become which type, as llama.cpp's mixes have it: the output matrix, or the embedding table that
/// stands for it, Q6_K where that is finer; Q5_0 in place of Q4_K and Q8_0 in place of Q6_K where rows aren't whole
/// super-blocks. Vectors, routers and tables of positions stay as they are.
struct MatrixQuantization {
    let type: ElementType
    /// The name of the output matrix.
    private let output: String

    init(_ type: ElementType, of shape: ModelShape) {
        self.type = type
        output = shape.tiesOutput ? WeightName.embedding : WeightName.output
    }

    /// What a weight becomes; nil where it stays.
    func target(of weight: Weight, _ use: WeightUse) -> ElementType? {
        guard !use.roles.contains(.vector), weight.rows > 1, weight.name != WeightName.positions else { return nil }
        return (weight.name == output ? type.typeOfOutput : type).fitting(columns: weight.columns)
    }

    /// Encodes a tensor on the pool's threads and lends the result.
    ///
    /// - Throws: for numbers that aren't finite, and for rows of partial blocks.
    static func encode<Result>(
        _ tensor: HostTensor, named name: String, _ encoder: BlockEncoder, on pool: WorkerPool,
        _ body: (HostTensor) throws -> Result
    ) throws -> Result {
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
        return try body(
            HostTensor(
                elementType: encoder.type, count: tensor.count, rows: tensor.rows, columns: tensor.columns,
                bytes: UnsafeRawBufferPointer(output)))
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
}
