// SPDX-License-Identifier: Apache-2.0

import MartletJSON

/// What the objects of one answer, or of all its pieces, have in common.
struct AnswerObject: Sendable {
    let id: String
    let object: String
    /// Seconds since 1970.
    let created: Int
    let model: String

    func json(choices: [JSONValue], usage: JSONValue?) -> JSONValue {
        var json: JSONValue = [
            "id": .string(id), "object": .string(object), "created": .integer(created), "model": .string(model),
            "choices": .array(choices),
        ]
        if let usage { json.append("usage", usage) }
        return json
    }
}

extension JSONValue {
    /// Adds a member to an object.
    mutating func append(_ key: String, _ value: JSONValue) {
        guard case .object(var object) = self else { return }
        object.members.append(JSONObject.Member(key: key, value: value))
        self = .object(object)
    }
}
