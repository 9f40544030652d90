// SPDX-License-Identifier: Apache-2.0

import Foundation
import Martlet
import MartletJSON
import MartletServer
import Testing

extension LiveServerTests {
    /// Answers over HTTP are the library's, bit for bit.
    @Suite struct AnswerTests {
        private let prompt: [Int32] = [72, 101, 108, 108, 111, 44, 32, 119]

        private func reference(_ server: TestServer, _ change: (inout SamplingParameters) -> Void) async throws
            -> [GeneratedAnswer]
        {
            var sampling = SamplingParameters()
            sampling.maxTokens = 24
            sampling.seed = 11
            sampling.logprobs = 3
            change(&sampling)
            return try await server.engine.generate(GenerationRequest(promptTokens: prompt, sampling: sampling))
                .answers()
        }

        private func bits(_ values: Any?) -> [UInt32?] {
            (values as? [Any] ?? []).map { ($0 as? Double).map { Float($0).bitPattern } }
        }

        @Test(arguments: [false, true]) func completions(streaming: Bool) async throws {
            let server = try await TestServer()
            let expected = try await reference(server) { $0.n = 3 }
            let body = """
                {"prompt":\(prompt),"max_tokens":24,"seed":11,"logprobs":3,"n":3,"stream":\(streaming),\
                "return_tokens_as_token_ids":true\(streaming ? #","stream_options":{"include_usage":true}"# : "")}
                """
            let parts =
                streaming
                ? try await server.events("/v1/completions", body)
                : [try await server.post("/v1/completions", body).json ?? [:]]
            var (texts, names, logprobs) = (
                ["", "", ""], [[String]](repeating: [], count: 3), [[UInt32?]](repeating: [], count: 3)
            )
            var reasons: [Int: String] = [:]
            for choice in parts.flatMap({ $0["choices"] as? [[String: Any]] ?? [] }) {
                let index = choice["index"] as? Int ?? -1
                texts[index] += choice["text"] as? String ?? ""
                let report = choice["logprobs"] as? [String: Any] ?? [:]
                names[index] += report["tokens"] as? [String] ?? []
                logprobs[index] += bits(report["token_logprobs"])
                if let reason = choice["finish_reason"] as? String { reasons[index] = reason }
            }
            #expect(texts == expected.map(\.text))
            #expect(names == expected.map { $0.tokens.map { "token_id:\($0)" } })
            #expect(logprobs == expected.map { $0.logprobs.map(\.bitPattern) })
            #expect(reasons.count == 3)
            let usage = parts.last?["usage"] as? [String: Any]
            #expect(usage?["prompt_tokens"] as? Int == prompt.count)
            #expect(usage?["completion_tokens"] as? Int == expected.reduce(0) { $0 + $1.tokens.count })
            try await server.stop()
        }

        /// The prompt's logprobs are those that the library scores, and the likeliest of each place is among them as the
        /// same number.
        @Test(arguments: [0, 1]) func echoedLogprobs(maxTokens: Int) async throws {
            let server = try await TestServer()
            let scores = try await server.engine.score(prompt)
            let answer = try await server.post(
                "/v1/completions",
                #"{"prompt":[\#(prompt),\#(prompt)],"max_tokens":\#(maxTokens),"temperature":0,"logprobs":1,"echo":true,"return_tokens_as_token_ids":true}"#
            )
            let choices = answer.json?["choices"] as? [[String: Any]] ?? []
            #expect(choices.count == 2 && choices.map { $0["index"] as? Int } == [0, 1], "\(answer.body)")
            for choice in choices {
                let report = choice["logprobs"] as? [String: Any] ?? [:]
                let logprobs = bits(report["token_logprobs"])
                #expect(logprobs.count == prompt.count + maxTokens)
                #expect(Array(logprobs.prefix(prompt.count)) == [nil] + scores.map(\.logprob.bitPattern))
                let top = report["top_logprobs"] as? [Any] ?? []
                for (index, score) in scores.enumerated() {
                    let entries = top[index + 1] as? [String: Double] ?? [:]
                    #expect(entries["token_id:\(prompt[index + 1])"].map { Float($0) } == score.logprob)
                    #expect(entries["token_id:\(score.likeliest)"] == entries.values.max())
                }
                #expect((choice["text"] as? String)?.hasPrefix("Hello, w") == true)
            }
            try await server.stop()
        }

        @Test func chatIsTheLibrarysInPiecesAndAtOnce() async throws {
            let server = try await TestServer()
            var sampling = SamplingParameters()
            (sampling.maxTokens, sampling.seed, sampling.logprobs, sampling.n) = (16, 5, 2, 2)
            let expected = try await server.engine.generate([.user("hello the")], sampling: sampling).answers()
            let body =
                #"{"messages":[{"role":"user","content":"hello the"}],"max_tokens":16,"seed":5,"n":2,"logprobs":true,"top_logprobs":2"#
            let whole = try await server.post("/v1/chat/completions", body + "}").json ?? [:]
            let choices = whole["choices"] as? [[String: Any]] ?? []
            #expect(choices.map { ($0["message"] as? [String: Any])?["content"] as? String } == expected.map(\.text))
            let content = (choices.first?["logprobs"] as? [String: Any])?["content"] as? [[String: Any]] ?? []
            #expect(bits(content.map { $0["logprob"] ?? 0 }) == expected[0].logprobs.map(\.bitPattern))
            #expect(content.allSatisfy { ($0["top_logprobs"] as? [Any])?.count == 2 && $0["bytes"] is [Int] })
            var texts = ["", ""]
            let events = try await server.events("/v1/chat/completions", body + #","stream":true}"#)
            for choice in events.flatMap({ $0["choices"] as? [[String: Any]] ?? [] }) {
                texts[choice["index"] as? Int ?? 0] += (choice["delta"] as? [String: Any])?["content"] as? String ?? ""
            }
            #expect(texts == expected.map(\.text))
            #expect(events.allSatisfy { $0["object"] as? String == "chat.completion.chunk" && $0["usage"] == nil })
            try await server.stop()
        }

        @Test func stopStringsAndReasons() async throws {
            let server = try await TestServer()
            let free = try await server.post(
                "/v1/completions", #"{"prompt":"hello","max_tokens":40,"temperature":0,"ignore_eos":true}"#)
            let text = ((free.json?["choices"] as? [[String: Any]])?.first?["text"] as? String) ?? ""
            let stop = String(text.unicodeScalars.dropFirst(5).prefix(2))
            let escaped = String(decoding: JSONValue.string(stop).encoded, as: UTF8.self)
            let stopped = try await server.post(
                "/v1/completions",
                #"{"prompt":"hello","max_tokens":40,"temperature":0,"ignore_eos":true,"stop":[\#(escaped)]}"#)
            let choice = (stopped.json?["choices"] as? [[String: Any]])?.first ?? [:]
            #expect(choice["finish_reason"] as? String == "stop" && choice["stop_reason"] as? String == stop)
            #expect(
                text.hasPrefix(choice["text"] as? String ?? "x") && !(choice["text"] as? String ?? stop).contains(stop))
            try await server.expectIdle()
            try await server.stop()
        }

        @Test func tokensAndStatus() async throws {
            let server = try await TestServer()
            let tokens =
                try await server.post("/tokenize", #"{"prompt":"hello the","add_special_tokens":false}"#).json ?? [:]
            let ids = tokens["tokens"] as? [Int] ?? []
            #expect(ids.map(Int32.init) == server.engine.model.tokenizer.encode("hello the"))
            #expect(tokens["count"] as? Int == ids.count && tokens["max_model_len"] as? Int == 256)
            #expect(
                try await server.post("/detokenize", #"{"tokens":\#(ids)}"#).json?["prompt"] as? String == "hello the")
            #expect(try await server.post("/detokenize", #"{"tokens":[99999]}"#).status == 400)
            #expect(try await server.post("/tokenize", "{}").status == 400)
            let chat = try await server.post("/tokenize", #"{"messages":[{"role":"user","content":"a"}]}"#).json ?? [:]
            #expect((chat["tokens"] as? [Int])?.map(Int32.init) == (try server.engine.model.tokens(of: [.user("a")])))
            let info = try await server.get("/tokenizer_info").json ?? [:]
            #expect(info["eos_token"] is String && info["chat_template"] is String)
            let models = try await server.get("/v1/models").json?["data"] as? [[String: Any]] ?? []
            #expect(
                models.map { $0["id"] as? String } == ["tiny", "small"] && models[0]["max_model_len"] as? Int == 256)
            #expect(try await server.get("/v1/models/small").json?["id"] as? String == "small")
            #expect(try await server.get("/v1/models/large").status == 404)
            let version = try await server.get("/version").json ?? [:]
            #expect((version["limits"] as? [String: Any])?.count == ServerLimits().all.count)
            #expect(try await server.get("/ready").status == 200)
            let page = try await server.get("/")
            #expect(page.body.contains("<title>Martlet</title>") && page.body.utf8.count < 40_000)
            let head = try server.client()
            try await head.send("HEAD /health HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: my-own\r\n\r\n")
            #expect(try await head.receive().starts(with: Array("HTTP/1.1 200".utf8)))
            try await server.stop()
        }

        @Test func metricsCountWhatHappened() async throws {
            let server = try await TestServer()
            _ = try await server.post("/v1/completions", #"{"prompt":[72,101],"max_tokens":5,"ignore_eos":true,"n":2}"#)
            _ = try await server.post("/v1/completions", #"{"prompt":[]}"#)
            let text = try await server.get("/metrics").body
            func value(_ name: String) -> Double? {
                text.split(separator: "\n").first { $0.hasPrefix(name) }.flatMap {
                    Double($0.split(separator: " ").last ?? "")
                }
            }
            let labels = #"{model_name="tiny",engine="0""#
            #expect(value("vllm:generation_tokens_total\(labels)") == 10)
            #expect(value("vllm:request_success_total\(labels),finished_reason=\"length\"") == 2)
            #expect(value("vllm:time_to_first_token_seconds_count") == 2)
            #expect(value("vllm:inter_token_latency_seconds_count") == 8)
            #expect(value("vllm:request_params_n_sum") == 2)
            #expect(
                value("martlet:http_requests_total\(labels),handler=\"/v1/completions\",method=\"POST\",status=\"400\"")
                    == 1)
            #expect(value("vllm:num_requests_running\(labels)") == 0)
            // Every line is a comment or a sample, and every family is told of before its samples.
            for line in text.split(separator: "\n") where !line.hasPrefix("#") {
                #expect(line.wholeMatch(of: /[a-z_:0-9]+\{([a-z_]+="[^"]*",?)*\} [-+.e0-9A-Za-z]+/) != nil, "\(line)")
            }
            try await server.stop()
        }
    }
}
