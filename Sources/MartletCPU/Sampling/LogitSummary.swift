// SPDX-License-Identifier: Apache-2.0

package import CMartletKernels
import Glibc

/// What some neighbouring logits come to, those that aren't finite left out.
///
/// A row is summed up in slices of one length and its slices in order, so bits don't depend on who does which.
package struct LogitSummary {
    static let sliceLength = 4096

    /// The largest logit; -infinity where none is finite.
    private(set) var maximum: Float
    /// Where it is, of equals the first; negative where none is finite.
    private(set) var likeliest: Int
    /// The sum of `e^(logit - maximum)`.
    private var sum: Double

    /// The log of the sum of `e^(logit - maximum)`.
    var logOfSum: Double { log(sum) }

    package static func sliceCount(vocabularySize: Int) -> Int { (vocabularySize + sliceLength - 1) / sliceLength }

    package init(slice: Int, of logits: UnsafePointer<Float>, vocabularySize: Int, kernels: MartletKernelTable) {
        let start = slice * Self.sliceLength
        let count = Int64(min(Self.sliceLength, vocabularySize - start))
        var maximum: Float = 0
        let index = kernels.argumentOfMaximum(logits + start, count, &maximum)
        self.maximum = maximum
        likeliest = index < 0 ? -1 : start + Int(index)
        sum = index < 0 ? 0 : kernels.sumOfExponentials(logits + start, count, maximum, 1, nil)
    }

    /// A row's, of its slices' in order.
    package init(joining slices: UnsafeBufferPointer<LogitSummary>) {
        (maximum, likeliest, sum) = (-.infinity, -1, 0)
        for slice in slices where slice.maximum > maximum { (maximum, likeliest) = (slice.maximum, slice.likeliest) }
        for slice in slices where slice.likeliest >= 0 { sum += slice.sum * exp(Double(slice.maximum - maximum)) }
    }
}
