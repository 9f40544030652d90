// SPDX-License-Identifier: Apache-2.0

/// How items are cut into chunks. Each thread gets one chunk. For large phases the last quarter of its items is cut into
/// up to eight more, which other threads may steal.
struct ChunkPolicy {
    let threadCount: Int

    /// The most chunks that a thread's last quarter is cut into.
    private static let maximumStealChunks = 8
    /// Quarters of all threads' items.
    private var quarterCount: Int { 4 * threadCount }

    func fitsOneChunkPerThread(_ total: Int, minimumStealChunk: Int) -> Bool {
        chunkCount(of: total, minimum: 1, minimumSteal: minimumStealChunk) <= threadCount
    }

    /// - Parameters:
    ///   - minimum: the smallest chunk, in items.
    ///   - minimumSteal: the smallest chunk worth stealing, in items.
    func chunkCount(of total: Int, minimum: Int, minimumSteal: Int) -> Int {
        let stolen = total / quarterCount / minimumSteal
        if threadCount > 1, stolen > 0 { return threadCount * (1 + min(stolen, Self.maximumStealChunks)) }
        return min((total + minimum - 1) / minimum, threadCount)
    }

    func items(of total: Int, chunk: Int, count: Int) -> Range<Int> {
        guard count > threadCount else { return WorkerPool.share(of: total, worker: chunk, threadCount: count) }
        let stolen = count / threadCount - 1
        let (thread, rest) = chunk.quotientAndRemainder(dividingBy: 1 + stolen)
        let (first, last) = (total * (4 * thread + 3) / quarterCount, total * (4 * thread + 4) / quarterCount)
        guard rest > 0 else { return total * 4 * thread / quarterCount..<first }
        return first + (last - first) * (rest - 1) / stolen..<first + (last - first) * rest / stolen
    }
}

/// The items of one chunk where `total` items are dealt to `count` chunks evenly.
func slice(of total: Int, chunk: Int, count: Int) -> Range<Int> {
    total * chunk / count..<total * (chunk + 1) / count
}
