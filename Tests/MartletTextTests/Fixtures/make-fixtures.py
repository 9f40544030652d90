"""Writes templates.json with the real Jinja2, set up as Hugging Face renders chat templates, and words.json with the
published pre-tokenizer patterns on a full regex engine. Needs: pip install jinja2 regex"""

import json
import pathlib

import jinja2
import jinja2.ext
import jinja2.sandbox
import regex

HERE = pathlib.Path(__file__).parent

SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + "
    "message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3 = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + "
    "message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}"
    "{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token + ' ' }}{% else %}"
    "{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)
ZEPHYR = """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""
QWEN = """{%- if messages[0]['role'] == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
{%- else %}
    {{- '<|im_start|>system\\nYou are Qwen.<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(count=0) %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {%- set ns.count = ns.count + 1 %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set content = message.content %}
        {%- if '</think>' in content %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {{- '<|im_start|>assistant\\n' ~ content ~ '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
{# seen: #}{{ ns.count }}"""

CONVERSATIONS = [
    [{"role": "user", "content": "Hello"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "  Hi \n"}],
    [
        {"role": "user", "content": "1 + 1?"},
        {"role": "assistant", "content": "<think>easy</think>\n\n2"},
        {"role": "user", "content": "naïve 😀 {{ x }} {% if %}"},
    ],
    [],
]
# Small templates: each a corner of the language.
SNIPPETS = [
    "a\n{% if true %}\n  b\n{% endif %}\nc\n",
    "a  {%- if true -%}  b  {%- endif -%}  c",
    "  {% if false %}x{% elif 1 %}y{% else %}z{% endif %}  \n  end",
    "a\n  {%+ if true %}b{% endif %}\n",
    "{# gone #}x{#- gone too -#}  y",
    "{% raw %}{{ not }} {% this %}{% endraw %}!",
    "{%- raw -%}\n kept {%- endraw -%}\n!",
    "{% for i in range(5) %}{{ i }}{% if not loop.last %}, {% endif %}{% endfor %}",
    "{% for i in range(2, 12, 3) %}{{ loop.index }}:{{ i }}:{{ loop.revindex }} {% endfor %}",
    "{% for i in [3, 1, 2] if i > 1 %}{{ i }}{{ loop.length }}{% else %}none{% endfor %}",
    "{% for i in [] %}{{ i }}{% else %}none{% endfor %}",
    "{% for k, v in {'a': 1, 'b': [2, 'c']}.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for i in range(9) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "{% for c in 'abc' %}{{ loop.previtem }}{{ c }}{{ loop.nextitem }}|{% endfor %}",
    "{% set x = 1 %}{% for i in range(3) %}{% set x = x + 1 %}{% endfor %}{{ x }}",
    "{% set ns = namespace(x=1) %}{% for i in range(3) %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}",
    "{% set a, b = 1, 'two' %}{{ a }}{{ b }}",
    "{% set body %}in {{ 1 + 1 }}{% endset %}[{{ body }}]",
    "{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 1.5 + 1 }} {{ 3 * 1.0 }}",
    "{{ 1 < 2 <= 2 }} {{ 1 == 1.0 }} {{ 'a' < 'b' }} {{ not 1 }} {{ 1 and 'x' }} {{ 0 or 'y' }} {{ none }}",
    "{{ 'ell' in 'hello' }} {{ 2 in [1, 2] }} {{ 'k' in {'k': 1} }} {{ 'z' not in 'abc' }}",
    "{{ 'yes' if x is defined else 'no' }} {{ missing is undefined }} {{ none is none }} {{ missing }}|",
    "{{ 'a' ~ 1 ~ true ~ none ~ 1.5 }} {{ 'ab' * 3 }} {{ [1] + [2] }}",
    "{{ [1, 2, 3, 4][1:3] }} {{ 'hello'[::-1] }} {{ 'hello'[-3:] }} {{ [1, 2, 3][::-1] }} {{ [1, 2][5:] }}",
    "{{ [1, 'a', none, true, 1.5, {'k': 'v'}] }} {{ \"it's\" | string }} {{ [\"it's\", 'say \"x\"', 'a\\nb'] }}",
    "{{ '  x ' | trim }}|{{ 'abc' | upper }}|{{ 'ABC' | lower }}|{{ 'abc def' | title }}|{{ 'aBC' | capitalize }}",
    "{{ [1, 2] | length }} {{ 'é😀' | length }} {{ {'a': 1} | count }} {{ [3, 4] | first }} {{ [3, 4] | last }}",
    "{{ missing | default('d') }} {{ '' | default('d', true) }} {{ 0 | d(5) }} {{ ['a', 'b'] | join(', ') }}",
    "{{ {'a': [1, 2.5, none, true], 'b': 'é\"\\n<>'} | tojson }} {{ [] | tojson }} {{ 'x' | tojson }}",
    "{{ {'a': [1, {'b': 2}], 'c': {}} | tojson(indent=2) }}",
    "{{ 'a-b-c' | replace('-', '+') }} {{ 'a-b-c'.replace('-', '+', 1) }} {{ 'x y  z'.split() }} {{ 'a,b,c'.split(',', 1) }}",
    "{{ ' ab '.strip() }}|{{ 'xxabxx'.strip('x') }}|{{ ' ab '.rstrip() }}|{{ 'ab'.startswith('a') }}|{{ 'ab'.endswith('a') }}",
    "{{ [{'n': 'a', 'v': 1}, {'n': 'b', 'v': 0}] | selectattr('v') | map(attribute='n') | list }}",
    "{{ [{'n': 'a', 't': 'x'}, {'n': 'b', 't': 'y'}] | rejectattr('t', 'equalto', 'x') | map(attribute='n') | join }}",
    "{{ ['a', 'b'] | map('upper') | list }} {{ [1, 2, 3] | select('odd') | list }} {{ [1, 2, 3] | reverse | list }}",
    "{{ {'a': 1}.get('b', 'none') }} {{ {'a': 1}.a }} {{ {'a': 1}['a'] }} {{ {'a': 1}.keys() | list }} {% for k, v in {'a': 1} | items %}{{ k }}{{ v }}{% endfor %}",
    "{{ 3 is odd }} {{ 4 is even }} {{ 9 is divisibleby 3 }} {{ 'x' is string }} {{ {} is mapping }} {{ [] is iterable }} {{ 1 is number }} {{ 1 is not string }}",
    "{{ '5' | int + 1 }} {{ 'x' | int }} {{ 3.9 | int }} {{ '1.5' | float }} {{ -3 | abs }}",
    "{{ 'a\nb' | indent(2) }}|{{ 'a\nb' | indent(2, true) }}",
    "{{ (1, 2) | length }} {{ 'a' 'b' }} {{ 'tab\\tq\\'\\\\' }} {{ 1_000 }} {{ 'x' if false }}|",
    "{% if messages is defined and messages | length > 0 and messages[-1].role == 'user' %}u{% endif %}",
    "{{- '  a' -}}   {{ 'b' }}\n",
    "line\n{{ 'x' }}\nline2\n\n",
    "{% generation %}g{% endgeneration %}",
    "{{ 'a' is in ['a', 'b'] }} {{ 1 is eq messages[0].n | default(1) }} {{ 'a' is in {'a': 1} }}",
    "a\n{% if true +%}\nb{% endif +%}\nc",
    "{% for i in range(3) %}{% for j in [] %}{% else %}{% if i == 1 %}{% break %}{% endif %}{% endfor %}{{ i }}{% endfor %}",
    "{{ 9007199254740993 == 9007199254740992 }} {{ [1, [2]] == [1, [2.0]] }} {{ {'a': 1} == {'a': true} }}",
    "{{ 'aaa'.replace('aa', 'b') }} {{ 'abcabcabd'.split('abd') }} {{ 'abab' | replace('ab', '', 1) }} {{ 'x'.split('x') }}",
]
ERRORS = [
    "{{ missing.attribute }}", "{% if %}", "{% for x in 5 %}{% endfor %}", "{{ 1 + 'a' }}", "{{ raise_exception('no') }}",
    "{% endif %}", "{{ 'unclosed }}", "{% if true %}", "{{ 1 // 0 }}", "{{ x | nosuchfilter }}", "{{ }}", "{% nosuch %}",
    "{{ [1, 2 }}", "{% set a, b = [1] %}", "{# open",
]


def environment():
    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    class Generation(jinja2.ext.Extension):
        tags = {"generation"}

        def parse(self, parser):
            line = next(parser.stream).lineno
            body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
            return jinja2.nodes.Scope(body).set_lineno(line)

    result = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols, Generation]
    )
    result.filters["tojson"] = tojson
    result.globals["raise_exception"] = raise_exception
    return result


def templates():
    env = environment()
    cases = []
    for source in [SMOLLM2, LLAMA3, MISTRAL, ZEPHYR, QWEN] + SNIPPETS + ERRORS:
        conversations = CONVERSATIONS if "messages" in source and source not in SNIPPETS else CONVERSATIONS[:1]
        for messages in conversations:
            for prompt in [True, False] if "add_generation_prompt" in source else [True]:
                case = {"template": source, "messages": messages, "add_generation_prompt": prompt}
                try:
                    case["output"] = env.from_string(source).render(
                        messages=messages, add_generation_prompt=prompt, bos_token="<s>", eos_token="</s>"
                    )
                except Exception:
                    case["output"] = None
                cases.append(case)
    return cases


GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3_WORDS = (
    r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEXTS = [
    "", "a", " ", "  ", "Hello, world!", "don't DON'T we'll WE'LL 'tis 're", " 'x ' s's'", "a  b   c", "trailing   ",
    "\n\n  x\n y", "a\r\nb\r\n\r\nc", "tabs\t\tand \t mixed", "1234567 12 3", "v1.2.3-rc4 (x86_64)", "naïve café ñ",
    "Привет, мир! 日本語 テキスト한국어", "👍🏽 👨‍👩‍👧 ❤️ text😀text", "½ ① ٣ １２３ Ⅳ x²", "\u00a0nbsp\u2003em\u3000ideographic",
    "!!!??? ...\n\n---\n", "x=1;y = 2\n\tif (a && b) {\n\t\treturn;\n\t}\n", "__init__ snake_case camelCase", "'''", "a'b'c'd",
    "\u0301combining a\u0301", "e\u200bzero\u200dwidth", "\x00\x01\x7f\x85\u2028", "   \n   \n   x   ", "\n", "\r", " \n", "\n ",
    "a 1", "a  1", "1 a", "1\n2", "   leading", ".a", "..a", "\ta", "\na", "$a", "$ a", "€5", "#tag @user", "100% 5°C",
    "don’t “quote”", "ﬁne ǅ ʰ ª", "\U0010ffff\ue000", "'S 'LL 'ſ", "９９９９", "a\u0660\u0661\u0662\u0663",
]


def words():
    gpt2, llama3 = regex.compile(GPT2), regex.compile(LLAMA3_WORDS)
    qwen2 = regex.compile(LLAMA3_WORDS.replace(r"\p{N}{1,3}", r"\p{N}"))
    digits = regex.compile(r"\p{N}|[^\p{N}]+")
    return [
        {
            "text": text,
            "gpt-2": gpt2.findall(text),
            "smollm": [word for part in digits.findall(text) for word in gpt2.findall(part)],
            "llama-bpe": llama3.findall(text),
            "qwen2": qwen2.findall(text),
        }
        for text in TEXTS
    ]


(HERE / "templates.json").write_text(json.dumps(templates(), indent=1))
(HERE / "words.json").write_text(json.dumps(words(), indent=1))
