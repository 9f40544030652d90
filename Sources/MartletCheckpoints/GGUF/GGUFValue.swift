// SPDX-License-Identifier: Apache-2.0

/// The types of GGUF metadata, by their numbers in the file.
package enum GGUFValueType: UInt32, Sendable {
    case uint8, int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64, float64

    /// Bytes of a value, nil where they vary.
    var fixedSize: Int? {
        switch self {
        case .uint8, .int8, .bool: 1
        case .uint16, .int16: 2
        case .uint32, .int32, .float32: 4
        case .uint64, .int64, .float64: 8
        case .string, .array: nil
        }
    }
}

/// A metadata value. Large arrays stay in the file; `GGUFArray` says where.
package enum GGUFValue: Equatable, Sendable {
    case unsigned(UInt64, GGUFValueType)
    case signed(Int64, GGUFValueType)
    case floating(Double, GGUFValueType)
    case bool(Bool)
    case string(String)
    case array(GGUFArray)

    package var type: GGUFValueType {
        switch self {
        case .unsigned(_, let type), .signed(_, let type), .floating(_, let type): type
        case .bool: .bool
        case .string: .string
        case .array: .array
        }
    }
}

/// Numbers, bools and strings as themselves, an array as its extent.
extension GGUFValue: Encodable {
    private enum ArrayKeys: CodingKey { case elementType, count }

    package func encode(to encoder: any Encoder) throws {
        func encodeAlone(_ value: some Encodable) throws {
            var container = encoder.singleValueContainer()
            try container.encode(value)
        }
        switch self {
        case .unsigned(let value, _): try encodeAlone(value)
        case .signed(let value, _): try encodeAlone(value)
        // JSON has no NaN and no infinity.
        case .floating(let value, _): value.isFinite ? try encodeAlone(value) : try encodeAlone("\(value)")
        case .bool(let value): try encodeAlone(value)
        case .string(let value): try encodeAlone(value)
        case .array(let array):
            var keyed = encoder.container(keyedBy: ArrayKeys.self)
            try keyed.encode("\(array.elementType)", forKey: .elementType)
            try keyed.encode(array.count, forKey: .count)
        }
    }
}

/// An array of metadata, walked once when the file was opened, so every element is known to lie inside it.
package struct GGUFArray: Equatable, Sendable {
    package let elementType: GGUFValueType
    package let count: Int
    /// The elements' bytes in the file.
    package let range: Range<Int>
}
