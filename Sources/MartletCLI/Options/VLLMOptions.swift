// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

/// Flags that scripts written for vLLM bring along and that decide nothing here. Accepted, and said to be without effect,
/// where what they ask for is the case anyway; refused with a reason where it isn't.
package struct VLLMOptions: ParsableArguments {
    package init() {}

    @Option var dtype = "auto"
    @Option var tokenizer: String?
    @Option(name: [.customLong("tensor-parallel-size"), .customLong("tp", withSingleDash: true)])
    var tensorParallelSize = 1
    @Option(name: [.customLong("pipeline-parallel-size"), .customLong("pp", withSingleDash: true)])
    var pipelineParallelSize = 1
    @Option var gpuMemoryUtilization: Double?
    @Option var swapSpace: Double?
    @Option var downloadDir: String?
    @Option var uvicornLogLevel: String?
    @Flag var trustRemoteCode = false
    @Flag(inversion: .prefixedNo) var enableChunkedPrefill = true
    @Flag(name: [.customLong("disable-log-requests"), .customLong("no-enable-log-requests")]) var disableLogRequests =
        false
    @Flag var disableLogStats = false
    @Flag var disableUvicornAccessLog = false

    /// How `serve` treats each of these flags, for Docs/Flags.md.
    static let documentation = """
        ## vLLM's flags of serve

        Taken for the sake of scripts, beside those above, whose names and meanings are vLLM's where it has them.
        Underscores count as dashes. Other flags of vLLM are unknown, which ends the command.

        | flag | here |
        |---|---|
        | `--model PATH` | the model, as the argument |
        | `--dtype`, `--gpu-memory-utilization`, `--swap-space`, `--download-dir`, `--uvicorn-log-level`, `--trust-remote-code` | without effect, which a warning says |
        | `--tensor-parallel-size`, `-tp`, `--pipeline-parallel-size`, `-pp` | 1 alone: there is one device |
        | `--enable-chunked-prefill` | always so; `--no-enable-chunked-prefill` is refused |
        | `--quantization` | `gguf` is without effect: the file says how its weights are quantised; `int8` and `int4` as above |
        | `--tokenizer` | refused: a model brings its own |
        | `--disable-log-requests`, `--no-enable-log-requests`, `--disable-log-stats` | the case anyway |
        | `--disable-uvicorn-access-log` | `--disable-access-log` |

        """

    func validate() throws {
        guard tensorParallelSize == 1, pipelineParallelSize == 1 else {
            throw ValidationError(
                "--tensor-parallel-size and --pipeline-parallel-size: there is one device; use --threads")
        }
        guard enableChunkedPrefill else {
            throw ValidationError(
                "--no-enable-chunked-prefill: prompts are always read in chunks of --max-num-batched-tokens")
        }
        guard ["auto", "bfloat16", "half", "float16", "float", "float32"].contains(dtype) else {
            throw ValidationError("--dtype \(dtype) is unknown")
        }
        guard tokenizer == nil else { throw ValidationError("--tokenizer: a model brings its own") }
    }

    /// Those that were given, each with what to use instead.
    package var notices: [String] {
        var notices: [String] = []
        if dtype != "auto" { notices.append("--dtype has no effect: weights are computed as the file has them") }
        if gpuMemoryUtilization != nil {
            notices.append("--gpu-memory-utilization has no effect: give --kv-cache-memory-bytes")
        }
        if swapSpace != nil { notices.append("--swap-space has no effect: preempted requests are computed anew") }
        if downloadDir != nil { notices.append("--download-dir has no effect: nothing is downloaded") }
        if uvicornLogLevel != nil { notices.append("--uvicorn-log-level has no effect: give --log-level") }
        if trustRemoteCode { notices.append("--trust-remote-code has no effect: a model brings no code") }
        return notices.map { "the flag \($0)" }
    }

    /// A command line in our spelling: dashes for underscores, and the model, which vLLM also takes as `--model`, first.
    ///
    /// - Parameter arguments: those behind the command's name.
    static func normalized(_ arguments: [String]) -> [String] {
        var (result, model) = ([String](), String?.none)
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            if argument == "--" {
                result += [argument] + rest
                break
            }
            guard argument.hasPrefix("--") else {
                result.append(argument)
                continue
            }
            let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            // vLLM's dotted names have underscores behind the point.
            let name = parts[0].split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
            let flag = ([String(name[0]).replacing("_", with: "-")] + name.dropFirst().map(String.init)).joined(
                separator: ".")
            if flag == "--model" {
                model = parts.count > 1 ? String(parts[1]) : rest.popFirst()
            } else {
                result.append(([flag] + parts.dropFirst().map(String.init)).joined(separator: "="))
            }
        }
        return (model.map { [$0] } ?? []) + result
    }
}
