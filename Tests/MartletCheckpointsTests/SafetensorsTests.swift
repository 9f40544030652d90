// SPDX-License-Identifier: Apache-2.0

import MartletCheckpoints
import MartletTestSupport
import Testing

/// A safetensors file: a header behind its length, then data.
private func file(_ header: String, data: [UInt8] = [], length: UInt64? = nil) -> [UInt8] {
    GGUFWriter.bytes(length ?? UInt64(header.utf8.count)) + Array(header.utf8) + data
}

private struct BadSafetensors: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let bytes: [UInt8]
    let code: CheckpointError.Code

    init(_ name: String, _ code: CheckpointError.Code, _ bytes: [UInt8]) {
        testDescription = name
        self.bytes = bytes
        self.code = code
    }
}

private func entry(_ type: String = "F32", shape: String = "[1]", offsets: String = "[0,4]") -> String {
    #"{"dtype":"\#(type)","shape":\#(shape),"data_offsets":\#(offsets)}"#
}
private let four = [UInt8](repeating: 0, count: 4)

private let badFiles = [
    BadSafetensors("empty", .truncated, []),
    BadSafetensors("seven bytes", .truncated, [0, 0, 0, 0, 0, 0, 0]),
    BadSafetensors("header past the end", .stringTooLong, file("{}", length: 3)),
    BadSafetensors("header of 2^64 - 1 bytes", .stringTooLong, file("{}", length: .max)),
    BadSafetensors("header of no JSON", .invalidMetadata, file("{\"a\":")),
    BadSafetensors("header of another shape", .invalidMetadata, file("[1]")),
    BadSafetensors("nested 100,000 deep", .invalidMetadata, file(String(repeating: "[", count: 100_000))),
    BadSafetensors(
        "nested in a metadata", .invalidMetadata, file("{\"__metadata__\":" + String(repeating: "{\"a\":", count: 600))),
    BadSafetensors("unknown type", .unsupportedTensorType, file("{\"a\":\(entry("F3"))}", data: four)),
    BadSafetensors("negative extent", .invalidDimensions, file("{\"a\":\(entry(shape: "[-1]"))}", data: four)),
    BadSafetensors(
        "extents that wrap", .invalidDimensions,
        file("{\"a\":\(entry(shape: "[4611686018427387904,4]"))}", data: four)),
    BadSafetensors("an extent past 2^63", .invalidMetadata, file("{\"a\":\(entry(shape: "[9223372036854775808]"))}")),
    BadSafetensors("shape and size differ", .invalidDimensions, file("{\"a\":\(entry(shape: "[2]"))}", data: four)),
    BadSafetensors("data past the end", .tensorPastEnd, file("{\"a\":\(entry())}", data: [0, 0, 0])),
    BadSafetensors("offsets backwards", .tensorPastEnd, file("{\"a\":\(entry(offsets: "[4,0]"))}", data: four)),
    BadSafetensors("a negative offset", .tensorPastEnd, file("{\"a\":\(entry(offsets: "[-4,0]"))}", data: four)),
    BadSafetensors("one offset", .tensorPastEnd, file("{\"a\":\(entry(offsets: "[0]"))}", data: four)),
    BadSafetensors("a hole", .overlappingTensors, file("{\"a\":\(entry(offsets: "[4,8]"))}", data: four + four)),
    BadSafetensors("an overlap", .overlappingTensors, file("{\"a\":\(entry()),\"b\":\(entry())}", data: four)),
    BadSafetensors("more than the tensors", .overlappingTensors, file("{\"a\":\(entry())}", data: four + [0])),
]

@Suite struct SafetensorsTests {
    @Test(arguments: badFiles) fileprivate func refusesABadFile(_ bad: BadSafetensors) throws {
        let file = try TemporaryFile(bad.bytes, name: "a.safetensors")
        let error = #expect(throws: CheckpointError.self) { try SafetensorsFile(path: file.path) }
        #expect(error?.code == bad.code)
    }

    @Test func readsValuesOfEveryType() throws {
        let entries = [
            "\"__metadata__\":{\"a\":\"b\"}", "\"f\":" + entry(shape: "[1,2]", offsets: "[0,8]"),
            "\"b\":" + entry("BF16", shape: "[2]", offsets: "[8,12]"),
            "\"e\":" + entry("F8_E4M3", shape: "[2]", offsets: "[12,14]"),
            "\"h\":" + entry("F16", shape: "[]", offsets: "[14,16]"),
            "\"i\":" + entry("I32", shape: "[2]", offsets: "[16,24]"),
            "\"n\":" + entry(shape: "[0]", offsets: "[24,24]"),
        ]
        let header = "{" + entries.joined(separator: ",") + "}"
        let data =
            GGUFWriter.bytes(Float(1.5).bitPattern) + GGUFWriter.bytes(Float(-2).bitPattern)
            + GGUFWriter.bytes(UInt16(0x3f80)) + GGUFWriter.bytes(UInt16(0xc000)) + [0x38, 0xc0]
            + GGUFWriter.bytes(UInt16(0x3c00)) + GGUFWriter.bytes(Int32(-7)) + GGUFWriter.bytes(Int32(9))
        let temporary = try TemporaryFile(file(header, data: data), name: "a.safetensors")
        let tensors = try SafetensorsFile(path: temporary.path)
        #expect(try tensors.floats("f") == [1.5, -2] && tensors.required("f").shape == [1, 2])
        #expect(try tensors.floats("b") == [1, -2] && tensors.floats("e") == [1, -2] && tensors.floats("h") == [1])
        #expect(try tensors.integers("i") == [-7, 9] && tensors.floats("n") == [])
        #expect(throws: CheckpointError.self) { try tensors.floats("i") }
        #expect(throws: CheckpointError.self) { try tensors.integers("f") }
        #expect(throws: CheckpointError.self) { try tensors.floats("missing") }
    }

    /// Whatever bytes are changed or missing: an error or a file, never a trap.
    @Test func survivesAnyChange() throws {
        var random = SeededGenerator(8)
        let good = file("{\"a\":\(entry()),\"b\":\(entry("I32", offsets: "[4,8]"))}", data: four + four)
        for _ in 0..<400 {
            var bytes = good
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = .random(in: 0...255, using: &random)
            }
            if Bool.random(using: &random) { bytes.removeLast(Int.random(in: 0...bytes.count, using: &random)) }
            let temporary = try TemporaryFile(bytes, name: "a.safetensors")
            if let tensors = try? SafetensorsFile(path: temporary.path) {
                for name in tensors.tensors.keys { _ = try? tensors.doubles(name) }
            }
        }
    }
}
