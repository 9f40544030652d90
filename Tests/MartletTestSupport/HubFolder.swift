// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A model's folder as the hub has it: its configuration, and the tensors' names, types and shapes.
package struct HubFolder: Sendable, CustomStringConvertible {
    package struct Tensor: Sendable {
        package let name: String
        package let type: String
        package let shape: [Int]

        package init(_ name: String, _ type: String, _ shape: [Int]) {
            self.name = name
            self.type = type
            self.shape = shape
        }

        var byteCount: Int { shape.reduce(1, *) * (type == "F32" || type == "I32" ? 4 : type == "F8_E4M3" ? 1 : 2) }
    }

    package let name: String
    package var config: String
    package var tensors: [Tensor]

    package var description: String { name }

    package init(name: String, config: String, tensors: [Tensor]) {
        self.name = name
        self.config = config
        self.tensors = tensors
    }

    /// Folders of each kind that models differ in; those of families that aren't supported too.
    package static let all: [HubFolder] = {
        guard let url = Bundle.module.url(forResource: "Fixtures/hub", withExtension: "txt"),
            let text = try? String(contentsOf: url, encoding: .utf8)
        else { return [] }
        var folders: [HubFolder] = []
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            let fields = line.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
            if fields[0] == "folder" {
                folders.append(HubFolder(name: fields[1], config: "", tensors: []))
            } else if let last = folders.indices.last {
                if fields[0] == "config" {
                    folders[last].config = String(line.dropFirst(7))
                } else {
                    let shape = fields[2].split(separator: ",").compactMap { Int($0) }
                    folders[last].tensors += names(fields[0]).map { Tensor($0, fields[1], shape) }
                }
            }
        }
        return folders
    }()

    /// The names that one stands for: `layers.[0-3].` or `layers.[0,2].`
    private static func names(_ name: String) -> [String] {
        guard let open = name.firstIndex(of: "["), let close = name.firstIndex(of: "]") else { return [name] }
        let list = name[name.index(after: open)..<close]
        let ends = list.split(separator: "-").compactMap { Int($0) }
        let numbers =
            list.contains("-") && ends.count == 2
            ? Array(ends[0]...ends[1]) : list.split(separator: ",").compactMap { Int($0) }
        return numbers.flatMap { names(name[..<open] + "\($0)" + name[name.index(after: close)...]) }
    }

    /// A safetensors file of tensors.
    ///
    /// - Parameter data: a tensor's bytes; nil for zeros.
    package static func safetensors(_ tensors: [Tensor], data: (Tensor) -> [UInt8]? = { _ in nil }) -> [UInt8] {
        var (entries, bytes): ([String], [UInt8]) = ([], [])
        for tensor in tensors {
            let begin = bytes.count
            bytes += data(tensor) ?? zeros(tensor)
            let shape = tensor.shape.map(String.init).joined(separator: ",")
            entries.append(
                "\"\(tensor.name)\":{\"dtype\":\"\(tensor.type)\",\"shape\":[\(shape)],\"data_offsets\":[\(begin),\(bytes.count)]}"
            )
        }
        let header = "{" + entries.joined(separator: ",") + "}"
        return GGUFWriter.bytes(UInt64(header.utf8.count)) + Array(header.utf8) + bytes
    }

    /// Zeros, but 1 where something is multiplied by it.
    private static func zeros(_ tensor: Tensor) -> [UInt8] {
        tensor.name.hasSuffix("layer_scalar") ? [0x80, 0x3f] : [UInt8](repeating: 0, count: tensor.byteCount)
    }

    /// Writes it, with a tokenizer of bytes.
    package func write(data: (Tensor) -> [UInt8]? = { _ in nil }) throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        try folder.write(Array(config.utf8), to: "config.json")
        try folder.write(Self.safetensors(tensors, data: data), to: "model.safetensors")
        try folder.write(Array(Self.byteTokenizer.utf8), to: "tokenizer.json")
        return folder
    }

    /// A `tokenizer.json` whose tokens are the 256 bytes.
    private static let byteTokenizer: String = {
        var (entries, next): ([String], UInt32) = ([], 256)
        for byte in UInt32(0)..<256 {
            let isPrinted = (0x21...0x7e).contains(byte) || (0xa1...0xac).contains(byte) || (0xae...0xff).contains(byte)
            entries.append("\"\\u\(String(format: "%04x", isPrinted ? byte : next))\":\(byte)")
            if !isPrinted { next += 1 }
        }
        return """
            {"model":{"type":"BPE","vocab":{\(entries.joined(separator: ","))},"merges":[]},
            "pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"use_regex":true}}
            """
    }()
}

/// A folder that is removed with this.
package final class TemporaryFolder: Sendable {
    package let path: String

    package init() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "martlet-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        path = folder.path
    }

    package func write(_ bytes: [UInt8], to name: String) throws {
        try Data(bytes).write(to: URL(filePath: path).appending(path: name))
    }

    package func remove(_ name: String) throws {
        try FileManager.default.removeItem(at: URL(filePath: path).appending(path: name))
    }

    deinit { try? FileManager.default.removeItem(at: URL(filePath: path)) }
}
