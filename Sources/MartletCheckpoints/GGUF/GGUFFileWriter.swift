// SPDX-License-Identifier: Apache-2.0

package import MartletCompute

/// Writes a GGUF file, which appears under its name once it is whole.
///
/// `init` writes the header; the caller then writes the tensors in the header's order.
package final class GGUFFileWriter {
    /// A tensor to write.
    package struct Tensor {
        package let name: String
        /// The first runs fastest.
        package let dimensions: [Int]
        package let elementType: ElementType

        package init(name: String, dimensions: [Int], elementType: ElementType) {
            self.name = name
            self.dimensions = dimensions
            self.elementType = elementType
        }

        /// nil where rows aren't whole blocks.
        package var byteCount: Int? { elementType.byteCount(of: dimensions.reduce(1, *)) }
    }

    private static let alignment = 32

    private let file: NewFile
    private var remaining: ArraySlice<Tensor>
    package var byteCount: Int { file.byteCount }

    /// - Parameters:
    ///   - overwrite: whether a regular file that is there is replaced; never the source.
    ///   - source: whose metadata is copied, but for what says how the file is split or aligned.
    ///   - metadata: in place of the source's of the same keys, or behind them.
    package init(
        path: String, overwrite: Bool, metadataOf source: GGUFFile,
        replacing metadata: [(key: String, value: GGUFValue)], tensors: [Tensor]
    ) throws(CheckpointError) {
        file = try NewFile(path: path, overwrite: overwrite, sources: source.parts)
        remaining = tensors[...]
        let keys = source.contents.keys.filter { !$0.hasPrefix("split.") && $0 != "general.alignment" }
        let added = metadata.map(\.key).filter { !keys.contains($0) }
        var pairs: [UInt8] = []
        for key in keys + added {
            let replacement = metadata.first { $0.key == key }?.value
            guard let value = replacement ?? source.contents.metadata[key] else { continue }
            Self.append(string: key, to: &pairs)
            Self.append(value.type.rawValue, to: &pairs)
            Self.append(value, of: source, to: &pairs)
        }
        var header: [UInt8] = Array("GGUF".utf8)
        Self.append(UInt32(3), to: &header)
        Self.append(UInt64(tensors.count), to: &header)
        Self.append(UInt64(keys.count + added.count), to: &header)
        header += pairs
        var offset = 0
        for tensor in tensors {
            Self.append(string: tensor.name, to: &header)
            Self.append(UInt32(tensor.dimensions.count), to: &header)
            for dimension in tensor.dimensions { Self.append(UInt64(dimension), to: &header) }
            Self.append(tensor.elementType.ggufNumber, to: &header)
            Self.append(UInt64(offset), to: &header)
            guard let bytes = tensor.byteCount else {
                throw CheckpointError(
                    .partialBlock, "\(tensor.name) has no whole blocks of \(tensor.elementType.rawValue)")
            }
            offset += Self.aligned(bytes)
        }
        try write(header)
        try pad()
    }

    /// Writes the next tensor's bytes.
    package func writeTensor(_ bytes: UnsafeRawBufferPointer) throws(CheckpointError) {
        precondition(remaining.popFirst()?.byteCount == bytes.count, "tensors follow in the header's order")
        try file.write(bytes)
        try pad()
    }

    /// Gives the file its name.
    package func finish() throws(CheckpointError) {
        precondition(remaining.isEmpty, "all tensors are written")
        try file.finish()
    }

    private static func aligned(_ count: Int) -> Int { (count + alignment - 1) / alignment * alignment }

    private func pad() throws(CheckpointError) {
        try write([UInt8](repeating: 0, count: Self.aligned(byteCount) - byteCount))
    }

    private func write(_ bytes: [UInt8]) throws(CheckpointError) {
        try bytes.withUnsafeBufferPointer { bytes throws(CheckpointError) in
            try file.write(UnsafeRawBufferPointer(bytes))
        }
    }

    // MARK: Values

    private static func append<Value: FixedWidthInteger>(_ value: Value, to bytes: inout [UInt8]) {
        withUnsafeBytes(of: value.littleEndian) { bytes += $0 }
    }

    private static func append(string: String, to bytes: inout [UInt8]) {
        append(UInt64(string.utf8.count), to: &bytes)
        bytes += string.utf8
    }

    private static func append(_ value: GGUFValue, of source: GGUFFile, to bytes: inout [UInt8]) {
        func append(bits: UInt64, _ type: GGUFValueType) {
            withUnsafeBytes(of: bits.littleEndian) { bytes += $0.prefix(type.fixedSize ?? 0) }
        }
        switch value {
        case .unsigned(let number, let type): append(bits: number, type)
        case .signed(let number, let type): append(bits: UInt64(bitPattern: number), type)
        case .floating(let number, .float32): append(bits: UInt64(Float(number).bitPattern), .float32)
        case .floating(let number, let type): append(bits: number.bitPattern, type)
        case .bool(let flag): bytes.append(flag ? 1 : 0)
        case .string(let string): Self.append(string: string, to: &bytes)
        case .array(let array):
            Self.append(array.elementType.rawValue, to: &bytes)
            Self.append(UInt64(array.count), to: &bytes)
            bytes += source.bytes(of: array)
        }
    }
}
