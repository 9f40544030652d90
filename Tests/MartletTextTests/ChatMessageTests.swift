// SPDX-License-Identifier: Apache-2.0

import MartletJSON
import MartletText
import Testing

@Suite struct ChatMessageTests {
    private let call = ChatMessage.ToolCall(
        id: "c1", name: "weather", arguments: ["city": "Oslo", "days": 2, "units": ["C"]])

    @Test func toolCallsReachTemplates() throws {
        let template = try ChatTemplate(
            """
            {% for m in messages %}{{ m.role }}:{{ m.content }}\
            {% for c in m.tool_calls or [] %}{{ c.id }} {{ c.function.name }} {{ c.function.arguments | tojson }}{% endfor %}\
            {% if m.tool_call_id %}[{{ m.tool_call_id }} {{ m.name }}]{% endif %};{% endfor %}
            """)
        let text = try template.render([
            .user("q"), .assistant(calling: [call]), .tool("5 degrees", callID: "c1", name: "weather"),
        ])
        #expect(
            text.string
                == #"user:q;assistant:c1 weather {"city": "Oslo", "days": 2, "units": ["C"]};tool:5 degrees[c1 weather];"#
        )
    }

    @Test func toolsAndVariablesReachTemplates() throws {
        let template = try ChatTemplate(
            "{% for t in tools %}{{ t | tojson }}{% endfor %}{% if thinking %}!{% endif %}{{ word }}")
        let tool = try JSONValue(json: #"{"type": "function", "function": {"name": "f", "parameters": {}}}"#)
        let text = try template.render(
            [.user("q")], tools: [tool], variables: ["thinking": true, "word": "<|im_end|>"])
        #expect(text.string == #"{"type": "function", "function": {"name": "f", "parameters": {}}}!<|im_end|>"#)
        // What a variable says is a user's text.
        #expect(text.userRanges.last == text.count - 10..<text.count)
        #expect(throws: TemplateError.self) { try template.render([.user("q")], variables: ["messages": []]) }
        #expect(throws: TemplateError.self) { try template.render([.user("q")], variables: ["tools": []]) }
    }

    /// A template that reads parts gets them; any other gets their text.
    @Test func partsAreKeptForTemplatesThatReadThem() throws {
        let message = ChatMessage(role: .user, parts: ["a", "b"])
        #expect(message.content == "a\nb")
        let plain = try ChatTemplate("{% for m in messages %}{{ m.content }}{% endfor %}")
        #expect(try plain.render([message]).string == "a\nb")
        let reading = try ChatTemplate(
            """
            {% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}\
            {% for p in m.content %}<{{ p.text }}>{% endfor %}{% endif %}{% endfor %}
            """)
        #expect(try reading.render([message]).string == "<a><b>")
        #expect(try reading.render([.user("a")]).string == "a")
    }

    @Test func jsonKeepsItsOrder() throws {
        let value = try JSONValue(json: #"{"b": 1, "a": [true, null, 2.5, "x"]}"#)
        #expect(value.json == #"{"b":1,"a":[true,null,2.5,"x"]}"#)
        #expect(value == ["b": 1, "a": [true, nil, 2.5, "x"]])
        #expect(throws: JSONError.self) { try JSONValue(json: #"{"a": 1, "a": 2}"#) }
    }
}
