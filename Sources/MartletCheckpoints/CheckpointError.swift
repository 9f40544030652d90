// SPDX-License-Identifier: Apache-2.0

/// Why a model file can't be used: what is wrong, where, and what to do about it.
public struct CheckpointError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What kind of thing is wrong. Open: more may come.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Name: String {
            case notReadable, notARegularFile, changedWhileReading
            case notGGUF, unsupportedVersion, truncated, impossibleCount, stringTooLong, invalidUTF8, invalidBool
            case unknownValueType, nestedArray, duplicateKey, invalidKey
            case invalidAlignment, wrongMetadataType, missingMetadata, invalidMetadata
            case invalidTensorName, duplicateTensor, invalidDimensions, unsupportedTensorType, partialBlock
            case misalignedTensor, tensorPastEnd, overlappingTensors
            case missingTensor, wrongTensorShape
            case unsupportedModel
        }
        private let name: Name
        private init(_ name: Name) { self.name = name }
        public var description: String { name.rawValue }

        public static let notReadable = Code(.notReadable)
        public static let notARegularFile = Code(.notARegularFile)
        public static let changedWhileReading = Code(.changedWhileReading)
        public static let notGGUF = Code(.notGGUF)
        public static let unsupportedVersion = Code(.unsupportedVersion)
        public static let truncated = Code(.truncated)
        public static let impossibleCount = Code(.impossibleCount)
        public static let stringTooLong = Code(.stringTooLong)
        public static let invalidUTF8 = Code(.invalidUTF8)
        public static let invalidBool = Code(.invalidBool)
        public static let unknownValueType = Code(.unknownValueType)
        public static let nestedArray = Code(.nestedArray)
        public static let duplicateKey = Code(.duplicateKey)
        public static let invalidKey = Code(.invalidKey)
        public static let invalidAlignment = Code(.invalidAlignment)
        public static let wrongMetadataType = Code(.wrongMetadataType)
        public static let missingMetadata = Code(.missingMetadata)
        public static let invalidMetadata = Code(.invalidMetadata)
        public static let invalidTensorName = Code(.invalidTensorName)
        public static let duplicateTensor = Code(.duplicateTensor)
        public static let invalidDimensions = Code(.invalidDimensions)
        public static let unsupportedTensorType = Code(.unsupportedTensorType)
        public static let partialBlock = Code(.partialBlock)
        public static let misalignedTensor = Code(.misalignedTensor)
        public static let tensorPastEnd = Code(.tensorPastEnd)
        public static let overlappingTensors = Code(.overlappingTensors)
        public static let missingTensor = Code(.missingTensor)
        public static let wrongTensorShape = Code(.wrongTensorShape)
        public static let unsupportedModel = Code(.unsupportedModel)
    }

    public let code: Code
    public let message: String
    /// Byte of the file at which it shows, where that says something.
    public let offset: Int?

    public init(_ code: Code, _ message: String, offset: Int? = nil) {
        self.code = code
        // Messages quote names from the file, which a terminal must not take for commands.
        self.message = message.escapingControlCharacters
        self.offset = offset
    }

    public var description: String {
        offset.map { "\(message) (at byte \($0))" } ?? message
    }
}

extension String {
    /// With control characters as `\u{1b}`: text from a file, fit for a terminal.
    package var escapingControlCharacters: String {
        guard unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else { return self }
        return unicodeScalars.reduce(into: "") { result, scalar in
            result += scalar.properties.generalCategory == .control ? scalar.escaped(asASCII: true) : String(scalar)
        }
    }
}
