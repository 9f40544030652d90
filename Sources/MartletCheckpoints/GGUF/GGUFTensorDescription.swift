// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// A tensor record as it stands in the header, before the start of the data is known.
struct GGUFTensorDescription {
    let name: String
    let dimensions: [Int]
    /// nil where the type is known and not supported.
    let elementType: ElementType?
    let typeName: String
    let byteCount: Int
    let dataOffset: UInt64
    /// Where the record's offset field stands in the file.
    let offsetAt: Int

    init(reading cursor: inout ByteCursor, index: Int) throws(CheckpointError) {
        let at = cursor.offset
        let name = try cursor.readString("the name of tensor \(index)")
        guard !name.isEmpty, name.utf8.count <= 256 else {
            throw CheckpointError(.invalidTensorName, "tensor \(index) has an empty or overlong name", offset: at)
        }
        let dimensionsAt = cursor.offset
        let dimensionCount = try cursor.read(UInt32.self, "the dimensions of \(name)")
        guard (1...4).contains(dimensionCount) else {
            throw CheckpointError(
                .invalidDimensions, "\(name) has \(dimensionCount) dimensions; 1 to 4 are possible",
                offset: dimensionsAt)
        }
        var dimensions: [Int] = []
        var count = 1
        for _ in 0..<dimensionCount {
            let claimed = try cursor.read(UInt64.self, "the dimensions of \(name)")
            guard let size = Int(exactly: claimed), size > 0,
                case let (product, overflow) = count.multipliedReportingOverflow(by: size), !overflow
            else {
                throw CheckpointError(
                    .invalidDimensions, "\(name) has a dimension of \(claimed): zero, or too large to address",
                    offset: dimensionsAt)
            }
            count = product
            dimensions.append(size)
        }
        let typeAt = cursor.offset
        let typeNumber = try cursor.read(UInt32.self, "the type of \(name)")
        elementType = GGUFTensorType.supported[typeNumber]
        guard let typeName = elementType?.rawValue ?? GGUFTensorType.unsupported[typeNumber] else {
            throw CheckpointError(
                .unsupportedTensorType,
                "\(name) is of type number \(typeNumber), which is unknown; supported are \(GGUFTensorType.supportedNames)",
                offset: typeAt)
        }
        self.typeName = typeName
        if let elementType {
            guard dimensions[0] % elementType.blockLength == 0, let bytes = elementType.byteCount(of: count) else {
                throw CheckpointError(
                    .partialBlock,
                    "\(name) has rows of \(dimensions[0]) values, not whole \(elementType.rawValue) blocks of "
                        + "\(elementType.blockLength), or more bytes than can be addressed", offset: dimensionsAt)
            }
            byteCount = bytes
        } else {
            byteCount = 0
        }
        offsetAt = cursor.offset
        dataOffset = try cursor.read(UInt64.self, "the offset of \(name)")
        self.name = name
        self.dimensions = dimensions
    }

    /// - Parameter elementType: its own, where that is supported.
    func located(
        as elementType: ElementType, dataStart: Int, alignment: Int, fileSize: Int
    ) throws(CheckpointError) -> GGUFTensor {
        guard dataOffset % UInt64(alignment) == 0 else {
            throw CheckpointError(
                .misalignedTensor, "\(name) begins at \(dataOffset), not a multiple of \(alignment)", offset: offsetAt)
        }
        guard let offset = Int(exactly: dataOffset),
            case let (start, startOverflow) = dataStart.addingReportingOverflow(offset), !startOverflow,
            case let (end, endOverflow) = start.addingReportingOverflow(byteCount), !endOverflow, end <= fileSize
        else {
            throw CheckpointError(
                .tensorPastEnd,
                "\(name) needs \(byteCount) bytes from \(dataOffset) of the data, past the end of the file; "
                    + "is the download complete?", offset: offsetAt)
        }
        return GGUFTensor(name: name, dimensions: dimensions, elementType: elementType, range: start..<end)
    }
}

/// ggml's tensor types by number.
enum GGUFTensorType {
    static let supported = Dictionary(uniqueKeysWithValues: ElementType.allCases.map { ($0.ggufNumber, $0) })

    static var supportedNames: String {
        supported.sorted { $0.key < $1.key }.map(\.value.rawValue).joined(separator: ", ")
    }

    static let unsupported: [UInt32: String] = [
        4: "Q4_2", 5: "Q4_3", 9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S",
        21: "IQ3_S", 22: "IQ2_S", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M",
        31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8", 34: "TQ1_0", 35: "TQ2_0", 36: "IQ4_NL_4_4", 37: "IQ4_NL_4_8",
        38: "IQ4_NL_8_8", 40: "NVFP4", 41: "Q1_0", 42: "Q2_0",
    ]
}
