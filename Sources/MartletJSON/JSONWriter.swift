// SPDX-License-Identifier: Apache-2.0

extension JSONValue {
    /// As compact JSON.
    package var encoded: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(256)
        write(to: &bytes)
        return bytes
    }

    /// Appends compact JSON. What is no finite number is null.
    package func write(to bytes: inout [UInt8]) {
        switch self {
        case .null: bytes += "null".utf8
        case .bool(let value): bytes += (value ? "true" : "false").utf8
        case .integer(let value): bytes += "\(value)".utf8
        case .unsigned(let value): bytes += "\(value)".utf8
        case .number(let value): bytes += (value.isFinite ? "\(value)" : "null").utf8
        case .string(let text): Self.write(text, to: &bytes)
        case .array(let elements):
            bytes.append(UInt8(ascii: "["))
            for (index, element) in elements.enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                element.write(to: &bytes)
            }
            bytes.append(UInt8(ascii: "]"))
        case .elements(let count, let element):
            bytes.append(UInt8(ascii: "["))
            for index in 0..<count {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                element(index).write(to: &bytes)
            }
            bytes.append(UInt8(ascii: "]"))
        case .object(let object):
            bytes.append(UInt8(ascii: "{"))
            for (index, member) in object.members.enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                Self.write(member.key, to: &bytes)
                bytes.append(UInt8(ascii: ":"))
                member.value.write(to: &bytes)
            }
            bytes.append(UInt8(ascii: "}"))
        }
    }

    /// Whether there is a list in it whose elements are made as they are written.
    package var isLong: Bool {
        switch self {
        case .elements(let count, _): count > 256
        case .array(let elements): elements.contains(where: \.isLong)
        case .object(let object): object.members.contains { $0.value.isLong }
        default: false
        }
    }

    /// Writes compact JSON piece by piece.
    ///
    /// - Parameter flush: called with what there is, whenever that is much; empties it.
    package func write(to bytes: inout [UInt8], flush: (inout [UInt8]) async throws -> Void) async throws {
        func separate(_ index: Int) async throws {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            if bytes.count >= 64 << 10 { try await flush(&bytes) }
        }
        switch self {
        case .elements(let count, let element):
            bytes.append(UInt8(ascii: "["))
            for index in 0..<count {
                try await separate(index)
                element(index).write(to: &bytes)
            }
            bytes.append(UInt8(ascii: "]"))
        case .array(let elements):
            bytes.append(UInt8(ascii: "["))
            for (index, element) in elements.enumerated() {
                try await separate(index)
                try await element.write(to: &bytes, flush: flush)
            }
            bytes.append(UInt8(ascii: "]"))
        case .object(let object):
            bytes.append(UInt8(ascii: "{"))
            for (index, member) in object.members.enumerated() {
                try await separate(index)
                Self.write(member.key, to: &bytes)
                bytes.append(UInt8(ascii: ":"))
                try await member.value.write(to: &bytes, flush: flush)
            }
            bytes.append(UInt8(ascii: "}"))
        default: write(to: &bytes)
        }
    }

    private static func write(_ text: String, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""): bytes += "\\\"".utf8
            case UInt8(ascii: "\\"): bytes += "\\\\".utf8
            case 0x0A: bytes += "\\n".utf8
            case 0x0D: bytes += "\\r".utf8
            case 0x09: bytes += "\\t".utf8
            case 0..<0x20:
                let digits = String(byte, radix: 16)
                bytes += "\\u00".utf8
                bytes += (digits.count == 1 ? "0" : "").utf8
                bytes += digits.utf8
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}
