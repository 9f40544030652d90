// SPDX-License-Identifier: Apache-2.0

package import MartletCheckpoints
package import MartletCompute

/// A checkpoint understood: the model's shape and programs, and where each weight they name lies.
package struct ModelBlueprint: Sendable {
    /// A weight of the programs and its place in the file.
    package struct Entry: Sendable {
        package let weight: Weight
        package let use: WeightUse
        package let tensor: StoredTensor
    }

    package let shape: ModelShape
    package let programs: DecoderPrograms
    /// In the order of use.
    package let entries: [Entry]

    /// Finds the family by `general.architecture`, and checks every tensor's presence and shape.
    ///
    /// - Parameter longest: tokens of the longest sequence that will be computed; nil for the model's own context.
    package init(of file: GGUFFile, longest: Int? = nil) throws(CheckpointError) {
        let metadata = try GGUFMetadata(file)
        try self.init(of: ModelFamilies.family(of: metadata), metadata, file, longest: longest)
    }

    /// Checks every tensor's presence and shape.
    package init(
        of family: any ModelFamily.Type, _ metadata: any ModelMetadata, _ tensors: any TensorListing, longest: Int?
    ) throws(CheckpointError) {
        shape = try family.shape(of: metadata, longest: longest)
        try shape.validate()
        // The shape may be told by a tensor that can't be read: a file without an output matrix ties it to the embedding.
        if let (type, names) = tensors.unsupportedTensors.min(by: { $0.key < $1.key }) {
            throw CheckpointError(
                .unsupportedTensorType, "\(names.first ?? "") is of type \(type), which is not supported")
        }
        programs = family.programs(shape)
        entries = try programs.weights.map { weight, use throws(CheckpointError) in
            Entry(weight: weight, use: use, tensor: try Self.find(weight, use, in: tensors))
        }
        // A tensor that no program reads means a model that differs from what the programs compute.
        let known = Set(entries.map(\.weight.name))
        if let extra = tensors.tensors.first(where: { tensor in
            !known.contains(tensor.name)
                && !family.tensorsWithoutKernel.contains(WeightName.withoutLayer(tensor.name))
        }) {
            throw CheckpointError(
                .unsupportedModel, "the file holds \(extra.name), which models of this kind don't have")
        }
    }

    /// The type that most of the matrices have.
    package var matrixType: ElementType {
        let matrices = entries.filter { !$0.use.roles.contains(.vector) }
        let counts = Dictionary(grouping: matrices, by: \.tensor.elementType).mapValues(\.count)
        return counts.max { ($0.value, $0.key.rawValue) < ($1.value, $1.key.rawValue) }?.key ?? .float32
    }

    private static func find(
        _ weight: Weight, _ use: WeightUse, in tensors: any TensorListing
    ) throws(CheckpointError) -> StoredTensor {
        guard let tensor = tensors.tensor(named: weight.name) else {
            throw CheckpointError(.missingTensor, "the file lacks the tensor \(weight.name)")
        }
        guard tensor.dimensions.droppingOnes == weight.dimensions.droppingOnes else {
            throw CheckpointError(
                .wrongTensorShape,
                "\(weight.name) is \(tensor.dimensions); its configuration makes it \(weight.dimensions)",
                offset: tensor.offset)
        }
        guard tensor.elementType.blockLength == 1 || !use.roles.contains(.vector) else {
            throw CheckpointError(
                .unsupportedTensorType, "\(weight.name) is read as f32, but of type \(tensor.elementType.rawValue)")
        }
        return tensor
    }
}

extension Weight {
    /// As GGUF files have them: the fastest first, those of 1 at the end left out.
    fileprivate var dimensions: [Int] {
        if count > 1 { return [columns, rows, count] }
        return rows > 1 ? [columns, rows] : [columns]
    }
}

extension [Int] {
    /// Without the dimensions of 1 at the end, which some files write.
    fileprivate var droppingOnes: ArraySlice<Int> {
        var end = count
        while end > 1, self[end - 1] == 1 { end -= 1 }
        return self[..<end]
    }
}
