// SPDX-License-Identifier: Apache-2.0

package import MartletCompute

/// A tensor as a GGUF file describes it.
package struct GGUFTensor: Equatable, Sendable {
    package let name: String
    /// As in the file: the first dimension runs fastest, so `[columns, rows, …]`.
    package let dimensions: [Int]
    package let elementType: ElementType
    /// Which of a split model's files holds it, from 0.
    package var part = 0
    /// Its bytes in that file.
    package let range: Range<Int>

    /// Values in a row.
    package var columns: Int { dimensions.first ?? 1 }
    /// Rows of one matrix.
    package var rows: Int { dimensions.count > 1 ? dimensions[1] : 1 }
    /// Matrices: all dimensions but the first two.
    package var count: Int { dimensions.dropFirst(2).reduce(1, *) }
    /// Numbers in it.
    package var parameterCount: Int { dimensions.reduce(1, *) }
}

/// What a GGUF file's header says, checked. The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
///
/// Reading allocates in proportion to the file, never to a number in it.
package struct GGUFContents: Sendable {
    package let version: UInt32
    /// In file order.
    package let keys: [String]
    package let metadata: [String: GGUFValue]
    /// In file order, without those of types that aren't supported.
    package let tensors: [GGUFTensor]
    /// Numbers in all tensors together.
    package var parameterCount: Int { tensors.reduce(0) { $0 + $1.parameterCount } }
    /// Tensors of types that aren't supported, by type.
    package let unsupportedTensors: [String: [String]]
    package let alignment: Int
    private let tensorIndex: [String: Int]

    package func tensor(named name: String) -> GGUFTensor? {
        tensorIndex[name].map { tensors[$0] }
    }

    package init(reading bytes: UnsafeRawBufferPointer) throws(CheckpointError) {
        var cursor = ByteCursor(bytes)
        version = try Self.readVersion(&cursor)
        // A record is at least a length, a type and one byte; a tensor a length, a count, one dimension, type, offset.
        let tensorCount = try Self.readCount(&cursor, "tensors", minimumBytes: 8 + 4 + 8 + 4 + 8)
        let pairCount = try Self.readCount(&cursor, "metadata pairs", minimumBytes: 8 + 4 + 1)

        var keys: [String] = []
        var metadata: [String: GGUFValue] = [:]
        for index in 0..<pairCount {
            let at = cursor.offset
            let key = try cursor.readString("metadata key \(index)")
            guard !key.isEmpty else {
                throw CheckpointError(.invalidKey, "metadata key \(index) is empty", offset: at)
            }
            // The format asks for ASCII. Other texts can take long to hash.
            guard key.utf8.count <= 1024, key.utf8.allSatisfy({ $0 < 0x80 }) else {
                throw CheckpointError(
                    .invalidKey, "metadata key \(index) is not ASCII of at most 1024 bytes", offset: at)
            }
            let value = try GGUFValue(reading: &cursor, key: key)
            guard metadata.updateValue(value, forKey: key) == nil else {
                throw CheckpointError(.duplicateKey, "metadata key \(key) appears twice", offset: at)
            }
            keys.append(key)
        }
        self.keys = keys
        self.metadata = metadata

        let alignment = try Self.alignment(metadata)
        self.alignment = alignment

        var descriptions: [GGUFTensorDescription] = []
        var names = Set<String>()
        for index in 0..<tensorCount {
            let at = cursor.offset
            let description = try GGUFTensorDescription(reading: &cursor, index: index)
            guard names.insert(description.name).inserted else {
                throw CheckpointError(.duplicateTensor, "tensor \(description.name) appears twice", offset: at)
            }
            descriptions.append(description)
        }
        // Both sides of the sum are below 2^63 by far: an offset in a file, and a UInt32.
        let dataStart = (cursor.offset + alignment - 1) / alignment * alignment
        var tensors: [GGUFTensor] = []
        var unsupported: [String: [String]] = [:]
        for description in descriptions {
            guard let type = description.elementType else {
                unsupported[description.typeName, default: []].append(description.name)
                continue
            }
            tensors.append(
                try description.located(as: type, dataStart: dataStart, alignment: alignment, fileSize: bytes.count))
        }
        self.tensors = tensors
        unsupportedTensors = unsupported
        tensorIndex = Dictionary(uniqueKeysWithValues: tensors.enumerated().map { ($1.name, $0) })
        try Self.checkOverlap(tensors)
    }

    /// The header of a model that is split into several files, whose headers are given in order.
    init(joining parts: [GGUFContents]) throws(CheckpointError) {
        let first = parts[0]
        (version, keys, metadata, alignment) = (first.version, first.keys, first.metadata, first.alignment)
        tensors = parts.enumerated().flatMap { number, part in
            part.tensors.map { tensor in
                var tensor = tensor
                tensor.part = number
                return tensor
            }
        }
        unsupportedTensors = parts.reduce(into: [:]) { $0.merge($1.unsupportedTensors, uniquingKeysWith: +) }
        var names = Set<String>()
        for name in tensors.map(\.name) + unsupportedTensors.values.joined() where !names.insert(name).inserted {
            throw CheckpointError(.duplicateTensor, "tensor \(name) is in two of the model's files")
        }
        if let count = try first.count("split.tensors.count"), count != names.count {
            throw CheckpointError(
                .missingTensor,
                "the model's files hold \(names.count) tensors, not the \(count) that the first one names")
        }
        tensorIndex = Dictionary(uniqueKeysWithValues: tensors.enumerated().map { ($1.name, $0) })
    }

    private static func readVersion(_ cursor: inout ByteCursor) throws(CheckpointError) -> UInt32 {
        let magic = try cursor.read(UInt32.self, "the magic number")
        guard magic == 0x4655_4747 else {
            throw CheckpointError(.notGGUF, "this is not a GGUF file: it doesn't begin with \"GGUF\"", offset: 0)
        }
        let version = try cursor.read(UInt32.self, "the version")
        guard version == 2 || version == 3 else {
            let hint =
                version.byteSwapped == 2 || version.byteSwapped == 3
                ? "big-endian files are not supported; convert it" : "versions 2 and 3 are; convert it again"
            throw CheckpointError(.unsupportedVersion, "GGUF version \(version) is not supported: \(hint)", offset: 4)
        }
        return version
    }

    private static func readCount(
        _ cursor: inout ByteCursor, _ what: String, minimumBytes: Int
    ) throws(CheckpointError) -> Int {
        let at = cursor.offset
        let value = try cursor.read(UInt64.self, "the number of \(what)")
        guard let count = Int(exactly: value), count <= cursor.remaining / minimumBytes else {
            throw CheckpointError(
                .impossibleCount,
                "the header claims \(value) \(what), more than the file can hold; is the download complete?", offset: at
            )
        }
        return count
    }

    private static func alignment(_ metadata: [String: GGUFValue]) throws(CheckpointError) -> Int {
        guard let value = metadata["general.alignment"] else { return 32 }
        guard case .unsigned(let number, .uint32) = value else {
            throw CheckpointError(.wrongMetadataType, "general.alignment must be a uint32, not \(value.type)")
        }
        guard let alignment = Int(exactly: number), alignment >= 8, alignment & (alignment - 1) == 0 else {
            throw CheckpointError(.invalidAlignment, "general.alignment is \(number); it must be a power of two from 8")
        }
        return alignment
    }

    private static func checkOverlap(_ tensors: [GGUFTensor]) throws(CheckpointError) {
        let sorted = tensors.sorted { $0.range.lowerBound < $1.range.lowerBound }
        for (before, after) in zip(sorted, sorted.dropFirst()) where before.range.upperBound > after.range.lowerBound {
            throw CheckpointError(
                .overlappingTensors, "tensors \(before.name) and \(after.name) overlap",
                offset: after.range.lowerBound)
        }
    }
}

extension GGUFValue {
    init(reading cursor: inout ByteCursor, key: String) throws(CheckpointError) {
        let at = cursor.offset
        let number = try cursor.read(UInt32.self, "the type of \(key)")
        guard let type = GGUFValueType(rawValue: number) else {
            throw CheckpointError(.unknownValueType, "\(key) has unknown value type \(number)", offset: at)
        }
        let valueAt = cursor.offset
        switch type {
        case .uint8: self = .unsigned(UInt64(try cursor.read(UInt8.self, key)), type)
        case .uint16: self = .unsigned(UInt64(try cursor.read(UInt16.self, key)), type)
        case .uint32: self = .unsigned(UInt64(try cursor.read(UInt32.self, key)), type)
        case .uint64: self = .unsigned(try cursor.read(UInt64.self, key), type)
        case .int8: self = .signed(Int64(try cursor.read(Int8.self, key)), type)
        case .int16: self = .signed(Int64(try cursor.read(Int16.self, key)), type)
        case .int32: self = .signed(Int64(try cursor.read(Int32.self, key)), type)
        case .int64: self = .signed(try cursor.read(Int64.self, key), type)
        case .float32: self = .floating(Double(Float(bitPattern: try cursor.read(UInt32.self, key))), type)
        case .float64: self = .floating(Double(bitPattern: try cursor.read(UInt64.self, key)), type)
        case .bool:
            let byte = try cursor.read(UInt8.self, key)
            guard byte <= 1 else {
                throw CheckpointError(.invalidBool, "\(key) is a bool of value \(byte)", offset: valueAt)
            }
            self = .bool(byte == 1)
        case .string: self = .string(try cursor.readString(key))
        case .array: self = .array(try GGUFArray(reading: &cursor, key: key))
        }
    }
}

extension GGUFArray {
    init(reading cursor: inout ByteCursor, key: String) throws(CheckpointError) {
        let at = cursor.offset
        let number = try cursor.read(UInt32.self, "the element type of \(key)")
        guard let type = GGUFValueType(rawValue: number) else {
            throw CheckpointError(.unknownValueType, "\(key) has unknown element type \(number)", offset: at)
        }
        guard type != .array else {
            throw CheckpointError(.nestedArray, "\(key) is an array of arrays, which no model needs", offset: at)
        }
        let countAt = cursor.offset
        let claimed = try cursor.read(UInt64.self, "the length of \(key)")
        guard let count = Int(exactly: claimed), count <= cursor.remaining / (type.fixedSize ?? 8) else {
            throw CheckpointError(
                .impossibleCount,
                "\(key) claims \(claimed) elements, more than the file can hold; is the download complete?",
                offset: countAt)
        }
        let start = cursor.offset
        if let size = type.fixedSize {
            try cursor.skip(count * size, key)
        } else {
            for index in 0..<count { _ = try cursor.readStringRange("element \(index) of \(key)") }
        }
        self.init(elementType: type, count: count, range: start..<cursor.offset)
    }
}
