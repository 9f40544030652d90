// SPDX-License-Identifier: Apache-2.0

import MartletTestSupport
import MartletText
import Testing

private struct TemplateCase: Decodable, CustomTestStringConvertible {
    struct Message: Decodable {
        let role: String
        let content: String
    }
    let template: String
    let messages: [Message]
    let add_generation_prompt: Bool
    /// What Jinja2 rendered, nil where it raised.
    let output: String?
    var testDescription: String { "\(template.prefix(60).debugDescription) x \(messages.count)" }

    static let all = Fixtures.decode([TemplateCase].self, "templates.json")
}

private func code(_ source: String, budget: TemplateBudget = TemplateBudget()) -> TemplateError.Code? {
    var budget = budget
    // Steps and bytes end it, however slow the build.
    budget.time = .seconds(600)
    do throws(TemplateError) {
        _ = try ChatTemplate(source, budget: budget).render([.user("x")])
        return nil
    } catch {
        return error.code
    }
}

@Suite struct ChatTemplateTests {
    @Test(arguments: TemplateCase.all) fileprivate func rendersAsJinja2(_ sample: TemplateCase) throws {
        func render() throws -> String {
            try ChatTemplate(sample.template).render(
                sample.messages.map {
                    ChatMessage(role: try #require(ChatMessage.Role(rawValue: $0.role)), content: $0.content)
                },
                addingGenerationPrompt: sample.add_generation_prompt, bosToken: "<s>", eosToken: "</s>"
            ).string
        }
        if let output = sample.output {
            let ours = try render()
            #expect(ours == output)
        } else {
            #expect(throws: TemplateError.self) { try render() }
        }
    }

    @Test func unknownConstructsAreNamed() {
        for source in [
            "{% block x %}{% endblock %}", "{% include 'x' %}", "{{ x | nosuch }}", "{{ nosuch() }}",
            "{{ 'a'.nosuch() }}",
            "{{ 1 is nosuch }}", "{% for x in [] recursive %}{% endfor %}", "{{ {1.5: 2} }}",
        ] {
            #expect(code(source) == .unsupported, "\(source)")
        }
    }

    @Test func errorsNameTheirLine() throws {
        let error = try #require(throws: TemplateError.self) { try ChatTemplate("a\nb\n{% nosuch %}") }
        #expect(error.line == 3)
        let later = try #require(throws: TemplateError.self) {
            try ChatTemplate("a\n\n{{ 1 // 0 }}").render([.user("x")])
        }
        #expect(later.line == 3)
    }

    /// F15: what a hostile template would do to us.
    @Test func budgetsHold() {
        func nested(_ open: String, _ close: String, _ count: Int) -> String {
            String(repeating: open, count: count) + "1" + String(repeating: close, count: count)
        }
        let hostile = [
            "{% for i in range(10 ** 9) %}{% endfor %}",
            "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
            "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
            "{{ 'x' * 10 ** 12 }}", "{{ 'x' * 9223372036854775807 }}",
            "{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
            "{% set ns = namespace(s='aa') %}{% for i in range(60) %}{% set ns.s = ns.s.replace('a', 'aa') %}{% endfor %}",
            "{{ " + nested("(", ")", 10_000) + " }}", "{{ " + nested("[", "]", 10_000) + " }}",
            "{{ " + nested("not ", "", 10_000) + " }}", "{{ " + nested("- ", "", 10_000) + " }}",
            nested("{% if 1 %}", "{% endif %}", 10_000),
            "{{ x" + String(repeating: ".a", count: 100_000) + " }}",
            "{{ 1" + String(repeating: " + 1", count: 100_000) + " }}",
            "{{ x" + String(repeating: "|string", count: 100_000) + " }}",
            "{{ 1" + String(repeating: " and 1", count: 100_000) + " }}",
            String(repeating: "x", count: 2 << 20),
            // Values that nest, share or multiply.
            "{% set ns = namespace(x=[]) %}{% for i in range(100000) %}{% set ns.x = [ns.x] %}{% endfor %}",
            "{% set ns = namespace(x={}) %}{% for i in range(100000) %}{% set ns.x = {'k': ns.x} %}{% endfor %}",
            "{% set ns = namespace(x=[]) %}{% for i in range(100000) %}{% set ns.x = dict(k=ns.x) %}{% endfor %}",
            "{% set ns = namespace(x=1) %}{% for i in range(40) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
            "{% set ns = namespace(x=1) %}{% for i in range(40) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x | tojson }}",
            "{% set ns = namespace(x=1) %}{% for i in range(40) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x == ns.x }}",
            "{% set ns = namespace(x=1) %}{% for i in range(40) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x ~ '' }}",
            "{{ range(100000) | join('x' * 1000000) }}", "{{ ('x' * 1000000).join('a' * 100000) }}",
            "{{ ('\\n' * 1000000) | indent('x' * 1000000) }}",
            "{% for i in range(1000) %}{% set a = range(90000)[::2] %}{% endfor %}",
            "{% for i in range(1000) %}{% set a = range(90000) | reverse %}{% endfor %}",
            "{% set s = 'a' * 1000000 %}{% for i in range(100000) %}{% if 'ab' in s %}{% endif %}{% endfor %}",
            "{% set s = 'a' * 1000000 %}{% for i in range(100000) %}{% if s == s %}{% endif %}{% endfor %}",
            "{% set s = 'a' * 1000000 %}{% for i in range(100000) %}{{ s[5] }}{% endfor %}",
        ]
        for source in hostile { #expect(code(source) == .budgetExceeded, "\(source.prefix(60))") }
        for source in [
            "{{ 9223372036854775807 + 1 }}", "{{ -(-9223372036854775807 - 1) }}", "{{ 2 ** 64 }}", "{{ 9 ** 999 }}",
        ] {
            #expect(code(source) == .type, "\(source)")
        }
        #expect(code("{{ 99999999999999999999 }}") == .syntax)
        #expect(code("{{ range(0, 5, 0) }}") == .type)
        #expect(code("{{ 'abc'[::0] }}") == .type)
    }

    /// Two megabytes of needle in two of hay: a naive search would compare 10^12 bytes.
    @Test(.timeLimit(.minutes(1))) func searchesAreLinear() {
        let source = "{{ ('a' * 1000000 ~ 'b') in ('a' * 1900000) }}"
        #expect(code(source) == nil)
    }

    @Test func argumentsMayBeNamed() throws {
        func render(_ source: String) throws -> String { try ChatTemplate(source).render([.user("x")]).string }
        #expect(try render("{{ 'a' | replace(old='a', new='b') }}") == "b")
        #expect(try render("{{ [{'a': 1}] | map(attribute='b', default=2) | list }}") == "[2]")
        #expect(code("{{ ['a'] | map(filter='upper') }}") == .type)
        #expect(code("{{ ['a'] | map('map', 'upper') }}") == .unsupported)
        #expect(code("{{ ['a'] | selectattr() }}") == .type)
    }

    /// Cut anywhere, a template parses or throws; nothing traps.
    @Test func everyTruncationIsSurvived() {
        for source in Set(TemplateCase.all.map(\.template)) {
            for length in 0..<source.unicodeScalars.count {
                let cut = String(String.UnicodeScalarView(source.unicodeScalars.prefix(length)))
                _ = code(cut)
            }
        }
    }

    @Test func randomTokensAreSurvived() {
        let words = [
            "{{", "}}", "{%", "%}", "{#", "#}", "if", "for", "in", "set", "endif", "endfor", "else", "x", "messages",
            "loop",
            ".", "[", "]", "(", ")", "|", "~", "+", "-", "*", "//", "%", "==", "'a'", "1", "0", "not", "and", "is",
            "defined",
            "range", "namespace", ",", ":", "=", "\n", " ", "{", "}", "raw", "endraw", "trim", "first", "last", "1.5",
        ]
        var random = SeededGenerator(11)
        for _ in 0..<20_000 {
            let count = Int.random(in: 1...14, using: &random)
            _ = code((0..<count).map { _ in words.randomElement(using: &random)! }.joined(separator: " "))
        }
    }
}
