// SPDX-License-Identifier: Apache-2.0

/// What programs do with a weight, which decides the layout that a device gives it.
package struct WeightUse: Hashable, Sendable {
    package enum Role: Hashable, Sendable {
        /// A linear layer multiplies with it.
        case linear
        /// Its rows are looked up.
        case embedding
        /// It is a matrix an expert.
        case experts
        /// It is read as f32: norms, biases, a router.
        case vector
    }

    package var roles: Set<Role>
    /// The weights that stand side by side in a linear layer, itself among them; empty where it stands alone.
    package var neighbors: [Weight]

    package init(_ roles: Set<Role>, neighbors: [Weight] = []) {
        self.roles = roles
        self.neighbors = neighbors
    }
}

extension DecoderPrograms {
    /// The weights that the programs read, in the order of their first use, and what for.
    package var weights: [(weight: Weight, use: WeightUse)] {
        var order: [Weight] = []
        var uses: [Weight: WeightUse] = [:]
        for kernel in kernels {
            let (operands, role) = (kernel.operands, kernel.roleOfMatrices)
            for (weight, role) in operands.matrices.map({ ($0, role) }) + operands.vectors.map({ ($0, .vector) }) {
                if uses[weight] == nil { order.append(weight) }
                uses[weight, default: WeightUse([])].roles.insert(role)
                if role == .linear, operands.matrices.count > 1 { uses[weight]?.neighbors = operands.matrices }
            }
        }
        return order.map { ($0, uses[$0] ?? WeightUse([])) }
    }

    /// The matrices that a step reads whole: those of linear layers, each once.
    package var linearWeights: [Weight] { weights.filter { $0.use.roles.contains(.linear) }.map(\.weight) }
}

extension Kernel {
    fileprivate var roleOfMatrices: WeightUse.Role {
        switch self {
        case .embed: .embedding
        case .experts: .experts
        default: .linear
        }
    }
}

extension ComputeDevice {
    /// Packs numbers as a vector, or as rows that are read as f32.
    package func pack(vector values: [Float]) throws -> any DeviceWeight {
        try values.withUnsafeBytes {
            try pack(
                HostTensor(elementType: .float32, rows: 1, columns: values.count, bytes: $0), for: WeightUse([.vector]))
        }
    }
}
