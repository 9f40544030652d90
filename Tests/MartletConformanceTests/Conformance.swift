// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

/// How the suite says that a device disagrees: as an issue of the test, or to a collector, where the device is wrong on
/// purpose.
enum Conformance {
    final class Collector: Sendable {
        private let found = Mutex(0)

        var count: Int { found.withLock { $0 } }
        func add() { found.withLock { $0 += 1 } }
    }

    @TaskLocal static var collector: Collector?

    static func expect(
        _ agrees: Bool, _ comment: @autoclosure () -> Comment? = nil, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        if let collector {
            if !agrees { collector.add() }
        } else {
            #expect(agrees, comment(), sourceLocation: sourceLocation)
        }
    }

    /// How often the device of a test disagreed.
    static func disagreements(_ test: () throws -> Void) rethrows -> Int {
        let collector = Collector()
        try $collector.withValue(collector, operation: test)
        return collector.count
    }
}
