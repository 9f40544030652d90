// SPDX-License-Identifier: Apache-2.0

package import MartletCompute

/// A tensor of a checkpoint under the name that programs know it by, which is GGUF's.
package struct StoredTensor: Equatable, Sendable {
    package let name: String
    /// The first runs fastest: `[columns, rows, …]`.
    package let dimensions: [Int]
    package let elementType: ElementType
    package let byteCount: Int
    /// Where it begins in its file; nil where it is made of several tensors.
    package let offset: Int?

    package init(name: String, dimensions: [Int], elementType: ElementType, byteCount: Int, offset: Int? = nil) {
        self.name = name
        self.dimensions = dimensions
        self.elementType = elementType
        self.byteCount = byteCount
        self.offset = offset
    }

    /// Values in a row.
    package var columns: Int { dimensions.first ?? 1 }
    /// Rows of one matrix.
    package var rows: Int { dimensions.count > 1 ? dimensions[1] : 1 }
    /// Matrices: all dimensions but the first two.
    package var count: Int { dimensions.dropFirst(2).reduce(1, *) }
    /// Numbers in it.
    package var parameterCount: Int { dimensions.reduce(1, *) }
}

extension GGUFTensor {
    /// The same, wherever it lies.
    package var stored: StoredTensor {
        StoredTensor(
            name: name, dimensions: dimensions, elementType: elementType, byteCount: range.count,
            offset: range.lowerBound)
    }
}
