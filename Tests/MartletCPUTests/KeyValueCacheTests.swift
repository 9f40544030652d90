// SPDX-License-Identifier: Apache-2.0

import Glibc
import MartletCPU
import MartletCompute
import Testing

@Suite struct KeyValueCacheTests {
    /// Two blocks of 64 layers are 384 KB here, in the cache's first huge page. (A smaller cache would start on no page.)
    @Test func memoryIsTouchedByBlocksAndNotByLayers() throws {
        let cache = try CPUKeyValueCache(
            CacheShape(layers: 64, keyValueHeads: 1, headSize: 48, blockSize: 16, blockCount: 1024))
        for block in 0..<2 {
            for layer in cache.shape.layers.indices { cache.pointers(block: block, layer: layer).keys.pointee = 1 }
        }
        #expect(cache.pointers(block: 1, layer: 0).keys == cache.pointer(layer: 0) + cache.layers[0].headKeyBytes)
        #expect(
            cache.pointers(block: 4, layer: 0).keys == cache.pointer(layer: 0) + 64 * 4 * cache.layers[0].blockBytes)
        let resident = try resident(cache.memory)
        #expect(resident >= 2 * 64 * cache.layers[0].blockBytes && resident <= 2 << 20)
        #expect(cache.memory.byteCount == 1024 * 64 * cache.layers[0].blockBytes)
    }

    /// Chunks of 64 tokens are 768 KB here, so the last is on pages of its own. What stands there stays.
    @Test func memoryIsFoundBehindBlocksBeforeTheyAreWritten() throws {
        let device = try CPUDevice(threads: 2)
        let cache = try CPUKeyValueCache(
            CacheShape(layers: 64, keyValueHeads: 1, headSize: 48, blockSize: 16, blockCount: 1024))
        cache.pointers(block: 8, layer: 63).values.pointee = 7
        device.populate(cache, blocks: 0..<0)
        device.populate(cache, blocks: 8..<45)
        let bytes = cache.bytes(of: 8..<45)
        #expect(bytes == 2 * cache.chunkBytes..<12 * cache.chunkBytes)
        #expect(cache.pointers(block: 8, layer: 63).values.pointee == 7)
        let found = try resident(cache.memory)
        // Systems before Linux 5.14 can't, and find it later.
        if madvise(cache.memory.base, Int(getpagesize()), 23) != 0, errno == EINVAL { return }
        #expect(found >= bytes.count && found <= bytes.count + 4 << 20)
        device.populate(cache, blocks: 1000..<1024)
        #expect(try resident(cache.memory) >= bytes.count + cache.bytes(of: 1000..<1024).count)
    }

    /// Bytes that the system has found memory for.
    private func resident(_ memory: AlignedMemory) throws -> Int {
        let page = Int(getpagesize())
        var residency = [UInt8](repeating: 0, count: (memory.byteCount + page - 1) / page)
        try #require(mincore(memory.base, memory.byteCount, &residency) == 0)
        return residency.count { $0 & 1 == 1 } * page
    }
}
