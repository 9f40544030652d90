// SPDX-License-Identifier: Apache-2.0

/// A model's forward pass, or a part of it, as data: kernels in order over named tensors.
public struct Program: Sendable {
    public let name: String
    public let kernels: [Kernel]

    public init(name: String, kernels: [Kernel]) {
        self.name = name
        self.kernels = kernels
    }
}
