// SPDX-License-Identifier: Apache-2.0

import Glibc
import MartletCompute
import Testing

@testable import MartletCPU

@Suite struct KeyValueCacheTests {
    /// Two blocks of 64 layers are 384 KB here, in the cache's first huge page. (A smaller cache would start on no page.)
    @Test func memoryIsTouchedByBlocksAndNotByLayers() throws {
        let cache = try CPUKeyValueCache(
            CacheLayout(layers: 64, keyValueHeads: 1, headSize: 48, blockSize: 16, blockCount: 1024))
        for block in 0..<2 {
            for layer in 0..<cache.layout.layers { cache.pointers(block: block, layer: layer).keys.pointee = 1 }
        }
        #expect(cache.pointers(block: 1, layer: 0).keys == cache.pointer(layer: 0) + cache.headKeyBytes)
        #expect(cache.pointers(block: 4, layer: 0).keys == cache.pointer(layer: 0) + 64 * 4 * cache.layerBlockBytes)
        let page = Int(getpagesize())
        var residency = [UInt8](repeating: 0, count: (cache.memory.byteCount + page - 1) / page)
        #expect(mincore(cache.memory.base, cache.memory.byteCount, &residency) == 0)
        let resident = residency.count { $0 & 1 == 1 } * page
        #expect(resident >= 2 * 64 * cache.layerBlockBytes && resident <= 2 << 20)
        #expect(cache.memory.byteCount == 1024 * 64 * cache.layerBlockBytes)
    }
}
