// SPDX-License-Identifier: Apache-2.0

package import CMartletKernels
package import MartletCompute

/// What passes rewrite: work of the device that names tensors and weights, before memory is chosen for it.
package struct Operation: Hashable {
    package enum Kind: Hashable {
        case rows(RowsOperation)
        case linear(LinearOperation)
        case gatedLinear(GatedLinearOperation)
        case attention(AttentionOperation)
        case experts(ExpertsKernel)
        case sample(logits: Tensor)
    }

    package var kind: Kind
    /// The program's kernels that it computes, some of them in part.
    var kernels: ClosedRange<Int>

    package init(kind: Kind, kernels: ClosedRange<Int>) {
        self.kind = kind
        self.kernels = kernels
    }
}

/// Steps that each row takes without looking at another row.
package struct RowsOperation: Hashable {
    package enum Step: Hashable {
        case kernel(Kernel)
        /// Copies a tensor into the form that linear layers read.
        case encode(Tensor, MartletActivations)
    }

    var extent: RowExtent
    var steps: [Step]
    /// The last steps, which a batch of one row skips: each thread that reads the row takes them itself.
    package var skippedForSingleRow = 0

    package init(extent: RowExtent, steps: [Step], skippedForSingleRow: Int = 0) {
        self.extent = extent
        self.steps = steps
        self.skippedForSingleRow = skippedForSingleRow
    }
}

package struct LinearOperation: Hashable {
    var linear: LinearKernel
    /// What is done with each head as soon as it is projected.
    var heads: HeadPreparation?
    /// The norm that makes its input, where each thread computes it of a batch of one row.
    var singleRowNorm: NormKernel?

    package init(linear: LinearKernel, heads: HeadPreparation? = nil, singleRowNorm: NormKernel? = nil) {
        self.linear = linear
        self.heads = heads
        self.singleRowNorm = singleRowNorm
    }
}

/// Gate and up projections, the gate, and the result's copy for the layer that reads it.
package struct GatedLinearOperation: Hashable {
    var projections: LinearKernel
    var gate: Gate
    var gated: Tensor
    /// The form of `gated`, which exists in no other.
    var form: MartletActivations
    /// As of `LinearOperation`.
    var singleRowNorm: NormKernel?

    package init(
        projections: LinearKernel, gate: Gate, gated: Tensor, form: MartletActivations, singleRowNorm: NormKernel? = nil
    ) {
        self.projections = projections
        self.gate = gate
        self.gated = gated
        self.form = form
        self.singleRowNorm = singleRowNorm
    }
}

package struct AttentionOperation: Hashable {
    var attention: AttentionKernel
    /// The form that the thread which computes heads of the output copies them into; nil for none.
    var encodedForm: MartletActivations?

    package init(attention: AttentionKernel, encodedForm: MartletActivations? = nil) {
        self.attention = attention
        self.encodedForm = encodedForm
    }
}

extension Operation {
    /// A kernel by itself.
    package init(_ kernel: Kernel, index: Int) {
        kernels = index...index
        switch kernel {
        case .linear(let linear): kind = .linear(LinearOperation(linear: linear))
        case .attention(let attention): kind = .attention(AttentionOperation(attention: attention))
        case .experts(let experts): kind = .experts(experts)
        case .sample(let logits): kind = .sample(logits: logits)
        case .embed, .rotaryAngles, .norm, .prepareHeads, .activation, .gatedActivation, .route, .add, .scale,
            .gatherRows:
            // Gathering reads rows of tokens and writes logit rows: the output's rows are those that are worked on.
            let extent = kernel.output?.rows ?? .tokens
            kind = .rows(RowsOperation(extent: extent, steps: [.kernel(kernel)]))
        }
    }

    /// What it reads and then writes, in order.
    var accesses: [(reads: [Tensor], write: Tensor?)] {
        switch kind {
        case .rows(let rows):
            rows.steps.map { step in
                switch step {
                case .kernel(let kernel): (kernel.inputs, kernel.output)
                case .encode(let tensor, _): ([tensor], nil)
                }
            }
        case .linear(let operation):
            [(Kernel.linear(operation.linear).inputs, operation.linear.output)]
                + (operation.heads.map { [(Kernel.prepareHeads($0).inputs, $0.queryKeyValue)] } ?? [])
        case .gatedLinear(let operation): [([operation.projections.input], operation.gated)]
        case .attention(let operation): [([operation.attention.queryKeyValue], operation.attention.output)]
        case .experts(let experts): [(Kernel.experts(experts).inputs, experts.output)]
        case .sample(let logits): [([logits], nil)]
        }
    }

    /// The linear layer whose input, in one form for each kind of weight, it reads.
    var encodedInput: LinearKernel? {
        switch kind {
        case .linear(let operation): operation.linear
        case .gatedLinear(let operation): operation.projections
        default: nil
        }
    }
}
