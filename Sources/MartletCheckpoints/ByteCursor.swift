// SPDX-License-Identifier: Apache-2.0

/// Walks little-endian bytes from outside. Every read is checked; a failed one throws and never traps.
struct ByteCursor {
    let bytes: UnsafeRawBufferPointer
    private(set) var offset = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    var remaining: Int { bytes.count - offset }

    mutating func skip(_ count: Int, _ what: @autoclosure () -> String) throws(CheckpointError) {
        guard count >= 0, count <= remaining else {
            throw CheckpointError(
                .truncated, "the file ends inside \(what()): \(remaining) bytes left where \(count) are needed",
                offset: offset)
        }
        offset += count
    }

    mutating func read<Value: FixedWidthInteger>(
        _: Value.Type, _ what: @autoclosure () -> String
    ) throws(CheckpointError) -> Value {
        let start = offset
        try skip(MemoryLayout<Value>.size, what())
        return Value(littleEndian: bytes.loadUnaligned(fromByteOffset: start, as: Value.self))
    }

    /// A length-prefixed run of bytes, as its range in the file.
    mutating func readStringRange(_ what: @autoclosure () -> String) throws(CheckpointError) -> Range<Int> {
        let at = offset
        let length = try read(UInt64.self, what())
        guard let count = Int(exactly: length), count <= remaining else {
            throw CheckpointError(
                .stringTooLong,
                "\(what()) claims \(length) bytes but only \(remaining) are left in the file; is the download complete?",
                offset: at)
        }
        let start = offset
        try skip(count, what())
        return start..<offset
    }

    mutating func readString(_ what: @autoclosure () -> String) throws(CheckpointError) -> String {
        let range = try readStringRange(what())
        guard let string = String(validating: bytes[range], as: UTF8.self) else {
            throw CheckpointError(.invalidUTF8, "\(what()) is not valid UTF-8", offset: range.lowerBound)
        }
        return string
    }
}
