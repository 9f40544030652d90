// SPDX-License-Identifier: Apache-2.0

/// Why a request or an engine failed.
public struct EngineError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A kind of failure. More kinds may come.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Name: String {
            case unreadableFile, damagedModel, unsupportedModel, outOfMemory
            case invalidRequest, contextExceeded, noChatTemplate, invalidTemplate, notFinite, invalidOptions, overloaded
            case slowReader
            case stepFailed, stalled, stopped, deviceLost, unexpected
        }
        private let name: Name
        private init(_ name: Name) { self.name = name }

        /// The code's name.
        public var description: String { name.rawValue }

        /// The file isn't there, can't be read, or changed while it was read.
        public static let unreadableFile = Code(.unreadableFile)
        /// The file is no model file, or its contents contradict each other.
        public static let damagedModel = Code(.damagedModel)
        /// The model is of a kind that isn't computed here, or its weights are stored in one.
        public static let unsupportedModel = Code(.unsupportedModel)
        /// The system gave no memory that a model or its cache needs. What could be known before is `invalidOptions`.
        public static let outOfMemory = Code(.outOfMemory)
        /// A parameter is out of range; `field` names it.
        public static let invalidRequest = Code(.invalidRequest)
        /// The prompt doesn't fit the context.
        public static let contextExceeded = Code(.contextExceeded)
        /// The model has no chat template, so it answers no conversations.
        public static let noChatTemplate = Code(.noChatTemplate)
        /// The chat template is at fault, or it refuses the conversation.
        public static let invalidTemplate = Code(.invalidTemplate)
        /// The model's logits are not numbers: its weights are damaged.
        public static let notFinite = Code(.notFinite)
        /// An option contradicts another one, the model or the machine; `field` names it.
        public static let invalidOptions = Code(.invalidOptions)
        /// More requests wait than the engine's limits allow. Try again later.
        public static let overloaded = Code(.overloaded)
        /// The reader left too much of its answer unread.
        public static let slowReader = Code(.slowReader)
        /// The device could not compute a step that the request was part of.
        public static let stepFailed = Code(.stepFailed)
        /// A step did not end for too long.
        public static let stalled = Code(.stalled)
        /// The engine stopped before the request was finished, or had when it came.
        public static let stopped = Code(.stopped)
        /// The device computes nothing any more. The engine has ended; make another one.
        public static let deviceLost = Code(.deviceLost)
        /// A fault that none of the other codes is for.
        public static let unexpected = Code(.unexpected)
    }

    /// The kind of failure.
    public let code: Code
    /// A sentence for people: the fault, and what to do about it.
    public let message: String
    /// The parameter at fault, by vLLM's name for it.
    public let field: String?

    /// An error of one's own, for code that stands in for an engine.
    public init(_ code: Code, _ message: String, field: String? = nil) {
        self.code = code
        self.message = message
        self.field = field
    }

    /// The message.
    public var description: String { message }
}

extension EngineError {
    /// Why a channel ended early; nil where it didn't.
    init?(of end: ChannelEnd, detail: String) {
        switch end {
        case .open, .finished, .cancelled: return nil
        case .slowReader: self.init(.slowReader, "too much of the answer was left unread for too long; it was cut off")
        case .notFinite: self.init(.notFinite, "the model's logits are not finite; is the file damaged?")
        case .nothingAllowed:
            self.init(
                .invalidRequest, "allowed_token_ids, bad_words and min_tokens together left no token to choose",
                field: "allowed_token_ids")
        case .stepFailed: self.init(.stepFailed, "the step could not be computed: \(detail)")
        case .stalled: self.init(.stalled, "the engine made no progress for too long; the request was given up")
        case .stopped: self.init(.stopped, "the engine has stopped")
        case .deviceLost: self = .deviceLost(detail)
        }
    }

    static func deviceLost(_ detail: String) -> EngineError {
        EngineError(.deviceLost, "the device is lost: \(detail)")
    }
}
