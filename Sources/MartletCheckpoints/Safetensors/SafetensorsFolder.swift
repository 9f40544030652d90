// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
import MartletJSON

/// The safetensors files of a model's folder, as the hub lays them out: one, or several and an index.
package final class SafetensorsFolder {
    /// A tensor and which of the files holds it.
    package struct Location: Sendable {
        package let file: Int
        package let tensor: SafetensorsTensor
    }

    private static let indexName = "model.safetensors.index.json"
    /// Far more than any has.
    private static let maximumIndexBytes = 64 << 20

    package let path: String
    private let files: [SafetensorsFile]
    /// By the names that the files give them.
    package let tensors: [String: Location]

    package init(path: String) throws(CheckpointError) {
        self.path = path
        func file(_ name: String) -> String { URL(filePath: path).appending(path: name).path }
        guard FileManager.default.fileExists(atPath: file(Self.indexName)) else {
            let only = try SafetensorsFile(path: file(try Self.onlyFile(of: path)))
            files = [only]
            tensors = only.tensors.mapValues { Location(file: 0, tensor: $0) }
            return
        }
        let map = try Self.weightMap(file(Self.indexName))
        let names = Set(map.values).sorted()
        var files: [SafetensorsFile] = []
        for name in names { files.append(try SafetensorsFile(path: file(name))) }
        let numbers = Dictionary(uniqueKeysWithValues: zip(names, names.indices))
        var tensors: [String: Location] = [:]
        for (tensor, name) in map {
            guard let number = numbers[name], let found = files[number].tensors[tensor] else {
                throw CheckpointError(
                    .missingTensor, "\(file(name)) lacks the tensor \(tensor) that \(Self.indexName) places there")
            }
            tensors[tensor] = Location(file: number, tensor: found)
        }
        self.files = files
        self.tensors = tensors
    }

    /// The name of the one file of weights.
    private static func onlyFile(of path: String) throws(CheckpointError) -> String {
        let names = ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
        if names.contains("model.safetensors") { return "model.safetensors" }
        let weights = names.filter { $0.hasSuffix(".safetensors") && !$0.hasPrefix("consolidated") }
        if weights.count == 1, let only = weights.first { return only }
        let others = names.filter { $0.hasSuffix(".gguf") }
        guard others.isEmpty || !weights.isEmpty else {
            throw CheckpointError(
                .notReadable,
                "\(path) holds no safetensors file; give one of its GGUF files: \(others.prefix(5).joined(separator: ", "))"
            )
        }
        let isPickled = names.contains { $0.hasSuffix(".bin") || $0.hasSuffix(".pt") || $0.hasSuffix(".pth") }
        throw CheckpointError(
            .notReadable,
            weights.isEmpty
                ? "\(path) holds no safetensors file"
                    + (isPickled ? "; pickled weights are not read: fetch the model's safetensors" : "")
                : "\(path) holds \(weights.count) safetensors files and no \(indexName); fetch that, too")
    }

    /// Which file of the same folder holds each tensor.
    private static func weightMap(_ path: String) throws(CheckpointError) -> [String: String] {
        let file = try MappedFile(path: path)
        func invalid(_ reason: String) -> CheckpointError {
            CheckpointError(.invalidMetadata, "\(path) can't be used: \(reason)")
        }
        guard file.bytes.count <= maximumIndexBytes else { throw invalid("it has \(file.bytes.count) bytes") }
        let json: JSONValue
        do { json = try JSONParser.parse([UInt8](file.bytes), maximumDepth: 8) } catch { throw invalid("\(error)") }
        guard case .object(let index) = json, case .object(let map) = index["weight_map"] else {
            throw invalid("it has no weight_map")
        }
        var result: [String: String] = [:]
        for member in map.members {
            guard case .string(let name) = member.value, !name.isEmpty, !name.hasPrefix("."), !name.contains("/"),
                !name.contains("\0")
            else { throw invalid("the tensor \(member.key) is in no file of this folder") }
            result[member.key] = name
        }
        return result
    }

    /// The sum of all files' sizes.
    package var byteCount: Int { files.reduce(0) { $0 + $1.file.bytes.count } }

    /// The bytes of a tensor, valid while this folder's files are open.
    package func bytes(of location: Location) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: files[location.file].file.bytes[location.tensor.range])
    }

    /// Takes a tensor's pages out of this process's memory; they are read from the file again if need be.
    package func release(_ location: Location) { files[location.file].file.release(location.tensor.range) }

    /// Reads ahead in the background.
    package func willNeed() { for file in files { file.file.willNeed() } }

    /// Throws if a file changed since it was opened: what was read of it may be a mixture.
    package func checkUnchanged() throws(CheckpointError) {
        for file in files { try file.file.checkUnchanged() }
    }
}
