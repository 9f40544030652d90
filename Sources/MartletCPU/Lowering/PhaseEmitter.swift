// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCompute

/// Makes phases of operations: finds the memory that their names stand for.
struct PhaseEmitter {
    private let environment: LoweringEnvironment
    private var kernels: MartletKernelTable { environment.kernels }
    private var workspace: CPUWorkspace { environment.workspace }

    init(_ environment: LoweringEnvironment) { self.environment = environment }

    func phases(of operation: Operation) throws(DeviceError) -> [Phase] {
        switch operation.kind {
        case .rows(let rows):
            var steps: [any RowOperation] = []
            for step in rows.steps { steps.append(try rowOperation(step)) }
            return [RowsPhase(extent: rows.extent, operations: steps, skippedForSingleRow: rows.skippedForSingleRow)]
        case .linear(let linear): return [try linearPhase(linear)]
        case .gatedLinear(let gated): return [try gatedLinearPhase(gated)]
        case .attention(let attention): return try attentionPhases(attention)
        case .experts(let experts): return try ExpertsEmitter(environment).phases(of: experts)
        case .sample(let logits):
            let samplers = try workspace.samplers(
                kernels: kernels, vocabularySize: logits.columns, count: environment.threadCount)
            let (rows, summaries) = (try workspace.rows(of: logits), try workspace.summaries(of: logits))
            return [
                LogitSummaryPhase(kernels: kernels, logits: rows, summaries: summaries),
                SamplePhase(logits: rows, summaries: summaries, samplers: samplers),
            ]
        }
    }

    // MARK: Rows

    private func rowOperation(_ step: RowsOperation.Step) throws(DeviceError) -> any RowOperation {
        switch step {
        case .encode(let tensor, let form): try encodeRows(tensor, form)
        case .kernel(let kernel): try rowOperation(kernel)
        }
    }

    private func rowOperation(_ kernel: Kernel) throws(DeviceError) -> any RowOperation {
        switch kernel {
        case .embed(let embed):
            let scratch = embed.accumulates ? try workspace.rows(of: embed.output.scratch(embed.output.columns)) : nil
            return EmbedRows(
                kernel: embed, table: environment.panel(embed.table), output: try workspace.rows(of: embed.output),
                scratch: scratch)
        case .rotaryAngles(let inverseFrequencies, let magnitude, let output):
            return RotaryAngleRows(
                inverseFrequencies: inverseFrequencies, magnitude: magnitude,
                near: workspace.nearAngles(inverseFrequencies), output: try workspace.rows(of: output))
        case .norm(let norm): return try normRows(norm)
        case .prepareHeads(let heads): return try headRows(heads)
        case .activation(let input, let output, let activation):
            return ActivationRows(
                kernels: kernels, input: try workspace.rows(of: input), output: try workspace.rows(of: output),
                function: MartletFunction(activation))
        case .gatedActivation(let input, let output, let gate):
            return GatedActivationRows(
                kernels: kernels, input: try workspace.rows(of: input), output: try workspace.rows(of: output),
                gate: MartletGate(gate))
        case .route(let route):
            return RouteRows(
                kernels: kernels, route: route, input: try workspace.rows(of: route.input),
                weight: environment.vector(route.weight), bias: route.bias.map(environment.vector),
                choiceBias: route.choiceBias.map(environment.vector),
                scratch: try workspace.rows(of: route.output.scratch(2 * route.weight.rows)),
                output: try workspace.rows(of: route.output))
        case .add(let add):
            return AddRows(
                input: try workspace.rows(of: add.input), scale: add.scale,
                gate: try add.gate.map { gate throws(DeviceError) in try workspace.rows(of: gate) },
                output: try workspace.rows(of: add.output))
        case .scale(let tensor, let factor, let softcap):
            return ScaleRows(tensor: try workspace.rows(of: tensor), factor: factor, softcap: softcap)
        case .gatherRows(let input, let output):
            return GatherRows(input: try workspace.rows(of: input), output: try workspace.rows(of: output))
        case .linear, .attention, .experts, .sample: preconditionFailure("\(kernel) is no work on single rows")
        }
    }

    private func encodeRows(_ tensor: Tensor, _ form: MartletActivations) throws(DeviceError) -> EncodeRows {
        EncodeRows(
            kernels: kernels, input: try workspace.rows(of: tensor),
            output: try workspace.linearInput(of: tensor, in: form))
    }

    private func normRows(_ norm: NormKernel) throws(DeviceError) -> NormRows {
        NormRows(
            kernels: kernels, input: try workspace.rows(of: norm.input),
            norm: MartletNorm(
                weight: norm.weight.map(environment.vector), bias: norm.bias.map(environment.vector),
                epsilon: norm.epsilon, centers: norm.kind == .layer, accumulates: norm.accumulates),
            output: try workspace.rows(of: norm.output))
    }

    private func headRows(_ preparation: HeadPreparation) throws(DeviceError) -> HeadRows {
        func norm(_ norm: HeadNorm?, heads: Int) -> HeadRows.Norm? {
            norm.map {
                HeadRows.Norm(
                    $0, weight: $0.weight.map(environment.vector), heads: heads,
                    headSize: preparation.heads.headSize)
            }
        }
        return HeadRows(
            kernels: kernels, preparation: preparation,
            queryKeyValue: try workspace.rows(of: preparation.queryKeyValue),
            angles: try preparation.rotation.map { rotation throws(DeviceError) in
                try workspace.rows(of: rotation.angles)
            },
            queryNorm: norm(preparation.queryNorm, heads: preparation.heads.queryHeads),
            keyNorm: norm(preparation.keyNorm, heads: preparation.heads.keyValueHeads),
            valueNorm: norm(preparation.valueNorm, heads: preparation.heads.keyValueHeads), cache: environment.cache)
    }

    // MARK: Linear layers

    private func linearPhase(_ operation: LinearOperation) throws(DeviceError) -> LinearPhase {
        let linear = operation.linear
        var segments: [LinearPhase.WeightSegment] = []
        var (column, firstPanel) = (0, 0)
        for (index, weight) in linear.weights.enumerated() {
            let packed = environment.panel(weight)
            segments.append(
                LinearPhase.WeightSegment(
                    weight: packed, bias: linear.biases.isEmpty ? nil : environment.vector(linear.biases[index]),
                    column: column, firstPanel: firstPanel,
                    input: try workspace.linearInput(of: linear.input, in: environment.inputForm(of: weight))))
            column += packed.outputs
            firstPanel += packed.panelCount
        }
        return LinearPhase(
            outputName: linear.output.name, kernels: kernels, extent: linear.input.rows, segments: segments,
            output: try workspace.rows(of: linear.output), accumulates: linear.accumulates,
            heads: try operation.heads.map { heads throws(DeviceError) in try headRows(heads) },
            singleRow: try singleRow(operation.singleRowNorm, for: linear),
            items: LinearItems(operation, environment))
    }

    private func gatedLinearPhase(_ operation: GatedLinearOperation) throws(DeviceError) -> GatedLinearPhase {
        let projections = operation.projections
        return GatedLinearPhase(
            outputName: operation.gated.name, kernels: kernels, extent: operation.gated.rows,
            gate: environment.panel(projections.weights[0]).panels,
            up: environment.panel(projections.weights[1]).panels,
            gating: MartletGate(operation.gate),
            input: try workspace.linearInput(
                of: projections.input, in: environment.inputForm(of: projections.weights[0])),
            output: try workspace.linearInput(of: operation.gated, in: operation.form),
            singleRow: try singleRow(operation.singleRowNorm, for: projections),
            items: LinearItems(operation, environment))
    }

    private func singleRow(_ norm: NormKernel?, for linear: LinearKernel) throws(DeviceError) -> SingleRowInput? {
        guard let norm else { return nil }
        return try SingleRowInput(
            normRows(norm), extent: linear.input.rows,
            copy: workspace.linearInput(of: linear.input, in: environment.inputForm(of: linear.weights[0])),
            workspace: workspace, threadCount: environment.threadCount)
    }

    // MARK: Attention

    private func attentionPhases(_ operation: AttentionOperation) throws(DeviceError) -> [Phase] {
        let kernel = operation.attention
        let layer = try AttentionLayer(
            kernel.parameters, kernels: kernels, cache: environment.cache, layer: kernel.cacheLayer,
            cacheGroup: kernel.cacheGroup, segmentLength: environment.attentionSegmentLength,
            sinks: kernel.parameters.sinks.map(environment.vector))
        let partials = try workspace.partials(floats: layer.partialFloats)
        let output = AttentionOutput(
            rows: try workspace.rows(of: kernel.output),
            copy: try operation.encodedForm.map { form throws(DeviceError) in try encodeRows(kernel.output, form) },
            headSize: kernel.parameters.heads.headSize)
        return [
            AttentionPhase(
                layer: layer, plan: kernel.plan, queryKeyValue: try workspace.rows(of: kernel.queryKeyValue),
                output: output, partials: partials, threadCount: environment.threadCount),
            AttentionMergePhase(layer: layer, plan: kernel.plan, output: output, partials: partials),
        ]
    }
}

extension Tensor {
    /// Rows beside its own that the device works in.
    fileprivate func scratch(_ columns: Int) -> Tensor { Tensor("scratch of \(name)", rows: rows, columns: columns) }
}
