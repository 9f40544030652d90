// SPDX-License-Identifier: Apache-2.0

import MartletCPU
import MartletCompute
import MartletModels
import MartletText

/// What a model's matrices of floats become while they are loaded.
public enum WeightQuantization: String, Sendable, CaseIterable {
    /// Eight bits a number and a scale for each 32 of them (Q8_0).
    case int8
    /// Four bits a number and a bit more for scales (Q4_K); the output matrix six (Q6_K).
    case int4

    var elementType: ElementType { self == .int8 ? .q8_0 : .q4_k }
}

/// A model of floats whose matrices are quantised one after the other, as they are lent to be packed.
struct QuantizedModel: ModelSource {
    private let base: any StoredModel
    private let quantization: MatrixQuantization
    private let pool: WorkerPool

    init(_ base: any StoredModel, _ quantization: WeightQuantization, threads: Int?) throws {
        if let entry = base.blueprint.entries.first(where: { $0.tensor.elementType.isQuantized }) {
            throw EngineError(
                .invalidOptions,
                "quantization is \(quantization.rawValue), but \(entry.tensor.name) is "
                    + "\(entry.tensor.elementType.rawValue) already: load the model as it is", field: "quantization")
        }
        self.base = base
        self.quantization = MatrixQuantization(quantization.elementType, of: base.shape)
        pool = try WorkerPool(threadCount: threads ?? CPUDevice.defaultThreadCount)
    }

    var name: String { base.name }
    var shape: ModelShape { base.shape }
    var programs: DecoderPrograms { base.programs }
    var matrixType: ElementType { quantization.type }
    var weightBytes: Int { base.weightBytes }
    func tokenizer() throws -> Tokenizer { try base.tokenizer() }
    func chatTemplateSource() throws -> String? { try base.chatTemplateSource() }

    func forEachWeight(_ body: (Weight, WeightUse, HostTensor) throws -> Void) throws {
        try base.forEachWeight { weight, use, tensor in
            guard let target = quantization.target(of: weight, use), let encoder = BlockEncoder(target) else {
                return try body(weight, use, tensor)
            }
            try MatrixQuantization.encode(tensor, named: weight.name, encoder, on: pool) { try body(weight, use, $0) }
        }
    }
}
