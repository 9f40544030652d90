// SPDX-License-Identifier: Apache-2.0

import MartletCPU
import MartletCompute

extension EngineOptions {
    /// What doesn't depend on the model.
    func validate() throws(EngineError) {
        func require(_ condition: Bool, _ field: String, _ message: String) throws(EngineError) {
            guard condition else { throw EngineError(.invalidOptions, "\(field) \(message)", field: field) }
        }
        try require(
            device != .reference || (threads == nil && instructionSet == nil), "device",
            "is reference, which has one thread and no instruction sets: neither can be chosen")
        try require(
            device != .reference || activations == EngineOptions().activations, "device",
            "is reference, which doesn't round activations: their precision can't be chosen")
        if let threads {
            let counts = CPUDevice.threadCounts
            try require(
                counts.contains(threads), "threads", "is \(threads); it must be 1 to \(counts.upperBound)")
        }
        if let instructionSet {
            try require(
                InstructionSet.available.contains(instructionSet), "instruction_set",
                "is \(instructionSet.rawValue), which this machine doesn't run; it runs "
                    + InstructionSet.available.map(\.rawValue).joined(separator: ", "))
        }
        try require(
            (1...(1 << 16)).contains(maxNumBatchedTokens), "max_num_batched_tokens",
            "is \(maxNumBatchedTokens); it must be between 1 and 65536")
        try require((1...4096).contains(maxNumSeqs), "max_num_seqs", "is \(maxNumSeqs); it must be between 1 and 4096")
        try require(
            CacheShape.allows(blockSize: blockSize), "block_size",
            "is \(blockSize); it must be \(CacheShape.blockSizeRule)")
        if let sizes = graphCaptureSizes {
            try require(
                !sizes.isEmpty && sizes.count <= 1024 && sizes.allSatisfy { (1...(1 << 16)).contains($0) },
                "cudagraph_capture_sizes", "is \(sizes); it must hold numbers from 1 to 65536, at most 1024 of them")
        }
        try require(
            (0...(1 << 16)).contains(longPrefillTokenThreshold), "long_prefill_token_threshold",
            "is \(longPrefillTokenThreshold); it must be between 0 (no bound) and 65536")
        try require(
            prefillShare > 0 && prefillShare <= 1, "prefill_share",
            "is \(prefillShare); it must be above 0 and at most 1")
        try require(
            watchdogSeconds > 0 && watchdogSeconds <= 86_400, "watchdog_seconds",
            "is \(watchdogSeconds); it must be above 0 and at most a day")
        try require(
            limits.unreadSeconds >= 0 && limits.unreadSeconds <= 86_400, "limits.unread_seconds",
            "is \(limits.unreadSeconds); it must be 0 to a day")
        for (name, path, range) in RequestLimits.table {
            let value = limits[keyPath: path]
            try require(
                range.contains(value), "limits.\(name)",
                "is \(value); it must be between \(range.lowerBound) and \(range.upperBound)")
        }
    }

    /// Says so where a sequence may be longer than the model was trained for.
    func validate(contextLength: Int) throws(EngineError) {
        let longest = allowsLongMaxModelLength ? Self.longestModelLength : max(2, contextLength)
        guard let maxModelLength else { return }
        guard (2...longest).contains(maxModelLength) else {
            throw EngineError(
                .invalidOptions,
                "max_model_len is \(maxModelLength); it must be between 2 and "
                    + (allowsLongMaxModelLength
                        ? "\(longest)"
                        : "the model's own \(contextLength), unless allow_long_max_model_len permits more"),
                field: "max_model_len")
        }
        if maxModelLength > contextLength {
            logger.warning(
                """
                max_model_len is \(maxModelLength), but the model was trained for \(contextLength) positions: beyond \
                them its answers may make no sense
                """)
        }
    }

    /// The most that positions and tables are made for.
    private static let longestModelLength = 1 << 24
}
