// SPDX-License-Identifier: Apache-2.0

import Martlet

extension EngineError {
    /// The engine's names for options that stand in its messages, longest first, and the flags that set them.
    private static let flags = [
        ("allow_long_max_model_len", "--allow-long-max-model-len"),
        ("long_prefill_token_threshold", "--long-prefill-token-threshold"),
        ("num_gpu_blocks_override", "--num-gpu-blocks-override"),
        ("cudagraph_capture_sizes", "--cudagraph-capture-sizes"),
        ("max_num_batched_tokens", "--max-num-batched-tokens"), ("kv_cache_memory_bytes", "--kv-cache-memory-bytes"),
        ("max_model_len", "--max-model-len"), ("prefill_share", "--prefill-share"),
        ("max_num_seqs", "--max-num-seqs"), ("block_size", "--block-size"),
    ]

    /// The same error for a command line: it names flags in place of the engine's options.
    ///
    /// - Parameter longest: a command's longest request, where that, and no flag, decided `max_model_len`.
    func input(longest: Int? = nil) -> InputError {
        var text = message
        // Other messages may hold such words in a path.
        guard code == .invalidOptions else { return InputError(text) }
        if let longest {
            text.replace(
                "max_model_len is \(longest); it",
                with: "the longest request has \(longest) tokens, prompt and answer; that")
        }
        if let field, text.hasPrefix(field + " ") {
            text = "--" + field.replacing("_", with: "-") + text.dropFirst(field.count)
        }
        for (name, flag) in Self.flags { text.replace(name, with: flag) }
        return InputError(text)
    }
}
