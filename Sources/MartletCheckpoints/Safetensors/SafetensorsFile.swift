// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
package import MartletCompute

/// A tensor of a safetensors file: its type, shape and place.
package struct SafetensorsTensor: Equatable, Sendable {
    /// The format's own names: `F32`, `BF16`, `F8_E4M3`, `I32`, …
    package let type: String
    package let shape: [Int]
    /// Its bytes in the file.
    package let range: Range<Int>
}

/// An open safetensors file: its checked header, and its tensors' values by name.
///
/// The header is JSON behind its length; tensors fill the rest without holes. Nothing is taken on trust: every offset,
/// shape and size is checked before a byte is read.
package final class SafetensorsFile {
    package let file: MappedFile
    package let tensors: [String: SafetensorsTensor]

    /// The longest header that the format allows.
    private static let largestHeader = 100_000_000

    package init(path: String) throws(CheckpointError) {
        file = try MappedFile(path: path)
        do {
            tensors = try Self.readHeader(file.bytes)
        } catch {
            throw CheckpointError(error.code, "\(path): \(error.message)", offset: error.offset)
        }
    }

    /// Bytes of one value of each type.
    private static let widths = [
        "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I64": 8, "U64": 8, "I32": 4, "U32": 4,
        "I16": 2, "U16": 2, "I8": 1, "U8": 1, "BOOL": 1,
    ]

    private struct Entry: Decodable {
        let dtype: String
        let shape: [Int]
        let data_offsets: [Int]
    }

    /// Every value of the header but its metadata is an entry.
    private struct Header: Decodable {
        var entries: [String: Entry] = [:]

        private struct Name: CodingKey {
            let stringValue: String
            var intValue: Int? { nil }
            init(stringValue: String) { self.stringValue = stringValue }
            init?(intValue: Int) { nil }
        }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: Name.self)
            for key in container.allKeys where key.stringValue != "__metadata__" {
                entries[key.stringValue] = try container.decode(Entry.self, forKey: key)
            }
        }
    }

    private static func readHeader(
        _ bytes: UnsafeRawBufferPointer
    ) throws(CheckpointError) -> [String: SafetensorsTensor] {
        var cursor = ByteCursor(bytes)
        let length = try cursor.read(UInt64.self, "the header's length")
        guard let count = Int(exactly: length), count <= largestHeader, count <= cursor.remaining else {
            throw CheckpointError(
                .stringTooLong, "the header claims \(length) bytes; is this a safetensors file, and complete?",
                offset: 0)
        }
        let start = cursor.offset
        try cursor.skip(count, "the header")
        let json = bytes[start..<start + count]
        guard depth(of: json) <= 4 else {
            throw CheckpointError(.invalidMetadata, "the header is nested too deeply", offset: start)
        }
        guard let header = try? JSONDecoder().decode(Header.self, from: Data(json)) else {
            throw CheckpointError(.invalidMetadata, "the header is not a safetensors header", offset: start)
        }
        var tensors: [String: SafetensorsTensor] = [:]
        for (name, entry) in header.entries {
            tensors[name] = try tensor(name, entry, dataStart: start + count, fileSize: bytes.count)
        }
        var end = start + count
        for tensor in tensors.values.sorted(by: { $0.range.lowerBound < $1.range.lowerBound })
        where !tensor.range.isEmpty {
            guard tensor.range.lowerBound == end else {
                throw CheckpointError(.overlappingTensors, "tensors overlap or leave a hole", offset: end)
            }
            end = tensor.range.upperBound
        }
        guard end == bytes.count else {
            throw CheckpointError(.overlappingTensors, "the file goes on after its last tensor", offset: end)
        }
        return tensors
    }

    private static func tensor(
        _ name: String, _ entry: Entry, dataStart: Int, fileSize: Int
    ) throws(CheckpointError) -> SafetensorsTensor {
        guard let width = widths[entry.dtype] else {
            throw CheckpointError(.unsupportedTensorType, "tensor \(name) is of the unknown type \(entry.dtype)")
        }
        var byteCount = width
        for extent in entry.shape {
            let (product, overflow) = byteCount.multipliedReportingOverflow(by: extent)
            guard extent >= 0, !overflow else {
                throw CheckpointError(.invalidDimensions, "tensor \(name) has the impossible shape \(entry.shape)")
            }
            byteCount = product
        }
        let offsets = entry.data_offsets
        guard offsets.count == 2, 0 <= offsets[0], offsets[0] <= offsets[1], offsets[1] <= fileSize - dataStart else {
            throw CheckpointError(.tensorPastEnd, "tensor \(name) lies outside of the file")
        }
        guard offsets[1] - offsets[0] == byteCount else {
            throw CheckpointError(
                .invalidDimensions,
                "tensor \(name) has \(offsets[1] - offsets[0]) bytes where its shape needs \(byteCount)"
            )
        }
        return SafetensorsTensor(
            type: entry.dtype, shape: entry.shape, range: dataStart + offsets[0]..<dataStart + offsets[1])
    }

    /// How deeply brackets are nested, whatever else is wrong with the text.
    private static func depth(of json: Slice<UnsafeRawBufferPointer>) -> Int {
        var (depth, deepest, isQuoted, isEscaped) = (0, 0, false, false)
        for byte in json {
            if isEscaped {
                isEscaped = false
            } else if isQuoted {
                if byte == UInt8(ascii: "\\") { isEscaped = true }
                if byte == UInt8(ascii: "\"") { isQuoted = false }
            } else {
                switch byte {
                case UInt8(ascii: "\""): isQuoted = true
                case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
                case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
                default: break
                }
                deepest = max(deepest, depth)
            }
        }
        return deepest
    }
}

/// Values, converted exactly or not at all.
extension SafetensorsFile {
    /// A tensor that can't be done without.
    package func required(_ name: String) throws(CheckpointError) -> SafetensorsTensor {
        guard let tensor = tensors[name] else {
            throw CheckpointError(.missingTensor, "\(file.path) lacks the tensor \(name)")
        }
        return tensor
    }

    /// The format of a tensor of floats that attention knows; f64 has none.
    package func floatFormat(_ tensor: SafetensorsTensor) -> FloatFormat? {
        switch tensor.type {
        case "F32": .float32
        case "F16": .float16
        case "BF16": .bfloat16
        case "F8_E4M3": .float8E4M3
        case "F8_E5M2": .float8E5M2
        default: nil
        }
    }

    /// Any tensor of floats.
    package func doubles(_ name: String) throws(CheckpointError) -> [Double] {
        let tensor = try required(name)
        if tensor.type == "F64" { return values(tensor, UInt64.self).map { Double(bitPattern: $0) } }
        return try floats(name).map(Double.init)
    }

    /// A tensor of floats of at most 32 bits.
    package func floats(_ name: String) throws(CheckpointError) -> [Float] {
        let tensor = try required(name)
        guard let format = floatFormat(tensor) else {
            throw CheckpointError(.wrongMetadataType, "the tensor \(name) is of type \(tensor.type), not of floats")
        }
        switch format.byteCount {
        case 1: return values(tensor, UInt8.self).map { format.decode(UInt32($0)) }
        case 2: return values(tensor, UInt16.self).map { format.decode(UInt32($0)) }
        default: return values(tensor, UInt32.self).map { Float(bitPattern: $0) }
        }
    }

    /// A tensor of 32- or 64-bit integers.
    package func integers(_ name: String) throws(CheckpointError) -> [Int] {
        let tensor = try required(name)
        switch tensor.type {
        case "I32": return values(tensor, Int32.self).map(Int.init)
        case "I64": return values(tensor, Int64.self).map(Int.init)
        default:
            throw CheckpointError(.wrongMetadataType, "the tensor \(name) is of type \(tensor.type), not of integers")
        }
    }

    private func values<Value: FixedWidthInteger>(_ tensor: SafetensorsTensor, _: Value.Type) -> [Value] {
        stride(from: tensor.range.lowerBound, to: tensor.range.upperBound, by: MemoryLayout<Value>.size).map {
            Value(littleEndian: file.bytes.loadUnaligned(fromByteOffset: $0, as: Value.self))
        }
    }
}
