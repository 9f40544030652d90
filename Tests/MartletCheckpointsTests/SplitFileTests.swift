// SPDX-License-Identifier: Apache-2.0

import Foundation
import MartletCheckpoints
import MartletCompute
import MartletTestSupport
import Testing

/// A model of three tensors in as many files, in a folder that is removed with this.
private final class SplitModel {
    let folder = FileManager.default.temporaryDirectory.appending(path: "martlet-\(UUID().uuidString)")

    /// - Parameter change: what is wrong with part `number`, from 0.
    init(_ change: (_ number: Int, _ part: inout GGUFWriter) -> Void = { _, _ in }) throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        for number in 0..<3 {
            var part = GGUFWriter()
            if number == 0 { part.add("general.name", "split") }
            part.add("split.no", type: 2, GGUFWriter.bytes(UInt16(number)))
            part.add("split.count", type: 2, GGUFWriter.bytes(UInt16(3)))
            if number == 0 { part.add("split.tensors.count", type: 5, GGUFWriter.bytes(Int32(3))) }
            part.add(
                tensor: "t\(number)", dimensions: [8], type: 0,
                data: (0..<8).flatMap { GGUFWriter.bytes(Float(10 * number + $0).bitPattern) })
            change(number, &part)
            try Data(part.file).write(to: URL(filePath: path(number)))
        }
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    /// Of part `number`, from 0.
    func path(_ number: Int) -> String { folder.appending(path: "a-b-0000\(number + 1)-of-00003.gguf").path }

    func error(naming number: Int = 0) throws -> CheckpointError {
        try #require(throws: CheckpointError.self) { try GGUFFile(path: path(number)) }
    }
}

@Suite struct SplitFileTests {
    /// Any part's name stands for the model.
    @Test(arguments: 0..<3) func anyPartNamesTheModel(_ number: Int) throws {
        let model = try SplitModel()
        let file = try GGUFFile(path: model.path(number))
        #expect(try file.contents.string("general.name") == "split" && file.path == model.path(number))
        #expect(file.contents.tensors.map(\.name) == ["t0", "t1", "t2"])
        for part in 0..<3 {
            let tensor = try #require(file.contents.tensor(named: "t\(part)"))
            #expect(file.hostTensor(tensor).dequantized() == (0..<8).map { Float(10 * part + $0) })
            file.release(tensor)
        }
        file.willNeed()
        try file.checkUnchanged()
        let sizes = try (0..<3).map { try Data(contentsOf: URL(filePath: model.path($0))).count }
        #expect(file.byteCount == sizes.reduce(0, +))
        truncate(model.path(2), 10)
        #expect(throws: CheckpointError.self) { try file.checkUnchanged() }
    }

    @Test func whatIsMissingIsNamed() throws {
        let model = try SplitModel()
        try FileManager.default.removeItem(atPath: model.path(1))
        let error = try model.error(naming: 2)
        #expect(error.code == .notReadable && error.message.contains(model.path(1)))
    }

    @Test func partsOfAnotherModelAreRefused() throws {
        let other = try SplitModel { number, part in
            guard number == 1 else { return }
            part = GGUFWriter()
            part.add("split.no", UInt32(2))
            part.add("split.count", UInt32(3))
        }
        let error = try other.error()
        #expect(error.code == .invalidMetadata && error.message.contains("not part 2 of 3"), "\(error)")
    }

    @Test func namesMustFollowThePattern() throws {
        let model = try SplitModel()
        for name in [
            "model.gguf", "a-00001-of-00002.gguf", "a-00004-of-00003.gguf", "a-00000-of-00003.gguf", "-1-of-3.gguf",
        ] {
            let path = model.folder.appending(path: name).path
            try FileManager.default.copyItem(atPath: model.path(0), toPath: path)
            let error = try #require(throws: CheckpointError.self) { try GGUFFile(path: path) }
            #expect(error.code == .unsupportedModel && error.message.contains("-00001-of-00003.gguf"), "\(error)")
        }
    }

    @Test func tensorsAreCountedAndNamedOnce() throws {
        let twice = try SplitModel { number, part in
            if number == 2 { part.add(tensor: "t0", dimensions: [1], type: 0, data: [0, 0, 0, 0]) }
        }
        #expect(try twice.error().code == .duplicateTensor)
        let more = try SplitModel { number, part in
            if number == 2 { part.add(tensor: "t3", dimensions: [1], type: 0, data: [0, 0, 0, 0]) }
        }
        #expect(try more.error().code == .missingTensor)
    }

    /// No number in a file opens files or takes memory by itself.
    @Test func impossibleCountsAreRefused() throws {
        for count in [UInt64(100_000), 1 << 40, .max] {
            var part = GGUFWriter()
            part.add("split.count", type: 10, GGUFWriter.bytes(count))
            let file = try TemporaryFile(part.file, name: "a-00001-of-99999.gguf")
            #expect(throws: CheckpointError.self) { try GGUFFile(path: file.path) }
        }
        var part = GGUFWriter()
        part.add("split.count", UInt32(99_999))
        part.add("split.no", UInt32(0))
        let file = try TemporaryFile(part.file, name: "a-00001-of-99999.gguf")
        let error = try #require(throws: CheckpointError.self) { try GGUFFile(path: file.path) }
        #expect(error.code == .notReadable && error.message.contains("00002-of-99999"))
    }
}
