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

/// The two programs of a decoder. The body runs over all tokens of a step, as far as other tokens read what becomes of
/// them: to the last layer's attention. The head runs the rest over the rows that need logits, and reads what the body left
/// of them.
public struct DecoderPrograms: Sendable {
    public let body: Program
    public let head: Program

    public init(body: Program, head: Program) {
        self.body = body
        self.head = head
    }

    /// The kernels of both.
    public var kernels: [Kernel] { body.kernels + head.kernels }
}
