// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// How a device divides the rows of a large batch among threads: in bands of consecutive rows, all of one size, the same
/// number for each thread.
///
/// With several bands per thread, bands are assigned back and forth (0, 1, 1, 0): under a causal mask every thread then
/// attends to about the same number of keys.
package struct RowBanding: Hashable, RowAffinity {
    /// Threads that rows are divided among.
    var threadCount: Int
    /// Rows that stay together.
    var groupRows: Int
    /// The fewest rows per thread for which bands are worthwhile.
    var minimumRowsPerThread: Int
    /// About how many rows a band has, until each thread has `maximumBandsPerThread`.
    var bandRows: Int
    /// The most bands a thread gets; even, or 1.
    var maximumBandsPerThread: Int

    /// - Precondition: all are positive.
    package init(threadCount: Int, groupRows: Int, minimumRowsPerThread: Int, bandRows: Int, maximumBandsPerThread: Int)
    {
        precondition(
            threadCount > 0 && groupRows > 0 && minimumRowsPerThread > 0 && bandRows > 0 && maximumBandsPerThread > 0)
        self.threadCount = threadCount
        self.groupRows = groupRows
        self.minimumRowsPerThread = minimumRowsPerThread
        self.bandRows = bandRows
        self.maximumBandsPerThread = maximumBandsPerThread
    }

    /// Whether a step of `rows` rows is divided.
    package func isWorthwhile(rows: Int) -> Bool { rows >= minimumRowsPerThread * threadCount }

    /// Bands of a step; a multiple of the number of threads, 0 without rows.
    func bandCount(rows: Int) -> Int {
        guard rows > 0 else { return 0 }
        let each = min(max(1, rows / bandRows / threadCount), maximumBandsPerThread)
        // An odd band out would give its thread more keys, or fewer, than the others have.
        return threadCount * (each > 1 ? each / 2 * 2 : 1)
    }

    /// Which band a thread takes at its `turn`, counted from 0.
    func band(of thread: Int, turn: Int) -> Int {
        turn * threadCount + (turn.isMultiple(of: 2) ? thread : threadCount - 1 - thread)
    }

    /// The groups of rows in a band.
    func groups(of band: Int, rows: Int) -> Range<Int> {
        let (groups, bands) = (groupCount(rows), bandCount(rows: rows))
        return groups * band / bands..<groups * (band + 1) / bands
    }

    /// The thread whose band holds a row; 0 where rows aren't divided.
    func worker(ofRow row: Int, rows: Int) -> Int {
        guard isWorthwhile(rows: rows) else { return 0 }
        // The last band that begins no later than the row's group.
        let band = ((row / groupRows + 1) * bandCount(rows: rows) - 1) / groupCount(rows)
        let (turn, thread) = band.quotientAndRemainder(dividingBy: threadCount)
        return turn.isMultiple(of: 2) ? thread : threadCount - 1 - thread
    }

    private func groupCount(_ rows: Int) -> Int { (rows + groupRows - 1) / groupRows }
}
