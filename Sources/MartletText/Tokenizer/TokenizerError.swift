// SPDX-License-Identifier: Apache-2.0

/// Why a vocabulary, or a text, can't be used.
public struct TokenizerError: Error, Equatable, Sendable, CustomStringConvertible {
    public struct Code: Hashable, Sendable {
        private enum Name { case unknownPreTokenizer, invalidVocabulary, invalidMerge, timedOut }
        private let name: Name
        private init(_ name: Name) { self.name = name }

        public static let unknownPreTokenizer = Code(.unknownPreTokenizer)
        public static let invalidVocabulary = Code(.invalidVocabulary)
        public static let invalidMerge = Code(.invalidMerge)
        /// The text took longer than it was given.
        public static let timedOut = Code(.timedOut)
    }

    public let code: Code
    public let message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { message }
}
