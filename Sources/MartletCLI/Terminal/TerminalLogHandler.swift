// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import Martlet

/// What the engine and the server say of themselves, on standard error: `warning: …`, and metadata behind it.
struct TerminalLogHandler: LogHandler {
    /// Whether lines begin with when they were written: a server's do.
    var showsTime = false
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.notice

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let all = metadata.merging(event.metadata ?? [:]) { $1 }.sorted { $0.key < $1.key }
        let values = all.map { " \($0.key)=\($0.value)" }.joined()
        let time = showsTime ? Date.now.logTime + " " : ""
        Terminal.note("\(time)\(event.level): \("\(event.message)\(values)".escapingControlCharacters)")
    }
}

extension Date {
    /// As logs have it: ISO 8601 with milliseconds, in UTC.
    var logTime: String { formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true)) }
}
