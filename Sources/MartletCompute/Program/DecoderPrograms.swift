// SPDX-License-Identifier: Apache-2.0

/// The two programs of a decoder. The body runs over all tokens of a step, as far as other tokens read what becomes of
/// them: to the last attention. The head runs the rest over the rows that need logits, and reads what the body left of
/// them.
package struct DecoderPrograms: Sendable {
    package let body: Program
    package let head: Program
    /// The plans that a step's attention needs: what each is made for, by its number.
    package let attentionGroups: [AttentionGroup]

    /// Cuts a decoder's kernels behind the last attention and numbers the plans. What the head reads of the body is
    /// gathered first; the head's own activations are those of the body's rows under names of their own.
    ///
    /// - Parameter kernels: over rows of tokens, to the sampling of logits.
    package init(_ kernels: [Kernel]) {
        var groups: [AttentionGroup] = []
        let kernels = kernels.map { kernel in
            guard case .attention(var attention) = kernel else { return kernel }
            let group = attention.parameters.group
            attention.plan = groups.firstIndex(of: group) ?? groups.count
            if attention.plan == groups.count { groups.append(group) }
            return .attention(attention)
        }
        let end = kernels.lastIndex { if case .attention = $0 { true } else { false } }.map { $0 + 1 } ?? 0
        var gathered: [Tensor] = []
        var written: Set<Tensor> = []
        for kernel in kernels[end...] {
            for input in kernel.inputs where !written.contains(input) && !gathered.contains(input) {
                gathered.append(input)
            }
            if let output = kernel.output { written.insert(output) }
        }
        func last(_ tensor: Tensor) -> Tensor {
            Tensor("last.\(tensor.name)", rows: .logitRows, columns: tensor.columns, precision: tensor.precision)
        }
        body = Program(name: "body", kernels: Array(kernels[..<end]), keeps: Set(gathered))
        head = Program(
            name: "head",
            kernels: gathered.map { .gatherRows(input: $0, output: last($0)) }
                + kernels[end...].map { $0.mapTensors(last) })
        attentionGroups = groups
    }

    /// The kernels of both.
    package var kernels: [Kernel] { body.kernels + head.kernels }
}
