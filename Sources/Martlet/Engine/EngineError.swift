// SPDX-License-Identifier: Apache-2.0

/// Why a request or an engine failed.
public struct EngineError: Error, Equatable, Sendable, CustomStringConvertible {
    public struct Code: Hashable, Sendable {
        private enum Name { case invalidRequest, contextExceeded, noChatTemplate, notFinite, invalidOptions }
        private let name: Name
        private init(_ name: Name) { self.name = name }

        /// A parameter is out of range; `field` names it.
        public static let invalidRequest = Code(.invalidRequest)
        /// The prompt doesn't fit the context.
        public static let contextExceeded = Code(.contextExceeded)
        public static let noChatTemplate = Code(.noChatTemplate)
        /// The model's logits are not numbers: its weights are damaged.
        public static let notFinite = Code(.notFinite)
        public static let invalidOptions = Code(.invalidOptions)
    }

    public let code: Code
    public let message: String
    /// The parameter at fault, by its name in the API.
    public let field: String?

    public init(_ code: Code, _ message: String, field: String? = nil) {
        self.code = code
        self.message = message
        self.field = field
    }

    public var description: String { message }
}
