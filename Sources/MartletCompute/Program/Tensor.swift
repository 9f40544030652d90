// SPDX-License-Identifier: Apache-2.0

/// What a tensor has a row for. The number of rows is read from the batch when a step runs, never fixed before.
package enum RowExtent: Hashable, Sendable {
    /// The step's tokens.
    case tokens
    /// The rows of the step that need logits.
    case logitRows
}

/// A named activation of a program, `[rows, columns]`.
///
/// Kernels that name the same tensor share its memory; so do programs compiled with one workspace.
package struct Tensor: Hashable, Sendable {
    /// What a device may round it to.
    package enum Precision: Hashable, Sendable {
        /// f32: the residual stream, logits, angles.
        case exact
        /// The device's own choice.
        case working
    }

    package let name: String
    package let rows: RowExtent
    package let columns: Int
    package let precision: Precision

    package init(_ name: String, rows: RowExtent, columns: Int, precision: Precision = .working) {
        self.name = name
        self.rows = rows
        self.columns = columns
        self.precision = precision
    }
}

/// A weight as a program names it: `[rows, columns]` is `[outputs, inputs]` of a matrix, `[1, length]` of a vector.
package struct Weight: Hashable, Sendable {
    package let name: String
    /// Matrices in it, one an expert; else 1.
    package let count: Int
    /// Rows of each matrix.
    package let rows: Int
    package let columns: Int

    package init(_ name: String, count: Int = 1, rows: Int = 1, columns: Int) {
        self.name = name
        self.count = count
        self.rows = rows
        self.columns = columns
    }
}

/// A weight's bytes as a checkpoint stores them, borrowed from the owner of the mapped file.
package struct HostTensor {
    package let elementType: ElementType
    /// Matrices, one after the other.
    package let count: Int
    /// Rows of each matrix.
    package let rows: Int
    package let columns: Int
    /// `count * rows` rows of `columns` values each, tightly packed.
    package let bytes: UnsafeRawBufferPointer

    /// - Precondition: `bytes` holds exactly `count * rows * columns` values and `columns` is whole blocks.
    package init(elementType: ElementType, count: Int = 1, rows: Int, columns: Int, bytes: UnsafeRawBufferPointer) {
        precondition(
            elementType.byteCount(of: columns).map { $0 * rows * count } == bytes.count, "bytes don't match shape")
        self.elementType = elementType
        self.count = count
        self.rows = rows
        self.columns = columns
        self.bytes = bytes
    }

    /// Rows of all matrices.
    package var totalRows: Int { count * rows }

    package var rowBytes: Int { totalRows == 0 ? 0 : bytes.count / totalRows }

    /// One of its matrices.
    package subscript(matrix index: Int) -> HostTensor {
        let length = rows * rowBytes
        return HostTensor(
            elementType: elementType, rows: rows, columns: columns,
            bytes: UnsafeRawBufferPointer(rebasing: bytes[index * length..<(index + 1) * length]))
    }
}
