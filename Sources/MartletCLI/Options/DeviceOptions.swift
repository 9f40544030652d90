// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import MartletBench
import MartletCPU

/// The options of every command that computes.
struct DeviceOptions: ParsableArguments {
    @Option(parsing: .unconditional, help: "Threads; all processors by default.")
    var threads: Int?

    @Option(help: "Kernels to use; the fastest by default.")
    var instructionSet: InstructionSet?

    func validate() throws {
        try require("--threads", threads, in: CPUDevice.threadCounts)
    }

    /// Says so where threads would only wait for each other.
    func warnOfThreads() {
        let processors = ProcessInfo.processInfo.activeProcessorCount
        if let threads, threads > processors {
            Terminal.note(
                "warning: --threads \(threads) on \(processors) processors: threads wait for each other; more are slower"
            )
        }
    }

    /// A device for commands without a model.
    func makeDevice() throws -> CPUDevice { try CPUDevice(threads: threads, instructionSet: instructionSet) }

    /// The machine's limits, for commands that measure something beside them. Its threads sleep meanwhile.
    func makeLimits() throws -> LimitsBenchmark { try LimitsBenchmark(on: makeDevice()) }
}
