// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
package import MartletServer

/// What clients may ask of a server at most: a flag for each row of `ServerLimit.all`.
package struct LimitOptions: ParsableArguments {
    package init() {}

    @Option(limit: "max-body-bytes") var maxBodyBytes: Int
    @Option(limit: "max-json-depth") var maxJsonDepth: Int
    @Option(limit: "max-header-field-bytes") var maxHeaderFieldBytes: Int
    @Option(limit: "max-header-bytes") var maxHeaderBytes: Int
    @Option(limit: "max-header-fields") var maxHeaderFields: Int
    @Option(limit: "read-timeout") var readTimeout: Double
    @Option(limit: "max-connections") var maxConnections: Int
    @Option(limit: "max-queued-requests") var maxQueuedRequests: Int
    @Option(limit: "max-queued-prompt-tokens") var maxQueuedPromptTokens: Int
    @Option(limit: "max-n") var maxN: Int
    @Option(limit: "max-prompts") var maxPrompts: Int
    @Option(limit: "max-logprobs") var maxLogprobs: Int
    @Option(limit: "max-logprob-entries") var maxLogprobEntries: Int
    @Option(limit: "max-total-logprob-entries") var maxTotalLogprobEntries: Int
    @Option(limit: "max-echo-bytes") var maxEchoBytes: Int
    @Option(limit: "max-stop-strings") var maxStopStrings: Int
    @Option(limit: "max-stop-bytes") var maxStopBytes: Int
    @Option(limit: "max-stop-tokens") var maxStopTokens: Int
    @Option(limit: "max-bad-words") var maxBadWords: Int
    @Option(limit: "max-bad-word-tokens") var maxBadWordTokens: Int
    @Option(limit: "max-cache-salt-bytes") var maxCacheSaltBytes: Int
    @Option(limit: "max-logit-bias") var maxLogitBias: Int
    @Option(limit: "max-template-steps") var maxTemplateSteps: Int
    @Option(limit: "max-template-bytes") var maxTemplateBytes: Int
    @Option(limit: "stream-buffer-bytes") var streamBufferBytes: Int
    @Option(limit: "max-unread-bytes") var maxUnreadBytes: Int
    @Option(limit: "stall-timeout") var stallTimeout: Double
    @Option(limit: "request-timeout") var requestTimeout: Double?
    @Option(limit: "keep-alive-interval") var keepAliveInterval: Double
    @Option(limit: "tokenize-timeout") var tokenizeTimeout: Double
    @Option(limit: "drain-timeout") var drainTimeout: Double

    func validate() throws {
        if let fault = limits.fault { throw ValidationError("--\(fault)") }
    }

    /// The limits that the flags say. A flag finds its row by its name.
    package var limits: ServerLimits {
        var limits = ServerLimits()
        for (label, option) in Mirror(reflecting: self).children {
            guard let limit = ServerLimit.all.first(where: { "_\($0.propertyName)" == label }) else {
                preconditionFailure("each flag here is a limit's")
            }
            switch (limit.value, option) {
            case (.count(let path, _), let option as Option<Int>): limits[keyPath: path] = option.wrappedValue
            case (.seconds(let path, _), let option as Option<Double>): limits[keyPath: path] = option.wrappedValue
            case (.optionalSeconds(let path, _), let option as Option<Double?>):
                limits[keyPath: path] = option.wrappedValue
            default: preconditionFailure("--\(limit.name) is of another type than its limit")
            }
        }
        return limits
    }
}

extension ServerLimit {
    /// What a flag's property is called: `maxBodyBytes` for `max-body-bytes`.
    var propertyName: String {
        let parts = name.split(separator: "-")
        return parts.dropFirst().reduce(String(parts.first ?? "")) { $0 + $1.capitalized }
    }

    fileprivate static func row(_ name: String) -> ServerLimit {
        guard let limit = all.first(where: { $0.name == name }) else {
            preconditionFailure("there is no limit \(name)")
        }
        return limit
    }
}

extension Option where Value: ExpressibleByArgument {
    /// A flag with the help and the default of a limit.
    private init(_ limit: ServerLimit, wrappedValue: Value) {
        self.init(
            wrappedValue: wrappedValue, name: .customLong(limit.name), parsing: .unconditional,
            help: ArgumentHelp(limit.help))
    }
}

extension Option where Value == Int {
    fileprivate init(limit name: String) {
        let limit = ServerLimit.row(name)
        guard case .count(let path, _) = limit.value else { preconditionFailure("\(name) is no count") }
        self.init(limit, wrappedValue: ServerLimits()[keyPath: path])
    }
}

extension Option where Value == Double {
    fileprivate init(limit name: String) {
        let limit = ServerLimit.row(name)
        guard case .seconds(let path, _) = limit.value else { preconditionFailure("\(name) is no time") }
        self.init(limit, wrappedValue: ServerLimits()[keyPath: path])
    }
}

extension Option where Value == Double? {
    fileprivate init(limit name: String) {
        self.init(
            name: .customLong(name), parsing: .unconditional, help: ArgumentHelp(ServerLimit.row(name).help))
    }
}
