// SPDX-License-Identifier: Apache-2.0

extension DecodingError {
    /// Says what is wrong with a file and where, for the person who wrote it.
    package var explanation: String {
        switch self {
        case .keyNotFound(let key, let context): Self.location(context) + "there is no \(key.stringValue)"
        case .typeMismatch(_, let context), .valueNotFound(_, let context):
            Self.location(context) + context.debugDescription
        case .dataCorrupted(let context):
            context.codingPath.isEmpty ? "it is not valid JSON" : Self.location(context) + context.debugDescription
        @unknown default: "it can't be read"
        }
    }

    /// The path of the value at fault, as in `cases[3].file: `.
    private static func location(_ context: Context) -> String {
        let path = context.codingPath.reduce(into: "") { path, key in
            if let index = key.intValue {
                path += "[\(index)]"
            } else {
                path += (path.isEmpty ? "" : ".") + key.stringValue
            }
        }
        return path.isEmpty ? "" : "\(path): "
    }
}
