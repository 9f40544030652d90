// SPDX-License-Identifier: Apache-2.0

/// What the server speaks, as documents made from the tables that it runs by.
public enum ServerReference {
    /// Routes, fields, errors and limits.
    public static var http: String {
        var configuration = ServerConfiguration(modelNames: ["model"])
        configuration.logsAccess = false
        let routes = Route.all(ServerState(configuration))
        var text = """
            # HTTP

            What `martlet serve` answers. Made by `make docs` from the tables that it runs by.

            | | | |
            |---|---|---|

            """
        for route in routes { text += "| `\(route.method.rawValue)` | `\(route.path)` | \(route.help) |\n" }
        text += """

            Bodies are JSON objects in UTF-8 with `Content-Type: application/json`; no key may be there twice, values nest no
            deeper than `--max-json-depth`. A field that is null counts as absent. A field that asks for something which this
            server can't do, or that it doesn't know, is refused by its name: see below. Every answer has an `X-Request-Id`,
            the client's own if it sent one.

            With API keys (`--api-key`, or `MARTLET_API_KEY`) every route but `/health` wants `Authorization: Bearer KEY`, or
            basic authentication with the key for a password, which browsers ask for when they open the page. `/health` is for
            liveness probes: it is 200 from the start to the end. Readiness probes ask `/ready`.


            """
        text += section("POST /v1/completions", CompletionRequest.fields)
        text += section("POST /v1/chat/completions", ChatRequest.fields)
        text += section("POST /tokenize", TokenizeRequest.fields)
        text += section("POST /detokenize", DetokenizeRequest.fields)
        text += """
            ## Not supported

            What asks for something that this server can't do is refused with 400 and `"code": "unsupported_parameter"`, an
            unknown field with `"unknown_parameter"`. So are messages with `tool_calls` or of the role `tool`, and parts of
            messages that are no text. Accepted, because they can't change an answer, are
            \(UnsupportedFields.harmless.sorted().map { "`\($0)`" }.joined(separator: ", ")); because they ask for nothing, null
            and:

            | field | value |
            |---|---|
            \(neutralValues)
            `tools` are passed over where `tool_choice` is `none`; `echo` is a field of completions alone.

            ## Texts and tokens

            A plain prompt is the model's own language: control tokens that it spells, such as `<|im_end|>`, become those
            tokens, unless `parse_special` is false. A message of a chat is a user's text, in which none is found. Tokens that
            a model file calls user-defined (Hugging Face's added tokens that are not special, such as `<think>` in many
            models) are found in both. A stop string that spells a control token stops at that token. In `logprobs` of
            completions a token that is part of a character is called `bytes:\\xe2\\x80`, and `text_offset` is its place in
            the text.

            ## Streams

            With `"stream": true` an answer comes as server-sent events, `data: {…}`, the last of them `data: [DONE]`. One event
            may bring several tokens. Comments (`: keep-alive`) come while there is nothing to say. What goes wrong on the way is
            an event with an `error`. A client that closes its side of the connection, even only for sending, ends its request
            within a step. One that takes nothing for `--stall-timeout` seconds, while more than `--stream-buffer-bytes` wait
            for it, is cut off; one that reads, however slowly, is not.

            ## Errors

            In OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`; `param` names the field.

            | status | when |
            |---|---|
            | 400 | the body, a field or the prompt is not acceptable; HTTP that can't be read |
            | 401 | a key is missing or wrong |
            | 403 | the server was called by a name that it doesn't answer to (`--allowed-host`) |
            | 404 | no such route, no such model |
            | 405 | the route has other methods; `Allow` lists them |
            | 408 | the request took longer than `--request-timeout` |
            | 413 | the body is longer than `--max-body-bytes` |
            | 415 | the body is compressed, or no JSON |
            | 417 | an expectation other than `100-continue` |
            | 500 | the server failed; its log says why |
            | 501 | a transfer coding other than `chunked` |
            | 503 | the model is being loaded, the queue is full, or the server is stopping; `Retry-After` says when to come back |

            A connection is closed without an answer where a header, and then a body, has not come whole within
            `--read-timeout` seconds.

            ## Limits

            Each is a flag of `martlet serve`, printed when it starts and by `/version`.

            | flag | default |
            |---|---|

            """
        for limit in ServerLimits().all { text += "| `--\(limit.name)` | \(limit.value) |\n" }
        return text
    }

    private static var neutralValues: String {
        UnsupportedFields.neutralValues.sorted { $0.key < $1.key }.map { name, values in
            let values = values.filter { $0 != .number(1) }.map { "`\(String(decoding: $0.encoded, as: UTF8.self))`" }
            return "| `\(name)` | \(values.joined(separator: ", ")) |\n"
        }.joined()
    }

    private static func section<Target>(_ title: String, _ fields: [RequestField<Target>]) -> String {
        var text = "## \(title)\n\n| field | type | |\n|---|---|---|\n"
        for field in fields { text += "| `\(field.name)` | \(field.kind.rawValue) | \(field.help) |\n" }
        return text + "\n"
    }

    /// Every metric.
    public static var metrics: String {
        var text = """
            # Metrics

            What `GET /metrics` of `martlet serve` tells Prometheus. Made by `make docs` from the metrics themselves. Names that
            begin with `vllm:` are vLLM's and mean the same, so its Grafana boards work; all have the labels `model_name` and
            `engine`.

            | metric | kind | labels | |
            |---|---|---|---|

            """
        for metric in ServerMetrics(maxModelLength: 1).collect(nil, nil) {
            let name = metric.kind == .counter ? "\(metric.name)_total" : metric.name
            let labels = metric.labels.map { "`\($0)`" }.joined(separator: ", ")
            text += "| `\(name)` | \(metric.kind.rawValue) | \(labels) | \(metric.help) |\n"
        }
        text += """

            A request's latency is the sum of its parts: `e2e_request_latency` = `request_queue_time` + `request_prefill_time` +
            `request_decode_time`, and `request_inference_time` is the last two.

            """
        return text
    }
}
