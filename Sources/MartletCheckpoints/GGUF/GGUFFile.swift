// SPDX-License-Identifier: Apache-2.0

package import MartletCompute

/// An open GGUF file: its checked header, and its tensors' bytes by name.
package final class GGUFFile {
    package let file: MappedFile
    package let contents: GGUFContents

    package init(path: String) throws(CheckpointError) {
        file = try MappedFile(path: path)
        do {
            contents = try GGUFContents(reading: file.bytes)
        } catch {
            throw CheckpointError(error.code, "\(path): \(error.message)", offset: error.offset)
        }
    }

    /// The bytes of a tensor, valid while this file lives.
    package func hostTensor(_ tensor: GGUFTensor) -> HostTensor {
        HostTensor(
            elementType: tensor.elementType, count: tensor.count, rows: tensor.rows, columns: tensor.columns,
            bytes: UnsafeRawBufferPointer(rebasing: file.bytes[tensor.range]))
    }

    /// The elements of a string array as their bytes; GGUF doesn't promise UTF-8 there. nil where the key is absent.
    package func strings(_ key: String) throws(CheckpointError) -> [[UInt8]]? {
        guard let array = try contents.array(key) else { return nil }
        guard array.elementType == .string else {
            throw CheckpointError(.wrongMetadataType, "\(key) must hold strings, not \(array.elementType)")
        }
        var cursor = ByteCursor(UnsafeRawBufferPointer(rebasing: file.bytes[array.range]))
        var result: [[UInt8]] = []
        result.reserveCapacity(array.count)
        for _ in 0..<array.count {
            let range = try cursor.readStringRange("a string")
            result.append([UInt8](cursor.bytes[range]))
        }
        return result
    }

    /// The elements of an int32 or uint32 array, those beyond int32 as negative numbers. nil where the key is absent.
    package func integers(_ key: String) throws(CheckpointError) -> [Int32]? {
        guard let array = try contents.array(key) else { return nil }
        guard array.elementType == .int32 || array.elementType == .uint32 else {
            throw CheckpointError(.wrongMetadataType, "\(key) must hold int32 or uint32, not \(array.elementType)")
        }
        var cursor = ByteCursor(UnsafeRawBufferPointer(rebasing: file.bytes[array.range]))
        var result: [Int32] = []
        result.reserveCapacity(array.count)
        for _ in 0..<array.count { result.append(try cursor.read(Int32.self, "an integer")) }
        return result
    }

    /// The elements of a float32 array. nil where the key is absent.
    package func floats(_ key: String) throws(CheckpointError) -> [Float]? {
        guard let array = try contents.array(key) else { return nil }
        guard array.elementType == .float32 else {
            throw CheckpointError(.wrongMetadataType, "\(key) must hold float32, not \(array.elementType)")
        }
        var cursor = ByteCursor(UnsafeRawBufferPointer(rebasing: file.bytes[array.range]))
        var result: [Float] = []
        result.reserveCapacity(array.count)
        for _ in 0..<array.count { result.append(Float(bitPattern: try cursor.read(UInt32.self, "a number"))) }
        return result
    }

    /// The elements of an array of bools. nil where the key is absent.
    package func flags(_ key: String) throws(CheckpointError) -> [Bool]? {
        guard let array = try contents.array(key) else { return nil }
        guard array.elementType == .bool else {
            throw CheckpointError(.wrongMetadataType, "\(key) must hold bools, not \(array.elementType)")
        }
        return file.bytes[array.range].map { $0 != 0 }
    }
}

/// Typed access to metadata: absent is nil, the wrong type or a value out of range is an error that names the key.
extension GGUFContents {
    /// A string that is compared with others: at most 1024 bytes.
    package func name(_ key: String) throws(CheckpointError) -> String? {
        guard let name = try string(key) else { return nil }
        guard name.utf8.count <= 1024 else {
            throw CheckpointError(.invalidMetadata, "\(key) has \(name.utf8.count) bytes; a name has at most 1024")
        }
        return name
    }

    package func string(_ key: String) throws(CheckpointError) -> String? {
        guard let value = metadata[key] else { return nil }
        guard case .string(let string) = value else { throw wrongType(key, value, "a string") }
        return string
    }

    package func bool(_ key: String) throws(CheckpointError) -> Bool? {
        guard let value = metadata[key] else { return nil }
        guard case .bool(let bool) = value else { throw wrongType(key, value, "a bool") }
        return bool
    }

    /// An integer of any width that fits `Int` and is not negative.
    package func count(_ key: String) throws(CheckpointError) -> Int? {
        guard let value = metadata[key] else { return nil }
        let number: Int?
        switch value {
        case .unsigned(let unsigned, _): number = Int(exactly: unsigned)
        case .signed(let signed, _): number = Int(exactly: signed)
        default: throw wrongType(key, value, "an integer")
        }
        guard let number, number >= 0 else {
            throw CheckpointError(.invalidMetadata, "\(key) is out of range")
        }
        return number
    }

    package func float(_ key: String) throws(CheckpointError) -> Double? {
        guard let value = metadata[key] else { return nil }
        guard case .floating(let double, _) = value else { throw wrongType(key, value, "a float") }
        return double
    }

    package func array(_ key: String) throws(CheckpointError) -> GGUFArray? {
        guard let value = metadata[key] else { return nil }
        guard case .array(let array) = value else { throw wrongType(key, value, "an array") }
        return array
    }

    /// Unwraps what a model can't do without.
    package func required<Value>(_ value: Value?, _ key: String) throws(CheckpointError) -> Value {
        guard let value else { throw CheckpointError(.missingMetadata, "the file lacks \(key)") }
        return value
    }

    private func wrongType(_ key: String, _ value: GGUFValue, _ expected: String) -> CheckpointError {
        CheckpointError(.wrongMetadataType, "\(key) must be \(expected), not \(value.type)")
    }
}
