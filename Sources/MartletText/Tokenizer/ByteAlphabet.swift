// SPDX-License-Identifier: Apache-2.0

/// GPT-2's spelling of bytes: byte-level vocabularies write each byte as a printable character.
///
/// Printable Latin-1 stands for itself; the other 68 bytes are U+0100 and on, in order. A space is `Ġ`.
enum ByteAlphabet {
    private static let bytes: [UInt32: UInt8] = {
        var result: [UInt32: UInt8] = [:]
        var next: UInt32 = 0x100
        for byte in UInt8.min...UInt8.max {
            switch byte {
            case 0x21...0x7e, 0xa1...0xac, 0xae...0xff:
                result[UInt32(byte)] = byte
            default:
                result[next] = byte
                next += 1
            }
        }
        return result
    }()

    static func spelling(of byte: UInt8) -> String { spellings[Int(byte)] }

    private static let spellings: [String] = {
        var result = Array(repeating: "", count: 256)
        for (scalar, byte) in bytes { result[Int(byte)] = Unicode.Scalar(scalar).map { String(Character($0)) } ?? "" }
        return result
    }()

    /// The bytes that `spelling` stands for, or nil if a character of it stands for none.
    static func bytes(of spelling: String) -> [UInt8]? {
        var result: [UInt8] = []
        for scalar in spelling.unicodeScalars {
            guard let byte = bytes[scalar.value] else { return nil }
            result.append(byte)
        }
        return result
    }
}
