// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import MartletCompute

/// What of vLLM's `compilation_config` has a meaning here.
struct CompilationConfig: Decodable {
    var graphMode: GraphMode?
    var captureSizes: [Int]?

    private enum Key: String, CaseIterable {
        case mode = "cudagraph_mode"
        case captureSizes = "cudagraph_capture_sizes"
    }

    /// Any key at all, so that those without a meaning can be named.
    private struct AnyKey: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }

        init(_ key: Key) { stringValue = key.rawValue }
        init?(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    init() {}

    /// - Throws: what is wrong with it; unknown keys by their names.
    init(json: String) throws {
        do {
            self = try JSONDecoder().decode(Self.self, from: Data(json.utf8))
        } catch is DecodingError {
            throw ValidationError(#"it must be a JSON object like {"cudagraph_mode": "FULL"}"#)
        }
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: AnyKey.self)
        let known = Key.allCases.map(\.rawValue)
        let unknown = container.allKeys.map(\.stringValue).filter { !known.contains($0) }.sorted()
        guard unknown.isEmpty else {
            throw ValidationError(
                "\(unknown.joined(separator: ", ")) \(unknown.count == 1 ? "has" : "have") no meaning here; "
                    + "\(known.joined(separator: " and ")) have")
        }
        do {
            if let text = try container.decodeIfPresent(String.self, forKey: AnyKey(.mode)) {
                guard let mode = GraphMode(argument: text) else { throw Self.modeError }
                graphMode = mode
            }
        } catch is DecodingError { throw Self.modeError }
        do {
            captureSizes = try container.decodeIfPresent([Int].self, forKey: AnyKey(.captureSizes))
        } catch { throw Self.sizesError }
    }

    /// Numbers with commas between them, in brackets or without.
    static func captureSizes(_ argument: String) throws -> [Int] {
        let isBracketed = argument.hasPrefix("[") && argument.hasSuffix("]")
        let list = isBracketed ? argument.dropFirst().dropLast() : argument[...]
        return try list.split(separator: ",", omittingEmptySubsequences: false).map { part in
            guard let size = Int(part.trimmingCharacters(in: .whitespaces)) else { throw sizesError }
            return size
        }
    }

    private static let modeError = ValidationError(
        "cudagraph_mode must be one of \(GraphMode.allCases.map(\.rawValue).joined(separator: ", "))")
    private static let sizesError = ValidationError("cudagraph_capture_sizes must be a list of numbers")
}
