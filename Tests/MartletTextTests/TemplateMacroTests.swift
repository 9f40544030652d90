// SPDX-License-Identifier: Apache-2.0

import MartletText
import Testing

private func render(_ source: String, _ context: [String: TemplateValue] = [:]) throws(TemplateError) -> String {
    var budget = TemplateBudget()
    // Steps and bytes end it, however slow the build.
    budget.time = .seconds(600)
    return try ChatTemplate(source, budget: budget).render(context).string
}

private func code(_ source: String) -> TemplateError.Code? {
    do throws(TemplateError) {
        _ = try render(source)
        return nil
    } catch {
        return error.code
    }
}

/// Macros, call blocks and what came with them. What each renders to was rendered by Jinja2.
@Suite struct TemplateMacroTests {
    @Test(arguments: [
        ("{% macro f(a, b=2) %}{{ a }}-{{ b }}{% endmacro %}{{ f(1) }} {{ f(1, 3) }} {{ f(b=4, a=5) }}", "1-2 1-3 5-4"),
        ("{% macro f(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ f('x') }}", "xx"),
        ("{% macro f(a) %}[{{ a is defined }}]{% endmacro %}{{ f() }}", "[False]"),
        // A macro sees the template's own variables as they are when it is called, and not a caller's loop.
        ("{% macro f() %}{{ x }}{{ i }}{% endmacro %}{% set x = 1 %}{% for i in [7] %}{{ f() }}{% endfor %}", "1"),
        (
            "{% set ns = namespace(n=0) %}{% macro f() %}{% set ns.n = ns.n + 1 %}{% endmacro %}{{ f() }}{{ f() }}{{ ns.n }}",
            "2"
        ),
        ("{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}", "3210"),
        ("{% macro f() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, k=3) }}", "(1, 2){'k': 3}"),
        (
            "{% macro f() %}<{{ caller() }}>{% endmacro %}{% for i in [1, 2] %}{% call f() %}{{ i }}{% endcall %}{% endfor %}",
            "<1><2>"
        ),
        (
            "{% macro f(l) %}{% for i in l %}{{ caller(i) }}{% endfor %}{% endmacro %}{% call(x) f([1, 2]) %}({{ x }}){% endcall %}",
            "(1)(2)"
        ),
        ("{% filter upper %}a{{ 'b' }}{% endfilter %}", "AB"),
        ("{% filter replace('a', 'b') | upper %}abc{% endfilter %}", "BBC"),
        ("{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a is defined }}", "3False"),
        ("{% set ns = namespace() %}{% set ns.x %}a{% endset %}{{ ns.x }}", "a"),
        (
            "{% macro f(x) %}{% endmacro %}{{ f.name }}{{ f.arguments }}{{ f is callable }}{{ f }}",
            "f('x',)True<Macro 'f'>"
        ),
        ("{% for i in [1, 2] %}{% macro f() %}{{ i }}{% endmacro %}{{ f() }}{% endfor %}", "12"),
        (
            "{% for i in [1] %}{% macro f() %}{{ x }}{% endmacro %}{% set x = 2 %}{{ f() }}{% endfor %}", "2"
        ),
        (
            "{% macro o() %}{% macro a(n) %}{{ n }}{% if n %}{{ b(n - 1) }}{% endif %}{% endmacro %}{% macro b(n) %}{{ a(n) }}{% endmacro %}{{ a(2) }}{% endmacro %}{{ o() }}",
            "210"
        ),
        ("{% macro f(kwargs, varargs=2) %}{{ kwargs }}{{ varargs }}{% endmacro %}{{ f(1) }}", "12"),
        ("{% macro f(caller=3) %}{{ caller }}{% endmacro %}{{ f() }}", "3"),
        ("{% set x | safe | length %}abc{% endset %}{{ x }}", "3"),
        ("{{ {1: 'a'}[true] }}{{ {1: 'a'}.get(1.0) }}{{ true in {1: 2} }}", "aaTrue"),
        ("{{ {'b': 1, 'A': 2} | dictsort }}", "[('A', 2), ('b', 1)]"),
        ("{{ {2: 'x', 1: 'y'} | dictsort }}{{ {0: 1}[0] }}{{ {0: 1} | tojson }}", "[(1, 'y'), (2, 'x')]1{\"0\": 1}"),
        ("{{ ['b', 'a', 'C'] | sort }}{{ [3, 1, 2] | sort(reverse=true) }}", "['a', 'b', 'C'][3, 2, 1]"),
        ("{{ [1, 2, 1] | unique | list }}{{ [2, 1] | min }}{{ [] | max }}{{ [1, 2] | sum }}", "[1, 2]13"),
        ("{{ 2.5 | round }}{{ 2.45 | round(1) }}{{ 2.1 | round(0, 'ceil') }}", "2.02.53.0"),
        ("{{ '{}-{b}-{}{{}}'.format(1, 3, b=2) }}{{ '{0}{0}'.format(1) }}", "1-2-3{}11"),
        ("{{ 'a<b' | safe + '<c' }}{{ '<' ~ ('>' | safe) }}", "a<b&lt;c<>"),
    ])
    func rendersAsJinja2(source: String, expected: String) throws {
        #expect(try render(source) == expected, "\(source)")
    }

    @Test func wrongCallsAreRefused() {
        for source in [
            "{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}", "{% macro f(a) %}{% endmacro %}{{ f(b=1) }}",
            "{% macro f(a) %}{% endmacro %}{{ f(1, a=2) }}", "{% macro f() %}{% endmacro %}{% call f() %}{% endcall %}",
            "{% set x = 1 %}{{ x() }}", "{{ [1, 'a'] | sort }}", "{{ '{}{0}'.format(1) }}",
        ] { #expect(code(source) == .type, "\(source)") }
        for source in [
            "{% macro f(a=1, b) %}{% endmacro %}", "{% macro f(a, a) %}{% endmacro %}", "{% macro f %}{% endmacro %}",
            "{% macro f() %}", "{% for i in [1] %}{% macro f() %}{% break %}{% endmacro %}{% endfor %}",
            "{% call 1 %}{% endcall %}",
        ] { #expect(code(source) == .syntax, "\(source)") }
    }

    /// What Jinja2's sandbox refuses, and templates that were written for others do.
    @Test func listsChange() throws {
        #expect(try render("{% set l = [1] %}{% set _ = l.append(2) %}{{ l }}{{ l.pop(0) }}{{ l }}") == "[1, 2]1[2]")
        #expect(
            try render(
                "{% set ns = namespace(l=[]) %}{% for i in [1, 2] %}{% set _ = ns.l.append(i) %}{% endfor %}{{ ns.l }}")
                == "[1, 2]")
        #expect(
            try render("{% set l = [] %}{% macro f() %}{% set _ = l.append(1) %}{% endmacro %}{{ f() }}{{ l }}")
                == "[1]")
        #expect(try render("{{ [1, 2] | map('string') | tojson }}") == #"["1", "2"]"#)
        #expect(try render("{% set l = [1, 2] %}{% set _ = l.append(l.pop(0)) %}{{ l }}") == "[2, 1]")
        #expect(
            try render(
                "{% for m in [1, 2] %}{% set p = [] %}{% macro add(x) %}{% set _ = p.append(x) %}{% endmacro %}{{ add(m) }}{{ p }}{% endfor %}"
            ) == "[1][2]")
        #expect(
            try render(
                "{% set l = [] %}{% for i in range(3000) %}{% set _ = l.append(i) %}{% endfor %}{{ l | length }}")
                == "3000")
        #expect(code("{{ [].append(1) }}") == .unsupported)
        #expect(code("{% set l = [] %}{{ l.pop() }}") == .type)
    }

    @Test func fromJSONReadsWhatItIsGiven() throws {
        #expect(try render("{% set a = '{\"b\": [1, null]}' | from_json %}{{ a.b[0] }}{{ a }}") == "1{'b': [1, None]}")
        #expect(code("{{ '{' | from_json }}") == .type)
        #expect(code("{{ 1 | from_json }}") == .type)
    }

    /// Text that a user wrote stays a user's through macros and filters.
    @Test func usersTextStaysMarked() throws {
        let user = TemplateValue.string(PromptText(user: "<|im_end|>"))
        for source in [
            "{% macro f(x) %}{{ x }}{% endmacro %}{{ f(s) }}",
            "{% macro f() %}{{ caller() }}{% endmacro %}{% call f() %}{{ s }}{% endcall %}",
            "{% filter trim %}{{ s }}{% endfilter %}", "{{ '{}'.format(s) }}", "{{ [s] | sort | first }}",
            "{{ 'a' | safe + s }}",
        ] {
            let text = try ChatTemplate(source).render(["s": user])
            #expect(text.userRanges.reduce(0) { $0 + $1.count } >= 10, "\(source)")
        }
    }

    /// What macros keep is accounted for.
    @Test func keptScopesAreCharged() {
        let names = (0..<250).map { "p\($0)" }.joined(separator: ", ")
        let sets = (0..<5000).map { "{% set a\($0) = 1 %}" }.joined()
        for source in [
            "{% macro f(\(names)) %}{% macro h() %}{% endmacro %}{% endmacro %}{% for i in range(40000) %}{{ f() }}{% endfor %}",
            "{% for i in range(90000) %}{% if i == 0 %}\(sets){% endif %}{% macro f() %}{% endmacro %}{% endfor %}",
            "{% macro f() %}\(sets){% macro h() %}{% endmacro %}{% endmacro %}{% for i in range(40000) %}{{ f() }}{% endfor %}",
        ] { #expect(code(source) == .budgetExceeded, "\(source.prefix(40))") }
    }

    /// A macro in a namespace is no missing method.
    @Test func namespacesHoldMacros() throws {
        let template = try ChatTemplate(
            "{% macro f() %}x{% endmacro %}{% set ns = namespace() %}{% set ns.f = f %}{{ ns.f() }}")
        #expect(template.missing.isEmpty)
        #expect(try template.render([:]).string == "x")
    }

    @Test func recursionEnds() {
        let recursions = [
            "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
            "{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}",
            "{% macro f(x=f()) %}{% endmacro %}{{ f() }}",
            "{% macro f() %}{% call f() %}{{ caller() }}{% endcall %}{% endmacro %}{{ f() }}",
            "{% macro f() %}{{ [[[[[[[[[[f()]]]]]]]]]] | string | trim | upper }}{% endmacro %}{{ f() }}",
            "{% macro f() %}{% for i in [1] %}{% if 1 %}{% set x %}{% filter upper %}{{ (f() ~ 1) + '' }}"
                + "{% endfilter %}{% endset %}{% endif %}{% endfor %}{% endmacro %}{{ f() }}",
        ]
        for source in recursions { #expect(code(source) == .budgetExceeded, "\(source)") }
        // As deep as schemas nest.
        #expect(
            code(
                "{% macro f(n) %}{% if n %}{% for i in [1] %}{{ f(n - 1) }}{% endfor %}{% endif %}{% endmacro %}{{ f(60) }}"
            ) == nil)
    }
}
