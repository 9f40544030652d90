// SPDX-License-Identifier: Apache-2.0

extension JSONValue {
    /// Reads JSON (RFC 8259): UTF-8, no key twice in an object, no deeper than `maximumDepth`.
    public init(json text: String, maximumDepth: Int = 64) throws(JSONError) {
        self = try JSONParser.parse(Array(text.utf8), maximumDepth: maximumDepth)
    }

    /// The value as JSON, in one line.
    public var json: String { String(decoding: encoded, as: UTF8.self) }
}
