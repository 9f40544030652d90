// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// Kernels lowered together: phases over resolved memory, in order.
struct GraphPiece {
    /// Read while the piece is held, without counting references.
    typealias Phases = [Unmanaged<LoweredPhase>]

    private let phases: Phases
    private let bands: Phases
    /// Keeps the phases of both lists alive, and the memory that they point into.
    private let owned: (phases: [LoweredPhase], environment: LoweringEnvironment)

    init(
        _ kernels: some Collection<Kernel>, followedBy following: some Collection<Kernel> = [],
        keeps: Set<Tensor> = [], in environment: LoweringEnvironment
    ) throws(DeviceError) {
        let phases = try Lowering.lower(kernels, followedBy: following, keeps: keeps, in: environment)
        let bands = RowPartitioning.run(phases)
        owned = (phases + bands, environment)
        self.phases = phases.map { .passUnretained($0) }
        self.bands = bands.map { .passUnretained($0) }
    }

    /// The phases that a batch of `tokenCount` tokens runs.
    func phases(tokenCount: Int) -> Phases {
        let banding = RowBanding(threadCount: owned.environment.threadCount)
        return banding.isWorthwhile(rows: tokenCount) ? bands : phases
    }
}
