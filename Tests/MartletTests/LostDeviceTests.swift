// SPDX-License-Identifier: Apache-2.0

import Martlet
import MartletCompute
import MartletReference
import MartletTestSupport
import Synchronization
import Testing

/// A device whose cache has no heads of the model's size.
private final class PickyDevice: ForwardingDevice {
    let device: ReferenceDevice
    let packed = Atomic<Int>(0)

    init() { device = ReferenceDevice() }

    func check(_ programs: DecoderPrograms, cache: CacheShape) throws {
        throw DeviceError(code: .unsupported, message: "head size \(cache.layers[0].headSize) is not supported")
    }

    func pack(_ tensor: HostTensor, for use: WeightUse) throws -> any DeviceWeight {
        packed.wrappingAdd(1, ordering: .relaxed)
        return try device.pack(tensor, for: use)
    }
}

/// Devices that can't do what is asked, or can't any more.
@Suite struct LostDeviceTests {
    /// What a device can't do is said before weights are packed.
    @Test func devicesAreAskedBeforeWeightsArePacked() throws {
        let file = try TinyModel().write()
        let device = PickyDevice()
        let error = #expect(throws: DeviceError.self) {
            _ = try ModelLoader(path: file.path, options: EngineOptions()).load(on: device)
        }
        #expect(error?.message.contains("head size 16") == true)
        let packed = device.packed.load(ordering: .relaxed)
        #expect(packed == 0)
        // The CPU's answer names what it can do.
        var tiny = TinyModel()
        tiny.headSize = 544
        let odd = try tiny.write()
        let refusal = #expect(throws: DeviceError.self) {
            _ = try ModelLoader(path: odd.path, options: EngineOptions()).load()
        }
        #expect(refusal?.message.contains("multiple of 8 up to 512") == true)
    }

    /// Every request fails by it, the engine ends, and says why from then on.
    @Test func aLostDeviceEndsTheEngine() async throws {
        let file = try TinyModel().write()
        let device = LosableDevice(ReferenceDevice(), submissions: 5)
        let options = EngineOptions()
        let engine = try await Engine.start(options) {
            try ModelLoader(path: file.path, options: options).load(on: device)
        }
        #expect(engine.health == .ready)
        var sampling = SamplingParameters.greedy
        sampling.ignoresEndTokens = true
        let stream = try engine.generate(GenerationRequest(promptTokens: Array(0..<9), sampling: sampling))
        var answered = 0
        let error = await #expect(throws: EngineError.self) {
            for try await piece in stream { answered += piece.tokens.count }
        }
        #expect(error?.code == .deviceLost && error?.message.contains("fell off the bus") == true)
        #expect(answered == 5)
        let end = await #expect(throws: EngineError.self) { try await engine.waitForEnd() }
        #expect(end?.code == .deviceLost && engine.health == .failed)
        let refusal = #expect(throws: EngineError.self) {
            try engine.generate(GenerationRequest(promptTokens: [1], sampling: sampling))
        }
        #expect(refusal?.code == .deviceLost)
        // There is nothing left to stop.
        await engine.stop()
    }
}
