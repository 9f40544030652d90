// SPDX-License-Identifier: Apache-2.0

/// A model's forward pass, or a part of it, as data: kernels in order over named tensors.
package struct Program: Sendable {
    package let name: String
    package let kernels: [Kernel]
    /// Activations that are read once it has run, by another program.
    package let keeps: Set<Tensor>

    package init(name: String, kernels: [Kernel], keeps: Set<Tensor> = []) {
        self.keeps = keeps
        self.name = name
        self.kernels = kernels
    }
}
