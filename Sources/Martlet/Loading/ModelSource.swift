// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
import MartletCheckpoints
import MartletCompute
import MartletModels
import MartletText

/// Where a model's weights come from, under the names of vLLM's `load_format`.
public enum LoadFormat: String, Sendable, CaseIterable {
    /// What the file is.
    case auto
    case gguf
    /// A folder of the hub's: `config.json`, safetensors files, and a tokenizer's.
    case safetensors
    /// Random weights of the shapes that a GGUF file, or a Hugging Face `config.json` alone, describes.
    case dummy
}

/// What an engine is loaded from: a model's shape and words, and its weights one after the other.
protocol ModelSource {
    var name: String { get }
    var shape: ModelShape { get }
    var programs: DecoderPrograms { get }
    /// How most of the matrices are stored.
    var matrixType: ElementType { get }
    func tokenizer() throws -> Tokenizer
    /// The model's own chat template; nil where there is none.
    func chatTemplateSource() throws -> String?
    /// The weights that the programs name, each lent for the time of a call.
    func forEachWeight(_ body: (_ weight: Weight, _ use: WeightUse, _ tensor: HostTensor) throws -> Void) throws
    /// Bytes of all those, for showing how far one has got.
    var weightBytes: Int { get }
}

/// A model that a checkpoint holds.
protocol StoredModel: ModelSource {
    var blueprint: ModelBlueprint { get }
    /// Numbers in all of the checkpoint's tensors.
    var parameterCount: Int { get }
}

extension StoredModel {
    var shape: ModelShape { blueprint.shape }
    var programs: DecoderPrograms { blueprint.programs }
    var matrixType: ElementType { blueprint.matrixType }
    var weightBytes: Int { blueprint.entries.reduce(0) { $0 + $1.tensor.byteCount } }
}

extension ModelSource {
    /// All weights in the device's own layout, by name.
    ///
    /// - Parameter progress: called with the fraction done.
    func packWeights(
        on device: any ComputeDevice, progress: ((Double) -> Void)? = nil
    ) throws -> [String: any DeviceWeight] {
        var weights: [String: any DeviceWeight] = [:]
        let total = Double(max(1, weightBytes))
        var done = 0
        try forEachWeight { weight, use, tensor in
            weights[weight.name] = try device.pack(tensor, for: use)
            done += tensor.bytes.count
            progress?(Double(done) / total)
        }
        return weights
    }
}

extension EngineOptions {
    /// Opens a model.
    ///
    /// - Parameters:
    ///   - path: a GGUF file or a folder of the hub's; for dummy weights also a `config.json`, or a folder that holds one.
    ///   - freeMemory: bytes that a model may take; nil where that isn't known.
    func openModel(_ path: String, freeMemory: Int?) throws -> any ModelSource {
        let model: any StoredModel
        switch loadFormat {
        case .dummy: return try DummyModel(path, quantization, freeMemory: freeMemory)
        case .auto: model = try LoadFormat.openCheckpoint(path, longest: maxModelLength)
        case .gguf: model = try GGUFModel(path, longest: maxModelLength)
        case .safetensors: model = try FolderModel(path, longest: maxModelLength)
        }
        return try quantization.map { try QuantizedModel(model, $0, threads: threads) } ?? model
    }
}

extension LoadFormat {
    /// Opens a GGUF file, or a folder of the hub's.
    static func openCheckpoint(_ path: String, longest: Int? = nil) throws -> any StoredModel {
        var isFolder = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder
            ? try FolderModel(path, longest: longest) : try GGUFModel(path, longest: longest)
    }
}
