// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
package import MartletCompute

/// Runs of nothing but a limit's own operations, on the device's own threads and memory: what kernels are measured
/// against. The caller takes the time.
extension CPUDevice {
    /// What is multiplied.
    package enum Product: String, Encodable, Sendable, CaseIterable {
        case float32, bfloat16, int16, int8
    }

    /// Reads the cache blocks that the batch's sequences hold, layer by layer, as attention walks them and with its
    /// prefetches. Returns the bytes read.
    package func readBlocks(of batch: BatchBuffers, cache: any KeyValueCache, layers: Range<Int>) throws -> Int {
        guard let cache = cache as? CPUKeyValueCache else { preconditionFailure("the cache is another device's") }
        let attention = try layers.map { layer in
            let shape = cache.shape.layers[layer]
            let heads = AttentionHeads(
                queryHeads: shape.keyValueHeads, keyValueHeads: shape.keyValueHeads, headSize: shape.headSize)
            return try AttentionLayer(
                AttentionParameters(heads: heads, scale: 1), kernels: kernels, cache: cache, layer: layer,
                segmentLength: attentionSegmentLength, sinks: nil)
        }
        let job = BlockReadJob(attention: attention, batch: batch, segmentLength: attentionSegmentLength)
        pool.run(job)
        let tokens = (0..<batch.sequenceCount).reduce(0) { sum, sequence in
            sum + (Int(batch.sequenceLengths[sequence]) + 15) / 16 * 16
        }
        return tokens * layers.reduce(0) { $0 + cache.layers[$1].blockBytes } / cache.shape.blockSize
    }

    /// Reads a cache from its first byte to its last. Returns the bytes read.
    package func readInOrder(_ cache: any KeyValueCache) -> Int {
        guard let cache = cache as? CPUKeyValueCache else { preconditionFailure("the cache is another device's") }
        return readLines(of: cache.memory)
    }

    /// Memory as weights have it, touched first by the threads that will read it.
    package func makeReadableMemory(byteCount: Int) throws -> ReadableMemory {
        let memory = ReadableMemory(try AlignedMemory(byteCount: byteCount))
        pool.run(FillJob(memory: memory.memory))
        return memory
    }

    /// Reads memory from its first byte to its last.
    package func read(_ memory: ReadableMemory) { _ = readLines(of: memory.memory) }

    /// Reads memory in order, but for the rest of a line. Returns the bytes read.
    private func readLines(of memory: AlignedMemory) -> Int {
        let lines = memory.byteCount / 64
        pool.run(LineReadJob(kernels: kernels, base: memory.pointer(), lines: lines))
        return lines * 64
    }

    /// Multiplies and adds from registers on every thread. Returns the operations done.
    package func multiply(_ product: Product, repetitions: Int) -> Int {
        let job = MultiplyJob(kernels: kernels, product: product, repetitions: Int64(repetitions), threads: threadCount)
        pool.run(job)
        return job.operations
    }
}

/// Memory of a device that is there to be read.
package final class ReadableMemory: Sendable {
    let memory: AlignedMemory
    package var byteCount: Int { memory.byteCount }

    init(_ memory: AlignedMemory) { self.memory = memory }
}

/// Unchecked because each chunk writes a part of its own.
private final class FillJob: PhasedJob, @unchecked Sendable {
    private let memory: AlignedMemory
    init(memory: AlignedMemory) { self.memory = memory }

    var phaseCount: Int { 1 }
    func chunkCount(phase: Int) -> Int { min(max(1, memory.byteCount >> 21), WorkerPool.maximumChunks) }

    func run(phase: Int, chunk: Int, of chunkCount: Int, worker: Int) {
        let bytes = slice(of: memory.byteCount, chunk: chunk, count: chunkCount)
        memory.pointer(to: UInt8.self, at: bytes.lowerBound).update(repeating: 1, count: bytes.count)
    }
}

/// Unchecked because it points into the cache, which the caller keeps and no thread writes meanwhile.
private final class BlockReadJob: PhasedJob, @unchecked Sendable {
    private let attention: [AttentionLayer]
    private let batch: BatchBuffers
    private var items: [AttentionItem] = []

    init(attention: [AttentionLayer], batch: BatchBuffers, segmentLength: Int) {
        self.attention = attention
        self.batch = batch
        for sequence in 0..<batch.sequenceCount {
            let segments = (Int(batch.sequenceLengths[sequence]) + segmentLength - 1) / segmentLength
            // Four segments, so that starting an item costs nothing that counts.
            for first in stride(from: 0, to: segments, by: 4) {
                items.append(
                    AttentionItem(
                        sequence: Int32(sequence), firstRow: batch.queryStartLocations[sequence], rowCount: 1,
                        firstSegment: Int32(first), segmentCount: Int32(min(4, segments - first))))
            }
        }
    }

    var phaseCount: Int { attention.count }
    func chunkCount(phase: Int) -> Int { min(items.count, WorkerPool.maximumChunks) }

    func run(phase: Int, chunk: Int, of chunkCount: Int, worker: Int) {
        let layer = attention[phase]
        withUnsafeTemporaryAllocation(of: Float.self, capacity: 1) { unused in
            guard let address = unused.baseAddress else { return }
            let rows = TensorRows(base: address, columns: 0)
            for index in slice(of: items.count, chunk: chunk, count: chunkCount) {
                var item = layer.item(items[index], batch, query: rows, output: rows, partials: address)
                layer.withArguments { sink(layer.kernels.readItem($0, &item)) }
            }
        }
    }
}

/// Unchecked because it points into memory that the caller keeps and no thread writes meanwhile.
private final class LineReadJob: PhasedJob, @unchecked Sendable {
    private let kernels: MartletKernelTable
    private let base: UnsafeMutablePointer<UInt8>
    private let lines: Int
    private static let linesPerChunk = 1 << 15

    init(kernels: MartletKernelTable, base: UnsafeMutablePointer<UInt8>, lines: Int) {
        self.kernels = kernels
        self.base = base
        self.lines = lines
    }

    var phaseCount: Int { 1 }
    func chunkCount(phase: Int) -> Int { min(max(1, lines / Self.linesPerChunk), WorkerPool.maximumChunks) }

    func run(phase: Int, chunk: Int, of chunkCount: Int, worker: Int) {
        let lines = slice(of: lines, chunk: chunk, count: chunkCount)
        sink(kernels.readLines(base + lines.lowerBound * 64, Int64(lines.count)))
    }
}

/// Unchecked because each chunk writes a count of its own.
private final class MultiplyJob: PhasedJob, @unchecked Sendable {
    private let kernels: MartletKernelTable
    private let product: MartletProduct
    private let repetitions: Int64
    private let counts: UnsafeMutableBufferPointer<Int64>

    init(kernels: MartletKernelTable, product: CPUDevice.Product, repetitions: Int64, threads: Int) {
        self.kernels = kernels
        self.product = MartletProduct(product)
        self.repetitions = repetitions
        counts = .allocate(capacity: threads)
        counts.initialize(repeating: 0)
    }

    deinit { counts.deallocate() }

    var phaseCount: Int { 1 }
    func chunkCount(phase: Int) -> Int { counts.count }
    func run(phase: Int, chunk: Int, of chunkCount: Int, worker: Int) {
        counts[chunk] = kernels.multiply(product, repetitions)
    }

    var operations: Int { Int(counts.reduce(0, +)) }
}

extension MartletProduct {
    init(_ product: CPUDevice.Product) {
        self =
            switch product {
            case .float32: .float32
            case .bfloat16: .bfloat16
            case .int16: .int16
            case .int8: .int8
            }
    }
}

/// Uses a value, so that computing it can't be left out.
@inline(never) private func sink(_ value: UInt64) {}
