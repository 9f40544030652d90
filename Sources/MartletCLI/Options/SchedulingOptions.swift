// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Martlet

/// What a step computes, and whose turn it is.
struct SchedulingOptions: ParsableArguments {
    @Option(parsing: .unconditional, help: "Tokens computed in one step.")
    var maxNumBatchedTokens = EngineOptions().maxNumBatchedTokens

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Sequences computed at a time, at most --max-num-batched-tokens; \(EngineOptions().maxNumSeqs) by default.")
    )
    var maxNumSeqs: Int?

    @Option(parsing: .unconditional, help: "Most tokens of one prompt in a step; 0 for no such bound.")
    var longPrefillTokenThreshold = EngineOptions().longPrefillTokenThreshold

    @Option(
        parsing: .unconditional,
        help: "Part of a step that prompts may take while answers are generated: less of it, steadier answers.")
    var prefillShare = EngineOptions().prefillShare

    @Option(help: "Whose turn it is: fcfs or priority.")
    var schedulingPolicy = EngineOptions().schedulingPolicy

    func apply(to options: inout EngineOptions) {
        options.maxNumBatchedTokens = maxNumBatchedTokens
        options.maxNumSeqs = maxNumSeqs ?? options.maxNumSeqs
        options.longPrefillTokenThreshold = longPrefillTokenThreshold
        options.prefillShare = prefillShare
        options.schedulingPolicy = schedulingPolicy
    }
}
