// SPDX-License-Identifier: Apache-2.0

package import CMartletKernels
import MartletCompute

extension MartletPanelFormat {
    /// What a table's kernels read such a matrix as; of twelve bits where its numbers fit them, else of bf16.
    init(_ elementType: ElementType, for kernels: MartletKernelTable) {
        switch elementType {
        case .q4_0: self = .centeredFourBit
        case .q4_1: self = .fourBit
        case .q8_0: self = .eightBit
        case .float32, .float16, .bfloat16: self = kernels.floatPanels
        }
    }

    /// Whether the file's own matrix is.
    package var isQuantized: Bool {
        switch self {
        case .fourBit, .centeredFourBit, .eightBit: true
        case .words, .bfloat16, .twelveBit: false
        }
    }

    /// What activations are rounded to before they meet such panels.
    package func activations(_ precision: ActivationPrecision) -> MartletActivations {
        switch self {
        case .fourBit, .centeredFourBit, .eightBit: precision == .int16 ? .int16 : .int8
        case .words: .words
        case .bfloat16, .twelveBit: .bfloat16
        }
    }

    package func panelBytes(inputs: Int) -> Int {
        let length = Int(MARTLET_BLOCK_LENGTH)
        return switch self {
        case .fourBit: inputs / length * Int(MARTLET_FOUR_BIT_BLOCK_BYTES)
        case .centeredFourBit: inputs / length * Int(MARTLET_CENTERED_FOUR_BIT_BLOCK_BYTES)
        case .eightBit: inputs / length * Int(MARTLET_EIGHT_BIT_BLOCK_BYTES)
        case .words: (inputs + length - 1) / length * Int(MARTLET_WORDS_BLOCK_BYTES)
        // Pairs of inputs, so an even number of them.
        case .bfloat16: (inputs + inputs % 2) * PanelWeight.panelColumns * 2
        case .twelveBit:
            (inputs + Int(MARTLET_TWELVE_BIT_INPUTS) - 1) / Int(MARTLET_TWELVE_BIT_INPUTS)
                * Int(MARTLET_TWELVE_BIT_BLOCK_BYTES)
        }
    }
}
