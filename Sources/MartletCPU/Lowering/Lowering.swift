// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCompute

/// Turns kernels into phases.
///
/// Two rules make up what the device adds of its own:
/// 1. before a linear kernel its input is copied row by row into the type that its weights are multiplied in;
/// 2. neighbouring row operations of one extent become one phase, so norm + quantise or activation + quantise cost one
///    barrier.
struct Lowering {
    private let environment: LoweringEnvironment
    private var phases: [LoweredPhase] = []
    /// The kernel that is being lowered.
    private var index = 0

    /// Lowers kernels that run one after the other with no host in between.
    static func lower(
        _ kernels: some Collection<Kernel>, in environment: LoweringEnvironment
    ) throws(DeviceError) -> [LoweredPhase] {
        var lowering = Lowering(environment: environment)
        for kernel in kernels {
            try lowering.append(kernel)
            lowering.index += 1
        }
        guard let trace = environment.trace else { return lowering.phases }
        for index in lowering.phases.indices {
            lowering.phases[index].traceName = trace.name(lowering.phases[index].phase.name, values: ["items"])
        }
        return lowering.phases
    }

    private init(environment: LoweringEnvironment) { self.environment = environment }

    private var kernels: MartletKernelTable { environment.kernels }
    private var workspace: CPUWorkspace { environment.workspace }
    private var cache: CPUKeyValueCache { environment.cache }

    private mutating func append(_ kernel: Kernel) throws(DeviceError) {
        switch kernel {
        case .embed(let table, let output):
            append(EmbedRows(table: panel(table), output: try workspace.rows(of: output)), output.rows)
        case .rotaryAngles(let inverseFrequencies, let output):
            append(
                RotaryAngleRows(inverseFrequencies: inverseFrequencies, output: try workspace.rows(of: output)),
                output.rows)
        case .norm(let input, let weight, let epsilon, let output):
            append(
                NormRows(
                    kernels: kernels, input: try workspace.rows(of: input), weight: vector(weight), epsilon: epsilon,
                    output: try workspace.rows(of: output)), output.rows)
        case .linear(let linear): try append(linear)
        case .rotaryAndCacheWrite(let queryKeyValue, let angles, let parameters, let layer):
            append(
                RotateAndWriteCacheRows(
                    kernels: kernels, queryKeyValue: try workspace.rows(of: queryKeyValue),
                    angles: try workspace.rows(of: angles), parameters: parameters, cache: cache, layer: layer),
                queryKeyValue.rows)
        case .attention(let queryKeyValue, let output, let parameters, let layer):
            let attention = try AttentionLayer(
                parameters, kernels: kernels, cache: cache, layer: layer,
                segmentLength: environment.attentionSegmentLength, sinks: parameters.sinks.map(vector))
            let output = try workspace.rows(of: output)
            let partials = try workspace.partials(floats: attention.partialFloats)
            append(
                AttentionPhase(
                    layer: attention, queryKeyValue: try workspace.rows(of: queryKeyValue), output: output,
                    partials: partials))
            append(AttentionMergePhase(layer: attention, output: output, partials: partials))
        case .gatedActivation(let input, let output, .silu):
            append(
                GatedActivationRows(
                    kernels: kernels, input: try workspace.rows(of: input), output: try workspace.rows(of: output)),
                output.rows)
        case .gatherRows(let input, let output):
            append(
                GatherRows(input: try workspace.rows(of: input), output: try workspace.rows(of: output)), output.rows)
        case .sample(let logits):
            let samplers = try workspace.samplers(
                kernels: kernels, vocabularySize: logits.columns, count: environment.threadCount)
            append(SamplePhase(logits: try workspace.rows(of: logits), samplers: samplers))
        }
    }

    private mutating func append(_ phase: any Phase) { phases.append(LoweredPhase(phase, kernel: index)) }

    /// Rule 2: joins the phase before it if that is of rows of the same extent.
    private mutating func append(_ operation: any RowOperation, _ extent: RowExtent) {
        if var rows = phases.last?.phase as? RowsPhase, rows.extent == extent {
            rows.operations.append(operation)
            phases[phases.count - 1].phase = rows
            phases[phases.count - 1].kernels = phases[phases.count - 1].kernels.lowerBound...index
        } else {
            append(RowsPhase(extent: extent, operations: [operation]))
        }
    }

    private mutating func append(_ linear: LinearKernel) throws(DeviceError) {
        var parts: [LinearPhase.Part] = []
        var (column, firstPanel) = (0, 0)
        for (index, weight) in linear.weights.enumerated() {
            let packed = panel(weight)
            let bias = linear.biases.isEmpty ? nil : vector(linear.biases[index])
            parts.append(LinearPhase.Part(weight: packed, bias: bias, column: column, firstPanel: firstPanel))
            column += packed.outputs
            firstPanel += packed.panelCount
        }
        let input = try workspace.rows(of: linear.input)
        var quantized: MartletQuantizedRows?
        var rounded: UnsafeMutablePointer<UInt16>?
        if parts.contains(where: { $0.weight.format != .bfloat16 }) {
            let copy = try workspace.quantizedRows(of: linear.input)
            append(QuantizeRows(kernels: kernels, input: input, output: copy), linear.input.rows)
            quantized = copy
        }
        if parts.contains(where: { $0.weight.format == .bfloat16 }) {
            let copy = try workspace.roundedRows(of: linear.input)
            append(RoundRows(kernels: kernels, input: input, output: copy), linear.input.rows)
            rounded = copy
        }
        append(
            LinearPhase(
                outputName: linear.output.name, kernels: kernels, extent: linear.input.rows, parts: parts,
                quantized: quantized, rounded: rounded,
                output: try workspace.rows(of: linear.output), accumulates: linear.accumulates))
    }

    private func panel(_ weight: Weight) -> PanelWeight {
        guard let packed = environment.weights[weight.name] as? PanelWeight,
            packed.outputs == weight.rows, packed.inputs == weight.columns
        else { preconditionFailure("\(weight.name) was not packed, or with another shape") }
        return packed
    }

    private func vector(_ weight: Weight) -> VectorWeight {
        guard let vector = environment.weights[weight.name] as? VectorWeight, vector.count == weight.columns else {
            preconditionFailure("\(weight.name) was not uploaded, or with another length")
        }
        return vector
    }
}
