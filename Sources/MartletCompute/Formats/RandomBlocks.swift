// SPDX-License-Identifier: Apache-2.0

extension ElementType {
    /// Turns random bytes into blocks of finite numbers: quants stay as they are and get factors.
    ///
    /// - Parameter scale: about half the largest magnitude.
    package func setFactors(ofBlocksIn bytes: UnsafeMutableRawBufferPointer, scale: Float) {
        precondition(isQuantized && bytes.count % blockBytes == 0, "not whole blocks")
        let step = 2 * scale / halfRange
        let (factor, minimum) = (Float16(step).bitPattern, Float16(minimumInSteps * step).bitPattern)
        for at in stride(from: 0, to: bytes.count, by: blockBytes) {
            if self == .mxfp4 {
                let exponent = Int(step.exponent) + 128
                bytes[at] = UInt8(min(max(exponent, 0), 254))
            } else {
                bytes.storeBytes(of: factor, toByteOffset: at + factorOffset, as: UInt16.self)
                if hasMinimum {
                    bytes.storeBytes(of: minimum, toByteOffset: at + factorOffset + 2, as: UInt16.self)
                }
            }
        }
    }

    /// How far numbers go to either side of their middle, in units of the block's factor.
    private var halfRange: Float {
        switch self {
        case .float32, .float16, .bfloat16: 1
        case .q4_0, .q4_1: 8
        case .q5_0, .q5_1: 16
        case .q8_0: 128
        case .q2_k: 15 * 2
        case .q3_k: 32 * 4
        case .q4_k: 63 * 8
        case .q5_k: 63 * 16
        case .q6_k: 128 * 32
        case .iq4_nl: 127
        case .iq4_xs: 32 * 127
        case .mxfp4: 12
        }
    }

    /// What makes numbers of both signs of codes that have none, in units of the block's factor.
    private var minimumInSteps: Float {
        switch self {
        case .q4_1: -7.5
        case .q5_1: -15.5
        case .q2_k: 1.5
        case .q4_k: 7.5
        case .q5_k: 15.5
        default: 0
        }
    }
}
