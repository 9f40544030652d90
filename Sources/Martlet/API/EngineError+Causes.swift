// SPDX-License-Identifier: Apache-2.0

import MartletCheckpoints
import MartletCompute
import MartletText

extension EngineError {
    /// Turns an error of a lower layer into one of the API. The message stays the same.
    init(_ cause: any Error) {
        switch cause {
        case let error as EngineError: self = error
        case let error as CheckpointError: self.init(Code(error.code), "\(error)")
        case let error as TokenizerError:
            self.init(error.code == .unknownPreTokenizer ? .unsupportedModel : .damagedModel, "\(error)")
        case let error as TemplateError where error.code == .invalidVariable:
            self.init(.invalidRequest, error.message, field: "variables")
        case let error as TemplateError: self.init(.invalidTemplate, "\(error)", field: "chat_template")
        case let error as DeviceError: self.init(Code(error.code), "\(error)")
        default: self.init(.unexpected, "\(cause)")
        }
    }
}

extension EngineError.Code {
    fileprivate init(_ code: CheckpointError.Code) {
        switch code {
        case .notReadable, .notARegularFile, .changedWhileReading: self = .unreadableFile
        case .unsupportedModel, .unsupportedTensorType, .unsupportedVersion: self = .unsupportedModel
        default: self = .damagedModel
        }
    }

    fileprivate init(_ code: DeviceError.Code) {
        switch code {
        case .outOfMemory: self = .outOfMemory
        case .unsupported: self = .unsupportedModel
        default: self = .deviceLost
        }
    }
}
