// SPDX-License-Identifier: Apache-2.0

public import ArgumentParser
public import Logging

/// What a server says of itself, and how.
struct LogOptions: ParsableArguments {
    enum Format: String, ExpressibleByArgument, CaseIterable { case text, json }

    @Option(help: "Lines of text, or objects of JSON, on standard error.")
    var logFormat = Format.text

    @Option(help: "The least that is said: trace, debug, info, notice, warning, error or critical.")
    var logLevel = Logger.Level.info

    @Flag(help: "Logs prompts and sampling parameters too.")
    var enableLogRequests = false

    @Flag(help: "Doesn't log each request that was answered.")
    var disableAccessLog = false

    func logger(label: String) -> Logger {
        var logger = Logger(label: label) { _ in
            switch logFormat {
            case .text: TerminalLogHandler(showsTime: true)
            case .json: JSONLogHandler(label: label)
            }
        }
        logger.logLevel = logLevel
        return logger
    }
}

extension Logger.Level: @retroactive ExpressibleByArgument {}
