// SPDX-License-Identifier: Apache-2.0

import MartletAttention
import MartletCPU
import MartletCompute
import MartletModels
import MartletReference
import MartletText

/// From a file to an engine's parts: read, check, pack, size the cache, capture.
package struct ModelLoader {
    let path: String
    let options: EngineOptions

    package init(path: String, options: EngineOptions) {
        self.path = path
        self.options = options
    }

    /// Query tokens of a decode: its one, and those that are speculated, which none are yet.
    private static let decodeLength = 1

    /// - Parameter device: nil for the CPU, as the options describe it.
    package func load(
        on device: (any ComputeDevice)? = nil, progress: ((Double) -> Void)? = nil
    ) throws -> LoadedEngine {
        let start = ContinuousClock.now
        try options.validate()
        let device = try device ?? makeDevice()
        let source = try options.openModel(path, freeMemory: device.freeMemory)
        try options.validate(contextLength: source.shape.contextLength)
        let text = try ModelText(of: source, options: options)
        let sizing = CacheSizing(options: options, shape: source.shape)
        try device.check(source.programs, cache: sizing.cacheShape(blockCount: 1, on: device))

        let weights = try source.packWeights(on: device, progress: progress)
        let cache = try sizing.sizes(on: device)
        let steps = stepConfiguration(source.shape)
        let graphMode = resolvedGraphMode(on: device)
        let trace = options.trace.map { EngineTrace($0) }
        let runner = try makeRunner(
            of: source, weights: weights, cache: cache, graphMode: graphMode,
            capacity: batchCapacity(
                source, maxModelLength: cache.maxModelLength, cacheGroups: sizing.layout.groups.count,
                sequences: steps.maxNumSeqs, endTokens: text.tokenizer.endTokens.count), trace: trace, on: device)
        let model = LoadedModel(
            name: source.name, shape: source.shape, programs: source.programs, matrixType: source.matrixType,
            text: text,
            maxModelLength: cache.maxModelLength, graphMode: graphMode, deviceName: device.name,
            weightBytes: weights.values.reduce(0) { $0 + $1.byteCount },
            linearBytes: source.programs.linearWeights.reduce(0) { $0 + (weights[$1.name]?.byteCount ?? 0) },
            cacheBytes: try device.byteCount(of: sizing.cacheShape(blockCount: cache.usableBlocks, on: device)),
            cacheBlocks: cache.usableBlocks, cacheFormat: cache.cacheShape.format,
            cacheTokens: cache.tokens, blockSize: cache.cacheShape.blockSize,
            cacheGroups: sizing.layout.groups.count,
            maxNumBatchedTokens: steps.maxNumBatchedTokens, maxNumSeqs: steps.maxNumSeqs,
            loadSeconds: (ContinuousClock.now - start) / .seconds(1))
        return LoadedEngine(
            model: model,
            validator: RequestValidator(
                limits: options.limits, maxModelLength: cache.maxModelLength,
                vocabularySize: source.shape.vocabularySize, tokenizer: text.tokenizer),
            scheduler: Scheduler(
                configuration: steps,
                pool: BlockPool(
                    blockCount: cache.usableBlocks, blockSize: options.blockSize, groups: sizing.layout.groups,
                    cachesPrefixes: options.enablePrefixCaching)),
            runner: runner, trace: trace)
    }

    /// Allocates the cache and a step's memory, and captures the graphs: the last stage, which takes what the stages before
    /// it made.
    private func makeRunner(
        of source: any ModelSource, weights: [String: any DeviceWeight], cache: CacheSizing.Sizes, graphMode: GraphMode,
        capacity: BatchCapacity, trace: EngineTrace?, on device: any ComputeDevice
    ) throws -> ModelRunner {
        try requireMemory(for: capacity, on: device)
        let bindings = ProgramBindings(
            weights: weights, cache: try device.allocateCache(cache.cacheShape),
            workspace: try device.makeWorkspace(capacity))
        let captures = CapturePlan(
            mode: graphMode, sizes: options.graphCaptureSizes, capacity: capacity,
            capturesBySize: device.capturesBySize, decodeLength: Self.decodeLength)
        let planners = source.programs.attentionGroups.enumerated().map { number, group in
            AttentionPlanner(
                geometry: device.attentionGeometry(for: group.heads), group: group, number: number,
                splits: options.attentionLaunch.splits(isFullGraph: graphMode == .full),
                decodeThreshold: Self.decodeLength)
        }
        return try ModelRunner(
            device: device, cache: bindings.cache,
            dispatcher: GraphDispatcher(
                captures, programs: source.programs, bindings: bindings, on: device, logger: options.logger),
            planners: planners, decodeLength: Self.decodeLength, capacity: capacity, trace: trace)
    }

    /// A step's buffers grow with the product of sequences and context, and must fit.
    private func requireMemory(for capacity: BatchCapacity, on device: any ComputeDevice) throws(EngineError) {
        let bytes = BatchLayout(capacity).byteCount * (device.runsAsynchronously ? 2 : 1)
        guard let free = device.freeMemory, bytes > free else { return }
        throw EngineError(
            .invalidOptions,
            "the buffers of a step would take \(bytes) bytes; \(free) are free: lower max_num_seqs "
                + "or max_model_len", field: "max_num_seqs")
    }

    private func makeDevice() throws -> any ComputeDevice {
        switch options.device {
        case .auto, .cpu:
            try CPUDevice(
                threads: options.threads, instructionSet: options.instructionSet, activations: options.activations,
                trace: options.trace)
        case .reference: ReferenceDevice()
        }
    }

    /// What was asked for, as far as the device's attention can be captured.
    private func resolvedGraphMode(on device: any ComputeDevice) -> GraphMode {
        let resolved = options.graphMode.resolved(
            for: device.attentionGraphSupport, speculatedTokens: Self.decodeLength - 1)
        if resolved != options.graphMode {
            options.logger.warning(
                """
                graph mode \(options.graphMode.rawValue) needs more than attention on \(device.name) can do \
                (\(device.attentionGraphSupport)); steps run in \(resolved.rawValue)
                """)
        }
        return resolved
    }

    private func stepConfiguration(_ model: ModelShape) -> SchedulerConfiguration {
        if options.maxNumSeqs > options.maxNumBatchedTokens {
            options.logger.warning(
                """
                max_num_seqs is \(options.maxNumSeqs), but a step computes max_num_batched_tokens \
                (\(options.maxNumBatchedTokens)): so many sequences run at a time
                """)
        }
        var configuration = SchedulerConfiguration(
            maxNumBatchedTokens: options.maxNumBatchedTokens, maxNumSeqs: options.maxNumSeqs)
        configuration.policy = options.schedulingPolicy
        configuration.longPrefillTokenThreshold = options.longPrefillTokenThreshold
        configuration.prefillShare = options.prefillShare
        configuration.doublingContext = model.attentionDoublingContext
        return configuration
    }

    private func batchCapacity(
        _ source: any ModelSource, maxModelLength: Int, cacheGroups: Int, sequences: Int, endTokens: Int
    ) -> BatchCapacity {
        let vocabularySize = source.shape.vocabularySize
        return BatchCapacity(
            tokens: options.maxNumBatchedTokens, sequences: sequences,
            blocksPerSequence: (maxModelLength + options.blockSize - 1) / options.blockSize,
            logitRows: min(64, options.maxNumBatchedTokens), topLogprobs: options.limits.logprobs,
            logitEdits: LogitEdits.Capacity(
                biases: options.limits.biasesPerSequence(endTokens: endTokens),
                counts: min(maxModelLength, vocabularySize), vocabularySize: vocabularySize),
            attentionPlans: max(1, source.programs.attentionGroups.count),
            cacheGroups: cacheGroups)
    }
}
