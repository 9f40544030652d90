// SPDX-License-Identifier: Apache-2.0

/// What an engine is doing and has done, at one moment. Counts are since its start.
public struct EngineStatistics: Equatable, Sendable {
    /// Sequences that hold cache blocks.
    public var running: Int
    /// Sequences that don't yet, or no longer.
    public var waiting: Int
    /// Blocks of the KV cache.
    public var blocks: Int
    /// Free blocks, those included that the prefix cache could give back into use.
    public var freeBlocks: Int
    /// Steps that were computed.
    public var steps: Int
    /// Steps that ran as one captured graph.
    public var fullGraphSteps: Int
    /// Steps that ran as captured pieces with attention between them.
    public var piecewiseGraphSteps: Int
    /// Attention kernels that a layer ran, all steps together: one for prefills and one for decodes, or one for both.
    public var attentionLaunches: Int
    /// Steps by the tokens that they computed: element i counts those of at most `stepTokenBounds[i]` and more than the
    /// bound before; the last those of more than all bounds.
    public var stepTokenCounts: [Int]
    /// vLLM's, for its `iteration_tokens_total`.
    public static let stepTokenBounds = [1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384]
    /// Times that a running sequence lost its blocks to others and was computed again.
    public var preemptions: Int
    /// Prompt tokens that were looked for in the prefix cache.
    public var prefixCacheQueries: Int
    /// Prompt tokens that were found there.
    public var prefixCacheHits: Int
    /// Prompt tokens of all requests.
    public var promptTokens: Int
    /// Tokens of all answers.
    public var generatedTokens: Int
    /// Requests that ended in an error.
    public var failedRequests: Int
    package var work: ComputedWork

    package init(_ counters: EngineCounters, blocks: Int) {
        running = counters.running.load(ordering: .relaxed)
        waiting = counters.waiting.load(ordering: .relaxed)
        self.blocks = blocks
        freeBlocks = counters.freeBlocks.load(ordering: .relaxed)
        steps = counters.steps.load(ordering: .relaxed)
        fullGraphSteps = counters.fullGraphSteps.load(ordering: .relaxed)
        piecewiseGraphSteps = counters.piecewiseGraphSteps.load(ordering: .relaxed)
        attentionLaunches = counters.attentionLaunches.load(ordering: .relaxed)
        stepTokenCounts = counters.stepTokenCounts
        preemptions = counters.preemptions.load(ordering: .relaxed)
        prefixCacheQueries = counters.prefixCacheQueries.load(ordering: .relaxed)
        prefixCacheHits = counters.prefixCacheHits.load(ordering: .relaxed)
        promptTokens = counters.promptTokens.load(ordering: .relaxed)
        generatedTokens = counters.generatedTokens.load(ordering: .relaxed)
        failedRequests = counters.failedRequests.load(ordering: .relaxed)
        work = ComputedWork(
            steps: steps, tokens: counters.computedTokens.load(ordering: .relaxed),
            logitRows: counters.logitRows.load(ordering: .relaxed),
            attendedPairs: counters.attendedPairs.load(ordering: .relaxed),
            readTokens: counters.readTokens.load(ordering: .relaxed))
    }
}

/// Whether an engine takes requests.
public enum EngineHealth: String, Sendable {
    case ready
    /// It serves what was asked before and ends.
    case draining
    /// A step hasn't ended for too long. What was asked has failed; should the step end after all, the engine is ready
    /// again.
    case stalled
    case stopped
    /// The device is lost: nothing can be served any more.
    case failed
}
