// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
import MartletCheckpoints
import MartletJSON
import MartletModels
package import MartletText

/// The files of a model's folder that say how text becomes tokens, and conversations text.
struct FolderText {
    private let path: String
    /// `config.json`, `generation_config.json` and `tokenizer_config.json`; empty where a file isn't there.
    private let config: JSONObject
    private let generation: JSONObject
    private let tokenizerConfig: JSONObject

    /// Far more than any has.
    private static let largestFile = 256 << 20
    /// Objects in objects.
    private static let maximumDepth = 128

    init(path: String) throws(CheckpointError) {
        self.path = path
        config = try Self.object("config.json", in: path)
        generation = try Self.object("generation_config.json", in: path)
        tokenizerConfig = try Self.object("tokenizer_config.json", in: path)
    }

    func tokenizer(vocabularySize: Int) throws -> Tokenizer {
        guard let file = try Self.bytes("tokenizer.json", in: path) else {
            throw CheckpointError(
                .notReadable, "\(path) holds no tokenizer.json; other tokenizer files are not read: fetch that one")
        }
        let json: JSONValue
        do { json = try JSONParser.parse(file, maximumDepth: Self.maximumDepth) } catch {
            throw CheckpointError(.invalidMetadata, "\(Self.join(path, "tokenizer.json")) can't be used: \(error)")
        }
        do throws(TokenizerError) {
            return try TokenizerFile(json).tokenizer(
                vocabularySize: vocabularySize, bosToken: tokenText("bos_token"), eosToken: tokenText("eos_token"),
                endTokens: endTokens)
        } catch {
            throw CheckpointError(.unsupportedModel, "\(path): \(error)")
        }
    }

    /// The text of a token that `tokenizer_config.json` names, which may be an object.
    private func tokenText(_ key: String) -> String? {
        switch tokenizerConfig[key] {
        case .string(let text): return text
        case .object(let token): if case .string(let text) = token["content"] { return text }
        default: break
        }
        return nil
    }

    /// Tokens that end an answer. Ids outside of the vocabulary mean none.
    private var endTokens: Set<Int32> {
        var tokens = Set<Int32>()
        var values = [generation["eos_token_id"], config["eos_token_id"]]
        if case .object(let text) = config["text_config"] { values.append(text["eos_token_id"]) }
        for value in values {
            var ids = value.map { [$0] } ?? []
            if case .array(let several) = value { ids = several }
            for case .integer(let id) in ids { if let token = Int32(exactly: id) { tokens.insert(token) } }
        }
        return tokens
    }

    /// The chat template: a file of its own, or the default one of those in `tokenizer_config.json`.
    func chatTemplate() throws(CheckpointError) -> String? {
        if let file = try Self.bytes("chat_template.jinja", in: path) {
            guard let text = String(validating: file, as: UTF8.self) else {
                throw CheckpointError(
                    .invalidUTF8, "\(Self.join(path, "chat_template.jinja")) is not a text in UTF-8")
            }
            return text
        }
        switch tokenizerConfig["chat_template"] {
        case .string(let text): return text
        case .array(let named):
            for case .object(let entry) in named where entry["name"] == .string("default") {
                if case .string(let text) = entry["template"] { return text }
            }
        default: break
        }
        if case .string(let text) = try Self.object("chat_template.json", in: path)["chat_template"] { return text }
        return nil
    }

    // MARK: Files

    private static func join(_ path: String, _ name: String) -> String {
        URL(filePath: path).appending(path: name).path
    }

    /// A file's bytes; nil where there is none.
    private static func bytes(_ name: String, in path: String) throws(CheckpointError) -> [UInt8]? {
        let path = join(path, name)
        guard FileManager.default.fileExists(atPath: path) else { return nil }
        let file = try MappedFile(path: path)
        guard file.bytes.count <= largestFile else {
            throw CheckpointError(.impossibleCount, "\(path) has \(file.bytes.count) bytes; that is no model's")
        }
        return [UInt8](file.bytes)
    }

    /// The object in a file; an empty one where there is no file.
    private static func object(_ name: String, in path: String) throws(CheckpointError) -> JSONObject {
        guard let bytes = try bytes(name, in: path) else { return JSONObject() }
        let json: JSONValue
        do { json = try JSONParser.parse(bytes, maximumDepth: maximumDepth) } catch {
            throw CheckpointError(.invalidMetadata, "\(join(path, name)) can't be used: \(error)")
        }
        guard case .object(let object) = json else {
            throw CheckpointError(.invalidMetadata, "\(join(path, name)) can't be used: it is not a JSON object")
        }
        return object
    }
}

extension Tokenizer {
    /// The tokenizer of a GGUF file, which may hold nothing else, or of a folder of the hub's.
    package init(ofModelAt path: String) throws {
        var isFolder = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder else {
            self = try Tokenizer(of: GGUFFile(path: path))
            return
        }
        let config = try HuggingFaceMetadata(MappedFile(path: URL(filePath: path).appending(path: "config.json").path))
        let family = try ModelFamilies.family(of: config)
        let size = try config.with(defaults: family.hubDefaults, tensors: nil).vocabularySize
        try ModelShape.check(size, 1...(1 << 22), "the vocabulary size")
        self = try FolderText(path: path).tokenizer(vocabularySize: size)
    }
}
