// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCompute

/// Turns kernels into phases.
///
/// The device adds these rules of its own (a seventh, `RowBands`, runs on their result):
/// 1. before a linear kernel its input is copied row by row into the form that its weights are multiplied with;
/// 2. neighbouring row operations of one extent become one phase, so that norm + quantise costs one barrier;
/// 3. gate and up projections, the activation between them and the copy for the layer that reads it become one phase,
///    where nothing else reads what lies between;
/// 4. projections to heads, their rotation and the write to the cache become one phase, where a head is whole panels;
/// 5. the thread that computes heads of attention's output also copies them for the layer that reads them;
/// 6. for a batch of one row, each thread computes the norm and the copy itself where the layer behind is one chunk per
///    thread, see `LoneRow`.
struct Lowering {
    private let environment: LoweringEnvironment
    private let program: [Kernel]
    /// What the same program runs behind them.
    private let following: [Kernel]
    private var phases: [LoweredPhase] = []
    /// The kernel that is being lowered.
    private var index = 0
    /// The tensor whose copies rule 3 or 5 has already written.
    private var encoded: Tensor?

    /// Lowers kernels that run one after the other with no host in between.
    ///
    /// - Parameter following: the rest of their program, which may read what they write.
    static func lower(
        _ kernels: some Collection<Kernel>, followedBy following: some Collection<Kernel> = [],
        in environment: LoweringEnvironment
    ) throws(DeviceError) -> [LoweredPhase] {
        var lowering = Lowering(environment: environment, program: Array(kernels), following: Array(following))
        while lowering.index < lowering.program.count {
            if let gated = lowering.gatedLinear() {
                try lowering.append(gated)
                lowering.index += 2
            } else if let projections = try lowering.headProjections() {
                try lowering.append(projections.linear, heads: projections.heads)
                lowering.index += 2
            } else {
                try lowering.append(lowering.program[lowering.index])
                lowering.index += 1
            }
        }
        guard let trace = environment.trace else { return lowering.phases }
        return lowering.phases.map {
            let phase = $0.parts[0].phase
            let part = LoweredPhase.Part(phase: phase, traceName: trace.name(phase.name, values: ["items"]))
            return LoweredPhase([part], kernels: $0.kernels)
        }
    }

    private init(environment: LoweringEnvironment, program: [Kernel], following: [Kernel]) {
        self.environment = environment
        self.program = program
        self.following = following
    }

    private var kernels: MartletKernelTable { environment.kernels }
    private var workspace: CPUWorkspace { environment.workspace }
    private var cache: CPUKeyValueCache { environment.cache }
    private var deal: Deal { Deal(threadCount: environment.threadCount) }

    private mutating func append(_ kernel: Kernel) throws(DeviceError) {
        switch kernel {
        case .embed(let table, let output):
            append(EmbedRows(table: panel(table), output: try workspace.rows(of: output)), output.rows)
        case .rotaryAngles(let inverseFrequencies, let output):
            append(
                RotaryAngleRows(
                    inverseFrequencies: inverseFrequencies, near: workspace.nearAngles(inverseFrequencies),
                    output: try workspace.rows(of: output)), output.rows)
        case .norm(let input, let weight, let epsilon, let output):
            append(try normRows(input, weight, epsilon, output), output.rows)
        case .linear(let linear): try append(linear)
        case .rotaryAndCacheWrite(let queryKeyValue, let angles, let parameters, let layer):
            append(try rotateAndWriteCache(queryKeyValue, angles, parameters, layer: layer), queryKeyValue.rows)
        case .attention(let queryKeyValue, let output, let parameters, let layer):
            let attention = try AttentionLayer(
                parameters, kernels: kernels, cache: cache, layer: layer,
                segmentLength: environment.attentionSegmentLength, sinks: parameters.sinks.map(vector))
            let partials = try workspace.partials(floats: attention.partialFloats)
            let attended = AttentionOutput(
                rows: try workspace.rows(of: output), copy: try attendedCopy(of: output, parameters),
                headSize: parameters.heads.headSize)
            append(
                AttentionPhase(
                    layer: attention, queryKeyValue: try workspace.rows(of: queryKeyValue), output: attended,
                    partials: partials, threadCount: environment.threadCount))
            append(AttentionMergePhase(layer: attention, output: attended, partials: partials))
            if attended.copy != nil { encoded = output }
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
            let (rows, summaries) = (try workspace.rows(of: logits), try workspace.summaries(of: logits))
            append(LogitSummaryPhase(kernels: kernels, logits: rows, summaries: summaries))
            append(SamplePhase(logits: rows, summaries: summaries, samplers: samplers))
        }
    }

    private mutating func append(_ phase: Phase, kernels count: Int = 1) {
        phases.append(LoweredPhase(phase, kernels: index...index + count - 1))
    }

    /// Rule 2: joins the phase before it if that is of rows of the same extent.
    private mutating func append(_ operation: any RowOperation, _ extent: RowExtent) {
        if let last = phases.last, let rows = last.parts[0].phase as? RowsPhase, rows.extent == extent {
            let joined = RowsPhase(extent: extent, operations: rows.operations + [operation])
            phases[phases.count - 1] = LoweredPhase(joined, kernels: last.kernels.lowerBound...index)
        } else {
            append(RowsPhase(extent: extent, operations: [operation]))
        }
    }

    private func rotateAndWriteCache(
        _ queryKeyValue: Tensor, _ angles: Tensor, _ parameters: AttentionParameters, layer: Int
    ) throws(DeviceError) -> RotateAndWriteCacheRows {
        RotateAndWriteCacheRows(
            kernels: kernels, queryKeyValue: try workspace.rows(of: queryKeyValue),
            angles: try workspace.rows(of: angles), parameters: parameters, cache: cache, layer: layer)
    }

    /// What rule 4 joins: projections to heads that are whole panels, and what is done with each head by itself.
    private func headProjections() throws(DeviceError) -> (linear: LinearKernel, heads: RotateAndWriteCacheRows)? {
        guard index + 1 < program.count,
            case .linear(let linear) = program[index], !linear.accumulates,
            case .rotaryAndCacheWrite(linear.output, let angles, let parameters, let layer) = program[index + 1],
            parameters.heads.headSize % PanelWeight.panelColumns == 0,
            linear.weights.allSatisfy({ $0.rows % parameters.heads.headSize == 0 }),
            dealsEvenly(linear.output.columns, by: parameters.heads.headSize)
        else { return nil }
        return (linear, try rotateAndWriteCache(linear.output, angles, parameters, layer: layer))
    }

    /// Whether the thread that has the most columns has hardly more of them than if they were dealt panel by panel.
    private func dealsEvenly(_ columns: Int, by item: Int) -> Bool {
        func most(by item: Int) -> Int {
            let items = columns / item
            return (items + environment.threadCount - 1) / environment.threadCount * item
        }
        return most(by: item) * 4 <= most(by: PanelWeight.panelColumns) * 5
    }

    private mutating func append(
        _ linear: LinearKernel, heads: RotateAndWriteCacheRows? = nil
    ) throws(DeviceError) {
        var parts: [LinearPhase.Part] = []
        var (column, firstPanel) = (0, 0)
        for (index, weight) in linear.weights.enumerated() {
            let packed = panel(weight)
            let bias = linear.biases.isEmpty ? nil : vector(linear.biases[index])
            let input = try workspace.linearInput(of: linear.input, for: packed.format)
            parts.append(
                LinearPhase.Part(weight: packed, bias: bias, column: column, firstPanel: firstPanel, input: input))
            column += packed.outputs
            firstPanel += packed.panelCount
        }
        try encode(linear.input, for: linear.weights)
        let phase = LinearPhase(
            outputName: linear.output.name, kernels: kernels, extent: linear.input.rows, parts: parts,
            output: try workspace.rows(of: linear.output), accumulates: linear.accumulates, heads: heads,
            loneRow: try loneRow(for: linear), deal: deal)
        if phase.makesLoneRow { leaveLoneRow() }
        append(phase, kernels: heads == nil ? 1 : 2)
    }

    /// Rule 1: the copies of a tensor that these weights read, unless rule 3 or 5 has written them.
    private mutating func encode(_ tensor: Tensor, for weights: [Weight]) throws(DeviceError) {
        if encoded == tensor {
            encoded = nil
            return
        }
        for isQuantized in [true, false] {
            guard let weight = weights.first(where: { panel($0).format.isQuantized == isQuantized }) else { continue }
            let copy = try workspace.linearInput(of: tensor, for: panel(weight).format)
            append(
                EncodeRows(kernels: kernels, input: try workspace.rows(of: tensor), output: copy), tensor.rows)
        }
    }

    /// Rule 6: what a layer may do for itself of a lone row, instead of the norm and the copy that were just appended for it.
    private func loneRow(for linear: LinearKernel) throws(DeviceError) -> LoneRow? {
        guard index > 0, case .norm(let input, let weight, let epsilon, linear.input) = program[index - 1],
            linear.output != input, let rows = phases.last?.parts[0].phase as? RowsPhase,
            rows.extent == linear.input.rows, let packed = linear.weights.first.map(panel),
            isOfOneForm(linear.weights), !isRead(linear.input, from: index + 1)
        else { return nil }
        return try LoneRow(
            normRows(input, weight, epsilon, linear.input), extent: rows.extent,
            copy: try workspace.linearInput(of: linear.input, for: packed.format), workspace: workspace,
            threadCount: environment.threadCount)
    }

    /// Marks the last two row operations, the norm and the copy, as skipped for batches of one row.
    private mutating func leaveLoneRow() {
        guard let last = phases.popLast(), let rows = last.parts[0].phase as? RowsPhase else {
            preconditionFailure("a layer's norm is a phase of rows")
        }
        phases.append(
            LoweredPhase(
                RowsPhase(extent: rows.extent, operations: rows.operations, leftOfLoneRow: 2), kernels: last.kernels))
    }

    private func normRows(
        _ input: Tensor, _ weight: Weight, _ epsilon: Float, _ output: Tensor
    ) throws(DeviceError) -> NormRows {
        NormRows(
            kernels: kernels, input: try workspace.rows(of: input),
            weight: UnsafePointer(vector(weight).memory.pointer()), epsilon: epsilon,
            output: try workspace.rows(of: output))
    }

    /// Rule 5: the copy of attention's output for the layer that comes next and reads it, where a head is pairs of blocks.
    private func attendedCopy(
        of output: Tensor, _ parameters: AttentionParameters
    ) throws(DeviceError) -> EncodeRows? {
        guard index + 1 < program.count, case .linear(let reader) = program[index + 1], reader.input == output,
            parameters.heads.headSize % (2 * Int(MARTLET_BLOCK_LENGTH)) == 0,
            let weight = reader.weights.first, isOfOneForm(reader.weights)
        else { return nil }
        return EncodeRows(
            kernels: kernels, input: try workspace.rows(of: output),
            output: try workspace.linearInput(of: output, for: panel(weight).format))
    }

    /// Whether one copy of an input serves all.
    private func isOfOneForm(_ weights: [Weight]) -> Bool {
        Set(weights.map { panel($0).format.isQuantized }).count == 1
    }

    /// What rule 3 joins: gate and up projections of one shape, and the layer that alone reads what becomes of them.
    private struct GatedLinear {
        let projections: LinearKernel
        let activated: Tensor
        let reader: LinearKernel
    }

    private func gatedLinear() -> GatedLinear? {
        guard index + 2 < program.count,
            case .linear(let projections) = program[index], projections.weights.count == 2,
            projections.weights[0].rows == projections.weights[1].rows, projections.biases.isEmpty,
            !projections.accumulates,
            case .gatedActivation(projections.output, let activated, .silu) = program[index + 1],
            case .linear(let reader) = program[index + 2], reader.input == activated,
            activated != projections.input, activated.rows == projections.input.rows,
            activated.columns == projections.weights[0].rows,
            isOfOneForm(projections.weights), isOfOneForm(reader.weights),
            !isRead(projections.output, from: index + 2), !isRead(activated, from: index + 3)
        else { return nil }
        return GatedLinear(projections: projections, activated: activated, reader: reader)
    }

    /// Whether some kernel from there on reads what a tensor holds now, before another writes it anew. Programs read no
    /// activations of each other but hidden states and the last attention's output, which are no rule's to leave out.
    private func isRead(_ tensor: Tensor, from start: Int) -> Bool {
        for kernel in program[min(start, program.count)...] + following {
            if kernel.inputs.contains(tensor) { return true }
            if kernel.output == tensor { return false }
        }
        return false
    }

    private mutating func append(_ gated: GatedLinear) throws(DeviceError) {
        let (gate, up) = (panel(gated.projections.weights[0]), panel(gated.projections.weights[1]))
        try encode(gated.projections.input, for: gated.projections.weights)
        let phase = GatedLinearPhase(
            outputName: gated.activated.name, kernels: kernels, extent: gated.activated.rows, gate: gate.panels,
            up: up.panels, panelCount: gate.panelCount,
            input: try workspace.linearInput(of: gated.projections.input, for: gate.format),
            output: try workspace.linearInput(of: gated.activated, for: panel(gated.reader.weights[0]).format),
            loneRow: try loneRow(for: gated.projections), deal: deal)
        if phase.makesLoneRow { leaveLoneRow() }
        append(phase, kernels: 2)
        encoded = gated.activated
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
