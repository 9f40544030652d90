// SPDX-License-Identifier: Apache-2.0

import Glibc
import MartletCheckpoints
import MartletCompute
import MartletTestSupport
import Testing

/// A hand-made bad file, the error it must give, and the byte the error must point at.
struct BadFile: CustomTestStringConvertible, Sendable {
    let name: String
    let bytes: [UInt8]
    let code: CheckpointError.Code
    var offset: Int?
    var testDescription: String { name }

    init(_ name: String, _ code: CheckpointError.Code, at offset: Int? = nil, _ change: (inout GGUFWriter) -> Void) {
        var writer = GGUFWriter()
        change(&writer)
        self.name = name
        self.code = code
        self.offset = offset
        bytes = writer.file
    }
}

private let f32Data = [UInt8](repeating: 0, count: 32)
private func bytes<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] { GGUFWriter.bytes(value) }

/// The header is 24 bytes; a first pair's key begins at 24, a key "k" ends at 33, its type at 37.
private let badFiles: [BadFile] = [
    BadFile("F1 2^64 - 1 pairs", .impossibleCount, at: 16) { $0.pairCount = .max },
    BadFile("F1 2^63 tensors", .impossibleCount, at: 8) { $0.tensorCount = 1 << 63 },
    BadFile("F1 one pair more than there is", .impossibleCount, at: 16) { $0.pairCount = 1 },
    BadFile("F2 key length 2^64 - 1", .stringTooLong, at: 24) { $0.add(raw: bytes(UInt64.max) + [0, 0, 0, 0, 0]) },
    BadFile("F2 string length past the end", .stringTooLong, at: 37) { $0.add("k", type: 8, bytes(UInt64(1000))) },
    BadFile("F2 string length that wraps", .stringTooLong, at: 37) { $0.add("k", type: 8, bytes(UInt64.max - 7)) },
    BadFile("F2 key that is no UTF-8", .invalidUTF8, at: 32) {
        $0.add(raw: GGUFWriter.string([0xff, 0xfe]) + bytes(UInt32(0)) + [1])
    },
    BadFile("F2 empty key", .invalidKey, at: 24) {
        $0.add(raw: GGUFWriter.string("") + bytes(UInt32(0)) + [1, 0, 0, 0, 0])
    },
    BadFile("F3 array of 2^61 u64", .impossibleCount, at: 41) {
        $0.add("k", type: 9, bytes(UInt32(10)) + bytes(UInt64(1 << 61)))
    },
    BadFile("F3 array of 2^64 - 1 strings", .impossibleCount, at: 41) {
        $0.add("k", type: 9, bytes(UInt32(8)) + bytes(UInt64.max))
    },
    BadFile("F3 array of arrays", .nestedArray, at: 37) {
        $0.add("k", type: 9, bytes(UInt32(9)) + bytes(UInt64(1)) + bytes(UInt32(0)) + bytes(UInt64(0)))
    },
    BadFile("F3 string in array past the end", .stringTooLong, at: 49) {
        $0.add("k", type: 9, bytes(UInt32(8)) + bytes(UInt64(1)) + bytes(UInt64(4096)))
    },
    BadFile("F4 no dimensions", .invalidDimensions, at: 33) {
        $0.add(tensor: "t", dimensions: [], type: 0, data: f32Data)
    },
    BadFile("F4 five dimensions", .invalidDimensions, at: 33) {
        $0.add(tensor: "t", dimensions: [1, 1, 1, 1, 1], type: 0, data: f32Data)
    },
    BadFile("F4 zero dimension", .invalidDimensions, at: 33) {
        $0.add(tensor: "t", dimensions: [0], type: 0, data: f32Data)
    },
    BadFile("F4 negative dimension", .invalidDimensions, at: 33) {
        $0.add(tensor: "t", dimensions: [UInt64(bitPattern: -8)], type: 0, data: f32Data)
    },
    BadFile("F4 product overflows", .invalidDimensions, at: 33) {
        $0.add(tensor: "t", dimensions: [1 << 32, 1 << 32], type: 0, data: f32Data)
    },
    BadFile("F5 bytes overflow", .partialBlock, at: 33) {
        $0.add(tensor: "t", dimensions: [1 << 31, 1 << 31], type: 0, data: f32Data)
    },
    BadFile("F5 offset + size overflows", .tensorPastEnd, at: 49) {
        $0.add(tensor: "t", dimensions: [8], type: 0, data: f32Data, offset: UInt64(Int64.max) / 32 * 32)
    },
    BadFile("F6 longer than the file", .tensorPastEnd, at: 49) {
        $0.add(tensor: "t", dimensions: [9], type: 0, data: f32Data)
    },
    BadFile("F6 offset past the end", .tensorPastEnd, at: 49) {
        $0.add(tensor: "t", dimensions: [8], type: 0, data: f32Data, offset: 64)
    },
    BadFile("F6 offset 2^64 - 32", .tensorPastEnd, at: 49) {
        $0.add(tensor: "t", dimensions: [8], type: 0, data: f32Data, offset: UInt64.max - 31)
    },
    BadFile("F6 misaligned", .misalignedTensor, at: 49) {
        $0.add(tensor: "t", dimensions: [4], type: 0, data: f32Data, offset: 4)
    },
    BadFile("F7 alignment 0", .invalidAlignment) { $0.add("general.alignment", UInt32(0)) },
    BadFile("F7 alignment 1", .invalidAlignment) { $0.add("general.alignment", UInt32(1)) },
    BadFile("F7 alignment 13", .invalidAlignment) { $0.add("general.alignment", UInt32(13)) },
    BadFile("F7 alignment 24", .invalidAlignment) { $0.add("general.alignment", UInt32(24)) },
    BadFile("F7 alignment of the wrong type", .wrongMetadataType) { $0.add("general.alignment", "32") },
    BadFile("F8 type 99", .unsupportedTensorType, at: 45) {
        $0.add(tensor: "t", dimensions: [8], type: 99, data: f32Data)
    },
    BadFile("F8 negative type", .unsupportedTensorType, at: 45) {
        $0.add(tensor: "t", dimensions: [8], type: UInt32(bitPattern: -1), data: f32Data)
    },
    BadFile("F8 rows that are no whole blocks", .partialBlock, at: 33) {
        $0.add(tensor: "t", dimensions: [33], type: 3, data: f32Data)
    },
    BadFile("F8 unknown metadata type", .unknownValueType, at: 33) { $0.add("k", type: 13, [0, 0, 0, 0]) },
    BadFile("F8 unknown element type", .unknownValueType, at: 37) {
        $0.add("k", type: 9, bytes(UInt32(77)) + bytes(UInt64(0)))
    },
    BadFile("F8 bool of 2", .invalidBool, at: 37) { $0.add("k", type: 7, [2]) },
    BadFile("F9 duplicate key", .duplicateKey, at: 41) {
        $0.add("k", UInt32(1))
        $0.add("k", UInt32(1))
    },
    BadFile("F9 duplicate tensor", .duplicateTensor, at: 57) {
        $0.add(tensor: "t", dimensions: [8], type: 0, data: f32Data)
        $0.add(tensor: "t", dimensions: [8], type: 0, data: f32Data)
    },
    BadFile("F9 overlapping tensors", .overlappingTensors) {
        $0.add(tensor: "t", dimensions: [8], type: 0, data: f32Data)
        $0.add(tensor: "u", dimensions: [8], type: 0, data: f32Data, offset: 0)
    },
    BadFile("F9 empty tensor name", .invalidTensorName, at: 24) {
        $0.add(tensor: "", dimensions: [8], type: 0, data: f32Data)
    },
    BadFile("wrong magic", .notGGUF, at: 0) { $0.magic = Array("GGML".utf8) },
    BadFile("version 1", .unsupportedVersion, at: 4) { $0.version = 1 },
    BadFile("version 4", .unsupportedVersion, at: 4) { $0.version = 4 },
    BadFile("big-endian", .unsupportedVersion, at: 4) { $0.version = UInt32(3).byteSwapped },
]

private func read(_ bytes: [UInt8]) throws(CheckpointError) -> GGUFContents {
    // A heap block of exactly these bytes, so that AddressSanitizer sees a read past them.
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
    defer { copy.deallocate() }
    copy.copyBytes(from: bytes)
    return try GGUFContents(reading: UnsafeRawBufferPointer(copy))
}

/// Every kind of metadata and a tensor, in few bytes.
private var smallFile: GGUFWriter { makeFile(of: .q8_0) }

/// The same, with a tensor of a type.
private func makeFile(of type: ElementType) -> GGUFWriter {
    var writer = GGUFWriter()
    writer.add("general.architecture", "llama")
    for (type, size) in [(0, 1), (1, 1), (2, 2), (3, 2), (4, 4), (5, 4), (6, 4), (7, 1), (10, 8), (11, 8), (12, 8)] {
        writer.add("scalar.\(type)", type: UInt32(type), [1] + [UInt8](repeating: 0, count: size - 1))
    }
    writer.add("strings", ["a", "", "ccc"])
    writer.add("integers", [Int32(-1), 2])
    let columns = type.rowLength(atLeast: 32)
    writer.add(
        tensor: "t", dimensions: [UInt64(columns), 2], type: type.ggufNumber,
        data: [UInt8](repeating: 1, count: 2 * columns / type.blockLength * type.blockBytes))
    writer.add(tensor: "u", dimensions: [3], type: 0, data: [UInt8](repeating: 0, count: 12))
    return writer
}

@Suite struct MalformedFileTests {
    @Test(arguments: badFiles) func givesItsOwnError(_ file: BadFile) throws {
        let error = try #require(throws: CheckpointError.self) { try read(file.bytes) }
        #expect(error.code == file.code, "\(error)")
        if let offset = file.offset { #expect(error.offset == offset, "\(error)") }
    }

    @Test func readsWhatIsRight() throws {
        let contents = try read(smallFile.file)
        #expect(contents.keys.count == 14)
        #expect(try contents.string("general.architecture") == "llama")
        #expect(try contents.count("scalar.0") == 1)
        #expect(try contents.array("strings")?.count == 3)
        #expect(contents.tensor(named: "t")?.dimensions == [32, 2])
        #expect(contents.tensor(named: "u")?.range.count == 12)
        var second = smallFile
        second.version = 2
        #expect(try read(second.file).version == 2)
    }

    @Test(arguments: ElementType.allCases) func everyTruncationThrows(_ type: ElementType) {
        let file = makeFile(of: type).file
        for length in 0..<file.count {
            #expect(throws: CheckpointError.self, "cut to \(length) bytes") { try read(Array(file[..<length])) }
        }
    }

    /// No single changed byte may do worse than throw; what still reads must lie inside the file.
    @Test(arguments: ElementType.allCases) func everyChangedByteIsSurvived(_ type: ElementType) {
        let file = makeFile(of: type).file
        for index in file.indices {
            for value in [0, 1, 0x7f, 0x80, 0xff] as [UInt8] {
                var changed = file
                changed[index] = value
                guard let contents = try? read(changed) else { continue }
                #expect(contents.tensors.allSatisfy { $0.range.upperBound <= file.count && $0.range.lowerBound >= 0 })
            }
        }
    }

    /// Rows that are no whole blocks, and data one byte short.
    @Test(arguments: ElementType.allCases.filter { $0.blockLength > 1 }) func rowsAreWholeBlocks(_ type: ElementType)
        throws
    {
        for columns in [1, type.blockLength - 1, type.blockLength + 1] {
            var writer = GGUFWriter()
            let data = [UInt8](repeating: 0, count: 4 * type.blockBytes)
            writer.add(tensor: "t", dimensions: [UInt64(columns)], type: type.ggufNumber, data: data)
            let error = try #require(throws: CheckpointError.self) { try read(writer.file) }
            #expect(error.code == .partialBlock)
        }
        var writer = GGUFWriter()
        writer.add(
            tensor: "t", dimensions: [UInt64(type.blockLength)], type: type.ggufNumber,
            data: [UInt8](repeating: 0, count: type.blockBytes - 1))
        let error = try #require(throws: CheckpointError.self) { try read(writer.file) }
        #expect(error.code == .tensorPastEnd)
    }

    @Test func metadataOfTheWrongTypeIsNamed() throws {
        var writer = GGUFWriter()
        writer.add("k", "text")
        writer.add("negative", type: 5, GGUFWriter.bytes(Int32(-1)))
        let contents = try read(writer.file)
        #expect(throws: CheckpointError.self) { try contents.count("k") }
        #expect(throws: CheckpointError.self) { try contents.float("k") }
        #expect(throws: CheckpointError.self) { try contents.count("negative") }
        #expect(try contents.count("absent") == nil)
    }
}

/// F10: what isn't a file, or hardly one.
@Suite struct MappedFileTests {
    @Test func refusesWhatIsNoRegularFile() throws {
        let folder = try TemporaryFile([1]).path
        #expect(throws: CheckpointError.self) { try GGUFFile(path: folder + ".absent") }
        let directory = try #require(throws: CheckpointError.self) { try GGUFFile(path: "/tmp") }
        #expect(directory.code == .notARegularFile)

        let fifo = try TemporaryFile([1])
        unlink(fifo.path)
        mkfifo(fifo.path, 0o600)
        let error = try #require(throws: CheckpointError.self) { try GGUFFile(path: fifo.path) }
        #expect(error.code == .notARegularFile)

        let loop = try TemporaryFile([1])
        unlink(loop.path)
        symlink(loop.path, loop.path)
        #expect(throws: CheckpointError.self) { try GGUFFile(path: loop.path) }
    }

    /// What was given back is read from the file again.
    @Test func releasedPagesAreStillTheFiles() throws {
        let bytes = (0..<50_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let file = try TemporaryFile(bytes)
        let mapped = try MappedFile(path: file.path)
        for range in [0..<50_000, 5000..<30_000, 1..<2, 49_000..<60_000, 0..<0] {
            mapped.release(range)
            #expect(mapped.bytes.elementsEqual(bytes))
        }
    }

    @Test(arguments: [0, 1, 3, 4, 8, 15]) func refusesTinyFiles(_ length: Int) throws {
        let file = try TemporaryFile(Array(smallFile.file[..<length]))
        let error = try #require(throws: CheckpointError.self) { try GGUFFile(path: file.path) }
        #expect(error.code == .truncated)
    }

    /// F13: the file is cut or written to while it is open.
    @Test func noticesChanges() throws {
        let file = try TemporaryFile(smallFile.file)
        let open = try GGUFFile(path: file.path)
        try open.checkUnchanged()
        truncate(file.path, off_t(open.byteCount - 1))
        let error = try #require(throws: CheckpointError.self) { try open.checkUnchanged() }
        #expect(error.code == .changedWhileReading)
    }
}
