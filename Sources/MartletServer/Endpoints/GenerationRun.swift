// SPDX-License-Identifier: Apache-2.0

import AsyncAlgorithms
import Martlet
import Synchronization

/// The client of a request has gone; there is no one to answer.
struct ClientGone: Error {}

/// A request's prompts on their way through the engine: a stream of pieces for each.
struct GenerationRun: Sendable {
    private let streams: [GenerationStream]
    private let requests: [GenerationRequest]
    private let server: ServerState
    /// When the request came.
    private let start: ContinuousClock.Instant

    /// Admits all prompts, or none of them.
    ///
    /// - Parameter start: when the request came.
    init(
        _ requests: [GenerationRequest], on engine: Engine, for server: ServerState,
        since start: ContinuousClock.Instant
    ) throws {
        // Those that were admitted before one is refused end with their streams.
        streams = try requests.map {
            try engine.generate($0).heartbeats(every: .seconds(server.limits.keepAliveSeconds / 2))
        }
        self.requests = requests
        self.server = server
        self.start = start
    }

    /// Reads all answers to their ends, while the client is there and within the time that a request may take.
    ///
    /// - Parameter body: called with the prompt's index and a piece; an empty piece is a sign of life.
    func forEachPiece(
        for client: ClientPresence, _ body: (Int, GenerationPiece) async throws -> Void
    ) async throws {
        let cancel: @Sendable () -> Void = { for stream in streams { stream.cancel() } }
        let deadline = server.limits.requestSeconds.map { Deadline(at: start + .seconds($0), cancel) }
        var times = requests.map { RequestTimes(server.metrics, since: start, $0) }
        var unfinished = requests.reduce(0) { $0 + $1.sampling.n }
        defer {
            if unfinished > 0 { cancel() }
            for index in times.indices { times[index].abort() }
        }
        do {
            try await client.watched(onLoss: cancel) {
                try await forEachMergedPiece { index, piece in
                    // Nobody reads it, or its time is over: below.
                    if piece.summary?.finishReason == .cancelled { return }
                    times[index].observe(piece)
                    if piece.summary != nil { unfinished -= 1 }
                    try await body(index, piece)
                }
            }
        } catch is CancellationError {
            // The connection's task was cancelled: its client has gone.
        }
        guard unfinished > 0 else { return }
        if let deadline, deadline.hasPassed { throw ServerError.timedOut }
        throw ClientGone()
    }

    private func forEachMergedPiece(_ body: (Int, GenerationPiece) async throws -> Void) async throws {
        guard streams.count > 1 else {
            for stream in streams {
                for try await piece in stream { try await body(0, piece) }
            }
            return
        }
        try await merged(body)
    }

    /// The pieces of several streams as they come.
    private func merged(_ body: (Int, GenerationPiece) async throws -> Void) async throws {
        let channel = AsyncThrowingChannel<(Int, GenerationPiece), any Error>()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                await withTaskGroup(of: Void.self) { readers in
                    for (index, stream) in streams.enumerated() {
                        readers.addTask {
                            do {
                                for try await piece in stream { await channel.send((index, piece)) }
                            } catch {
                                channel.fail(error)
                            }
                        }
                    }
                }
                channel.finish()
            }
            do {
                for try await (index, piece) in channel { try await body(index, piece) }
            } catch {
                group.cancelAll()
                throw error
            }
            try await group.waitForAll()
        }
    }
}

/// Calls something once a time is over, unless it is let go of before.
private final class Deadline: Sendable {
    private let passed: PassedFlag
    private let task: Task<Void, any Error>

    private final class PassedFlag: Sendable { let value = Atomic<Bool>(false) }

    init(at time: ContinuousClock.Instant, _ action: @escaping @Sendable () -> Void) {
        let passed = PassedFlag()
        self.passed = passed
        task = Task {
            try await Task.sleep(until: time, clock: .continuous)
            passed.value.store(true, ordering: .relaxed)
            action()
        }
    }

    deinit { task.cancel() }

    var hasPassed: Bool { passed.value.load(ordering: .relaxed) }
}
