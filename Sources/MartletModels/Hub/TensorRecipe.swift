// SPDX-License-Identifier: Apache-2.0

import MartletCheckpoints
import MartletCompute

/// How a tensor is made of stored ones, which are joined along their slowest dimension.
struct TensorRecipe {
    var sources: [SafetensorsFolder.Location]
    let rows: RowSelection
    let isTransposed: Bool
    /// What is added to each number.
    let offset: Float
    /// A stored matrix. A bias is a matrix of one column, so that its rows are selected as its matrix's are.
    let matrix: (rows: Int, columns: Int)
    let type: ElementType
    let tensor: StoredTensor

    var isStored: Bool { sources.count == 1 && rows == .all && !isTransposed && offset == 0 }
}

extension TensorRecipe {
    /// A stored tensor and what it becomes.
    struct Part {
        let stored: String
        let location: SafetensorsFolder.Location
        let type: ElementType
        let target: HubNames.Target
        let index: Int
    }

    init(_ name: String, _ parts: [Part], offset: Float) throws(CheckpointError) {
        let first = parts[0]
        let shape = first.location.tensor.shape
        for (index, part) in parts.enumerated() {
            guard part.location.tensor.shape == shape, part.location.tensor.type == first.location.tensor.type,
                parts.count == 1 || part.index == index
            else {
                throw CheckpointError(
                    .wrongTensorShape,
                    "\(part.stored) and \(first.stored) make \(name) together; one is missing, or of another shape or type"
                )
            }
        }
        guard shape.allSatisfy({ $0 > 0 }), shape.count <= 3 || shape.dropLast(2).reduce(1, *) == 1 else {
            throw CheckpointError(.invalidDimensions, "\(first.stored) has the shape \(shape)")
        }
        let isBias = name.hasSuffix(".bias")
        let isTransposed = first.target.isTransposed && !isBias
        var matrix = (rows: 1, columns: shape.last ?? 1)
        var matrices = parts.count
        if isBias {
            matrix = (shape.last ?? 1, 1)
            matrices *= shape.dropLast().reduce(1, *)
        } else if shape.count > 1 {
            matrix.rows = shape[shape.count - 2]
            matrices *= shape.dropLast(2).reduce(1, *)
        }
        let stored = isTransposed ? (rows: matrix.columns, columns: matrix.rows) : matrix
        guard let rows = first.target.rows.count(of: stored.rows) else {
            throw CheckpointError(.wrongTensorShape, "\(first.stored) has \(stored.rows) rows, which can't be divided")
        }
        var dimensions = isBias ? [rows] : shape.count > 1 ? [stored.columns, rows] : [stored.columns]
        if matrices > 1 { dimensions.append(matrices) }
        let type: ElementType = offset != 0 ? .float32 : first.type
        // All of it was checked against the files' sizes.
        let count = dimensions.reduce(1, *)
        self.init(
            sources: parts.map(\.location), rows: first.target.rows, isTransposed: isTransposed,
            offset: offset, matrix: matrix, type: first.type,
            tensor: StoredTensor(
                name: name, dimensions: dimensions, elementType: type, byteCount: count * type.blockBytes,
                offset: parts.count == 1 ? first.location.tensor.range.lowerBound : nil))
    }

    /// Writes the tensor's numbers.
    func make(into output: UnsafeMutableRawBufferPointer, of folder: SafetensorsFolder) {
        let stored = isTransposed ? (rows: matrix.columns, columns: matrix.rows) : matrix
        let selected = rows.count(of: stored.rows) ?? 0
        let width = isEightBit ? 1 : type.blockBytes
        let rowBytes = stored.columns * tensor.elementType.blockBytes
        var written = 0
        for source in sources {
            let bytes = folder.bytes(of: source)
            for first in stride(from: 0, to: bytes.count, by: matrix.rows * matrix.columns * width) {
                for row in 0..<selected {
                    let from = rows.storedRow(row, of: stored.rows)
                    let line = UnsafeMutableRawBufferPointer(rebasing: output[written..<written + rowBytes])
                    if isTransposed || offset != 0 || isEightBit {
                        let (start, step) = isTransposed ? (from, matrix.columns) : (from * matrix.columns, 1)
                        for column in 0..<stored.columns {
                            copy(bytes, first + (start + column * step) * width, to: line, column)
                        }
                    } else {
                        let at = first + from * rowBytes
                        line.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[at..<at + rowBytes]))
                    }
                    written += rowBytes
                }
            }
        }
    }

    private var isEightBit: Bool { sources[0].tensor.type == "F8_E4M3" }

    private func copy(
        _ bytes: UnsafeRawBufferPointer, _ at: Int, to line: UnsafeMutableRawBufferPointer, _ column: Int
    ) {
        if offset != 0 {
            let number = number(bytes, at) + offset
            line.storeBytes(of: number.bitPattern, toByteOffset: column * 4, as: UInt32.self)
        } else if isEightBit {
            // Exact: eight bits have fewer digits, and a smaller range.
            let bits = UInt16(number(bytes, at).bitPattern >> 16)
            line.storeBytes(of: bits, toByteOffset: column * 2, as: UInt16.self)
        } else if type.blockBytes == 2 {
            let bits = bytes.loadUnaligned(fromByteOffset: at, as: UInt16.self)
            line.storeBytes(of: bits, toByteOffset: column * 2, as: UInt16.self)
        } else {
            let bits = bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self)
            line.storeBytes(of: bits, toByteOffset: column * 4, as: UInt32.self)
        }
    }

    private func number(_ bytes: UnsafeRawBufferPointer, _ at: Int) -> Float {
        if isEightBit { return FloatFormat.float8E4M3.decode(UInt32(bytes[at])) }
        switch type {
        case .float16:
            let bits = bytes.loadUnaligned(fromByteOffset: at, as: UInt16.self)
            return FloatFormat.float16.decode(UInt32(bits))
        case .bfloat16: return Float(bitPattern: UInt32(bytes.loadUnaligned(fromByteOffset: at, as: UInt16.self)) << 16)
        default: return Float(bitPattern: bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self))
        }
    }
}
