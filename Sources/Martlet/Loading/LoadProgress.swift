// SPDX-License-Identifier: Apache-2.0

/// Passes on how much is loaded, in whole percents: a model has thousands of tensors.
final class LoadProgress {
    private let body: (Double) -> Void
    private var lastPercent = 0

    init(_ body: @escaping (Double) -> Void) { self.body = body }

    func report(_ fraction: Double) {
        let percent = Int(min(1, fraction) * 100)
        guard percent > lastPercent else { return }
        lastPercent = percent
        body(Double(percent) / 100)
    }
}
