// SPDX-License-Identifier: Apache-2.0

import Glibc
import MartletCheckpoints
import MartletCompute
import MartletModels
import MartletTestSupport
import Testing

/// Every kind of checkpoint with one thing wrong: it is refused with an error, or understood; nothing traps, and no memory is
/// taken because a number in the file says so.
@Suite struct HostileCheckpointTests {
    @Test(arguments: CheckpointHeader.all) func isUnderstoodOrRefusedByName(_ header: CheckpointHeader) throws {
        let file = try TemporaryFile(header.writer.file)
        do {
            _ = try ModelBlueprint(of: GGUFFile(path: file.path))
            #expect(header.isSupported)
        } catch {
            #expect(!header.isSupported, "\(error)")
            #expect(error.code == .unsupportedModel, "\(error)")
        }
    }

    @Test func everyFamilyHasACheckpoint() throws {
        var missing = Set(ModelFamilies.all.flatMap { $0.architectures })
        for header in CheckpointHeader.all {
            let file = try TemporaryFile(header.writer.file)
            missing.remove(try GGUFMetadata(GGUFFile(path: file.path)).architecture)
        }
        #expect(missing.isEmpty)
        var missingFolders = Set(ModelFamilies.all.flatMap { $0.hubArchitectures })
        for folder in HubFolder.all {
            let file = try TemporaryFile(Array(folder.config.utf8), name: "config.json")
            missingFolders.remove(try HuggingFaceMetadata(MappedFile(path: file.path)).architecture)
        }
        // Gemma's of several kinds of input are called by their language model's name, and of a shared expert there is none.
        #expect(missingFolders == ["gemma3", "gemma4", "granitemoeshared"])
    }

    @Test(arguments: CheckpointHeader.all) func everyValueIsHeldTo(_ header: CheckpointHeader) throws {
        for index in header.pairs.indices {
            var changed = header
            let pair = changed.pairs.remove(at: index)
            try expectNoHarm(changed)
            for (type, value) in Self.values {
                changed = header
                changed.pairs[index] = CheckpointHeader.Pair(key: pair.key, type: type, value: value)
                try expectNoHarm(changed)
            }
        }
    }

    @Test(arguments: CheckpointHeader.all) func everyTensorIsHeldTo(_ header: CheckpointHeader) throws {
        for index in header.tensors.indices where !header.isRepeated(index) {
            var changed = header
            changed.tensors.remove(at: index)
            try expectNoHarm(changed)

            changed = header
            changed.tensors[index].name += ".other"
            let error = try expectNoHarm(changed)
            #expect(error != nil, "\(header.tensors[index].name) has another name")

            changed = header
            changed.tensors[index].type = .q8_0
            changed.tensors[index].dimensions[0] = (changed.tensors[index].dimensions[0] + 31) / 32 * 32
            try expectNoHarm(changed)

            for dimension in header.tensors[index].dimensions.indices {
                for size in [1, header.tensors[index].dimensions[dimension] + 1] {
                    changed = header
                    changed.tensors[index].dimensions[dimension] = size
                    try expectNoHarm(changed)
                }
            }
        }
    }

    @Test(arguments: CheckpointHeader.all) func everyChangedByteIsSurvived(_ header: CheckpointHeader) throws {
        let writer = header.writer
        let bytes = writer.header
        let file = try TemporaryFile(writer.file)
        let descriptor = open(file.path, O_WRONLY)
        defer { close(descriptor) }
        func change(_ range: Range<Int>) throws {
            for index in range {
                var byte = bytes[index] ^ (1 << UInt8(index % 8))
                pwrite(descriptor, &byte, 1, off_t(index))
                try expectNoHarm(path: file.path)
                byte = bytes[index]
                pwrite(descriptor, &byte, 1, off_t(index))
            }
        }
        // Magic, version and two counts, then the pairs.
        var start = 24 + writer.pairs.reduce(0) { $0 + $1.count }
        try change(0..<start)
        for (index, tensor) in writer.tensors.enumerated() {
            if !header.isRepeated(index) { try change(start..<start + tensor.record.count) }
            start += tensor.record.count
        }
    }

    /// What a key may be made to say, by GGUF's types.
    private static let values: [(UInt32, [UInt8])] = {
        var values: [(UInt32, [UInt8])] = []
        for number in [0, 1, 2, 3, 7, 1 << 16, 1 << 31, .max] as [UInt32] {
            values.append((4, GGUFWriter.bytes(number)))
        }
        for number in [-1, .min, .max] as [Int64] { values.append((11, GGUFWriter.bytes(number))) }
        values.append((10, GGUFWriter.bytes(UInt64.max)))
        for number in [0, -1, 1e-38, 1e38, .infinity, .nan] as [Float] {
            values.append((6, GGUFWriter.bytes(number.bitPattern)))
        }
        values.append((8, GGUFWriter.string("yarn")))
        values.append((7, [1]))
        for count in [0, 1, 6] {
            let numbers = [UInt8](repeating: 0xff, count: 4 * count)
            for type in [5, 6] as [UInt32] {
                values.append((9, GGUFWriter.bytes(type) + GGUFWriter.bytes(UInt64(count)) + numbers))
            }
            let flags = [UInt8](repeating: 1, count: count)
            values.append((9, GGUFWriter.bytes(UInt32(7)) + GGUFWriter.bytes(UInt64(count)) + flags))
        }
        return values
    }()

    @discardableResult private func expectNoHarm(_ header: CheckpointHeader) throws -> CheckpointError? {
        let writer = header.writer
        guard header.tensors.allSatisfy({ !$0.isFactor }) else {
            return try expectNoHarm(path: TemporaryFile(writer.file).path)
        }
        // Zeros are a hole in the file.
        let bytes = writer.header
        let file = try TemporaryFile(bytes)
        truncate(file.path, off_t(bytes.count + header.tensors.reduce(0) { $0 + ($1.byteCount + 31) / 32 * 32 }))
        return try expectNoHarm(path: file.path)
    }

    /// Reads a file as loading does, up to its weights; they must lie in it.
    @discardableResult private func expectNoHarm(path: String) throws(CheckpointError) -> CheckpointError? {
        do {
            let file = try GGUFFile(path: path)
            let blueprint = try ModelBlueprint(of: file)
            #expect(blueprint.entries.allSatisfy { ($0.tensor.offset ?? .max) <= file.byteCount - $0.tensor.byteCount })
            return nil
        } catch {
            #expect(!error.description.isEmpty)
            return error
        }
    }
}

extension CheckpointHeader {
    /// Whether a tensor is one of a layer between the second and the last, which is like another.
    fileprivate func isRepeated(_ index: Int) -> Bool {
        let layers = tensors.map { tensor in
            tensor.name.hasPrefix("blk.")
                ? tensor.name.split(separator: ".").dropFirst().first.flatMap { Int($0) } : nil
        }
        guard let layer = layers[index] else { return false }
        return layer > 1 && layer < (layers.compactMap(\.self).max() ?? 0)
    }
}
