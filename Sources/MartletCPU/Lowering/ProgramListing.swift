// SPDX-License-Identifier: Apache-2.0

package import MartletCompute

/// What the lowering makes of a program, for people.
package struct ProgramListing: Sendable {
    package struct Phase: Sendable {
        /// What it runs, in order.
        package let name: String
        /// The program's kernels that it does, or does a part of.
        package let kernels: ClosedRange<Int>
    }

    /// What lies between two barriers where the program is one graph.
    package let phases: [Phase]
    /// The same of many tokens, which threads divide by rows.
    package let bands: [Phase]
    /// Tokens a thread from which on that is so.
    package let leastBandRows: Int
    /// By runtime mode: whether each of its steps is a graph's piece or a kernel by itself.
    fileprivate let stepsArePieces: [GraphRuntimeMode: [Bool]]

    /// How often the workers are woken when programs run one after the other: once for each kernel that runs by itself, and
    /// once for pieces that follow each other.
    package static func wakeUps(_ listings: [ProgramListing], mode: GraphRuntimeMode) -> Int {
        let steps = listings.flatMap { $0.stepsArePieces[mode] ?? [] }
        return zip(steps, [false] + steps).count { !($0 && $1) }
    }
}

extension CPUDevice {
    /// Lowers a program and says into what.
    package func listing(of program: Program, bindings: ProgramBindings) throws -> ProgramListing {
        let environment = environment(bindings)
        let phases = try Lowering.lower(program.kernels, keeps: program.keeps, in: environment)
        func list(_ phases: [LoweredPhase]) -> [ProgramListing.Phase] {
            phases.map { ProgramListing.Phase(name: $0.name, kernels: $0.kernels) }
        }
        var stepsArePieces: [GraphRuntimeMode: [Bool]] = [:]
        for mode in GraphRuntimeMode.allCases {
            stepsArePieces[mode] = try CPUGraph(program, mode: mode, environment: environment).steps.map {
                if case .piece = $0 { true } else { false }
            }
        }
        return ProgramListing(
            phases: list(phases), bands: list(RowPartitioning.run(phases)),
            leastBandRows: RowBanding.minimumRowsPerThread,
            stepsArePieces: stepsArePieces)
    }
}
