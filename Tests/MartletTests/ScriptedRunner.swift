// SPDX-License-Identifier: Apache-2.0

import Martlet

/// A runner that does what a test wants before it lets the real one compute.
final class ScriptedRunner: StepRunner {
    struct Fault: Error, CustomStringConvertible { let description = "the device is on fire" }

    private let runner: any StepRunner
    private let before: (StepPlan) throws -> Void
    private let after: (StepPlan, inout StepOutput) -> Void
    private let populating: (Range<Int>) -> Void

    init(
        _ runner: any StepRunner, before: @escaping (StepPlan) throws -> Void = { _ in },
        after: @escaping (StepPlan, inout StepOutput) -> Void = { _, _ in },
        populating: @escaping (Range<Int>) -> Void = { _ in }
    ) {
        self.runner = runner
        self.before = before
        self.after = after
        self.populating = populating
    }

    var preparesAhead: Bool { runner.preparesAhead }

    func prepare(_ plan: StepPlan) { runner.prepare(plan) }

    func submit(_ plan: StepPlan) throws {
        try before(plan)
        try runner.submit(plan)
    }

    func finish(_ plan: StepPlan, into output: inout StepOutput) throws {
        try runner.finish(plan, into: &output)
        after(plan, &output)
    }

    func populate(_ blocks: Range<Int>) {
        runner.populate(blocks)
        populating(blocks)
    }
}
