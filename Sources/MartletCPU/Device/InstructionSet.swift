// SPDX-License-Identifier: Apache-2.0

package import CMartletKernels
package import MartletCompute

/// Which of the compiled kernel tables a device uses.
public enum InstructionSet: String, Sendable, CaseIterable {
    case portable
    case avx2 = "AVX2"
    case avx512 = "AVX-512"
    case avx512BFloat16 = "AVX-512-BF16"

    /// The fastest that this machine runs.
    public static var best: InstructionSet {
        let fast = martlet_multiplies_bf16_fast()
        return available.last { fast || $0 != .avx512BFloat16 } ?? .portable
    }

    /// All that this machine runs.
    public static var available: [InstructionSet] { allCases.filter { $0.kernels != nil } }

    /// What a cache keeps unless something else is asked for: 16 bits a number, in the kind that attention multiplies fastest.
    package var defaultCacheFormat: CacheFormat {
        kernels?.cacheFormat == .int16 ? .int16 : .float(.bfloat16)
    }

    /// What matrices of floats are multiplied as.
    package var floatMatrixProduct: CPUDevice.Product { kernels?.floatPanels == .words ? .int16 : .bfloat16 }

    /// Bytes that a matrix takes once packed, if its numbers are no odder than trained ones; `.max` where they can't be
    /// addressed or this machine lacks the instructions.
    package func packedByteCount(elementType: ElementType, count: Int = 1, rows: Int, columns: Int) -> Int {
        guard let kernels else { return .max }
        let format = MartletPanelFormat(elementType, for: kernels)
        return PanelWeight.byteCount(format, count: count, rows: rows, columns: columns) ?? .max
    }

    package var kernels: MartletKernelTable? {
        switch self {
        case .portable: martlet_kernels_portable().pointee
        case .avx2: martlet_kernels_avx2()?.pointee
        case .avx512: martlet_kernels_avx512()?.pointee
        case .avx512BFloat16: martlet_kernels_avx512_bf16()?.pointee
        }
    }
}
