// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
import MartletCPU
import MartletCheckpoints
import MartletCompute
import MartletModels
import MartletText

/// From a file to an engine loop: read, check, pack, compile.
struct ModelLoader {
    let path: String
    let options: EngineOptions

    func load(progress: ((Double) -> Void)?) throws -> (LoadedModel, EngineLoop) {
        let clock = ContinuousClock()
        let start = clock.now
        let file = try GGUFFile(path: path)
        file.file.willNeed()
        let blueprint = try ModelBlueprint(of: file)
        let configuration = blueprint.configuration
        let maxModelLength = try effectiveMaxModelLength(configuration)
        let device = try CPUDevice(
            threads: options.threads, instructionSet: options.instructionSet, activations: options.activations)
        let blocksPerSequence = (maxModelLength + options.blockSize - 1) / options.blockSize
        let layout = CacheLayout(
            layers: configuration.layers, keyValueHeads: configuration.heads.keyValueHeads,
            headSize: configuration.heads.headSize, blockSize: options.blockSize, blockCount: blocksPerSequence,
            format: options.kvCacheDtype)
        let cacheBytes = try device.byteCount(of: layout)

        let tokenizer = try Tokenizer(of: file)
        let chatTemplate = try file.contents.string("tokenizer.chat_template").map { try ChatTemplate($0) }
        let weights = try packWeights(blueprint, of: file, on: device, progress: progress)
        try file.file.checkUnchanged()

        let runner = try ModelRunner(
            device: device, programs: blueprint.programs, weights: weights, cacheLayout: layout,
            capacity: BatchCapacity(
                tokens: min(options.maxNumBatchedTokens, maxModelLength), sequences: 1,
                blocksPerSequence: blocksPerSequence, logitRows: min(64, options.maxNumBatchedTokens)),
            heads: configuration.heads, attentionLaunch: options.attentionLaunch)
        let fileName = URL(filePath: path).deletingPathExtension().lastPathComponent
        let model = LoadedModel(
            name: try file.contents.string("general.name") ?? fileName, configuration: configuration,
            matrixType: blueprint.matrixType, tokenizer: tokenizer, chatTemplate: chatTemplate,
            maxModelLength: maxModelLength,
            deviceName: device.name, weightBytes: weights.values.reduce(0) { $0 + $1.byteCount },
            cacheBytes: cacheBytes, loadSeconds: (clock.now - start) / .seconds(1))
        return (model, EngineLoop(runner: runner, tokenizer: tokenizer, blockCount: blocksPerSequence))
    }

    private func effectiveMaxModelLength(_ configuration: DecoderConfiguration) throws(EngineError) -> Int {
        func require(_ condition: Bool, _ field: String, _ message: String) throws(EngineError) {
            guard condition else { throw EngineError(.invalidOptions, "\(field) \(message)", field: field) }
        }
        let length = options.maxModelLength ?? configuration.contextLength
        try require(
            (2...configuration.contextLength).contains(length), "max_model_len",
            "is \(length); it must be between 2 and the model's own \(configuration.contextLength)")
        try require(
            (1...(1 << 16)).contains(options.maxNumBatchedTokens), "max_num_batched_tokens",
            "is \(options.maxNumBatchedTokens); it must be between 1 and 65536")
        try require(
            (16...1024).contains(options.blockSize) && options.blockSize % 16 == 0, "block_size",
            "is \(options.blockSize); it must be a multiple of 16 up to 1024")
        return length
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
