// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import Martlet
import Synchronization

/// What all requests to a server share.
package final class ServerState: Sendable {
    let served = ServedEngine()
    let metrics: ServerMetrics
    let text: TextPool
    let limits: ServerLimits
    let logprobs: LogprobBudget
    let modelNames: [String]
    let version: String
    /// Seconds since 1970 when the server began.
    let created = Int(Date().timeIntervalSince1970)
    let logsRequests: Bool
    /// Whether control tokens that plain prompts spell become those tokens, where a request doesn't say.
    let parsesSpecials: Bool
    private let acceptsAnyModelName: Bool
    private let seed: UInt64?
    private let seededRequests = Atomic<UInt64>(0)
    /// How answers are drawn where a request doesn't say.
    let sampling: SamplingParameters

    package init(_ configuration: ServerConfiguration) {
        limits = configuration.limits
        logprobs = LogprobBudget(limit: configuration.limits.totalLogprobEntries)
        modelNames = configuration.modelNames
        version = configuration.version
        logsRequests = configuration.logsRequests
        parsesSpecials = configuration.parsesSpecials
        acceptsAnyModelName = configuration.acceptsAnyModelName
        text = TextPool(
            queueLimit: configuration.limits.request.queuedRequests, seconds: configuration.limits.tokenizeSeconds)
        seed = configuration.seed
        sampling = configuration.defaultSampling
        metrics = ServerMetrics(maxModelLength: 1 << 20)
    }

    /// The name that an answer calls the model by.
    ///
    /// - Parameter asked: the request's; nil for any.
    func servedName(_ asked: String?) throws(ServerError) -> String {
        let name = asked ?? modelNames.first ?? ""
        if acceptsAnyModelName { return name }
        // A long name is none of ours, and may take long to compare.
        guard name.utf8.count <= 1024, modelNames.contains(name) else {
            let names = modelNames.joined(separator: ", ")
            throw ServerError(
                .notFound,
                "the model \(String(decoding: name.utf8.prefix(256), as: UTF8.self).debugDescription) is not served here; this server has \(names)",
                param: "model",
                code: "model_not_found")
        }
        return name
    }

    /// Fills in what a request leaves to the server, and makes tokens of the words that it bans.
    func settle(_ common: inout GenerationFields, with texts: PromptTokens) throws {
        common.model = try servedName(common.model)
        common.sampling.seed = common.sampling.seed ?? nextSeed()
        common.sampling.badWords = try texts.badWords(common.badWords)
    }

    /// The seed of a request that brings none; nil to draw one.
    private func nextSeed() -> UInt64? {
        seed.map { $0 &+ seededRequests.wrappingAdd(1, ordering: .relaxed).oldValue }
    }

    func answer(_ object: String, prefix: String, model: String?, _ context: ServerContext) -> AnswerObject {
        AnswerObject(
            id: prefix + context.requestID, object: object, created: Int(Date().timeIntervalSince1970),
            model: model ?? modelNames.first ?? "")
    }

    /// Says what is asked, if that is wanted.
    func log(_ prompts: [String], _ sampling: SamplingParameters, _ context: ServerContext) {
        guard logsRequests else { return }
        for prompt in prompts {
            context.logger.info("request", metadata: ["prompt": "\(prompt)", "sampling": "\(sampling)"])
        }
    }
}
