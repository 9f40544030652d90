// SPDX-License-Identifier: Apache-2.0

/// A model's forward pass, or a part of it, as data: kernels in order over named tensors.
public struct Program: Sendable {
    public let name: String
    public let kernels: [Kernel]
    /// Activations that are read once it has run, by another program.
    public let keeps: Set<Tensor>

    public init(name: String, kernels: [Kernel], keeps: Set<Tensor> = []) {
        self.keeps = keeps
        self.name = name
        self.kernels = kernels
    }
}
