// SPDX-License-Identifier: Apache-2.0

import MartletAttention
import MartletCPU
import MartletCompute
import MartletModels
import MartletReference
import MartletText

/// What an engine is made of, for its thread to own.
struct LoadedEngine {
    let model: LoadedModel
    let validator: RequestValidator
    let scheduler: Scheduler
    let runner: any StepRunner
    /// The engine's lane; the loop and the runner record into it.
    var trace: EngineTrace?
}

/// From a file to an engine's parts: read, check, pack, size the cache, capture.
struct ModelLoader {
    let path: String
    let options: EngineOptions

    /// Query tokens of a decode: its one, and those that are speculated, which none are yet.
    private static let decodeLength = 1

    /// - Parameter device: nil for the CPU, as the options describe it.
    func load(on device: (any ComputeDevice)? = nil, progress: ((Double) -> Void)? = nil) throws -> LoadedEngine {
        let clock = ContinuousClock()
        let start = clock.now
        try options.validate()
        let device = try device ?? makeDevice()
        let source = try options.loadFormat.open(path, freeMemory: device.freeMemory)
        let shape = source.shape
        try options.validate(contextLength: shape.contextLength)

        let tokenizer = try source.tokenizer().addingEndTokens(Set(options.endTokens))
        let (chatTemplate, chatTemplateFault) = try chatTemplate(of: source)
        let sizing = CacheSizing(options: options, shape: shape)
        try device.check(source.programs, cache: sizing.layout(blockCount: 1, on: device))
        let weights = try source.packWeights(on: device, progress: progress)

        let cache = try sizing.layout(on: device)
        let steps = stepConfiguration(shape)
        let capacity = batchCapacity(
            shape, maxModelLength: cache.maxModelLength, sequences: steps.maxNumSeqs,
            endTokens: tokenizer.endTokens.count, attentionPlans: max(1, source.programs.attentionGroups.count))
        try requireMemory(for: capacity, on: device)
        let graphMode = resolvedGraphMode(on: device)
        let bindings = ProgramBindings(
            weights: weights, cache: try device.allocateCache(cache.layout),
            workspace: try device.makeWorkspace(capacity))
        let trace = options.trace.map { EngineTrace($0) }
        let runner = try ModelRunner(
            device: device, cache: bindings.cache,
            dispatcher: try GraphDispatcher(
                CapturePlan(
                    mode: graphMode, sizes: options.graphCaptureSizes, capacity: capacity,
                    capturesBySize: device.capturesBySize, decodeLength: Self.decodeLength),
                programs: source.programs, bindings: bindings, on: device, logger: options.logger),
            planners: source.programs.attentionGroups.enumerated().map { number, group in
                AttentionPlanner(
                    geometry: device.attentionGeometry(for: group.heads), group: group, number: number,
                    splits: options.attentionLaunch.splits(isFullGraph: graphMode == .full),
                    decodeThreshold: Self.decodeLength)
            }, decodeLength: Self.decodeLength,
            capacity: capacity, trace: trace)
        let model = LoadedModel(
            name: source.name, shape: shape, programs: source.programs, matrixType: source.matrixType,
            tokenizer: tokenizer,
            chatTemplate: chatTemplate, chatTemplateFault: chatTemplateFault, maxModelLength: cache.maxModelLength,
            graphMode: graphMode,
            deviceName: device.name, weightBytes: weights.values.reduce(0) { $0 + $1.byteCount },
            linearBytes: source.programs.linearWeights.reduce(0) { $0 + (weights[$1.name]?.byteCount ?? 0) },
            cacheBytes: try device.byteCount(of: sizing.layout(blockCount: cache.usableBlocks, on: device)),
            cacheBlocks: cache.usableBlocks,
            cacheFormat: cache.layout.format,
            cacheTokens: cache.usableBlocks * cache.layout.blockSize,
            maxNumBatchedTokens: steps.maxNumBatchedTokens, maxNumSeqs: steps.maxNumSeqs,
            loadSeconds: (clock.now - start) / .seconds(1))
        return LoadedEngine(
            model: model,
            validator: RequestValidator(
                limits: options.limits, maxModelLength: cache.maxModelLength,
                vocabularySize: shape.vocabularySize, tokenizer: tokenizer),
            scheduler: Scheduler(
                configuration: steps,
                pool: BlockPool(
                    blockCount: cache.usableBlocks, blockSize: options.blockSize,
                    cachesPrefixes: options.enablePrefixCaching)),
            runner: runner, trace: trace)
    }

    /// The chat template that was asked for, or the model's own. What is wrong with the model's own disables it alone,
    /// and is said.
    private func chatTemplate(of source: any ModelSource) throws -> (ChatTemplate?, TemplateError?) {
        var template: ChatTemplate?
        if let given = options.chatTemplate {
            template = try ChatTemplate(given, budget: options.templateBudget)
        } else if let own = try source.chatTemplateSource() {
            do throws(TemplateError) {
                template = try ChatTemplate(own, budget: options.templateBudget)
            } catch {
                options.logger.warning("the model's \(error); conversations are refused, plain prompts are answered")
                return (nil, error)
            }
        }
        for error in template?.missing ?? [] {
            options.logger.warning("\(error); conversations that need it are refused")
        }
        return (template, nil)
    }

    /// A step's buffers grow with the product of sequences and context, and must fit.
    private func requireMemory(for capacity: BatchCapacity, on device: any ComputeDevice) throws(EngineError) {
        let bytes = BatchLayout(capacity).byteCount
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
        _ model: ModelShape, maxModelLength: Int, sequences: Int, endTokens: Int, attentionPlans: Int
    ) -> BatchCapacity {
        BatchCapacity(
            tokens: options.maxNumBatchedTokens, sequences: sequences,
            blocksPerSequence: (maxModelLength + options.blockSize - 1) / options.blockSize,
            logitRows: min(64, options.maxNumBatchedTokens), topLogprobs: options.limits.logprobs,
            logitEdits: LogitEdits.Capacity(
                biases: options.limits.biasesPerSequence(endTokens: endTokens),
                counts: min(maxModelLength, model.vocabularySize), vocabularySize: model.vocabularySize),
            attentionPlans: attentionPlans)
    }
}

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
            (1...(1 << 16)).contains(maxNumBatchedTokens), "max_num_batched_tokens",
            "is \(maxNumBatchedTokens); it must be between 1 and 65536")
        try require((1...4096).contains(maxNumSeqs), "max_num_seqs", "is \(maxNumSeqs); it must be between 1 and 4096")
        try require(
            (16...1024).contains(blockSize) && blockSize % 16 == 0, "block_size",
            "is \(blockSize); it must be a multiple of 16 up to 1024")
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
        for limit in limits.ranges {
            try require(
                limit.range.contains(limit.value), "limits.\(limit.name)",
                "is \(limit.value); it must be between \(limit.range.lowerBound) and \(limit.range.upperBound)")
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
