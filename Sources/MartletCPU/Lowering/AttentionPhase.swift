// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCompute

/// The prefill launch: the plan's tiles times the KV heads, a pair an item.
struct AttentionPhase: Phase {
    let kernels: MartletKernelTable
    let queryKeyValue: TensorRows
    let output: TensorRows
    let parameters: AttentionParameters
    let cache: CPUKeyValueCache
    let layer: Int

    /// Tiles differ in length: each is claimed alone, as long as the pool can count them.
    var chunkLimit: Int? { WorkerPool.maximumChunks }

    func itemCount(_ batch: BatchBuffers) -> Int { batch.plan.prefillTileCount * parameters.heads.keyValueHeads }

    func run(_ items: Range<Int>, worker: Int, batch: BatchBuffers) {
        let heads = parameters.heads
        guard let blockTables = batch.blockTables.baseAddress else { return }
        for item in items {
            let tile = batch.plan.prefillTiles[item / heads.keyValueHeads]
            let row = Int(tile.firstRow)
            let work = MartletAttentionItem(
                query: queryKeyValue.row(row), queryStride: Int64(queryKeyValue.columns),
                output: output.row(row), outputStride: Int64(output.columns),
                cache: cache.pointer(layer: layer),
                blockTable: blockTables + Int(tile.sequence) * batch.capacity.blocksPerSequence,
                rows: Int64(tile.rowCount), firstPosition: Int64(batch.positions[row]),
                keyValueHeads: Int64(heads.keyValueHeads), groupSize: Int64(heads.groupSize),
                headSize: Int64(heads.headSize), blockSize: Int64(cache.layout.blockSize), scale: parameters.scale)
            kernels.attendRows(work, Int64(item % heads.keyValueHeads))
        }
    }
}
