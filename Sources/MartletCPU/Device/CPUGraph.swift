// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// A program in steps: pieces that were lowered when it was compiled, and kernels that are lowered at each run.
final class CPUGraph: ExecutionGraph {
    enum Step {
        case piece(GraphPiece)
        case kernel(Kernel)
    }

    let steps: [Step]
    let environment: LoweringEnvironment

    /// Lowers what the mode has lowered once, and tries the rest, so that a run lacks no memory.
    init(_ program: Program, mode: GraphRuntimeMode, environment: LoweringEnvironment) throws(DeviceError) {
        self.environment = environment
        var steps: [Step] = []
        switch mode {
        case .full: steps.append(.piece(try GraphPiece(program.kernels, keeps: program.keeps, in: environment)))
        case .none:
            for kernel in program.kernels { steps.append(try Self.eager(kernel, in: environment)) }
        case .piecewise:
            for run in program.kernels.runs(cutAt: \.isAttention) {
                if let kernel = run.first, kernel.isAttention {
                    steps.append(try Self.eager(kernel, in: environment))
                } else {
                    let following = program.kernels[run.endIndex...]
                    steps.append(
                        .piece(try GraphPiece(run, followedBy: following, keeps: program.keeps, in: environment)))
                }
            }
        }
        self.steps = steps
    }

    private static func eager(_ kernel: Kernel, in environment: LoweringEnvironment) throws(DeviceError) -> Step {
        _ = try GraphPiece(CollectionOfOne(kernel), in: environment)
        return .kernel(kernel)
    }
}

extension Kernel {
    fileprivate var isAttention: Bool { if case .attention = self { true } else { false } }
}

extension Collection {
    /// The elements in order, each that `isCut` alone, and those between two such together.
    fileprivate func runs(cutAt isCut: (Element) -> Bool) -> [SubSequence] {
        var runs: [SubSequence] = []
        var start = startIndex
        for index in indices where isCut(self[index]) {
            if start < index { runs.append(self[start..<index]) }
            start = self.index(after: index)
            runs.append(self[index..<start])
        }
        if start < endIndex { runs.append(self[start...]) }
        return runs
    }
}
