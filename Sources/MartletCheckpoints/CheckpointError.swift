// SPDX-License-Identifier: Apache-2.0

/// Why a model file can't be used: what is wrong, where, and what to do about it.
package struct CheckpointError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What kind of thing is wrong. Open: more may come.
    package struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Name: String {
            case notReadable, notARegularFile, alreadyExists, sameFile, changedWhileReading
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
        package var description: String { name.rawValue }

        package static let notReadable = Code(.notReadable)
        package static let notARegularFile = Code(.notARegularFile)
        package static let alreadyExists = Code(.alreadyExists)
        package static let sameFile = Code(.sameFile)
        package static let changedWhileReading = Code(.changedWhileReading)
        package static let notGGUF = Code(.notGGUF)
        package static let unsupportedVersion = Code(.unsupportedVersion)
        package static let truncated = Code(.truncated)
        package static let impossibleCount = Code(.impossibleCount)
        package static let stringTooLong = Code(.stringTooLong)
        package static let invalidUTF8 = Code(.invalidUTF8)
        package static let invalidBool = Code(.invalidBool)
        package static let unknownValueType = Code(.unknownValueType)
        package static let nestedArray = Code(.nestedArray)
        package static let duplicateKey = Code(.duplicateKey)
        package static let invalidKey = Code(.invalidKey)
        package static let invalidAlignment = Code(.invalidAlignment)
        package static let wrongMetadataType = Code(.wrongMetadataType)
        package static let missingMetadata = Code(.missingMetadata)
        package static let invalidMetadata = Code(.invalidMetadata)
        package static let invalidTensorName = Code(.invalidTensorName)
        package static let duplicateTensor = Code(.duplicateTensor)
        package static let invalidDimensions = Code(.invalidDimensions)
        package static let unsupportedTensorType = Code(.unsupportedTensorType)
        package static let partialBlock = Code(.partialBlock)
        package static let misalignedTensor = Code(.misalignedTensor)
        package static let tensorPastEnd = Code(.tensorPastEnd)
        package static let overlappingTensors = Code(.overlappingTensors)
        package static let missingTensor = Code(.missingTensor)
        package static let wrongTensorShape = Code(.wrongTensorShape)
        package static let unsupportedModel = Code(.unsupportedModel)
    }

    package let code: Code
    package let message: String
    /// Byte of the file at which it shows, where that says something.
    package let offset: Int?

    package init(_ code: Code, _ message: String, offset: Int? = nil) {
        self.code = code
        // Messages quote names from the file, which a terminal must not take for commands.
        self.message = message.escapingControlCharacters
        self.offset = offset
    }

    package var description: String {
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
