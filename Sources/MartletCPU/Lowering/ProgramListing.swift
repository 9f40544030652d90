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
    /// By runtime mode: how often the workers are woken when the program runs alone.
    public let wakeUps: [GraphRuntimeMode: Int]
}

extension CPUDevice {
    /// Lowers a program and says into what.
    public func listing(of program: Program, bindings: ProgramBindings) throws -> ProgramListing {
        let environment = environment(bindings)
        let phases = try Lowering.lower(program.kernels, in: environment).map {
            ProgramListing.Phase(name: $0.name, kernels: $0.kernels)
        }
        var wakeUps: [GraphRuntimeMode: Int] = [:]
        for mode in GraphRuntimeMode.allCases {
            wakeUps[mode] = try CPUGraph(program, mode: mode, environment: environment).parts.count
        }
        return ProgramListing(phases: phases, wakeUps: wakeUps)
    }
}
