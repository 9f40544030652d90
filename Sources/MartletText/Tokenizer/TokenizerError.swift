// SPDX-License-Identifier: Apache-2.0

/// Why a vocabulary, or a text, can't be used.
package struct TokenizerError: Error, Equatable, Sendable, CustomStringConvertible {
    package struct Code: Hashable, Sendable {
        private enum Name { case unknownPreTokenizer, invalidVocabulary, invalidMerge, timedOut }
        private let name: Name
        private init(_ name: Name) { self.name = name }

        package static let unknownPreTokenizer = Code(.unknownPreTokenizer)
        package static let invalidVocabulary = Code(.invalidVocabulary)
        package static let invalidMerge = Code(.invalidMerge)
        /// The text took longer than it was given.
        package static let timedOut = Code(.timedOut)
    }

    package let code: Code
    package let message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { message }
}
