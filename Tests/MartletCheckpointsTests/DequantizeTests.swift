// SPDX-License-Identifier: Apache-2.0

import MartletCheckpoints
import MartletCompute
import MartletTestSupport
import Testing

@Suite struct DequantizeTests {
    private func values(_ type: ElementType, columns: Int, _ bytes: [UInt8]) -> [Float] {
        bytes.withUnsafeBytes { HostTensor(elementType: type, rows: 1, columns: columns, bytes: $0).dequantizedRow(0) }
    }

    private func half(_ value: Float) -> [UInt8] { GGUFWriter.bytes(Float16(value).bitPattern) }

    @Test func plainTypes() {
        #expect(
            values(
                .float32, columns: 2, GGUFWriter.bytes(Float(1.5).bitPattern) + GGUFWriter.bytes(Float(-2).bitPattern))
                == [1.5, -2])
        #expect(values(.bfloat16, columns: 1, GGUFWriter.bytes(UInt16(0x3fc0))) == [1.5])
    }

    /// Every f16 there is, by the hardware's own conversion.
    @Test func everyHalf() {
        for bits in UInt16.min...UInt16.max {
            let ours = values(.float16, columns: 1, GGUFWriter.bytes(bits))[0]
            let theirs = Float(Float16(bitPattern: bits))
            #expect(ours == theirs || (ours.isNaN && theirs.isNaN), "\(bits)")
        }
    }

    @Test func quantizedTypes() {
        // Low nibbles are values 0...15, high ones 16...31.
        let nibbles = (0..<16).map { UInt8($0) | UInt8(15 - $0) << 4 }
        let q4_0 = values(.q4_0, columns: 32, half(0.5) + nibbles)
        #expect(q4_0[0] == -4 && q4_0[15] == 3.5 && q4_0[16] == 3.5 && q4_0[31] == -4)
        let q4_1 = values(.q4_1, columns: 32, half(0.5) + half(-1) + nibbles)
        #expect(q4_1[0] == -1 && q4_1[15] == 6.5 && q4_1[16] == 6.5 && q4_1[31] == -1)
        let q8_0 = values(.q8_0, columns: 32, half(0.25) + (0..<32).map { UInt8(bitPattern: Int8($0 * 8 - 128)) })
        #expect(q8_0[0] == -32 && q8_0[16] == 0 && q8_0[31] == 30)
    }
}
