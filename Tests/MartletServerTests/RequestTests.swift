// SPDX-License-Identifier: Apache-2.0

import Foundation
import Martlet
import MartletServer
import Testing

extension LiveServerTests {
    /// What is wrong with a body, over a live socket: its status, and the field that is named.
    @Suite struct RequestTests {
        struct Case: Sendable, CustomTestStringConvertible {
            var path = "/v1/completions"
            let body: String
            var status = 400
            let param: String?
            var testDescription: String { "\(path) \(body.prefix(80))" }

            init(_ body: String, _ param: String?, status: Int = 400) {
                (self.body, self.param, self.status) = (body, param, status)
            }

            static func chat(_ body: String, _ param: String?, status: Int = 400) -> Case {
                var result = Case(body, param, status: status)
                result.path = "/v1/chat/completions"
                return result
            }
        }

        private static func field(_ field: String, _ value: String) -> Case {
            Case(#"{"prompt":"a","\#(field)":\#(value)}"#, field)
        }

        static let cases: [Case] =
            [
                // No JSON, or none that is an object.
                Case("", nil), Case("{", nil), Case("[]", nil), Case("null", nil), Case("7", nil), Case(#""a""#, nil),
                Case(#"{"prompt":"a"} trailing"#, nil), Case(#"{"prompt":"a","prompt":"b"}"#, nil),
                Case("\u{feff}{\"prompt\":\"a\"}", nil), Case(#"{"prompt":"\ud800"}"#, nil),
                Case(#"{"prompt":1e999}"#, nil),
                Case(String(repeating: "[", count: 100_000), nil),
                Case(#"{"prompt":"# + String(repeating: "[", count: 66), nil),
                // Prompts.
                Case("{}", "prompt"), Case(#"{"prompt":null}"#, "prompt"), Case(#"{"prompt":""}"#, "prompt"),
                Case(#"{"prompt":[]}"#, "prompt"), Case(#"{"prompt":[[]]}"#, "prompt"),
                Case(#"{"prompt":{}}"#, "prompt"),
                Case(#"{"prompt":7}"#, "prompt"), Case(#"{"prompt":["a",1]}"#, "prompt"),
                Case(#"{"prompt":[1,"a"]}"#, "prompt"),
                Case(#"{"prompt":[[1],"a"]}"#, "prompt"), Case(#"{"prompt":[-1]}"#, "prompt"),
                Case(#"{"prompt":[1.5]}"#, "prompt"),
                Case(#"{"prompt":[999999]}"#, "prompt"), Case(#"{"prompt":[9223372036854775807]}"#, "prompt"),
                Case(#"{"prompt":[1e300]}"#, "prompt"),
                Case(#"{"prompt":[\#(Array(repeating: "\"a\"", count: 257).joined(separator: ","))]}"#, "prompt"),
                Case(#"{"prompt":"\#(String(repeating: "a b ", count: 200))"}"#, "prompt"),
                Case(#"{"prompt":"\#(String(repeating: "a", count: 1 << 20))"}"#, "prompt"),
                Case(#"{"prompt":["a","b"],"n":129}"#, "n"), Case(#"{"prompt":["a","b","c"],"n":100}"#, "n"),
                // Numbers.
                field("n", "0"), field("n", "-1"), field("n", "1000000"), field("n", "1e18"), field("n", "1.5"),
                field("n", "\"2\""),
                field("max_tokens", "0"), field("max_tokens", "-2"), field("max_tokens", "1e300"),
                field("max_tokens", "\"9\""),
                field("min_tokens", "-1"), field("min_tokens", "1000"), field("temperature", "-1"),
                field("temperature", "1e30"),
                field("temperature", "\"hot\""), field("temperature", "1e39"), field("top_p", "-0.1"),
                field("top_p", "1.1"), field("top_k", "-5"), field("top_k", "99999999999"), field("min_p", "1.1"),
                field("min_p", "-1"),
                field("presence_penalty", "1e9"), field("frequency_penalty", "-3"), field("repetition_penalty", "0"),
                field("seed", "\"x\""), field("seed", "1e30"), field("logprobs", "21"), field("logprobs", "-1"),
                field("logprobs", "true"), field("prompt_logprobs", "21"), field("prompt_logprobs", "-1"),
                field("best_of", "5"),
                Case(#"{"prompt":"a","echo":true,"max_tokens":0,"n":2}"#, "n"),
                Case(#"{"prompt":[999999],"echo":true,"max_tokens":0}"#, "prompt"),
                Case(#"{"prompt":"a","stream":true,"prompt_logprobs":1}"#, "prompt_logprobs"),
                Case(#"{"prompt":"a","stream_options":{"include_usage":true}}"#, "stream_options"),
                Case(#"{"prompt":"a","bad_words":["\#(String(repeating: "a b", count: 4000))"]}"#, "bad_words"),
                Case(
                    #"{"prompt":"a","bad_words":[\#(Array(repeating: "\"a\"", count: 257).joined(separator: ","))]}"#,
                    "bad_words"),
                // Lists and objects.
                field("stop", "[\"\"]"), field("stop", "\"\""), field("stop", "7"), field("stop", "[7]"),
                field("stop", "[\(Array(repeating: "\"a\"", count: 17).joined(separator: ","))]"),
                field("stop", "\"\(String(repeating: "a", count: 257))\""), field("stop_token_ids", "[-1]"),
                field("stop_token_ids", "[999999]"), field("stop_token_ids", "7"), field("logit_bias", "[]"),
                field("logit_bias", "{\"x\":1}"), field("logit_bias", "{\"999999\":1}"),
                field("logit_bias", "{\"-1\":1}"),
                field("logit_bias", "{\"1\":\"a\"}"), field("allowed_token_ids", "[]"),
                field("allowed_token_ids", "[999999]"),
                field("bad_words", "[1]"), field("bad_words", "[\"\"]"), field("repetition_penalty", "1e-40"),
                field("cache_salt", "\"\""), field("cache_salt", "7"),
                field("stream", "\"yes\""),
                field("echo", "1"), field("stream_options", "7"), field("priority", "\"high\""),
                Case(#"{"prompt":"a","stream_options":{"include_usage":1}}"#, "stream_options.include_usage"),
                // What is not supported is never ignored.
                field("suffix", "\"x\""), field("prompt_embeds", "\"x\""), field("guided_json", "{}"),
                field("response_format", "{\"type\":\"json_object\"}"), field("use_beam_search", "true"),
                field("structured_outputs", "{\"json\":{}}"), field("truncate_prompt_tokens", "4"),
                Case(#"{"prompt":"a","model":"other"}"#, "model", status: 404),
                Case(#"{"prompt":"a","model":"\#(String(repeating: "x", count: 1 << 20))"}"#, "model", status: 404),
                Case(#"{"prompt":"a","model":7}"#, "model"),
                // Chats.
                .chat("{}", "messages"), .chat(#"{"messages":{}}"#, "messages"), .chat(#"{"messages":[]}"#, "messages"),
                .chat(#"{"messages":[7]}"#, "messages[0]"), .chat(#"{"messages":[{}]}"#, "messages[0].role"),
                .chat(#"{"messages":[{"role":"user"}]}"#, "messages[0].content"),
                .chat(#"{"messages":[{"role":"robot","content":"a"}]}"#, "messages[0].role"),
                .chat(#"{"messages":[{"role":"tool","content":"a"}]}"#, "messages[0].role"),
                .chat(#"{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}"#, "messages[0].content"),
                .chat(
                    #"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"","tool_calls":[{}]}]}"#,
                    "messages[1].tool_calls"),
                .chat(#"{"messages":[{"role":"user","content":"a"}],"tools":[{"type":"function"}]}"#, "tools"),
                .chat(#"{"messages":[{"role":"user","content":"a"}],"tool_choice":"auto"}"#, "tool_choice"),
                .chat(#"{"messages":[{"role":"user","content":"a"}],"functions":[{}]}"#, "functions"),
                .chat(
                    #"{"messages":[{"role":"user","content":"a"}],"response_format":{"type":"json_schema"}}"#,
                    "response_format"),
                .chat(#"{"messages":[{"role":"user","content":"a"}],"chat_template":"x"}"#, "chat_template"),
                .chat(
                    #"{"messages":[{"role":"user","content":"a"}],"chat_template_kwargs":{"a":1}}"#,
                    "chat_template_kwargs"),
                .chat(#"{"messages":[{"role":"user","content":"a"}],"top_logprobs":2}"#, "top_logprobs"),
                .chat(
                    #"{"messages":[{"role":"user","content":"a"}],"logprobs":true,"top_logprobs":21}"#, "top_logprobs"),
                .chat(
                    #"{"messages":[{"role":"user","content":"a"}],"max_completion_tokens":0}"#, "max_completion_tokens"),
            ]

        /// One server for all: what one of them left behind would show at the end.
        @Test func badBodiesAreRefusedByName() async throws {
            let server = try await TestServer()
            for test in Self.cases {
                let answer = try await server.post(test.path, test.body)
                #expect(answer.status == test.status, "\(test.testDescription): \(answer.body)")
                #expect(answer.error?["param"] as? String == test.param, "\(test.testDescription): \(answer.body)")
                #expect(
                    answer.error?["message"] is String && answer.error?["type"] as? String == "invalid_request_error")
            }
            try await server.expectIdle()
            #expect(server.engine.statistics.steps == 0)
            try await server.stop()
        }

        @Test func badBytesAndHeaders() async throws {
            let server = try await TestServer { configuration, _ in configuration.limits.bodyBytes = 10_000 }
            func status(_ request: [UInt8]) async throws -> RawClient.Answer {
                let client = try server.client()
                try await client.send(request)
                return try await client.answer()
            }
            let json = "Content-Type: application/json\r\n"
            func post(_ headers: String, _ body: [UInt8]) -> [UInt8] {
                Array("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n\(headers)\r\n".utf8) + body
            }
            // No UTF-8; UTF-16.
            for body: [UInt8] in [
                Array(#"{"prompt":""#.utf8) + [0xff] + Array(#""}"#.utf8), [0xff, 0xfe, 0x7b, 0x00, 0x7d, 0x00],
            ] {
                #expect(try await status(post(json + "Content-Length: \(body.count)\r\n", body)).status == 400)
            }
            let body = Array(#"{"prompt":"a","max_tokens":1}"#.utf8)
            let length = "Content-Length: \(body.count)\r\n"
            #expect(try await status(post(json + length, body)).status == 200)
            #expect(
                try await status(post("Content-Type: application/json; charset=utf-8\r\n" + length, body)).status == 200
            )
            #expect(try await status(post(length, body)).status == 415)
            #expect(try await status(post("Content-Type: text/plain\r\n" + length, body)).status == 415)
            #expect(
                try await status(post("Content-Type: application/x-www-form-urlencoded\r\n" + length, body)).status
                    == 415)
            #expect(try await status(post(json + "Content-Encoding: gzip\r\n" + length, body)).status == 415)
            // Too long, said beforehand or found out.
            #expect(try await status(post(json + "Content-Length: 10001\r\n", [])).status == 413)
            let long = String(repeating: "1000\r\n\(String(repeating: " ", count: 4096))\r\n", count: 4) + "0\r\n\r\n"
            #expect(try await status(post(json + "Transfer-Encoding: chunked\r\n", Array(long.utf8))).status == 413)
            let chunked = "\(String(body.count, radix: 16))\r\n\(String(decoding: body, as: UTF8.self))\r\n0\r\n\r\n"
            #expect(try await status(post(json + "Transfer-Encoding: chunked\r\n", Array(chunked.utf8))).status == 200)
            #expect(
                try await status(post(json + "Transfer-Encoding: chunked\r\n", Array("0\r\n\r\n".utf8))).status == 400)
            // Headers beyond their limits, and what is no HTTP.
            for headers in [
                "X-A: \(String(repeating: "a", count: 9000))\r\n",
                (0..<101).map { "X-\($0): a\r\n" }.joined(),
                (0..<8).map { "X-\($0): \(String(repeating: "a", count: 7000))\r\n" }.joined(),
            ] {
                let answer = try await status(Array(RawClient.get("/health", headers: headers).utf8))
                #expect(answer.status == 400 && answer.error?["code"] as? String == "header_too_large")
            }
            for text in [
                "\u{1}\u{2}\u{3} nonsense\r\n\r\n", "FOO /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
                "GET /health HTTP/2.0\r\nHost: localhost\r\n\r\n",
                "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: -2\r\n\r\n",
            ] {
                let noise = try await status(Array(text.utf8))
                #expect(noise.status == 400 && noise.error?["code"] as? String == "invalid_http", "\(text)")
            }
            #expect(try await status(Array(RawClient.get("/nowhere").utf8)).status == 404)
            #expect(try await status(Array(RawClient.get("/v1/completions").utf8)).status == 405)
            #expect(try await status(Array(RawClient.post("/v1/embeddings", "{}").utf8)).status == 400)
            try await server.expectIdle()
            try await server.stop()
        }

        /// What an answer holds until it is sent has a bound; a stream holds nothing.
        @Test func logprobsOfOneAnswerAreBounded() async throws {
            let server = try await TestServer { configuration, _ in configuration.limits.logprobEntries = 50 }
            let few = #"{"prompt":[72,101,108],"max_tokens":10,"logprobs":1,"n":2"#
            #expect(try await server.post("/v1/completions", few + "}").status == 200)
            let more = try await server.post("/v1/completions", few + #","echo":true}"#)
            #expect(more.status == 400 && more.error?["param"] as? String == "prompt_logprobs")
            let most = #"{"prompt":[72,101,108],"max_tokens":40,"logprobs":1"#
            #expect(try await server.post("/v1/completions", most + "}").error?["param"] as? String == "logprobs")
            #expect(try await server.post("/v1/completions", most + #","stream":true}"#).status == 200)
            try await server.stop()
        }

        @Test func fieldsThatAskForNothingAreAccepted() async throws {
            let server = try await TestServer()
            let answer = try await server.post(
                "/v1/chat/completions",
                #"""
                {"model":"small","messages":[{"role":"developer","content":"Be brief."},{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}],"name":"x"}],
                "max_completion_tokens":3,"max_tokens":9,"tools":[{"type":"function"}],"tool_choice":"none","response_format":{"type":"text"},"user":"me","metadata":{},"stop":null,"seed":-1}
                """#)
            #expect(answer.status == 200, "\(answer.body)")
            #expect(answer.json?["model"] as? String == "small")
            try await server.stop()
        }
    }
}
