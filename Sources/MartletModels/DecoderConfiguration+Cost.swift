// SPDX-License-Identifier: Apache-2.0

extension DecoderConfiguration {
    /// The context at which a token's attention takes as many multiplications as its linear layers.
    public var attentionDoublingContext: Int {
        let keyColumns = heads.keyValueHeads * heads.headSize
        let linear = hiddenSize * (2 * heads.outputColumns + 2 * keyColumns + 3 * feedForwardSize)
        // A score and a weighted value for each key.
        return max(1, linear / max(1, 2 * heads.outputColumns))
    }
}
