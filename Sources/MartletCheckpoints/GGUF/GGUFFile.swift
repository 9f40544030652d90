// SPDX-License-Identifier: Apache-2.0

package import MartletCompute

/// An open GGUF model: its checked header, and its tensors' bytes by name. A model may be split into several files.
package final class GGUFFile {
    /// The path that was named: of any part.
    package let path: String
    /// The model's files in their order; the first one has the metadata.
    let parts: [MappedFile]
    package let contents: GGUFContents

    /// Opens a file and, where it is a part of a split model, the other parts beside it.
    package init(path: String) throws(CheckpointError) {
        self.path = path
        let named = try Part(path: path)
        do {
            let count = try named.contents.count("split.count") ?? 1
            guard count > 1 else {
                (parts, contents) = ([named.file], named.contents)
                return
            }
            let all = try named.siblings(count)
            (parts, contents) = (all.map(\.file), try GGUFContents(joining: all.map(\.contents)))
        } catch { throw error.of(path) }
    }

    /// The sum of all parts' sizes.
    package var byteCount: Int { parts.reduce(0) { $0 + $1.bytes.count } }

    /// The bytes of a tensor, valid while this file lives.
    package func hostTensor(_ tensor: GGUFTensor) -> HostTensor {
        HostTensor(
            elementType: tensor.elementType, count: tensor.count, rows: tensor.rows, columns: tensor.columns,
            bytes: UnsafeRawBufferPointer(rebasing: parts[tensor.part].bytes[tensor.range]))
    }

    /// The bytes of a metadata array's elements.
    func bytes(of array: GGUFArray) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: metadataBytes[array.range])
    }

    /// Takes a tensor's pages out of this process's memory; they are read from the file again if need be.
    package func release(_ tensor: GGUFTensor) { parts[tensor.part].release(tensor.range) }

    /// Reads ahead in the background.
    package func willNeed() { for part in parts { part.willNeed() } }

    /// Throws if a file changed since it was opened: what was read of it may be a mixture.
    package func checkUnchanged() throws(CheckpointError) {
        for part in parts { try part.checkUnchanged() }
    }

    /// Where the metadata's arrays lie.
    private var metadataBytes: UnsafeRawBufferPointer { parts[0].bytes }

    /// The elements of a string array as their bytes; GGUF doesn't promise UTF-8 there. nil where the key is absent.
    package func strings(_ key: String) throws(CheckpointError) -> [[UInt8]]? {
        guard let array = try contents.array(key) else { return nil }
        guard array.elementType == .string else {
            throw CheckpointError(.wrongMetadataType, "\(key) must hold strings, not \(array.elementType)")
        }
        var cursor = ByteCursor(bytes(of: array))
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
        var cursor = ByteCursor(bytes(of: array))
        var result: [Int32] = []
        result.reserveCapacity(array.count)
        for _ in 0..<array.count { result.append(try cursor.read(Int32.self, "an integer")) }
        return result
    }

    /// The elements of an array of bytes. nil where the key is absent.
    package func bytes(_ key: String) throws(CheckpointError) -> [UInt8]? {
        guard let array = try contents.array(key) else { return nil }
        guard array.elementType == .uint8 || array.elementType == .int8 else {
            throw CheckpointError(.wrongMetadataType, "\(key) must hold bytes, not \(array.elementType)")
        }
        return Array(bytes(of: array))
    }

    /// The elements of a float32 array. nil where the key is absent.
    package func floats(_ key: String) throws(CheckpointError) -> [Float]? {
        guard let array = try contents.array(key) else { return nil }
        guard array.elementType == .float32 else {
            throw CheckpointError(.wrongMetadataType, "\(key) must hold float32, not \(array.elementType)")
        }
        var cursor = ByteCursor(bytes(of: array))
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
        return bytes(of: array).map { $0 != 0 }
    }
}

/// One file of a model.
private struct Part {
    let file: MappedFile
    let contents: GGUFContents

    init(path: String) throws(CheckpointError) {
        file = try MappedFile(path: path)
        do { contents = try GGUFContents(reading: file.bytes) } catch { throw error.of(path) }
    }

    /// All parts of the model, this one among them, in order.
    func siblings(_ count: Int) throws(CheckpointError) -> [Part] {
        let name = try SplitName(path: file.path, count: count)
        var parts: [Part] = []
        for number in 0..<count {
            let path = name.path(of: number)
            let part = try number == name.number ? self : Part(path: path)
            guard try part.contents.count("split.no") == number, try part.contents.count("split.count") == count else {
                throw CheckpointError(
                    .invalidMetadata,
                    "\(path) is not part \(number + 1) of \(count), as its name says; fetch the parts of one model")
            }
            parts.append(part)
        }
        return parts
    }
}

extension CheckpointError {
    /// The error with the path before what it says, unless it is there.
    fileprivate func of(_ path: String) -> CheckpointError {
        message.contains(path) ? self : CheckpointError(code, "\(path): \(message)", offset: offset)
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
