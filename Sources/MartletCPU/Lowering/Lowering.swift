// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCompute

/// Turns a program's kernels into phases.
///
/// Two rules make up what the device adds of its own:
/// 1. before a linear kernel its input is copied row by row into the type that its weights are multiplied in;
/// 2. neighbouring row operations of one extent become one phase, so norm + quantise or activation + quantise cost one
///    barrier.
struct Lowering {
    private let kernels: MartletKernelTable
    private let threadCount: Int
    private let attentionSegmentLength: Int
    private let bindings: ProgramBindings
    private let workspace: CPUWorkspace
    private let cache: CPUKeyValueCache
    private var phases: [any Phase] = []

    static func lower(
        _ program: Program, bindings: ProgramBindings, kernels: MartletKernelTable, threadCount: Int,
        attentionSegmentLength: Int, trace: TraceRecorder? = nil
    ) throws(DeviceError) -> CPUGraph {
        var lowering = try Lowering(
            bindings: bindings, kernels: kernels, threadCount: threadCount,
            attentionSegmentLength: attentionSegmentLength)
        for kernel in program.kernels { try lowering.append(kernel) }
        return CPUGraph(
            phases: lowering.phases, workspace: lowering.workspace, threadCount: threadCount, trace: trace)
    }

    private init(
        bindings: ProgramBindings, kernels: MartletKernelTable, threadCount: Int, attentionSegmentLength: Int
    ) throws(DeviceError) {
        guard let workspace = bindings.workspace as? CPUWorkspace, let cache = bindings.cache as? CPUKeyValueCache
        else {
            preconditionFailure("workspace and cache come from the device that compiles")
        }
        self.kernels = kernels
        self.threadCount = threadCount
        self.attentionSegmentLength = attentionSegmentLength
        self.bindings = bindings
        self.workspace = workspace
        self.cache = cache
    }

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
                parameters, kernels: kernels, cache: cache, layer: layer, segmentLength: attentionSegmentLength,
                sinks: parameters.sinks.map(vector))
            let output = try workspace.rows(of: output)
            let partials = try workspace.partials(floats: attention.partialFloats)
            phases.append(
                AttentionPhase(
                    layer: attention, queryKeyValue: try workspace.rows(of: queryKeyValue), output: output,
                    partials: partials))
            phases.append(AttentionMergePhase(layer: attention, output: output, partials: partials))
        case .gatedActivation(let input, let output, .silu):
            append(
                GatedActivationRows(
                    kernels: kernels, input: try workspace.rows(of: input), output: try workspace.rows(of: output)),
                output.rows)
        case .gatherRows(let input, let output):
            append(
                GatherRows(input: try workspace.rows(of: input), output: try workspace.rows(of: output)), output.rows)
        case .sample(let logits):
            var samplers: [Sampler] = []
            for _ in 0..<threadCount {
                samplers.append(try Sampler(kernels: kernels, vocabularySize: logits.columns))
            }
            phases.append(SamplePhase(logits: try workspace.rows(of: logits), samplers: samplers))
        }
    }

    /// Rule 2: joins the phase before it if that is of rows of the same extent.
    private mutating func append(_ operation: any RowOperation, _ extent: RowExtent) {
        if var rows = phases.last as? RowsPhase, rows.extent == extent {
            rows.operations.append(operation)
            phases[phases.count - 1] = rows
        } else {
            phases.append(RowsPhase(extent: extent, operations: [operation]))
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
        phases.append(
            LinearPhase(
                name: "linear \(linear.output.name)", kernels: kernels, extent: linear.input.rows, parts: parts,
                quantized: quantized, rounded: rounded,
                output: try workspace.rows(of: linear.output), accumulates: linear.accumulates))
    }

    private func panel(_ weight: Weight) -> PanelWeight {
        guard let packed = bindings.weights[weight.name] as? PanelWeight,
            packed.outputs == weight.rows, packed.inputs == weight.columns
        else { preconditionFailure("\(weight.name) was not packed, or with another shape") }
        return packed
    }

    private func vector(_ weight: Weight) -> VectorWeight {
        guard let vector = bindings.weights[weight.name] as? VectorWeight, vector.count == weight.columns else {
            preconditionFailure("\(weight.name) was not uploaded, or with another length")
        }
        return vector
    }
}
