// SPDX-License-Identifier: Apache-2.0

import Glibc
import MartletCompute

/// A matrix or vector as its numbers, row after row.
final class ReferenceWeight: DeviceWeight {
    /// Matrices, one after the other.
    let count: Int
    let rows: Int
    let columns: Int
    let numbers: [Float]

    init(count: Int, rows: Int, columns: Int, numbers: [Float]) {
        self.count = count
        self.rows = rows
        self.columns = columns
        self.numbers = numbers
    }

    /// A row of all matrices'.
    func row(_ index: Int) -> ArraySlice<Float> { numbers[index * columns..<(index + 1) * columns] }

    var byteCount: Int { numbers.count * 4 }
}

/// Keys and values as f32: `[layer][slot][KV head][head size]` of each, layers with heads of their own.
///
/// Unchecked because one thread at a time uses a device, and its cache with it.
final class ReferenceCache: KeyValueCache, @unchecked Sendable {
    let shape: CacheShape
    /// Where each layer begins.
    private let starts: [Int]
    private let keys: UnsafeMutablePointer<Float>
    private let values: UnsafeMutablePointer<Float>

    init(_ shape: CacheShape) throws(DeviceError) {
        let count = try Self.byteCount(of: shape) / 8
        // Memory is there as it is written to.
        guard let keys = calloc(max(1, count), 4), let values = calloc(max(1, count), 4) else {
            throw DeviceError(code: .outOfMemory, message: "the KV cache takes \(8 * count) bytes, which are not there")
        }
        self.shape = shape
        var start = 0
        starts = shape.layers.map { layer in
            defer { start += shape.blockCount * shape.blockSize * layer.keyValueHeads * layer.headSize }
            return start
        }
        self.keys = keys.assumingMemoryBound(to: Float.self)
        self.values = values.assumingMemoryBound(to: Float.self)
    }

    deinit {
        free(keys)
        free(values)
    }

    static func byteCount(of shape: CacheShape) throws(DeviceError) -> Int {
        // Head sizes and block sizes are at most 2^16.
        try shape.byteCount { 8 * $0.headSize * shape.blockSize }
    }

    private func offset(layer: Int, slot: Int, head: Int) -> Int {
        let heads = shape.layers[layer]
        return starts[layer] + (slot * heads.keyValueHeads + head) * heads.headSize
    }

    func write(key: [Float], value: [Float], layer: Int, slot: Int, head: Int) {
        let start = offset(layer: layer, slot: slot, head: head)
        for element in 0..<shape.layers[layer].headSize {
            keys[start + element] = key[element]
            values[start + element] = value[element]
        }
    }

    func key(layer: Int, slot: Int, head: Int) -> UnsafeBufferPointer<Float> {
        UnsafeBufferPointer(
            start: keys + offset(layer: layer, slot: slot, head: head), count: shape.layers[layer].headSize)
    }

    func value(layer: Int, slot: Int, head: Int) -> UnsafeBufferPointer<Float> {
        UnsafeBufferPointer(
            start: values + offset(layer: layer, slot: slot, head: head), count: shape.layers[layer].headSize)
    }
}

/// Activations by name, in f64, with room for the batch's capacity.
final class ReferenceWorkspace: Workspace {
    let capacity: BatchCapacity
    private var activations: [Tensor: Activation] = [:]

    init(capacity: BatchCapacity) { self.capacity = capacity }

    /// A tensor's rows.
    final class Activation {
        let columns: Int
        var numbers: [Double]

        init(rows: Int, columns: Int) {
            self.columns = columns
            numbers = Array(repeating: 0, count: rows * columns)
        }

        /// A row's numbers.
        subscript(row: Int) -> [Double] {
            get { Array(numbers[row * columns..<(row + 1) * columns]) }
            set { numbers.replaceSubrange(row * columns..<(row + 1) * columns, with: newValue) }
        }
    }

    func activation(_ tensor: Tensor) -> Activation {
        if let found = activations[tensor] { return found }
        let rows = tensor.rows == .tokens ? capacity.tokens : capacity.logitRows
        let made = Activation(rows: rows, columns: tensor.columns)
        activations[tensor] = made
        return made
    }

    func write(_ values: [Float], to tensor: Tensor) throws {
        let activation = activation(tensor)
        guard values.count <= activation.numbers.count else {
            throw DeviceError(code: .unsupported, message: "\(tensor.name) has no room for \(values.count) numbers")
        }
        activation.numbers.replaceSubrange(0..<values.count, with: values.map(Double.init))
    }

    func read(_ tensor: Tensor, rows: Int) throws -> [Float] {
        let activation = activation(tensor)
        guard rows * tensor.columns <= activation.numbers.count else {
            throw DeviceError(code: .unsupported, message: "\(tensor.name) has fewer than \(rows) rows")
        }
        return activation.numbers[0..<rows * tensor.columns].map { Float($0) }
    }
}
