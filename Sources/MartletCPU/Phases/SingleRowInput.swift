// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCompute

/// A linear layer's input where the batch has a single row: its norm and copy, which each thread computes for itself. That
/// takes less time than waiting for another thread to compute them.
package final class SingleRowInput {
    private let extent: RowExtent
    private let norm: NormRows
    private let memory: AlignedMemory
    private let normedBytes: Int
    private let bytesPerThread: Int
    private let copy: MartletLinearInput

    /// - Parameters:
    ///   - norm: what makes the layer's input of the rows of an extent.
    ///   - copy: what linear layers of many rows read; its form and its columns count.
    init(_ norm: NormRows, extent: RowExtent, copy: MartletLinearInput, workspace: CPUWorkspace, threadCount: Int)
        throws(DeviceError)
    {
        self.extent = extent
        self.norm = norm
        self.copy = copy
        func wholeLines(_ bytes: Int) -> Int { (bytes + 63) / 64 * 64 }
        normedBytes = wholeLines(norm.output.columns * 4)
        let copyBytes = martlet_records(copy.format, copy.columns) * martlet_record_bytes(copy.format)
        // One cache line between two threads' inputs: processors fetch lines in pairs.
        bytesPerThread = normedBytes + wholeLines(Int(copyBytes)) + 64
        memory = try workspace.memoryOfThreads(byteCount: bytesPerThread * threadCount)
    }

    /// Whether the batch has exactly one row.
    static func applies(to extent: RowExtent, _ batch: BatchBuffers) -> Bool { extent.count(batch) == 1 }

    /// Computes a thread's own input; nil where there are more rows, for which the phase before has computed it.
    func input(worker: Int, batch: BatchBuffers) -> MartletLinearInput? {
        guard Self.applies(to: extent, batch) else { return nil }
        let base = memory.base + worker * bytesPerThread
        let normed = TensorRows(base: base.assumingMemoryBound(to: Float.self), columns: norm.output.columns)
        var input = copy
        input.base = (base + normedBytes).assumingMemoryBound(to: UInt8.self)
        norm.run(row: 0, into: normed.base)
        EncodeRows(kernels: norm.kernels, input: normed, output: input).run(rows: 0..<1, batch: batch)
        return input
    }
}
