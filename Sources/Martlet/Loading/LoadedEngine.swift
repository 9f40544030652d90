// SPDX-License-Identifier: Apache-2.0

/// What an engine is made of, for its thread to own.
package struct LoadedEngine {
    package let model: LoadedModel
    package let validator: RequestValidator
    package let scheduler: Scheduler
    package let runner: any StepRunner
    /// The engine's lane; the loop and the runner record into it.
    package var trace: EngineTrace?

    package init(
        model: LoadedModel, validator: RequestValidator, scheduler: Scheduler, runner: any StepRunner,
        trace: EngineTrace? = nil
    ) {
        self.model = model
        self.validator = validator
        self.scheduler = scheduler
        self.runner = runner
        self.trace = trace
    }
}
