// SPDX-License-Identifier: Apache-2.0

package import CMartletKernels
import MartletCompute

extension MartletPanelFormat {
    /// What a table's kernels read such a matrix as; of twelve bits where its numbers fit them, else of bf16.
    init(_ elementType: ElementType, for kernels: MartletKernelTable) {
        switch elementType {
        case .q4_0: self = .Q4_0
        case .q4_1: self = .Q4_1
        case .q5_0: self = .Q5_0
        case .q5_1: self = .Q5_1
        case .q8_0: self = .Q8_0
        case .q2_k: self = .Q2_K
        case .q3_k: self = .Q3_K
        case .q4_k: self = .Q4_K
        case .q5_k: self = .Q5_K
        case .q6_k: self = .Q6_K
        case .iq4_nl: self = .IQ4_NL
        case .iq4_xs: self = .IQ4_XS
        case .mxfp4: self = .MXFP4
        case .float32, .float16, .bfloat16: self = kernels.floatPanels
        }
    }

    /// Whether the file's own matrix is.
    package var isQuantized: Bool {
        switch self {
        case .words, .bfloat16, .twelveBit: false
        default: true
        }
    }

    /// What activations are rounded to before they meet such panels.
    package func activations(_ precision: ActivationPrecision) -> MartletActivations {
        switch self {
        case .words: .words
        case .bfloat16, .twelveBit: .bfloat16
        default: precision == .int16 ? .int16 : .int8
        }
    }

    package func panelBytes(inputs: Int) -> Int {
        let length = Int(MARTLET_BLOCK_LENGTH)
        return switch self {
        case .Q4_1: inputs / length * Int(MARTLET_Q4_1_BLOCK_BYTES)
        case .Q4_0: inputs / length * Int(MARTLET_Q4_0_BLOCK_BYTES)
        case .Q8_0: inputs / length * Int(MARTLET_Q8_0_BLOCK_BYTES)
        case .words: (inputs + length - 1) / length * Int(MARTLET_WORDS_BLOCK_BYTES)
        // Pairs of inputs, so an even number of them.
        case .bfloat16: (inputs + inputs % 2) * PanelWeight.panelColumns * 2
        case .twelveBit:
            (inputs + Int(MARTLET_TWELVE_BIT_INPUTS) - 1) / Int(MARTLET_TWELVE_BIT_INPUTS)
                * Int(MARTLET_TWELVE_BIT_BLOCK_BYTES)
        default: Int(martlet_block_panel_bytes(martlet_block_layout(self), Int64(inputs / length)))
        }
    }
}
