// SPDX-License-Identifier: Apache-2.0

/// What a kernel reads and writes.
package struct KernelOperands: Hashable, Sendable {
    /// The activations it reads; one that it adds to or changes in place is among them.
    package var inputs: [Tensor] = []
    /// The activation it writes; nil where it writes none.
    package var output: Tensor?
    /// Weights that are packed as matrices.
    package var matrices: [Weight] = []
    /// Weights that are kept as f32.
    package var vectors: [Weight] = []
}

extension Kernel {
    package var operands: KernelOperands {
        switch self {
        case .embed(let embed):
            KernelOperands(
                inputs: embed.accumulates ? [embed.output] : [], output: embed.output, matrices: [embed.table])
        case .rotaryAngles(_, _, let output): KernelOperands(output: output)
        case .norm(let norm):
            KernelOperands(
                inputs: norm.accumulates ? [norm.input, norm.output] : [norm.input], output: norm.output,
                vectors: [norm.weight, norm.bias].compactMap(\.self))
        case .linear(let linear):
            KernelOperands(
                inputs: linear.accumulates ? [linear.input, linear.output] : [linear.input], output: linear.output,
                matrices: linear.weights, vectors: linear.biases)
        case .prepareHeads(let heads):
            KernelOperands(
                inputs: [heads.queryKeyValue] + (heads.rotation.map { [$0.angles] } ?? []),
                output: heads.queryKeyValue,
                vectors: [heads.queryNorm, heads.keyNorm, heads.valueNorm].compactMap { $0?.weight })
        case .attention(let attention):
            KernelOperands(
                inputs: [attention.queryKeyValue], output: attention.output,
                vectors: attention.parameters.sinks.map { [$0] } ?? [])
        case .activation(let input, let output, _), .gatedActivation(let input, let output, _),
            .gatherRows(let input, let output):
            KernelOperands(inputs: [input], output: output)
        case .route(let route):
            KernelOperands(
                inputs: [route.input], output: route.output,
                vectors: [route.weight] + [route.bias, route.choiceBias].compactMap(\.self))
        case .experts(let experts):
            KernelOperands(
                inputs: [experts.input, experts.routing] + (experts.accumulates ? [experts.output] : []),
                output: experts.output, matrices: [experts.gateWeight, experts.upWeight, experts.downWeight],
                vectors: [experts.gateBias, experts.upBias, experts.downBias].compactMap(\.self))
        case .add(let add):
            KernelOperands(inputs: [add.input, add.output] + (add.gate.map { [$0] } ?? []), output: add.output)
        case .scale(let tensor, _, _): KernelOperands(inputs: [tensor], output: tensor)
        case .sample(let logits): KernelOperands(inputs: [logits])
        }
    }

    /// The activation it writes, or adds to; nil where it writes none.
    package var output: Tensor? { operands.output }

    /// The activations it reads.
    package var inputs: [Tensor] { operands.inputs }

    /// The same kernel over other activations.
    package func mapTensors(_ map: (Tensor) -> Tensor) -> Kernel {
        switch self {
        case .embed(var embed):
            embed.output = map(embed.output)
            return .embed(embed)
        case .rotaryAngles(let inverseFrequencies, let magnitude, let output):
            return .rotaryAngles(inverseFrequencies: inverseFrequencies, magnitude: magnitude, output: map(output))
        case .norm(var norm):
            (norm.input, norm.output) = (map(norm.input), map(norm.output))
            return .norm(norm)
        case .linear(let linear):
            return .linear(
                LinearKernel(
                    input: map(linear.input), weights: linear.weights, biases: linear.biases,
                    output: map(linear.output), accumulates: linear.accumulates))
        case .prepareHeads(var heads):
            heads.queryKeyValue = map(heads.queryKeyValue)
            if let rotation = heads.rotation { heads.rotation?.angles = map(rotation.angles) }
            return .prepareHeads(heads)
        case .attention(var attention):
            (attention.queryKeyValue, attention.output) = (map(attention.queryKeyValue), map(attention.output))
            return .attention(attention)
        case .activation(let input, let output, let activation):
            return .activation(input: map(input), output: map(output), activation: activation)
        case .gatedActivation(let input, let output, let gate):
            return .gatedActivation(input: map(input), output: map(output), gate: gate)
        case .route(var route):
            (route.input, route.output) = (map(route.input), map(route.output))
            return .route(route)
        case .experts(var experts):
            (experts.input, experts.routing) = (map(experts.input), map(experts.routing))
            experts.output = map(experts.output)
            return .experts(experts)
        case .add(var add):
            (add.input, add.output, add.gate) = (map(add.input), map(add.output), add.gate.map(map))
            return .add(add)
        case .scale(let tensor, let factor, let softcap):
            return .scale(map(tensor), factor: factor, softcap: softcap)
        case .gatherRows(let input, let output): return .gatherRows(input: map(input), output: map(output))
        case .sample(let logits): return .sample(logits: map(logits))
        }
    }
}
