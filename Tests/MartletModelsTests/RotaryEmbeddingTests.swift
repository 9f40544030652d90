// SPDX-License-Identifier: Apache-2.0

import Foundation
import MartletModels
import Testing

@Suite struct RotaryEmbeddingTests {
    @Test func frequenciesFallGeometrically() {
        let frequencies = RotaryEmbedding(dimensions: 8, base: 10_000).inverseFrequencies
        for (found, expected) in zip(frequencies, [1, 0.1, 0.01, 0.001]) { #expect(abs(found - expected) < 1e-12) }
    }

    @Test func linearDividesAll() {
        let plain = RotaryEmbedding(dimensions: 64, base: 10_000).inverseFrequencies
        let scaled = RotaryEmbedding(dimensions: 64, base: 10_000, scaling: .linear(factor: 4)).inverseFrequencies
        #expect(zip(plain, scaled).allSatisfy { abs($0 / 4 - $1) < 1e-15 })
    }

    /// Llama 3.2 1B's settings. High frequencies stay, low ones are divided by 32, those between by what lies between;
    /// the ramp's values are those of the `rope_freqs` that llama.cpp's converter writes by the same published formula.
    @Test func llama3KeepsHighAndDividesLow() {
        let plain = RotaryEmbedding(dimensions: 64, base: 500_000).inverseFrequencies
        let scaling = RotaryEmbedding.Scaling.llama3(
            factor: 32, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContextLength: 8192)
        let scaled = RotaryEmbedding(dimensions: 64, base: 500_000, scaling: scaling).inverseFrequencies
        let factors = zip(plain, scaled).map { $0 / $1 }
        #expect(factors.prefix(15).allSatisfy { abs($0 - 1) < 1e-12 })
        #expect(factors.suffix(14).allSatisfy { abs($0 - 32) < 1e-9 })
        #expect(factors.dropFirst(15).dropLast(14).allSatisfy { $0 > 1 && $0 < 32 })
        #expect(zip(factors, factors.dropFirst()).allSatisfy { $0 <= $1 + 1e-12 })
        for (pair, factor) in factors.enumerated() {
            let wavelength = 2 * Double.pi / plain[pair]
            guard wavelength > 8192 / 4, wavelength < 8192 else { continue }
            let smooth = (8192 / wavelength - 1) / (4 - 1)
            #expect(abs(1 / factor - ((1 - smooth) / 32 + smooth)) < 1e-12)
        }
    }
}
