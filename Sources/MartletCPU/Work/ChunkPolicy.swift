// SPDX-License-Identifier: Apache-2.0

/// How items are cut into chunks. Each thread gets one chunk. For large phases the last quarter of its items is cut into
/// up to eight more, which other threads may steal.
package struct ChunkPolicy {
    let threadCount: Int

    package init(threadCount: Int) {
        self.threadCount = threadCount
    }

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

/// What a phase says of the chunks that its items are cut into.
package struct ChunkBounds {
    /// Whether items differ so much in length that each is claimed alone, as long as the pool can count them.
    let hasUnevenItems: Bool
    /// The smallest chunk, in items.
    let minimum: Int
    /// The smallest chunk worth stealing, in items.
    let minimumSteal: Int

    package init(hasUnevenItems: Bool = false, minimum: Int = 1, minimumSteal: Int? = nil) {
        self.hasUnevenItems = hasUnevenItems
        self.minimum = minimum
        self.minimumSteal = minimumSteal ?? minimum
    }

    package func chunkCount(_ items: Int, _ policy: ChunkPolicy) -> Int {
        if hasUnevenItems { return min(items, WorkerPool.maximumChunks) }
        return policy.chunkCount(of: items, minimum: minimum, minimumSteal: minimumSteal)
    }

    package func items(of total: Int, chunk: Int, count: Int, _ policy: ChunkPolicy) -> Range<Int> {
        if hasUnevenItems { return slice(of: total, chunk: chunk, count: count) }
        return policy.items(of: total, chunk: chunk, count: count)
    }
}

/// The items of one chunk where `total` items are dealt to `count` chunks evenly.
func slice(of total: Int, chunk: Int, count: Int) -> Range<Int> {
    total * chunk / count..<total * (chunk + 1) / count
}
