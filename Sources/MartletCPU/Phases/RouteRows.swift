// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import Glibc
import MartletCompute

/// Chooses a row's experts; in f32, because the choice jumps where two scores are near.
struct RouteRows: RowOperation {
    let name = "route"
    let kernels: MartletKernelTable
    let route: RouteKernel
    let input: TensorRows
    let weight: UnsafePointer<Float>
    let bias: UnsafePointer<Float>?
    let choiceBias: UnsafePointer<Float>?
    /// `[rows, scores | keys]`
    let scratch: TensorRows
    let output: TensorRows

    func run(rows: Range<Int>, batch: BatchBuffers) {
        for row in rows { run(row: row, scores: scratch.row(row), keys: scratch.row(row) + route.weight.rows) }
    }

    /// - Parameter keys: what experts are chosen by.
    private func run(row: Int, scores: UnsafeMutablePointer<Float>, keys: UnsafeMutablePointer<Float>) {
        let experts = route.weight.rows
        for expert in 0..<experts {
            scores[expert] =
                kernels.dot(input.row(row), weight + expert * input.columns, Int64(input.columns))
                + (bias?[expert] ?? 0)
        }
        switch route.scoring {
        case .softmax: Self.softmax(scores, experts)
        case .sigmoid: for expert in 0..<experts { scores[expert] = 1 / (1 + exp(-scores[expert])) }
        case .softmaxOfChosen: break
        }
        for expert in 0..<experts { keys[expert] = scores[expert] + (choiceBias?[expert] ?? 0) }
        let (indices, shares) = (output.row(row), output.row(row) + route.chosen)
        for choice in 0..<route.chosen {
            // The first of the largest; where nothing is larger than -infinity or a NaN, the first not yet taken.
            var best = -1
            for expert in 0..<experts where keys[expert] > (best < 0 ? -.infinity : keys[best]) { best = expert }
            if best < 0 {
                best = (0..<experts).first { expert in !(0..<choice).contains { Int(indices[$0]) == expert } } ?? 0
            }
            indices[choice] = Float(best)
            shares[choice] = scores[best]
            keys[best] = -.infinity
        }
        if route.scoring == .softmaxOfChosen { Self.softmax(shares, route.chosen) }
        var sum: Float = 0
        for choice in 0..<route.chosen { sum += shares[choice] }
        let factor = route.normalizes ? route.scale / max(sum, RouteKernel.leastSum) : route.scale
        for choice in 0..<route.chosen { shares[choice] *= factor }
    }

    private static func softmax(_ numbers: UnsafeMutablePointer<Float>, _ count: Int) {
        var (largest, sum) = (-Float.infinity, Float(0))
        for index in 0..<count { largest = max(largest, numbers[index]) }
        for index in 0..<count {
            numbers[index] = exp(numbers[index] - largest)
            sum += numbers[index]
        }
        for index in 0..<count { numbers[index] /= sum }
    }
}
