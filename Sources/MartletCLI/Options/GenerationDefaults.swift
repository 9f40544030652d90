// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Martlet

/// How answers are drawn where requests don't say, as vLLM's `--generation-config` has it.
package enum GenerationDefaults: ExpressibleByArgument, Equatable {
    /// The `generation_config.json` beside the model, if there is one.
    case auto
    /// vLLM's own: temperature 1, nothing cut off.
    case vllm
    /// A folder that holds one, or the file.
    case path(String)

    init?(argument: String) {
        switch argument {
        case "auto": self = .auto
        case "vllm": self = .vllm
        default: self = .path(argument)
        }
    }

    var defaultValueDescription: String {
        switch self {
        case .auto: "auto"
        case .vllm: "vllm"
        case .path(let path): path
        }
    }

    private struct File: Decodable {
        var temperature: Float?
        var top_p: Float?
        var top_k: Int?
        var min_p: Float?
        var repetition_penalty: Float?
        var max_new_tokens: Int?
        var eos_token_id: EndTokenIDs?
    }

    /// A number, or a list of them.
    private struct EndTokenIDs: Decodable {
        let tokens: [Int32]

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            tokens = try (try? container.decode(Int32.self)).map { [$0] } ?? container.decode([Int32].self)
        }
    }

    private static let fileName = "generation_config.json"

    /// - Parameter model: the model's file.
    func parameters(model: String) throws -> SamplingParameters {
        try file(model: model).map(Self.read) ?? SamplingParameters()
    }

    /// The tokens that end answers beside the model's own.
    ///
    /// - Parameter model: the model's file.
    package func endTokens(model: String) throws -> [Int32] {
        try file(model: model).map { try Self.decode($0).eos_token_id?.tokens ?? [] } ?? []
    }

    /// The file that is read; nil for none.
    private func file(model: String) throws -> String? {
        let folder = URL(filePath: model).deletingLastPathComponent()
        switch self {
        case .vllm: return nil
        case .auto:
            let file = folder.appending(path: Self.fileName).path
            return FileManager.default.fileExists(atPath: file) ? file : nil
        case .path(let path):
            var isFolder: ObjCBool = false
            let exists = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
            guard exists else { throw InputError("--generation-config: there is no \(path)") }
            return isFolder.boolValue ? URL(filePath: path).appending(path: Self.fileName).path : path
        }
    }

    private static func decode(_ path: String) throws -> File {
        let text = try Terminal.readSmallFile(path)
        do { return try JSONDecoder().decode(File.self, from: Data(text.utf8)) } catch {
            let reason = (error as? DecodingError)?.explanation ?? "\(error)"
            throw InputError("\(path) is not a generation_config.json: \(reason)")
        }
    }

    private static func read(_ path: String) throws -> SamplingParameters {
        let file = try decode(path)
        var parameters = SamplingParameters()
        parameters.temperature = file.temperature ?? parameters.temperature
        parameters.topP = file.top_p ?? parameters.topP
        parameters.topK = file.top_k ?? parameters.topK
        parameters.minP = file.min_p ?? parameters.minP
        parameters.repetitionPenalty = file.repetition_penalty ?? parameters.repetitionPenalty
        parameters.maxTokens = file.max_new_tokens
        // Here, and not in an answer to a request that says nothing of them.
        let validator = RequestValidator(
            limits: RequestLimits(), maxModelLength: .max, vocabularySize: 1, endTokens: [])
        do {
            _ = try validator.validate(GenerationRequest(promptTokens: [0], sampling: parameters))
        } catch {
            throw InputError("\(path): \(error)")
        }
        return parameters
    }
}
