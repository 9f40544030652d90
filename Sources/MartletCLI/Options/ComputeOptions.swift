// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Martlet
import MartletCompute

/// Where weights come from, and what computes with them.
struct ComputeOptions: ParsableArguments {
    @Option(
        help:
            "Where weights come from: auto, gguf or safetensors is the file or the folder, dummy makes random ones of the model's shapes."
    )
    var loadFormat = EngineOptions().loadFormat

    @Option(
        help:
            "What matrices of floats become while they are loaded: int8 (Q8_0) or int4 (Q4_K, the output matrix Q6_K)."
    )
    var quantization: LoadQuantization?

    @Option(
        name: .customLong("device"),
        help: ArgumentHelp(
            "What computes: auto is the fastest there is; reference is plain Swift, which others are compared with, some fifty times slower."
        ))
    var deviceKind = EngineOptions().device

    @OptionGroup var device: DeviceOptions

    @Option(
        help:
            "Activations that meet quantised weights: int8 as in llama.cpp, or int16, which keeps the weights' precision and reads prompts about half as fast."
    )
    var activations = EngineOptions().activations

    func apply(to options: inout EngineOptions) {
        options.loadFormat = loadFormat
        options.quantization = quantization?.quantization
        options.device = deviceKind
        options.threads = device.threads
        options.instructionSet = device.instructionSet
        options.activations = activations
    }
}
