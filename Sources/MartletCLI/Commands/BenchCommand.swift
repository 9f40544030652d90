// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measures how fast this machine computes, beside its own limits.",
        subcommands: [
            BenchLatencyCommand.self, BenchMixedCommand.self, BenchThroughputCommand.self, BenchAttentionCommand.self,
            BenchServeCommand.self, BenchLimitsCommand.self,
        ])
}
