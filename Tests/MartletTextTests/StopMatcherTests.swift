// SPDX-License-Identifier: Apache-2.0

import MartletTestSupport
import MartletText
import Testing

@Suite struct StopMatcherTests {
    private func matcher(_ stops: [String], includesStop: Bool = false) -> StopMatcher {
        StopMatcher(stops: stops.map { Array($0.utf8) }, includesStop: includesStop)
    }

    @Test func holdsBackWhatMayBecomeAStop() {
        var matcher = matcher(["END", "nd!"])
        #expect(matcher.append("the E") == .init(text: "the ", stop: nil))
        #expect(matcher.append("N") == .init(text: "", stop: nil))
        #expect(matcher.append("d") == .init(text: "ENd", stop: nil))
        #expect(matcher.append(" and") == .init(text: " a", stop: nil))
        #expect(matcher.append("! more") == .init(text: "", stop: 1))
    }

    @Test func theFirstToBeCompleteCounts() {
        var first = matcher(["world", "lo w"])
        #expect(first.append("hello world") == .init(text: "hel", stop: 1))
        var including = matcher(["lo w"], includesStop: true)
        #expect(including.append("hello world") == .init(text: "hello w", stop: 0))
    }

    @Test func finishingLetsItThrough() {
        var matcher = matcher(["stop"])
        #expect(matcher.append("st").text == "")
        #expect(matcher.pass("op, s") == "stop, ")
        #expect(matcher.append("top") == .init(text: "", stop: 0))
        #expect(matcher.append("sto").text == "")
        #expect(matcher.finish() == "sto" && matcher.finish() == "")
        var none = self.matcher([])
        #expect(none.append("x") == .init(text: "x", stop: nil))
    }

    /// What was completed while it was passed is no match later, though it may begin one.
    @Test func whatWasPassedIsNoMatch() {
        var matcher = matcher(["\n", "\n\n"])
        #expect(matcher.pass("\n") == "")
        #expect(matcher.append("Hello") == .init(text: "\nHello", stop: nil))
        var inner = self.matcher(["b", "abc"])
        #expect(inner.pass("ab") == "" && inner.append("") == .init(text: "", stop: nil))
        #expect(inner.append("c") == .init(text: "", stop: 1))
        var ending = self.matcher(["\n", "\n\n"])
        #expect(ending.pass("\n") == "" && ending.append("").stop == nil && ending.finish() == "\n")
    }

    /// However a text is cut, it ends before the first stop string to be complete, and nothing is lost.
    @Test func agreesWithLookingAtTheWholeText() {
        var random = SeededGenerator(3)
        let alphabet = ["a", "b", "ä", "🙂"]
        func text(_ range: ClosedRange<Int>) -> String {
            (0..<Int.random(in: range, using: &random)).map { _ in alphabet.randomElement(using: &random) ?? "" }
                .joined()
        }
        for _ in 0..<3000 {
            let stops = (0..<Int.random(in: 0...3, using: &random)).map { _ in text(1...4) }
            let whole = text(0...30)
            let bytes = Array(whole.utf8)
            // Some of it is passed first.
            let passed =
                Int.random(in: 0...2, using: &random) == 0 ? whole.prefix(Int.random(in: 0...9, using: &random)) : ""
            let ends = stops.flatMap { stop in
                let stop = Array(stop.utf8)
                return bytes.indices.filter { bytes[$0...].starts(with: stop) }
                    .map { (end: $0 + stop.count, start: $0) }.filter { $0.end > passed.utf8.count }
            }
            let end = ends.min { ($0.end, $0.start) < ($1.end, $1.start) }?.start
            var matcher = matcher(stops)
            var out = ""
            for character in passed { out += matcher.pass(String(character)) }
            var stopped = false
            var rest = Substring(whole).dropFirst(passed.count)
            while !rest.isEmpty, !stopped {
                let piece = rest.prefix(Int.random(in: 1...4, using: &random))
                rest = rest.dropFirst(piece.count)
                let match = matcher.append(String(piece))
                out += match.text
                stopped = match.stop != nil
            }
            if !stopped { out += matcher.finish() }
            #expect(stopped == (end != nil))
            #expect(Array(out.utf8) == Array(bytes[..<(end ?? bytes.count)]))
        }
    }
}
