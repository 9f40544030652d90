// SPDX-License-Identifier: Apache-2.0

package import CMartletKernels
package import MartletCompute

/// Rewrites operations into others that compute the same.
package protocol LoweringPass: Sendable {
    static func run(_ operations: inout [Operation], for context: PassContext)
}

/// What passes may know.
package struct PassContext {
    let traits: any LoweringTraits
    /// What the same program runs behind the operations.
    let following: [Kernel]
    /// What is read once the program has run.
    let keeps: Set<Tensor>

    package init(_ traits: any LoweringTraits, following: [Kernel] = [], keeps: Set<Tensor> = []) {
        self.keeps = keeps
        self.traits = traits
        self.following = following
    }

    /// The forms of a layer's input that its weights need: that of quantised ones, then that of floats.
    func inputForms(of weights: [Weight]) -> [MartletActivations] {
        let forms = weights.map(traits.inputForm)
        return [MartletActivations.int8, .int16, .words, .bfloat16].filter(forms.contains)
    }

    /// The one form that all weights need; nil where they need two.
    func onlyInputForm(of weights: [Weight]) -> MartletActivations? {
        let forms = inputForms(of: weights)
        return forms.count == 1 ? forms[0] : nil
    }

    /// Whether something behind an operation reads what a tensor holds there, before something else writes it anew.
    func isRead(_ tensor: Tensor, after index: Int, in operations: [Operation]) -> Bool {
        let accesses =
            operations[(index + 1)...].flatMap(\.accesses) + following.map { (reads: $0.inputs, write: $0.output) }
        for access in accesses {
            if access.reads.contains(tensor) { return true }
            if access.write == tensor { return false }
        }
        return keeps.contains(tensor)
    }
}

/// What passes ask of weights and the machine.
package protocol LoweringTraits {
    var threadCount: Int { get }
    /// The form that a packed weight's input has.
    func inputForm(of weight: Weight) -> MartletActivations
    /// Bytes of a panel of a packed weight.
    func panelBytes(of weight: Weight) -> Int
}
