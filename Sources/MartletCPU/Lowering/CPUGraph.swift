// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// A program in parts: pieces that were lowered when it was compiled, and kernels that are lowered at each run.
final class CPUGraph: ExecutionGraph {
    enum Part {
        case piece(GraphPiece)
        case kernel(Kernel)
    }

    let parts: [Part]
    let environment: LoweringEnvironment

    /// Lowers what the mode has lowered once, and tries the rest, so that a run lacks no memory.
    init(_ program: Program, mode: GraphRuntimeMode, environment: LoweringEnvironment) throws(DeviceError) {
        self.environment = environment
        var parts: [Part] = []
        switch mode {
        case .full: parts.append(.piece(try GraphPiece(program.kernels, in: environment)))
        case .none:
            for kernel in program.kernels { parts.append(try Self.eager(kernel, in: environment)) }
        case .piecewise:
            for run in program.kernels.runs(cutAt: \.isAttention) {
                if let kernel = run.first, kernel.isAttention {
                    parts.append(try Self.eager(kernel, in: environment))
                } else {
                    let following = program.kernels[run.endIndex...]
                    parts.append(.piece(try GraphPiece(run, followedBy: following, in: environment)))
                }
            }
        }
        self.parts = parts
    }

    private static func eager(_ kernel: Kernel, in environment: LoweringEnvironment) throws(DeviceError) -> Part {
        _ = try GraphPiece(CollectionOfOne(kernel), in: environment)
        return .kernel(kernel)
    }
}

/// Kernels lowered together: phases over resolved memory, in order.
struct GraphPiece {
    /// To look at while the piece is held, without counting references.
    typealias Phases = [Unmanaged<LoweredPhase>]

    private let phases: Phases
    private let bands: Phases
    /// What those two look at, and what it points into.
    private let owned: (phases: [LoweredPhase], environment: LoweringEnvironment)

    init(
        _ kernels: some Collection<Kernel>, followedBy following: some Collection<Kernel> = [],
        in environment: LoweringEnvironment
    ) throws(DeviceError) {
        let phases = try Lowering.lower(kernels, followedBy: following, in: environment)
        let bands = phases.inBands()
        owned = (phases + bands, environment)
        self.phases = phases.map { .passUnretained($0) }
        self.bands = bands.map { .passUnretained($0) }
    }

    /// What a batch of so many tokens runs.
    func phases(tokenCount: Int) -> Phases {
        let banding = RowBands.banding(threadCount: owned.environment.threadCount)
        return banding.pays(rows: tokenCount) ? bands : phases
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
