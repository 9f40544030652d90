// SPDX-License-Identifier: Apache-2.0

package import MartletCPU
package import MartletCompute
import MartletModels

/// A model's two programs, and what the CPU makes of them.
package struct ProgramReport: Sendable {
    package struct Entry: Sendable {
        package let name: String
        /// What the model asks for, whatever the device.
        package let kernels: [String]
        package let listing: ProgramListing
    }

    package let deviceName: String
    package let entries: [Entry]
    /// How often the workers are woken in a step, by runtime mode: a program's last piece and the next one's first go
    /// together.
    package let wakeUps: [GraphRuntimeMode: Int]

    /// Packs the model's weights, since what becomes of a kernel depends on them.
    package init(path: String, options: EngineOptions = EngineOptions()) throws {
        let device = try CPUDevice(
            threads: options.threads, instructionSet: options.instructionSet, activations: options.activations)
        let source = try options.openModel(path, freeMemory: device.freeMemory)
        let bindings = ProgramBindings(
            weights: try source.packWeights(on: device),
            cache: try device.allocateCache(
                CacheSizing(options: options, shape: source.shape).cacheShape(blockCount: 1, on: device)),
            workspace: try device.makeWorkspace(
                BatchCapacity(tokens: 1, sequences: 1, blocksPerSequence: 1, logitRows: 1)))
        let programs = [source.programs.body, source.programs.head]
        deviceName = device.name
        entries = try programs.map { program in
            Entry(
                name: program.name, kernels: program.kernels.map(\.description),
                listing: try device.listing(of: program, bindings: bindings))
        }
        var wakeUps: [GraphRuntimeMode: Int] = [:]
        for mode in GraphRuntimeMode.allCases {
            wakeUps[mode] = ProgramListing.wakeUps(entries.map(\.listing), mode: mode)
        }
        self.wakeUps = wakeUps
    }
}
