// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import MartletBench
import MartletCPU

/// The options of every command that computes.
struct DeviceOptions: ParsableArguments {
    @Option(help: "Threads; all processors by default.")
    var threads: Int?

    @Option(help: "Kernels to use; the fastest by default.")
    var instructionSet: InstructionSet?

    /// A device for commands without a model.
    func makeDevice() throws -> CPUDevice { try CPUDevice(threads: threads, instructionSet: instructionSet) }

    /// The machine's limits, for commands that measure something beside them. Its threads sleep meanwhile.
    func makeLimits() throws -> LimitsBenchmark { try LimitsBenchmark(on: makeDevice()) }
}
