// SPDX-License-Identifier: Apache-2.0

/// What an engine is made of, for its thread to own.
struct LoadedEngine {
    let model: LoadedModel
    let validator: RequestValidator
    let scheduler: Scheduler
    let runner: any StepRunner
    /// The engine's lane; the loop and the runner record into it.
    var trace: EngineTrace?
}
