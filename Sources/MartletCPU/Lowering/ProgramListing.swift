// SPDX-License-Identifier: Apache-2.0

public import MartletCompute

/// What the lowering makes of a program, for people.
public struct ProgramListing: Sendable {
    public struct Phase: Sendable {
        /// What it runs, in order.
        public let name: String
        /// The program's kernels that it does, or does a part of.
        public let kernels: ClosedRange<Int>
    }

    /// What lies between two barriers where the program is one graph.
    public let phases: [Phase]
    /// The same of many tokens, which threads divide by rows.
    public let bands: [Phase]
    /// Tokens a thread from which on that is so.
    public let leastBandRows: Int
    /// By runtime mode: what the program is run in, and whether each is a graph's piece or a kernel by itself.
    fileprivate let partsArePieces: [GraphRuntimeMode: [Bool]]

    /// How often the workers are woken when programs run one after the other: once for each kernel that runs by itself, and
    /// once for pieces that follow each other.
    public static func wakeUps(_ listings: [ProgramListing], mode: GraphRuntimeMode) -> Int {
        let parts = listings.flatMap { $0.partsArePieces[mode] ?? [] }
        return zip(parts, [false] + parts).count { !($0 && $1) }
    }
}

extension CPUDevice {
    /// Lowers a program and says into what.
    public func listing(of program: Program, bindings: ProgramBindings) throws -> ProgramListing {
        let environment = environment(bindings)
        let phases = try Lowering.lower(program.kernels, in: environment)
        func list(_ phases: [LoweredPhase]) -> [ProgramListing.Phase] {
            phases.map { ProgramListing.Phase(name: $0.name, kernels: $0.kernels) }
        }
        var partsArePieces: [GraphRuntimeMode: [Bool]] = [:]
        for mode in GraphRuntimeMode.allCases {
            partsArePieces[mode] = try CPUGraph(program, mode: mode, environment: environment).parts.map {
                if case .piece = $0 { true } else { false }
            }
        }
        return ProgramListing(
            phases: list(phases), bands: list(phases.inBands()),
            leastBandRows: RowBands.leastRowsAThread,
            partsArePieces: partsArePieces)
    }
}
