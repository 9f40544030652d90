// SPDX-License-Identifier: Apache-2.0

import Glibc
import MartletCompute

extension ReferenceKernels {
    /// A row's experts, then how much each counts.
    func route(_ kernel: RouteKernel, _ input: [Double]) -> [Double] {
        var logits = Self.product(weight(kernel.weight), input)
        if let bias = kernel.bias { logits = zip(logits, numbers(bias)).map { $0 + Double($1) } }
        let scores =
            switch kernel.scoring {
            case .softmax: Self.softmax(logits)
            case .sigmoid: logits.map { 1 / (1 + exp(-$0)) }
            case .softmaxOfChosen: logits
            }
        let keys = kernel.choiceBias.map { zip(scores, numbers($0)).map { $0 + Double($1) } } ?? scores
        let chosen = keys.indices.sorted { (keys[$1], $0) < (keys[$0], $1) }.prefix(kernel.chosen)
        var shares = chosen.map { scores[$0] }
        if kernel.scoring == .softmaxOfChosen { shares = Self.softmax(shares) }
        if kernel.normalizes {
            let sum = max(shares.reduce(0, +), Double(RouteKernel.leastSum))
            shares = shares.map { $0 / sum }
        }
        return chosen.map(Double.init) + shares.map { $0 * Double(kernel.scale) }
    }

    private static func softmax(_ logits: [Double]) -> [Double] {
        let exponentials = logits.map { exp($0 - (logits.max() ?? 0)) }
        let sum = exponentials.reduce(0, +)
        return exponentials.map { $0 / sum }
    }

    func experts(_ kernel: ExpertsKernel, _ batch: BatchBuffers) {
        let (input, routing) = (activation(kernel.input), activation(kernel.routing))
        let output = activation(kernel.output)
        for row in rows(of: kernel.input, batch) {
            var sum = kernel.accumulates ? output[row] : Array(repeating: 0, count: output.columns)
            for choice in 0..<kernel.chosen {
                let (expert, share) = (Int(routing[row][choice]), routing[row][kernel.chosen + choice])
                let result = run(expert, of: kernel, input[row])
                for column in result.indices { sum[column] += share * result[column] }
            }
            output[row] = sum
        }
    }

    private func run(_ expert: Int, of kernel: ExpertsKernel, _ input: [Double]) -> [Double] {
        func project(_ matrix: Weight, _ bias: Weight?, _ input: [Double]) -> [Double] {
            let products = Self.product(weight(matrix), matrix: expert, input)
            guard let bias else { return products }
            return zip(products, weight(bias).row(expert)).map { $0 + Double($1) }
        }
        let gates = project(kernel.gateWeight, kernel.gateBias, input)
        let ups = project(kernel.upWeight, kernel.upBias, input)
        return project(
            kernel.downWeight, kernel.downBias, zip(gates, ups).map { Self.gate($0, up: $1, kernel.gate) })
    }
}
