// SPDX-License-Identifier: Apache-2.0

import Martlet
import MartletBench
import MartletCPU
import MartletCompute
import MartletTestSupport
import Testing

@Suite struct LimitsTests {
    @Test(arguments: InstructionSet.available) func eachSampleCounts(_ instructionSet: InstructionSet) throws {
        let benchmark = try LimitsBenchmark(
            on: CPUDevice(threads: 2, instructionSet: instructionSet), byteCount: 1 << 20)
        for _ in 0..<3 { benchmark.sample() }
        for rates in [benchmark.readRates] + CPUDevice.Product.allCases.map(benchmark.rates) {
            #expect(rates.seconds.count == 3 && rates.minimum > 0 && rates.maximum.isFinite)
        }
        #expect(benchmark.limits.read == benchmark.readRates.median)
        #expect(benchmark.limits.int8 == benchmark.rates(of: .int8).median)
    }

    /// A prompt of 5 tokens and an answer of 3: the last token is never computed.
    @Test func workIsCounted() async throws {
        let file = try TinyModel().write()
        var options = EngineOptions()
        (options.threads, options.enablePrefixCaching) = (1, false)
        let engine = try await Engine.load(file.path, options: options)
        var sampling = SamplingParameters.greedy
        (sampling.maxTokens, sampling.ignoresEndTokens) = (3, true)
        let request = GenerationRequest(promptTokens: [1, 2, 3, 4, 5], sampling: sampling)
        _ = try await engine.generate(request).answers()
        let work = engine.statistics.work
        #expect(work.steps == 3 && work.tokens == 7 && work.logitRows == 3)
        #expect(work.attendedPairs == 1 + 2 + 3 + 4 + 5 + 6 + 7 && work.readTokens == 5 + 6 + 7)
        #expect((work + work) - work == work)
    }

    /// Shares are what the counted work would take at the limits, by hand.
    @Test func sharesAreOfTheLimits() async throws {
        let tiny = TinyModel()
        let file = try tiny.write()
        let model = try await Engine.load(file.path).model
        var work = ComputedWork()
        (work.steps, work.readTokens) = (10, 100)
        let limits = MachineLimits(
            read: 1e9, float32: 1e9, bfloat16: 2e9, int16: 3e9, int8: 4e9, floatMatrixProduct: .bfloat16)
        let read = LimitShare(work, of: model, seconds: 2, limits: limits)
        let cacheBytes = Double(model.cacheBytes / model.cacheTokens * 100)
        #expect(abs(read.read - (10 * Double(model.linearBytes) + cacheBytes) / 1e9 / 2) < 1e-12)
        #expect(read.multiply == 0)
        work = ComputedWork()
        work.attendedPairs = 1000
        let heads = model.shape.layers[0].attention.heads
        let operations = Double(1000 * 4 * heads.queryHeads * heads.headSize * model.shape.layers.count)
        let multiply = LimitShare(work, of: model, seconds: 2, limits: limits)
        let limit = model.cacheFormat == .int16 ? 3e9 : 2e9
        #expect(abs(multiply.multiply - operations / limit / 2) < 1e-12 && multiply.read == 0)
    }

    /// A prompt's share is of the product that its matrices are multiplied as.
    @Test(arguments: [
        (ElementType.q8_0, CPUDevice.Product.int16, 4e9), (.bfloat16, .int16, 3e9), (.bfloat16, .bfloat16, 2e9),
    ])
    func promptsAreHeldToTheirProduct(
        _ type: ElementType, _ product: CPUDevice.Product, _ limit: Double
    ) async throws {
        var tiny = TinyModel()
        tiny.type = type
        let file = try tiny.write()
        let model = try await Engine.load(file.path).model
        var work = ComputedWork()
        work.tokens = 1000
        let limits = MachineLimits(
            read: 1e9, float32: 1e9, bfloat16: 2e9, int16: 3e9, int8: 4e9, floatMatrixProduct: product)
        let hidden = tiny.hiddenSize
        let (inputs, outputs) = (
            (tiny.queryHeads + 2 * tiny.keyValueHeads) * tiny.headSize, tiny.queryHeads * tiny.headSize
        )
        // The last layer's attention is all that other tokens read.
        let rest = (tiny.layers - 1) * (outputs + 3 * tiny.feedForwardSize)
        let operations = Double(1000 * 2 * hidden * (tiny.layers * inputs + rest))
        let share = LimitShare(work, of: model, seconds: 2, limits: limits)
        #expect(abs(share.multiply - operations / limit / 2) < 1e-9 * share.multiply)
    }
}
