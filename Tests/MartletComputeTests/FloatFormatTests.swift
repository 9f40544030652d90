// SPDX-License-Identifier: Apache-2.0

import MartletCompute
import Testing

@Suite struct FloatFormatTests {
    private static let small: [FloatFormat] = [.bfloat16, .float16, .float8E4M3, .float8E5M2]

    /// Every code is a number that rounds to itself, and halfway to the next rounds to the even one of the two.
    @Test(arguments: small) func roundsToNearestEven(_ format: FloatFormat) {
        let codes = UInt32(1) << (format.byteCount * 8 - 1)
        for code in 0..<codes - 1 {
            let (value, next) = (format.decode(code), format.decode(code + 1))
            guard value.isFinite else { continue }
            #expect(format.round(value) == value && format.round(-value) == -value)
            guard next.isFinite else { continue }
            // Exact: f32 has room for the bit between neighbours, but for bf16's smallest, which end where it does.
            let middle = value + (next - value) / 2
            guard middle > value, middle < next else { continue }
            #expect(format.round(middle) == (code % 2 == 0 ? value : next))
            #expect(format.round(middle.nextUp) == next && format.round(middle.nextDown) == value)
        }
    }

    @Test func saturates() {
        #expect(FloatFormat.float8E4M3.round(1000) == 448)
        #expect(FloatFormat.float8E4M3.round(-.infinity) == -448)
        #expect(FloatFormat.float8E5M2.round(1e9) == 57_344)
        #expect(FloatFormat.float16.round(65_520) == .infinity)
        #expect(FloatFormat.float16.round(65_519) == 65_504)
        #expect(FloatFormat.allCases.allSatisfy { $0.round(.nan).isNaN })
    }

    @Test func knownCodes() {
        #expect(FloatFormat.float8E4M3.decode(0x38) == 1 && FloatFormat.float8E4M3.decode(0xc0) == -2)
        #expect(FloatFormat.float8E4M3.decode(0x01) == 0x1p-9 && FloatFormat.float8E4M3.decode(0x7f).isNaN)
        #expect(FloatFormat.float8E5M2.decode(0x3c) == 1 && FloatFormat.float8E5M2.decode(0x7c) == .infinity)
        #expect(FloatFormat.float16.decode(0x3c00) == 1 && FloatFormat.bfloat16.decode(0xbf80) == -1)
    }
}
