// SPDX-License-Identifier: Apache-2.0

import Glibc
import MartletFuzz
import MartletText
import Testing

private func render(
    _ source: String, _ context: [String: TemplateValue] = [:], until deadline: ContinuousClock.Instant? = nil
) throws(TemplateError) -> String {
    var budget = TemplateBudget()
    // Steps and bytes end it, however slow the build.
    budget.time = .seconds(600)
    return try ChatTemplate(source, budget: budget).render(context, until: deadline).string
}

private func code(_ source: String, until deadline: ContinuousClock.Instant? = nil) -> TemplateError.Code? {
    do throws(TemplateError) {
        _ = try render(source, until: deadline)
        return nil
    } catch {
        return error.code
    }
}

/// Seconds that a processor has run the thread for: other work on the machine doesn't count.
private var processorSeconds: Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

private struct RandomTemplate: Decodable {
    let template: String
    /// What Jinja2 renders; nil where it raises.
    let output: String?
    static let all = Fixtures.decode([RandomTemplate].self, "random-templates.json")
}

/// What other servers' users reported and what a fuzzer found.
@Suite struct TemplateFaultTests {
    /// Cases of `fuzz templates` that Jinja2 has rendered, or refused.
    @Test func randomTemplatesRenderAsJinja2RendersThem() {
        for sample in RandomTemplate.all {
            let template = try? ChatTemplate(sample.template)
            let output = try? template?.render(TemplateGenerator.context, now: 0).string
            #expect(output == sample.output, "\(sample.template)")
        }
    }

    /// Nothing that the grammar makes, whole or damaged, ends the process.
    @Test func randomTemplatesAreSurvived() {
        var random = FuzzRandom(seed: 5)
        for seed in 0..<3000 {
            var generator = TemplateGenerator(seed: UInt64(seed))
            var scalars = Array(generator.template().unicodeScalars)
            for _ in 0..<random.below(3) where !scalars.isEmpty {
                let index = random.below(scalars.count)
                switch random.below(3) {
                case 0: scalars.remove(at: index)
                case 1: scalars.insert(random.pick(Array("{}%#-+'\"|.()[]~\\0é\n".unicodeScalars)), at: index)
                default: scalars.swapAt(index, random.below(scalars.count))
                }
            }
            let source = String(String.UnicodeScalarView(scalars))
            _ = try? ChatTemplate(source).render(TemplateGenerator.context, now: 0)
        }
    }

    /// An operand may change the tables that the operation around it reads.
    @Test func operandsMayMakeNamespaces() {
        #expect(code("{% set ns = namespace() %}{% set ns.found = namespace().nextitem|d %}") == nil)
        #expect(code("{{ namespace().a.b }}") == .undefined)
        #expect((try? render("{{ (namespace(a=namespace(b=1)).a).b ~ namespace().x|d(2) }}")) == "12")
        #expect((try? render("{% set a = [1]|map('string') %}{{ a|first ~ ([2]|map('string')|first) }}")) == "12")
    }

    @Test func extremeNumbersAreSurvived() throws {
        #expect(try render("{{ 'abc'[::9223372036854775807] }}{{ 'abc'[::-9223372036854775807] }}") == "ac")
        #expect(try render("{{ [1, 2][9223372036854775807:] }}{{ [1, 2][-9223372036854775807:] }}") == "[][1, 2]")
        #expect(try render("{{ range(9223372036854775806, 9223372036854775807, 5)|list }}") == "[9223372036854775806]")
        #expect(try render("{{ (-9223372036854775807 - 1) % -1 }}") == "0")
        #expect(code("{{ (-9223372036854775807 - 1) // -1 }}") == .type)
        #expect(code("{{ (-9223372036854775807 - 1)|abs }}") == .type)
        #expect(code("{{ 1e308|int }}") == .type)
        #expect(code("{{ 'x'|indent(9223372036854775807) }}") == .budgetExceeded)
        #expect(code("{{ []|tojson(indent=9223372036854775807) }}") == .unsupported)
        #expect(
            try render("{{ 'a b c'.split(none, 9223372036854775807) }}{{ 'a'.replace('', 'b', -9223372036854775807) }}")
                == "['a', 'b', 'c']bab")
        #expect(code("{{ strftime_now('%9999999d') }}") == .type)
    }

    /// Each reads megabytes again and again; within the budgets of steps and bytes alone they would run for hours.
    @Test(arguments: [
        "{{ s|trim }}", "{{ s.strip(' x') }}", "{% if s < u %}{% endif %}", "{% if s.startswith(u) %}{% endif %}",
        "{% if s.endswith(u) %}{% endif %}", "{% set v = s[:1] %}", "{% set v = s[1:-1] %}", "{{ s[5:5] }}",
        "{{ ','.join([s, s])[:0] }}",
        "{{ l|first }}{{ l|last }}", "{% for x in l %}{% break %}{% endfor %}", "{% set n = namespace(a=s) %}",
        "{{ s|upper|length }}",
        "{{ s|title|length }}", "{{ (s ~ u)|length }}", "{{ s|replace('x', 'y')|length }}", "{{ s|reverse|length }}",
        "{% set v = l|list %}",
        "{{ s in d }}", "{{ d[s] }}", "{{ s|int }}", "{{ s.split(',')|length }}", "{{ s.splitlines()|length }}",
        "{{ l == m }}", "{{ 7 in l }}",
        "{{ s|float }}", "{{ s.lower()|length }}", "{{ l|join|length }}", "{{ l|tojson|length }}",
        "{{ l|string|length }}",
        "{{ s|tojson|length }}", "{{ l|map('string')|first }}", "{{ l|select('odd')|first }}", "{% set v = dict(d) %}",
        "{% set v = s|indent %}", "{{ s.items }}{{ s|capitalize|length }}", "{% set v = l[::2] %}",
        "{{ s|list|length }}",
    ])
    func everyOperationIsCharged(_ operation: String) {
        let source =
            "{% set s = ' ' * 600000 %}{% set u = ' ' * 600000 %}{% set l = range(40000) %}{% set m = range(40000) %}"
            + "{% set d = {'a': 1} %}{% for i in range(50000) %}\(operation){% endfor %}"
        let start = processorSeconds
        let code = code(source)
        let seconds = processorSeconds - start
        #expect(code == .budgetExceeded || seconds < 2, "\(operation) took \(seconds) s: \(code as Any)")
        #expect(seconds < 20)
    }

    /// What costs nothing by the count of its bytes or items, and time all the same.
    @Test func nothingIsFree() throws {
        #expect(try render("{{ '' * 9223372036854775807 }}") == "")
        #expect(code("{{ [] * 9223372036854775807 }}") == nil)
        let name = String(repeating: "a", count: 500_000)
        #expect(code("{% if \(name) %}{% endif %}") == .syntax)
        #expect(code("{{ ''.\(name) }}") == .syntax)
        #expect(code("{{ dict(\((0..<300).map { "a\($0)=1" }.joined(separator: ","))) }}") == .syntax)
        let marks: [String: TemplateValue] = [
            "k": .string(PromptText(user: String(repeating: "\u{301}\u{316}", count: 200_000)))
        ]
        let start = processorSeconds
        for source in [
            "{{ ''[k] }}", "{{ k|float }}", "{{ k|int }}", "{% for i in [1] %}{{ loop[k] }}{% endfor %}", "{{ {}[k] }}",
            "{{ k in {'a': 1} }}",
        ] { _ = try render(source, marks) }
        for source in ["{{ [1]|map(k)|list }}", "{{ [1]|select(k)|list }}", "{{ [1]|map(attribute=k)|list }}"] {
            #expect(throws: TemplateError.self) { try render(source, marks) }
        }
        #expect(processorSeconds - start < 5)
        for source in [
            "{% set k = '.' * 250 %}{% for i in range(99000) %}{% set x = []|map(attribute=k) %}{% endfor %}",
            "{% set b = 'a' * 1000000 %}{% set x = [[b, q]] %}{% for i in range(36000) %}{% set y = x|map('tojson') %}{% endfor %}",
            "{% set k = 'k' * 50000 %}{% set d = {k ~ 1: 1, k ~ 2: 2, k ~ 3: 3} %}{% for i in range(99000) %}{% if d == d %}{% endif %}{% endfor %}",
            "{% set k = 'k' * 50000 %}{% set d = {k ~ 1: 1, k ~ 2: 2, k ~ 3: 3} %}{% for i in range(99000) %}{% set e = dict(d) %}{% endfor %}",
            "{% set x = ('\\n' * 3000000).splitlines() %}", "{% set x = ('a ' * 1500000).split() %}",
        ] {
            let start = processorSeconds
            #expect(code(source) == .budgetExceeded, "\(source)")
            #expect(processorSeconds - start < 10, "\(source)")
        }
    }

    @Test func renderingHasADeadline() {
        let source = "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}"
        #expect(code(source, until: .now + .milliseconds(5)) == .timedOut)
        #expect(code("{{ 1 }}", until: .now + .seconds(60)) == nil)
    }

    /// On a thread with little stack, the deepest template that the budgets allow renders.
    @Test func smallStacksAreEnough() {
        func nested(_ open: String, _ close: String, _ count: Int) -> String {
            String(repeating: open, count: count) + "1" + String(repeating: close, count: count)
        }
        let sources = [
            "{{ " + nested("(", ")", 60) + " }}", "{{ " + nested("[", "]", 60) + " }}",
            nested("{% if 1 %}", "{% endif %}", 60),
            "{{ 1" + String(repeating: "|string", count: 190) + " }}",
            "{{ 1" + String(repeating: "+1", count: 190) + " }}",
            "{% set ns = namespace(x=[]) %}{% for i in range(60) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x|tojson }}{{ ns.x }}",
        ]
        final class Results: @unchecked Sendable {
            // Written by the one thread below, and read once that has ended.
            var codes: [TemplateError.Code?] = []
            let sources: [String]
            init(_ sources: [String]) { self.sources = sources }
        }
        let results = Results(sources)
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setstacksize(&attributes, 128 << 10)
        var thread = pthread_t()
        let status = pthread_create(
            &thread, &attributes,
            { context in
                let results = Unmanaged<Results>.fromOpaque(context!).takeUnretainedValue()
                results.codes = results.sources.map { code($0) }
                return nil
            }, Unmanaged.passUnretained(results).toOpaque())
        #expect(status == 0)
        pthread_join(thread, nil)
        #expect(results.codes == sources.map { _ in nil })
    }

    @Test func argumentsThatMeanNothingAreRefusedByName() {
        for (source, name) in [
            ("{{ 'a'|trim(nosuch=1) }}", "nosuch"), ("{{ {}|tojson(cls=1) }}", "cls"),
            ("{{ 'a'.startswith('a', 1) }}", "start"), ("{{ 'a'.split(',', 1, 2) }}", "split"),
            ("{{ [1]|map(attribute='a', nosuch=2)|list }}", "nosuch"), ("{{ 'a'.upper(1) }}", "upper"),
            ("{{ [1]|first(2) }}", "first"), ("{{ 1 is odd(2) }}", "odd"), ("{{ 'a'|replace('b') }}", "new"),
            ("{{ strftime_now('%Y', tz=1) }}", "tz"), ("{{ range() }}", "start"), ("{{ {}.get() }}", "key"),
            ("{{ [1]|join(',', 1, 2) }}", "join"), ("{{ 'a'.splitlines(true) }}", "keepends"),
        ] {
            let error = #expect(throws: TemplateError.self) { try render(source) }
            #expect(error?.message.contains(name) == true, "\(source): \(error as Any)")
        }
    }

    @Test func argumentsHaveTheirEffect() throws {
        #expect(
            try render("{{ {'b': 1, 'a': 'é'}|tojson(sort_keys=true, separators=(',', ':'), ensure_ascii=true) }}")
                == #"{"a":"\u00e9","b":1}"#)
        #expect(try render("{{ [{'r': 1}, {}]|map(attribute='r', default=0)|list }}") == "[1, 0]")
        #expect(try render("{{ 'a b  c'.split(None, 1) }}") == "['a', 'b  c']")
        #expect(
            try render("{{ '3.9'|int }},{{ '1e3'|int }},{{ '0x1A'|int(base=16) }},{{ ' 1.5 '|float }}")
                == "3,1000,26,1.5")
        #expect(try render("{{ \"it's o'clock\"|title }},{{ \"it's\".title() }}") == "It's O'clock,It'S")
        #expect(try render(#"{{ '\U0001F600\101\x41' }}"#) == "\u{1F600}AA")
        #expect(try render("{{ 'ΌΣΟΣ ΑΣ'.lower() }}") == "όσος ας")
        #expect(try render("a{% raw %}\n {{ x }} \n{% endraw %}\nb") == "a\n {{ x }} \nb")
        #expect(try render("a{% if true -%}\u{a0}\u{2003}b{%- endif %}") == "ab")
    }

    /// Strings are compared by their bytes, not by what they look like, and keys too.
    @Test func canonicallyEqualStringsDiffer() throws {
        #expect(try render("{{ 'é' == 'e\u{301}' }}{{ {'é': 1, 'e\u{301}': 2}|length }}") == "False2")
    }

    @Test func whatJinja2sSandboxHas() throws {
        #expect(
            try render("{{ {'a': 1}.keys() == {'a': 2}.keys() }}{{ {'a': 1}.items() == {'a': 2}.items() }}")
                == "TrueFalse")
        #expect(try render("{{ {'update': 1}.update is defined }}{{ {'copy': 1}.copy is defined }}") == "FalseTrue")
        for source in [
            "{% for a, in [[1]] %}{% endfor %}", "{% set a, = [5] %}", "{% for loop in [1] %}{% endfor %}",
            "{% for a in [1] %}{% set loop = 5 %}{% endfor %}",
        ] { #expect(code(source) == .syntax, "\(source)") }
        for (format, text) in [
            ("%", "%"), ("100%", "100%"), ("%E", "%E"), ("%-", "%-"), ("%Z", ""), ("%z", ""), ("%Q", "%Q"),
            ("%%f", "%f"),
            ("%5d", "00001"), ("%10Y", "0000001970"), ("%é", "%é"), ("%-d", "1"),
        ] {
            #expect(
                try ChatTemplate("{{ strftime_now('\(format)') }}").render([:], now: 43_200).string == text, "\(format)"
            )
        }
    }

    @Test func globalFunctionsAreDefined() throws {
        for name in ["strftime_now", "raise_exception", "range", "namespace", "dict"] {
            #expect(try render("{{ \(name) is defined }}") == "True")
        }
        #expect(try render("{{ lipsum is defined }}") == "False")
    }

    @Test func theTimeIsLocal() throws {
        // Set for the whole process, which no other test reads.
        setenv("TZ", "XYZ-5", 1)
        tzset()
        defer {
            unsetenv("TZ")
            tzset()
        }
        let template = try ChatTemplate(
            "{% if strftime_now is defined %}{{ strftime_now('%d %b %Y %H:%M') }}{% endif %}")
        #expect(try template.render([:], now: 1_795_996_800).string == "30 Nov 2026 05:00")
    }

    /// A user's bytes are known as such through every operation on strings.
    @Test func usersTextStaysMarked() throws {
        let content = TemplateValue.string(PromptText(user: "<|im_end|>x</think>Σ y\n"))
        for expression in [
            "s", "s|trim", "s.strip()", "s.lstrip('<')", "s[2:]", "s[::-1]", "s.split('</think>')[-1]", "s|upper",
            "s.title()", "s|title",
            "s.replace('x', '-')", "'a'.join([s, s])", "[s]|join('-')", "s|tojson", "[s]|string",
            "{'a': s}|tojson(indent=2)", "s|indent(2)",
            "s|reverse", "s|list|join", "s|capitalize", "s|lower", "s ~ ''", "'' + s", "s * 2", "s.splitlines()|first",
            "(s, 1)", "s|default('')",
            "[s]|map('upper')|first", "s|first", "s|last", "s[3]", "s.split()|join", "dict(a=s).a", "namespace(a=s).a",
            "strftime_now(s)",
        ] {
            let text = try ChatTemplate("<{{ \(expression) }}>").render(["s": content], now: 0)
            let marked = text.userRanges.reduce(into: Set<Int>()) { $0.formUnion($1) }
            // Everything between the marks is the user's but for what the operation itself adds.
            for (offset, byte) in text.bytes.enumerated() where "imxyΣthinkIMXYTHINK|".utf8.contains(byte) {
                let isOwn = expression.contains("(s, 1)") && byte == UInt8(ascii: "1")
                #expect(marked.contains(offset) || isOwn, "\(expression): \(text.string) at \(offset)")
            }
            #expect(!marked.contains(0) && !marked.contains(text.count - 1))
        }
    }

    @Test func markedTextIsInvisible() throws {
        let context: [String: TemplateValue] = ["s": .string(PromptText(user: "<|im_end|>hi</think>"))]
        let source =
            "{{ s.endswith('</think>') }}{{ s == '<|im_end|>hi</think>' }}{{ s.lstrip('<') }}{{ s[:2] }}{{ s.split('</think>')[-1]|length }}{{ s|length }}"
        #expect(try render(source, context) == "TrueTrue|im_end|>hi</think><|020")
    }

    @Test func namesAndDevelopersReachTemplates() throws {
        let source =
            "{% for m in messages %}{{ m.role }}{% if m.name %}({{ m.name }}){% endif %}:{{ m.content }};{% endfor %}"
        let messages = [
            ChatMessage(role: .developer, content: "a"), ChatMessage(role: .user, content: "b", name: "Ann"),
        ]
        #expect(try ChatTemplate(source).render(messages).string == "system:a;user(Ann):b;")
        let known = try ChatTemplate(source + "{% if messages[0].role == 'developer' %}!{% endif %}")
        #expect(try known.render(messages).string == "developer:a;user(Ann):b;!")
    }

    @Test func whatATemplateLacksIsKnownOnceItIsRead() throws {
        let template = try ChatTemplate(
            "{% if tools %}{{ tools|nosuch }}{{ f() }}{{ 'a'.zfill(2) }}{{ 1 is strange }}{% endif %}ok")
        #expect(template.missing.map(\.message).count == 4)
        #expect(try template.render([.user("x")]).string == "ok")
    }
}

@Suite struct SpecialTokenTests {
    private func tokenizer(_ specials: [String], kinds: [TokenKind]) throws -> Tokenizer {
        let letters = (UInt8.min...UInt8.max).map { Array(ByteSpelling.spelling(of: $0).utf8) }
        let vocabulary = try Vocabulary(
            spellings: letters + specials.map { Array($0.utf8) },
            kinds: letters.map { _ in TokenKind.normal.rawValue } + kinds.map(\.rawValue))
        return try Tokenizer(
            vocabulary: vocabulary, merges: [], preTokenizer: .gpt2, bosToken: nil, eosToken: nil, addsBOS: nil)
    }

    /// 256 control tokens that begin alike, in a text of nothing but beginnings of them.
    @Test(.timeLimit(.minutes(1))) func manySpecialTokensAreFoundInOnePass() throws {
        let specials = (0..<256).map { "<|token_\($0)|>" }
        let tokenizer = try tokenizer(specials, kinds: specials.map { _ in .control })
        let text = PromptText(String(repeating: "<", count: 3_900_000))
        let start = processorSeconds
        let error = #expect(throws: TokenizerError.self) {
            try tokenizer.encode(text, until: .now + .milliseconds(1))
        }
        #expect(error?.code == .timedOut)
        #expect(processorSeconds - start < 1)
        #expect(tokenizer.encode("a<|token_17|><|token_1", parsingSpecials: true).filter { $0 >= 256 } == [256 + 17])
    }

    @Test func theLongestTokenCounts() throws {
        let tokenizer = try tokenizer(["<a", "<a>", "<a>>", "b<"], kinds: [.control, .control, .control, .control])
        #expect(tokenizer.encode("<a>><a>x<a<", parsingSpecials: true).filter { $0 >= 256 } == [258, 257, 256])
        #expect(tokenizer.encode("b<a>", parsingSpecials: true).filter { $0 >= 256 } == [259])
    }

    /// Control tokens are found only where every byte is the template's own.
    @Test func usersCantCompleteControlTokens() throws {
        let tokenizer = try tokenizer(["<|end|>", "<think>"], kinds: [.control, .userDefined])
        func specials(_ parts: [(String, Bool)]) throws -> [Int32] {
            let names = parts.indices.map { "p\($0)" }
            var context: [String: TemplateValue] = [:]
            for (name, part) in zip(names, parts) {
                context[name] = .string(part.1 ? PromptText(user: part.0) : PromptText(part.0))
            }
            let text = try ChatTemplate(names.map { "{{ \($0) }}" }.joined()).render(context)
            return tokenizer.encode(text).filter { $0 >= 256 }
        }
        #expect(try specials([("<|end|>", false)]) == [256])
        #expect(try specials([("<|end|>", true)]) == [])
        #expect(try specials([("<|en", false), ("d|>", true)]) == [])
        #expect(try specials([("<|en", true), ("d|>", false)]) == [])
        #expect(try specials([("x", true), ("<|end|>", false), ("y", true)]) == [256])
        // A user-defined token is found in anybody's text, as Hugging Face's tokenizers find it.
        #expect(try specials([("<thi", false), ("nk>", true)]) == [257])
        #expect(tokenizer.encode("<think>") == [257])
    }

    @Test func endTokensAreKnownByText() throws {
        let texts = [
            "<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<turn|>", "<|endoftext|>", "<|eom_id|>", "<EOT>",
            "other",
        ]
        let tokenizer = try tokenizer(texts, kinds: texts.map { _ in .control })
        #expect(tokenizer.endTokens == Set((0..<8).map { 256 + $0 }))
        let harmony = try self.tokenizer(["<|end|>", "<|return|>", "<|call|>"], kinds: [.control, .control, .control])
        #expect(harmony.endTokens == [257, 258])
        #expect(tokenizer.addingEndTokens([7, 100_000, -1]).endTokens == tokenizer.endTokens.union([7]))
    }
}

/// GPT-2's spelling of bytes, for vocabularies of single bytes.
enum ByteSpelling {
    static func spelling(of byte: UInt8) -> String {
        switch byte {
        case 0x21...0x7e, 0xa1...0xac, 0xae...0xff: return String(Unicode.Scalar(byte))
        default:
            let others = (UInt8.min..<byte).filter {
                !((0x21...0x7e).contains($0) || (0xa1...0xac).contains($0) || $0 >= 0xae)
            }
            return Unicode.Scalar(0x100 + UInt32(others.count)).map { String($0) } ?? ""
        }
    }
}
