// SPDX-License-Identifier: Apache-2.0

package import MartletCompute

/// What all models of a family have in common and their metadata doesn't say.
package struct FamilyTraits {
    /// Which elements of a head turn together.
    package var pairing = HeadRotation.Pairing.halves
    package var norm = NormKind.rootMeanSquare
    package var normNames = LayerShape.NormNames()
    package var feedForward = FeedForward.gated(.product(.silu))
    /// Which layers have the window where the metadata names one and no pattern: all but every nth; 0 is all of them.
    package var windowPattern: Int?
    /// The base of rotations in layers with the window where the metadata names none; nil: that of the others.
    package var windowRopeBase: Double?
    /// Whether rotations in layers with the window are stretched as those of the others are.
    package var scalesWindowRotations = true
    /// Whether layers without the window are rotated.
    package var rotatesFullLayers = true
    /// Whether YaRN's ramp begins and ends at whole dimensions.
    package var truncatesYaRN = true
    package var expertScoring = RouteKernel.Scoring.softmax
    /// Whether the chosen experts' scores are divided by their sum where the metadata doesn't say.
    package var normalizesExperts = true
    /// Optional metadata that the family reads; values of others are refused.
    package var reads: Set<MetadataField> = []

    package enum FeedForward {
        case gated(Gate)
        case plain(Activation)
    }

    package init() {}
}
