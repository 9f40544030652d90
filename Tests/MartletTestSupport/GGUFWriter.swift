// SPDX-License-Identifier: Apache-2.0

/// Writes GGUF byte by byte, right or wrong: every count and type can be overridden.
package struct GGUFWriter {
    package var magic: [UInt8] = Array("GGUF".utf8)
    package var version: UInt32 = 3
    package var tensorCount: UInt64?
    package var pairCount: UInt64?
    package var alignment = 32
    package private(set) var pairs: [[UInt8]] = []
    package private(set) var tensors: [(record: [UInt8], data: [UInt8])] = []
    private var dataSize = 0

    package init() {}

    // MARK: Bytes

    package static func bytes<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }

    package static func string(_ text: String) -> [UInt8] { string(Array(text.utf8)) }
    package static func string(_ text: [UInt8]) -> [UInt8] { bytes(UInt64(text.count)) + text }

    // MARK: Metadata, by GGUF's type numbers

    package mutating func add(raw: [UInt8]) { pairs.append(raw) }
    package mutating func add(_ key: String, type: UInt32, _ value: [UInt8]) {
        pairs.append(Self.string(key) + Self.bytes(type) + value)
    }
    package mutating func add(_ key: String, _ value: String) { add(key, type: 8, Self.string(value)) }
    package mutating func add(_ key: String, _ value: UInt32) { add(key, type: 4, Self.bytes(value)) }
    package mutating func add(_ key: String, _ value: Float) { add(key, type: 6, Self.bytes(value.bitPattern)) }
    package mutating func add(_ key: String, _ value: Bool) { add(key, type: 7, [value ? 1 : 0]) }
    package mutating func add(_ key: String, _ values: [String]) {
        add(key, type: 9, Self.bytes(UInt32(8)) + Self.bytes(UInt64(values.count)) + values.flatMap { Self.string($0) })
    }
    package mutating func add(_ key: String, _ values: [Int32]) {
        add(key, type: 9, Self.bytes(UInt32(5)) + Self.bytes(UInt64(values.count)) + values.flatMap { Self.bytes($0) })
    }

    // MARK: Tensors

    package mutating func add(
        tensor name: String, dimensions: [UInt64], type: UInt32, data: [UInt8], offset: UInt64? = nil,
        dimensionCount: UInt32? = nil
    ) {
        let record =
            Self.string(name) + Self.bytes(dimensionCount ?? UInt32(dimensions.count))
            + dimensions.flatMap { Self.bytes($0) } + Self.bytes(type) + Self.bytes(offset ?? UInt64(dataSize))
        tensors.append((record, data))
        dataSize += (data.count + alignment - 1) / alignment * alignment
    }

    /// All before the tensors' data.
    package var header: [UInt8] {
        var result = magic + Self.bytes(version)
        result += Self.bytes(tensorCount ?? UInt64(tensors.count)) + Self.bytes(pairCount ?? UInt64(pairs.count))
        for pair in pairs { result += pair }
        for tensor in tensors { result += tensor.record }
        while result.count % alignment != 0 { result.append(0) }
        return result
    }

    package var file: [UInt8] {
        var result = header
        func pad() { while result.count % alignment != 0 { result.append(0) } }
        for (index, tensor) in tensors.enumerated() {
            result += tensor.data
            if index < tensors.count - 1 { pad() }
        }
        return result
    }
}
