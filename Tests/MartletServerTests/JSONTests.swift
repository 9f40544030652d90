// SPDX-License-Identifier: Apache-2.0

import Foundation
import MartletJSON
import MartletServer
import Testing

@Suite struct JSONTests {
    private func parse(_ text: String, depth: Int = 64) throws -> JSONValue {
        try JSONParser.parse(Array(text.utf8), maximumDepth: depth)
    }

    @Test func values() throws {
        #expect(try parse(" null ") == .null)
        #expect(try parse("[true, false]") == [true, false])
        #expect(
            try parse("[0, -0, 12, -7, 9223372036854775807, -9223372036854775808]")
                == [0, 0, 12, -7, .integer(.max), .integer(.min)])
        #expect(
            try parse("[0.5, 1e3, -2.5E-1, 9223372036854775808]")
                == [.number(0.5), .number(1000), .number(-0.25), .unsigned(9223372036854775808)])
        #expect(
            try parse("[18446744073709551615, 18446744073709551616]") == [
                .unsigned(.max), .number(18446744073709551616),
            ])
        #expect(try parse(#"{"b": [], "a": {}, "": ""}"#) == ["b": [], "a": [:], "": ""])
        // Equivalent characters of other bytes are another key.
        guard case .object(let object) = try parse("{\"e\u{301}\": 1, \"\u{e9}\": 2}") else {
            throw CancellationError()
        }
        #expect(object.members.map(\.value) == [1, 2] && object["\u{e9}"] == 2 && object["e\u{301}"] == 1)
        #expect(
            try parse(#""\"\\\/\b\f\n\r\té\u00e9\ud83d\ude00\u0000""#) == .string("\"\\/\u{8}\u{c}\n\r\té\u{e9}😀\0"))
    }

    @Test(arguments: [
        "", " ", "nul", "truex", "[", "]", "[1", "[1,", "[1,]", "[,]", "{", "{\"a\"", "{\"a\":", "{\"a\":1",
        "{\"a\":1,}",
        "{a:1}", "{1:1}", "{\"a\" 1}", "[1 2]", "1 2", "{} x", "\"", "\"a", "\"\\", "\"\\x\"", "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\ud83d\"", "\"\\ud83dx\"", "\"\\ud83d\\u0041\"", "\"\\ude00\"", "\"\n\"", "\"\u{1}\"", "01", "-", "+1",
        ".5", "1.",
        "1e", "1e+", "0x1", "NaN", "Infinity", "-Infinity", "1e999", "-1e999", "{\"a\":1,\"a\":2}", "\u{feff}{}", "'a'",
    ])
    func faults(_ text: String) { #expect(throws: JSONError.self) { try parse(text) } }

    @Test func bytesThatAreNoText() {
        for bytes: [UInt8] in [
            [0x22, 0xff, 0x22], [0x22, 0xc0, 0x80, 0x22], [0x22, 0xed, 0xa0, 0x80, 0x22], [0xff, 0xfe, 0x7b, 0],
        ] {
            #expect(throws: JSONError.self) { try JSONParser.parse(bytes, maximumDepth: 64) }
        }
    }

    /// At any depth that someone sends; the limit is met before the stack's end.
    @Test func depthIsBounded() throws {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        _ = try parse(nested(65))
        for text in [
            nested(66), String(repeating: "[", count: 1_000_000), String(repeating: "{\"a\":", count: 1_000_000),
        ] {
            #expect(throws: JSONError.self) { try parse(text) }
        }
    }

    /// Anything that is cut off or changed by a byte is a value or a fault, never an end of the process.
    @Test func mutations() {
        let text = Array(#"{"prompt": ["a\u00e9\n", 1, -2.5e3], "n": {"x": null, "y": [true, false]}}"#.utf8)
        var random = SystemRandomNumberGenerator()
        for length in text.indices { _ = try? JSONParser.parse(Array(text[..<length]), maximumDepth: 8) }
        for _ in 0..<20_000 {
            var changed = text
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                changed[Int.random(in: changed.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            guard let value = try? JSONParser.parse(changed, maximumDepth: 8) else { continue }
            // What is accepted is written so that Foundation accepts it too, and it comes back as it was.
            #expect(throws: Never.self) {
                try JSONSerialization.jsonObject(with: Data(value.encoded), options: .fragmentsAllowed)
            }
            #expect((try? JSONParser.parse(value.encoded, maximumDepth: 8)) == value)
        }
    }

    /// As doubles: nothing is rounded on the way.
    @Test func floatsComeBackBitForBit() throws {
        for _ in 0..<10_000 {
            let value = Float(bitPattern: UInt32.random(in: 0...UInt32.max))
            guard value.isFinite else { continue }
            switch try JSONParser.parse(JSONValue.number(Double(value)).encoded, maximumDepth: 1) {
            case .number(let read): #expect(read == Double(value))
            case let other: Issue.record("\(value) became \(other)")
            }
        }
    }
}
