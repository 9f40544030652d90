// SPDX-License-Identifier: Apache-2.0

import MartletClient
import Testing

@Suite struct EventStreamParserTests {
    /// Whatever pieces the bytes come in.
    @Test func eventsThatCarryTokensAreCounted() {
        let text = """
            data: {"choices":[{"text":"a","finish_reason":null}]}

            data: {"choices":[{"text":"","finish_reason":null}]}

            : still there

            data: {"choices":[{"text":"","finish_reason":"length"}]}

            data: {"choices":[],"usage":{"prompt_tokens":4,"completion_tokens":3}}

            data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}

            data: {"choices":[{"index":0,"delta":{"content":"b"},"finish_reason":null}]}

            data: {"error":{"message":"broken"}}

            data: [DONE]


            """
        for size in [1, 7, 1000] {
            var (stream, events) = (EventStreamParser(), [AnswerEvent]())
            var rest = Array(text.utf8)[...]
            while !rest.isEmpty {
                events += stream.append(rest.prefix(size))
                rest = rest.dropFirst(size)
            }
            #expect(events.filter(\.hasTokens).map(\.text) == ["a", "", "b"])
            #expect(events.compactMap(\.completionTokens) == [3] && events.compactMap(\.promptTokens) == [4])
            #expect(events.compactMap(\.error) == ["broken"])
        }
    }

    /// A line longer than any server's is dropped without being kept, and the next one is read.
    @Test func endlessLinesAreDropped() {
        var stream = EventStreamParser()
        #expect(stream.append(Array("data: ".utf8) + Array(repeating: 0x20, count: 3 << 20)).isEmpty)
        let events = stream.append(Array("\ndata: {\"choices\":[{\"text\":\"a\"}]}\n".utf8))
        #expect(events.map(\.text) == ["a"])
    }
}
