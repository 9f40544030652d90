// SPDX-License-Identifier: Apache-2.0

package import Foundation

/// llama.cpp by its own benchmark, flash attention off and on: each run counts the faster one.
package struct LlamaBench: Contender {
    package let name = "llama.cpp"
    let path: String
    let model: String
    let threads: Int

    /// It does so by itself.
    package func warmUp(_ workload: Workload, prompts: [[Int32]]) {}

    package func run(_ workload: Workload, prompts: [[Int32]]) async throws -> Double? {
        let sizes: [Int]
        switch workload {
        case .prompt(let tokens): sizes = [tokens, 0, 0]
        case .answer(let tokens, let depth): sizes = [0, tokens, depth]
        case .concurrent: return nil
        }
        return try [0, 1].map { flashAttention in
            let arguments = zip(["-p", "-n", "-d"], sizes).flatMap { [$0, "\($1)"] }
            let output = try run(arguments + ["-fa", "\(flashAttention)"])
            guard let rate = Self.rate(in: output) else {
                throw ContenderError(description: "\(path) printed no figures for \(workload)")
            }
            return rate
        }.max()
    }

    private func run(_ arguments: [String]) throws -> Data {
        let process = Process()
        process.executableURL = URL(filePath: path)
        process.arguments = ["-m", model, "-t", "\(threads)", "-r", "1", "-o", "jsonl"] + arguments
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw ContenderError(
                description: "\(path) ended with \(process.terminationStatus); run it by hand to see why")
        }
        return data
    }

    private struct Line: Decodable {
        let samples: [Double]
        enum CodingKeys: String, CodingKey { case samples = "samples_ts" }
    }

    /// The one sample of the one test in llama-bench's lines.
    package static func rate(in output: Data) -> Double? {
        output.split(separator: UInt8(ascii: "\n"))
            .compactMap { try? JSONDecoder().decode(Line.self, from: Data($0)).samples.first }.first
    }
}
