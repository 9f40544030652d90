// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletAttention
import MartletCPU
import MartletCompute
import MartletReference
import MartletTestSupport
import Testing

/// Keys and values as a cache of int16 keeps them.
@Suite struct Int16HeadTests {
    @Test func theLargestDecidesWhatIsOne() {
        let some = Int16Head(rounding: [1, -2, 0.25, 0], largest: 8)
        #expect(some.unit == 0.25 && some.values == [4, -8, 1, 0] && some.numbers == [1, -2, 0.25, 0])
        #expect(Int16Head(rounding: [2, 0.125, 0.375, -0.625], largest: 8).values == [8, 0, 2, -2])
        #expect(Int16Head(rounding: [0, 0], largest: 8) == Int16Head(rounding: [-0.0, 0], largest: 8))
        #expect(Int16Head(rounding: [0, 0], largest: 8).unit == 0)
        // Numbers that are too small to have a unit are nothing, not infinite.
        #expect(
            Int16Head(rounding: [10 * .leastNonzeroMagnitude, .leastNonzeroMagnitude], largest: 8191).values == [0, 0])
        for number in [Float.nan, .infinity, -.infinity] {
            #expect(Int16Head(rounding: [1, number], largest: 8).unit.isNaN)
        }
    }

    /// Every number within half a unit, and the largest exactly as many units as there are.
    @Test func numbersAreWithinHalfAUnit() {
        var random = SeededGenerator(5)
        for _ in 0..<200 {
            let exponent = Int.random(in: -100...100, using: &random)
            let numbers = random.normals(Int.random(in: 1...256, using: &random)).map {
                $0 * Float(sign: .plus, exponent: exponent, significand: 1)
            }
            let rounded = Int16Head(rounding: numbers, largest: 8191)
            #expect(rounded.values.map(\.magnitude).max() == 8191)
            for (number, kept) in zip(numbers, rounded.numbers) {
                #expect(abs(number - kept) <= 0.501 * rounded.unit)
            }
        }
    }

    /// What the cache's writer stores is what the twin rounds to, where `cache_layout.h` draws it.
    @Test(arguments: [8, 40, 64, 256], InstructionSet.available)
    func theCacheKeepsThem(_ headSize: Int, _ instructionSet: InstructionSet) throws {
        let kernels = try #require(instructionSet.kernels)
        #expect(Int16Head.largestOfKey == Float(MARTLET_LARGEST_KEY_WORD))
        #expect(Int16Head.largestOfValue == Float(MARTLET_LARGEST_VALUE_WORD))
        var random = SeededGenerator(7)
        let (blockSize, padded) = (32, (headSize + 15) / 16 * 16)
        let cache = try CPUKeyValueCache(
            CacheShape(
                layers: 1, keyValueHeads: 1, headSize: headSize, blockSize: blockSize, blockCount: 1, format: .int16))
        let bytes = UnsafeRawPointer(cache.memory.base)
        let (keyGroup, valueGroup) = (16 * headSize * 2 + 64, 16 * padded * 2 + 64)
        #expect(cache.layers[0].headKeyBytes == 2 * keyGroup && cache.layers[0].headValueBytes == 2 * valueGroup)
        for offset in 0..<blockSize {
            let scale = Float(sign: .plus, exponent: .random(in: -120...120, using: &random), significand: 1)
            var (key, value) = (random.normals(headSize).map { $0 * scale }, random.normals(headSize))
            if offset == 3 { key = key.map { _ in 0 } }
            if offset == 5 { value[headSize / 2] = .infinity }
            kernels.writeKeys(key, 0, 1, cache.pointers(layer: 0).keys, Int64(offset), Int64(headSize), .int16, 1)
            kernels.writeValues(value, 0, 1, cache.pointers(layer: 0).values, Int64(offset), Int64(headSize), .int16, 1)
            let (lane, group) = (offset % 16, offset / 16)
            // Two blocks are a chunk.
            let (keys, values) = (group * keyGroup, 2 * 2 * keyGroup + group * valueGroup)
            func kept(_ at: Int, unit: Int, place: (Int) -> Int) -> (values: [Int16], unit: Float) {
                (
                    (0..<headSize).map { bytes.load(fromByteOffset: at + place($0) * 2, as: Int16.self) },
                    bytes.load(fromByteOffset: at + unit + lane * 4, as: Float.self)
                )
            }
            let keptKey = kept(keys, unit: 16 * headSize * 2) { ($0 / 2 * 16 + lane) * 2 + $0 % 2 }
            let keptValue = kept(values, unit: 16 * padded * 2) { (lane / 2 * padded + $0) * 2 + lane % 2 }
            let expected = Int16Head(rounding: key, largest: Int16Head.largestOfKey)
            #expect(keptKey.values == expected.values && keptKey.unit == expected.unit)
            let expectedValue = Int16Head(rounding: value, largest: Int16Head.largestOfValue)
            if expectedValue.unit.isNaN {
                #expect(keptValue.unit.isNaN)
            } else {
                #expect(keptValue.values == expectedValue.values && keptValue.unit == expectedValue.unit)
            }
        }
    }
}
