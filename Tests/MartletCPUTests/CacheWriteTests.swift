// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCPU
import MartletCompute
import MartletTestSupport
import Testing

@Suite struct CacheWriteTests {
    /// What the cache's writer stores is what the format's twin rounds to.
    @Test(arguments: FloatFormat.allCases, InstructionSet.available)
    func theCacheKeepsTheNearestNumber(_ format: FloatFormat, _ instructionSet: InstructionSet) throws {
        let kernels = try #require(instructionSet.kernels)
        var random = SeededGenerator(3)
        let (headSize, blockSize) = (40, 32)
        let shape = CacheShape(
            layers: 1, keyValueHeads: 1, headSize: headSize, blockSize: blockSize, blockCount: 1,
            format: .float(format))
        let cache = try CPUKeyValueCache(shape)
        let scale: Float = format.isEightBit ? 0.3 : 1
        for offset in 0..<blockSize {
            // From subnormal to overflow.
            let key = (0..<headSize).map { _ in
                random.normal() * Float(sign: .plus, exponent: .random(in: -26...16, using: &random), significand: 1)
            }
            let value = random.normals(headSize)
            kernels.writeKeys(
                key, 0, 1, cache.pointers(layer: 0).keys, Int64(offset), Int64(headSize), MartletFormat(format), scale)
            kernels.writeValues(
                value, 0, 1, cache.pointers(layer: 0).values, Int64(offset), Int64(headSize), MartletFormat(format),
                scale)
            for element in 0..<headSize {
                let (keyCode, valueCode) = codes(cache, format, offset: offset, element: element)
                #expect(format.decode(keyCode) == format.round(key[element] / scale))
                #expect(format.decode(valueCode) == format.round(value[element] / scale))
            }
        }
    }

    /// Tokens that are written together come out as one by one, and beside them nothing changes.
    @Test(
        arguments: [CacheFormat.int16] + FloatFormat.allCases.map(CacheFormat.float), InstructionSet.available)
    func tokensAreWrittenTogether(_ format: CacheFormat, _ instructionSet: InstructionSet) throws {
        for headSize in [40, 64] { try tokensAreWrittenTogether(format, instructionSet, headSize) }
    }

    private func tokensAreWrittenTogether(_ format: CacheFormat, _ instructionSet: InstructionSet, _ headSize: Int)
        throws
    {
        let kernels = try #require(instructionSet.kernels)
        var random = SeededGenerator(3)
        let (blockSize, stride) = (32, headSize + 24)
        func bytes(_ write: (CPUKeyValueCache) -> Void) throws -> [UInt8] {
            let cache = try CPUKeyValueCache(
                CacheShape(
                    layers: 1, keyValueHeads: 1, headSize: headSize, blockSize: blockSize, blockCount: 1,
                    format: format))
            return withExtendedLifetime(cache) {
                write(cache)
                return Array(UnsafeRawBufferPointer(start: cache.memory.base, count: cache.memory.byteCount))
            }
        }
        let (keys, values) = (random.normals(stride * blockSize), random.normals(stride * blockSize))
        func write(_ tokens: Range<Int>, to cache: CPUKeyValueCache) {
            let block = cache.pointers(layer: 0)
            kernels.writeKeys(
                Array(keys[(tokens.lowerBound * stride)...]), Int64(stride), Int64(tokens.count), block.keys,
                Int64(tokens.lowerBound), Int64(headSize), MartletFormat(format), 0.3)
            kernels.writeValues(
                Array(values[(tokens.lowerBound * stride)...]), Int64(stride), Int64(tokens.count), block.values,
                Int64(tokens.lowerBound), Int64(headSize), MartletFormat(format), 0.3)
        }
        let alone = try bytes { for token in 0..<blockSize { write(token..<token + 1, to: $0) } }
        for _ in 0..<40 {
            let first = Int.random(in: 0..<blockSize, using: &random)
            let end = Int.random(in: first + 1...blockSize, using: &random)
            let together = try bytes {
                for token in 0..<blockSize where !(first..<end).contains(token) { write(token..<token + 1, to: $0) }
                write(first..<end, to: $0)
            }
            #expect(together == alone)
        }
    }

    /// The layout that `cache_layout.h` draws, written a second time.
    private func codes(
        _ cache: CPUKeyValueCache, _ format: FloatFormat, offset: Int, element: Int
    ) -> (key: UInt32, value: UInt32) {
        let headSize = cache.shape.layers[0].headSize
        let (group, lane, padded) = (offset / 16, offset % 16, (headSize + 15) / 16 * 16)
        let isPaired = format != .float16 && format != .float32
        let key = isPaired ? (element / 2 * 16 + lane) * 2 + element % 2 : element * 16 + lane
        let value = isPaired ? (lane / 2 * padded + element) * 2 + lane % 2 : lane * padded + element
        func stored(_ index: Int) -> Int {
            guard format.isEightBit else { return index }
            return index / 64 * 64 + index % 32 / 8 * 16 + index / 32 % 2 * 8 + index % 8
        }
        func code(_ index: Int) -> UInt32 {
            let bytes = UnsafeRawPointer(cache.memory.base)
            switch format.byteCount {
            case 1: return UInt32(bytes.load(fromByteOffset: index, as: UInt8.self))
            case 2: return UInt32(bytes.load(fromByteOffset: index * 2, as: UInt16.self))
            default: return bytes.load(fromByteOffset: index * 4, as: UInt32.self)
            }
        }
        return (
            code(group * 16 * headSize + stored(key)),
            // Two blocks are a chunk.
            code(2 * cache.shape.blockSize * headSize + group * 16 * padded + stored(value))
        )
    }
}
