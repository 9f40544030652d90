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

extension LoadFormat {
    /// Opens a model.
    ///
    /// - Parameters:
    ///   - path: a GGUF file; for dummy weights also a `config.json`, or a folder that holds one.
    ///   - freeMemory: bytes that a model may take; nil where that isn't known.
    ///   - longest: tokens of the longest sequence that will be computed; nil for the model's own context.
    func open(_ path: String, freeMemory: Int?, longest: Int? = nil) throws -> any ModelSource {
        switch self {
        case .auto:
            try Self.isFolder(path) ? FolderModel(path, longest: longest) : GGUFModel(path, longest: longest)
        case .gguf: try GGUFModel(path, longest: longest)
        case .safetensors: try FolderModel(path, longest: longest)
        case .dummy: try DummyModel(path, freeMemory: freeMemory)
        }
    }

    private static func isFolder(_ path: String) -> Bool {
        var isFolder = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder
    }
}
