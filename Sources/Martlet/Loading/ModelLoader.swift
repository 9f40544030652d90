// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
import MartletCPU
import MartletCheckpoints
import MartletCompute
import MartletModels
import MartletText

/// What an engine is made of, for its thread to own.
struct LoadedEngine {
    let model: LoadedModel
    let validator: RequestValidator
    let scheduler: Scheduler
    let runner: any StepRunner
}

/// From a file to an engine's parts: read, check, pack, size the cache, compile.
struct ModelLoader {
    let path: String
    let options: EngineOptions

    func load(progress: ((Double) -> Void)? = nil) throws -> LoadedEngine {
        let clock = ContinuousClock()
        let start = clock.now
        try options.validate()
        let file = try GGUFFile(path: path)
        file.file.willNeed()
        let blueprint = try ModelBlueprint(of: file)
        let configuration = blueprint.configuration
        try options.validate(contextLength: configuration.contextLength)
        let device = try CPUDevice(
            threads: options.threads, instructionSet: options.instructionSet, activations: options.activations,
            trace: options.trace)

        let tokenizer = try Tokenizer(of: file)
        let chatTemplate = try file.contents.string("tokenizer.chat_template").map { try ChatTemplate($0) }
        let weights = try packWeights(blueprint, of: file, on: device, progress: progress)
        try file.file.checkUnchanged()

        let cache = try CacheSizing(options: options, configuration: configuration).layout(on: device)
        let configurationOfSteps = stepConfiguration(configuration)
        let runner = try ModelRunner(
            device: device, programs: blueprint.programs, weights: weights, cacheLayout: cache.layout,
            capacity: batchCapacity(
                configuration, maxModelLength: cache.maxModelLength, sequences: configurationOfSteps.maxNumSeqs,
                endTokens: tokenizer.endTokens.count),
            heads: configuration.heads, attentionLaunch: options.attentionLaunch,
            trace: options.trace.map { EngineTrace($0) })
        let fileName = URL(filePath: path).deletingPathExtension().lastPathComponent
        let model = LoadedModel(
            name: try file.contents.string("general.name") ?? fileName, configuration: configuration,
            matrixType: blueprint.matrixType, tokenizer: tokenizer, chatTemplate: chatTemplate,
            maxModelLength: cache.maxModelLength, deviceName: device.name,
            weightBytes: weights.values.reduce(0) { $0 + $1.byteCount },
            cacheBytes: try device.byteCount(of: cache.layout), cacheBlocks: cache.layout.blockCount,
            cacheTokens: cache.layout.blockCount * cache.layout.blockSize,
            maxNumBatchedTokens: configurationOfSteps.maxNumBatchedTokens, maxNumSeqs: configurationOfSteps.maxNumSeqs,
            loadSeconds: (clock.now - start) / .seconds(1))
        return LoadedEngine(
            model: model,
            validator: RequestValidator(
                limits: options.limits, maxModelLength: cache.maxModelLength,
                vocabularySize: configuration.vocabularySize, endTokens: tokenizer.endTokens),
            scheduler: Scheduler(
                configuration: configurationOfSteps,
                pool: BlockPool(
                    blockCount: cache.layout.blockCount, blockSize: options.blockSize,
                    cachesPrefixes: options.enablePrefixCaching)),
            runner: runner)
    }

    private func stepConfiguration(_ model: DecoderConfiguration) -> SchedulerConfiguration {
        var configuration = SchedulerConfiguration(
            maxNumBatchedTokens: options.maxNumBatchedTokens, maxNumSeqs: options.maxNumSeqs)
        configuration.policy = options.schedulingPolicy
        configuration.longPrefillTokenThreshold = options.longPrefillTokenThreshold
        configuration.prefillShare = options.prefillShare
        configuration.doublingContext = model.attentionDoublingContext
        return configuration
    }

    private func batchCapacity(
        _ model: DecoderConfiguration, maxModelLength: Int, sequences: Int, endTokens: Int
    ) -> BatchCapacity {
        BatchCapacity(
            tokens: options.maxNumBatchedTokens, sequences: sequences,
            blocksPerSequence: (maxModelLength + options.blockSize - 1) / options.blockSize,
            logitRows: min(64, options.maxNumBatchedTokens), topLogprobs: options.limits.logprobs,
            logitEdits: LogitEdits.Capacity(
                biases: options.limits.biasesPerSequence(endTokens: endTokens),
                counts: min(maxModelLength, model.vocabularySize), vocabularySize: model.vocabularySize))
    }

    private func packWeights(
        _ blueprint: ModelBlueprint, of file: GGUFFile, on device: any ComputeDevice, progress: ((Double) -> Void)?
    ) throws -> [String: any DeviceWeight] {
        var weights: [String: any DeviceWeight] = [:]
        let total = Double(max(1, blueprint.matrices.reduce(0) { $0 + $1.tensor.range.count }))
        var done = 0
        for (weight, tensor) in blueprint.matrices {
            weights[weight.name] = try device.pack(file.hostTensor(tensor))
            done += tensor.range.count
            progress?(Double(done) / total)
        }
        for (weight, tensor) in blueprint.vectors {
            weights[weight.name] = try device.upload(file.hostTensor(tensor).dequantized())
        }
        return weights
    }
}

extension EngineOptions {
    /// What doesn't depend on the model.
    func validate() throws(EngineError) {
        func require(_ condition: Bool, _ field: String, _ message: String) throws(EngineError) {
            guard condition else { throw EngineError(.invalidOptions, "\(field) \(message)", field: field) }
        }
        try require(
            (1...(1 << 16)).contains(maxNumBatchedTokens), "max_num_batched_tokens",
            "is \(maxNumBatchedTokens); it must be between 1 and 65536")
        try require((1...4096).contains(maxNumSeqs), "max_num_seqs", "is \(maxNumSeqs); it must be between 1 and 4096")
        try require(
            (16...1024).contains(blockSize) && blockSize % 16 == 0, "block_size",
            "is \(blockSize); it must be a multiple of 16 up to 1024")
        try require(
            (0...(1 << 16)).contains(longPrefillTokenThreshold), "long_prefill_token_threshold",
            "is \(longPrefillTokenThreshold); it must be between 0 (no bound) and 65536")
        try require(
            prefillShare > 0 && prefillShare <= 1, "prefill_share",
            "is \(prefillShare); it must be above 0 and at most 1")
        try require(
            watchdogSeconds > 0 && watchdogSeconds <= 86_400, "watchdog_seconds",
            "is \(watchdogSeconds); it must be above 0 and at most a day")
        for limit in limits.ranges {
            try require(
                limit.range.contains(limit.value), "limits.\(limit.name)",
                "is \(limit.value); it must be between \(limit.range.lowerBound) and \(limit.range.upperBound)")
        }
    }

    func validate(contextLength: Int) throws(EngineError) {
        guard let maxModelLength, !(2...max(2, contextLength)).contains(maxModelLength) else { return }
        throw EngineError(
            .invalidOptions,
            "max_model_len is \(maxModelLength); it must be between 2 and the model's own \(contextLength)",
            field: "max_model_len")
    }
}
