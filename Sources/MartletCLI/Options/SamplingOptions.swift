// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Martlet
import MartletText

/// How answers are drawn, and when they end.
struct SamplingOptions: ParsableArguments {
    @Option(parsing: .unconditional, help: "Draws the same answer again; random by default.")
    var seed: UInt64?

    @Option(parsing: .unconditional, help: "0 always takes the likeliest token; higher is more varied.")
    var temperature: Float = 0.7

    @Option(parsing: .unconditional, help: "Keeps the likeliest tokens whose probabilities reach this sum.")
    var topP: Float = 0.9

    @Option(parsing: .unconditional, help: "Keeps this many of the likeliest tokens; 0 keeps all.")
    var topK = 0

    @Option(parsing: .unconditional, help: "Keeps tokens at least this fraction as likely as the likeliest.")
    var minP: Float = 0

    @Option(parsing: .unconditional, help: "Above 1 discourages tokens that prompt or answer hold already.")
    var repetitionPenalty: Float = 1

    @Option(parsing: .unconditional, help: "Discourages tokens that the answer holds already.")
    var presencePenalty: Float = 0

    @Option(parsing: .unconditional, help: "The same, once for each time that it holds them.")
    var frequencyPenalty: Float = 0

    @Option(
        help: ArgumentHelp("Adds to a token's logit; may be given several times.", valueName: "token=bias"))
    var logitBias: [LogitBias] = []

    @Option(help: ArgumentHelp("Tokens to draw from, and no others: 1,2,3.", valueName: "ids"))
    var allowedTokenIds: TokenIDs?

    @Option(
        help: ArgumentHelp(
            "A text that the answer must not hold, in this case and spelling; may be given several times.",
            valueName: "text"))
    var badWords: [String] = []

    @Option(parsing: .unconditional, help: "Ends the answer after this many tokens.")
    var maxTokens: Int?

    @Option(parsing: .unconditional, help: "Lets nothing end the answer before this many tokens.")
    var minTokens = 0

    @Option(help: ArgumentHelp("A text that ends the answer; may be given several times.", valueName: "text"))
    var stop: [String] = []

    @Option(help: ArgumentHelp("Tokens that end the answer: 1,2,3.", valueName: "ids"))
    var stopTokenIds: TokenIDs?

    @Flag(name: .customLong("ignore-eos"), help: "Goes on where the model would end its answer.")
    var ignoreEOS = false

    func validate() throws {
        if badWords.contains(where: { $0.allSatisfy(\.isWhitespace) }) {
            throw ValidationError("--bad-words must not be blank")
        }
        // What can be said before the model is there, by the flag's name.
        var parameters = plainParameters
        parameters.allowedTokenIDs = nil
        let validator = RequestValidator(
            limits: RequestLimits(), maxModelLength: .max, vocabularySize: Int(Int32.max), endTokens: [])
        do throws(EngineError) {
            _ = try validator.validate(GenerationRequest(promptTokens: [0], sampling: parameters))
        } catch {
            let flag = "--" + (error.field ?? "").replacing("_", with: "-")
            let message = error.field.map {
                error.message.hasPrefix($0) ? String(error.message.dropFirst($0.count)) : " " + error.message
            }
            throw ValidationError(flag + (message ?? error.message))
        }
    }

    /// - Parameter tokenizer: for the words that are banned.
    func parameters(_ tokenizer: Tokenizer) -> SamplingParameters {
        var parameters = plainParameters
        parameters.badWords = tokenizer.badWordTokens(badWords)
        return parameters
    }

    /// All but the words that are banned.
    private var plainParameters: SamplingParameters {
        var parameters = SamplingParameters()
        parameters.seed = seed
        parameters.temperature = temperature
        // 0 keeps the likeliest token alone, as in requests.
        parameters.topP = topP == 0 ? .leastNormalMagnitude : topP
        parameters.topK = topK
        parameters.minP = minP
        parameters.repetitionPenalty = repetitionPenalty
        parameters.presencePenalty = presencePenalty
        parameters.frequencyPenalty = frequencyPenalty
        for bias in logitBias { parameters.logitBias[bias.token] = bias.bias }
        parameters.allowedTokenIDs = allowedTokenIds?.values
        parameters.maxTokens = maxTokens
        parameters.minTokens = minTokens
        parameters.stop = stop
        parameters.stopTokenIDs = stopTokenIds?.values ?? []
        parameters.ignoresEndTokens = ignoreEOS
        return parameters
    }
}

/// `token=bias`.
struct LogitBias: ExpressibleByArgument {
    let token: Int32
    let bias: Float

    init?(argument: String) {
        let parts = argument.split(separator: "=", omittingEmptySubsequences: false)
        guard parts.count == 2, let token = Int32(parts[0]), let bias = Float(parts[1]) else { return nil }
        self.token = token
        self.bias = bias
    }
}
