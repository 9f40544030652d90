// SPDX-License-Identifier: Apache-2.0

import Logging
import Martlet

/// What the engine says of itself, on standard error: `warning: …`.
struct TerminalLogHandler: LogHandler {
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.notice

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        Terminal.note("\(event.level): \("\(event.message)".escapingControlCharacters)")
    }
}
