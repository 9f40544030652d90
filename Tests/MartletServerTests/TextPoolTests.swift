// SPDX-License-Identifier: Apache-2.0

import Dispatch
import MartletServer
import Testing

@Suite struct TextPoolTests {
    /// Work that doesn't end is given up; others go on in its thread's place, until too much is stuck.
    @Test func stuckWorkIsAbandoned() async throws {
        let pool = TextPool(queueLimit: 100, seconds: -4.8)
        final class Latch: Sendable {
            let semaphore = DispatchSemaphore(value: 0)
        }
        let latch = Latch()
        await withTaskGroup(of: Int.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    do {
                        try await pool.run { latch.semaphore.wait() }
                        return 0
                    } catch {
                        return (error as? ServerError)?.code == "tokenize_timeout"
                            || (error as? ServerError)?.code == "text_stuck" ? 1 : 2
                    }
                }
            }
            for await result in group { #expect(result == 1) }
        }
        #expect(pool.isStuck && pool.stuckCount > 0)
        await #expect(throws: ServerError.self) { try await pool.run {} }
        for _ in 0..<20 { latch.semaphore.signal() }
        for _ in 0..<200 where pool.stuckCount > 0 { try await Task.sleep(for: .milliseconds(10)) }
        #expect(pool.stuckCount == 0 && !pool.isStuck)
        #expect(try await pool.run { 7 } == 7)
    }

    /// Long work leaves a thread to short work.
    @Test func shortWorkPassesLongWork() async throws {
        let pool = TextPool(queueLimit: 100, seconds: 60)
        let semaphore = DispatchSemaphore(value: 0)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<8 { group.addTask { try await pool.run(bytes: 1 << 20) { semaphore.wait() } } }
            try await Task.sleep(for: .milliseconds(50))
            #expect(try await pool.run(bytes: 10) { 7 } == 7)
            for _ in 0..<8 { semaphore.signal() }
            try await group.waitForAll()
        }
        #expect(try await pool.run(bytes: 1 << 20) { 8 } == 8)
    }

    @Test func theQueueHasALimit() async throws {
        let pool = TextPool(queueLimit: 0, seconds: 2)
        let error = await #expect(throws: ServerError.self) { try await pool.run {} }
        #expect(error?.status == .serviceUnavailable)
    }
}
