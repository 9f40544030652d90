// SPDX-License-Identifier: Apache-2.0

public import MartletCheckpoints
public import MartletCompute

/// A checkpoint understood: the decoder's configuration and programs, and where each weight they name lies.
public struct ModelBlueprint: Sendable {
    public let configuration: DecoderConfiguration
    public let programs: DecoderPrograms
    /// In the order of use.
    public let matrices: [(weight: Weight, tensor: GGUFTensor)]
    public let vectors: [(weight: Weight, tensor: GGUFTensor)]

    /// Finds the family by `general.architecture`, and checks every tensor's presence and shape.
    public init(of file: GGUFFile) throws(CheckpointError) {
        let header = file.contents
        let architecture = try header.required(header.name("general.architecture"), "general.architecture")
        switch architecture {
        case Llama.architecture: configuration = try Llama.configuration(of: file)
        default:
            throw CheckpointError(
                .unsupportedModel, "models of architecture \(architecture) are not supported; llama is")
        }
        programs = Decoder(configuration).programs
        let named = programs.weights
        matrices = try named.matrices.map { weight throws(CheckpointError) in
            (weight, try Self.find(weight, dimensions: [weight.columns, weight.rows], in: header))
        }
        vectors = try named.vectors.map { weight throws(CheckpointError) in
            let tensor = try Self.find(weight, dimensions: [weight.columns], in: header)
            guard tensor.elementType.blockLength == 1 else {
                throw CheckpointError(
                    .unsupportedTensorType, "\(weight.name) is a vector of type \(tensor.elementType.rawValue)")
            }
            return (weight, tensor)
        }
        // A tensor that no program reads means a model that differs from what the programs compute.
        let known = Set((named.matrices + named.vectors).map(\.name)).union([Llama.ropeFactors])
        if let extra = header.tensors.first(where: { !known.contains($0.name) }) {
            throw CheckpointError(
                .unsupportedModel, "the file holds \(extra.name), which models of this kind don't have")
        }
    }

    /// The type that most of the matrices have.
    public var matrixType: ElementType {
        let counts = Dictionary(grouping: matrices, by: \.tensor.elementType).mapValues(\.count)
        return counts.max { ($0.value, $0.key.rawValue) < ($1.value, $1.key.rawValue) }?.key ?? .float32
    }

    private static func find(
        _ weight: Weight, dimensions: [Int], in header: GGUFContents
    ) throws(CheckpointError) -> GGUFTensor {
        guard let tensor = header.tensor(named: weight.name) else {
            throw CheckpointError(.missingTensor, "the file lacks the tensor \(weight.name)")
        }
        guard tensor.dimensions == dimensions else {
            throw CheckpointError(
                .wrongTensorShape, "\(weight.name) is \(tensor.dimensions); its configuration makes it \(dimensions)",
                offset: tensor.range.lowerBound)
        }
        return tensor
    }
}
