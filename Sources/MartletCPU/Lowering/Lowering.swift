// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// Turns kernels into phases: each kernel into an operation, passes over the operations, and each operation into phases.
/// `RowPartitioning` then makes the phases of large batches.
enum Lowering {
    /// In order: a pass may rely on what those before it left.
    static let passes: [any LoweringPass.Type] = [
        FuseGatedLinear.self, FuseHeadProjections.self, EncodeAttended.self, EncodeInputs.self, JoinRows.self,
        RepeatSingleRow.self,
    ]

    /// Kernels that run one after the other with no host in between, as operations.
    static func operations(_ kernels: some Collection<Kernel>, for context: PassContext) -> [Operation] {
        var operations = kernels.enumerated().map { Operation($1, index: $0) }
        for pass in passes { pass.run(&operations, for: context) }
        return operations
    }

    /// Lowers kernels that run one after the other with no host in between.
    ///
    /// - Parameter following: the rest of their program, which may read what they write.
    static func lower(
        _ kernels: some Collection<Kernel>, followedBy following: some Collection<Kernel> = [],
        keeps: Set<Tensor> = [], in environment: LoweringEnvironment
    ) throws(DeviceError) -> [LoweredPhase] {
        let context = PassContext(environment, following: Array(following), keeps: keeps)
        var phases: [LoweredPhase] = []
        for operation in operations(kernels, for: context) {
            for phase in try PhaseEmitter(environment).phases(of: operation) {
                let traceName = environment.trace?.name(phase.name, values: ["items"])
                phases.append(
                    LoweredPhase([LoweredPhase.Stage(phase: phase, traceName: traceName)], kernels: operation.kernels))
            }
        }
        return phases
    }
}
