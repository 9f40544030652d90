// SPDX-License-Identifier: Apache-2.0

/// What a tensor has a row for. The number of rows is read from the batch when a step runs, never fixed before.
public enum RowExtent: Hashable, Sendable {
    /// The step's tokens.
    case tokens
    /// The rows of the step that need logits.
    case logitRows
}

/// A named f32 activation of a program, `[rows, columns]`.
///
/// Kernels that name the same tensor share its memory; so do programs compiled with one workspace.
public struct Tensor: Hashable, Sendable {
    public let name: String
    public let rows: RowExtent
    public let columns: Int

    public init(_ name: String, rows: RowExtent, columns: Int) {
        self.name = name
        self.rows = rows
        self.columns = columns
    }
}

/// A weight as a program names it: `[rows, columns]` is `[outputs, inputs]` of a matrix, `[1, count]` of a vector.
public struct Weight: Hashable, Sendable {
    public let name: String
    public let rows: Int
    public let columns: Int

    public init(_ name: String, rows: Int = 1, columns: Int) {
        self.name = name
        self.rows = rows
        self.columns = columns
    }
}

/// A weight's bytes as a checkpoint stores them, borrowed from whoever mapped the file.
public struct HostTensor {
    public let elementType: ElementType
    public let rows: Int
    public let columns: Int
    /// `rows` rows of `columns` values each, tightly packed.
    public let bytes: UnsafeRawBufferPointer

    /// - Precondition: `bytes` holds exactly `rows * columns` values and `columns` is whole blocks.
    public init(elementType: ElementType, rows: Int, columns: Int, bytes: UnsafeRawBufferPointer) {
        precondition(elementType.byteCount(of: columns).map { $0 * rows } == bytes.count, "bytes don't match shape")
        self.elementType = elementType
        self.rows = rows
        self.columns = columns
        self.bytes = bytes
    }

    public var rowBytes: Int { rows == 0 ? 0 : bytes.count / rows }
}
