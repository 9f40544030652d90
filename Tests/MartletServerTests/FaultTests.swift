// SPDX-License-Identifier: Apache-2.0

import Foundation
import Martlet
import MartletReference
import MartletServer
import MartletTestSupport
import Synchronization
import Testing

extension LiveServerTests {
    /// What users of such servers report, and what a fuzzer found.
    // One file, long as the list of what clients do wrong is.
    @Suite struct FaultTests {
        private static let marks = String(repeating: "\u{301}\u{316}", count: 200_000)

        /// Values beyond every range, in every field of every route: each is answered, and none ends the process.
        @Test func extremeValuesAreAnswered() async throws {
            let server = try await TestServer()
            let values = [
                "9223372036854775807", "-9223372036854775808", "18446744073709551615", "1e308", "-1e308", "1e-320", "0",
                "-1", "null",
                "true", "\"\"", "\"9223372036854775807\"", "[]", "{}", "[9223372036854775807]", "[[]]", "[null]",
                #"{"9223372036854775807":9223372036854775807}"#, "[2147483648]", "[-1]", "\"\\u0000\"", "[\"\"]",
            ]
            func fields<Target>(_ fields: [RequestField<Target>]) -> [String] { fields.map(\.name) }
            let prompt = [("prompt", #""hi""#), ("max_tokens", "2")]
            let messages = [
                ("messages", #"[{"role":"user","content":"a"}]"#), ("max_tokens", "2"), ("logprobs", "true"),
            ]
            let routes: [(path: String, base: [(String, String)], fields: [String])] = [
                ("/v1/completions", prompt, fields(CompletionRequest.fields)),
                ("/v1/completions", prompt + [("echo", "true"), ("stream", "true")], fields(CompletionRequest.fields)),
                ("/v1/chat/completions", messages, fields(ChatRequest.fields)),
                ("/tokenize", [], fields(TokenizeRequest.fields)),
                ("/detokenize", [], fields(DetokenizeRequest.fields)),
            ]
            for (path, base, names) in routes {
                for name in names {
                    for value in values {
                        let all = base.filter { $0.0 != name } + [(name, value)]
                        let body = "{" + all.map { "\"\($0)\":\($1)" }.joined(separator: ",") + "}"
                        let answer = try await server.post(path, body)
                        #expect(
                            answer.status >= 200 && answer.status < 500,
                            "\(path) \(body): \(answer.status) \(answer.body)")
                    }
                }
            }
            try await server.expectIdle()
            try await server.stop()
        }

        @Test func logprobsOfEveryCountAreRefusedInRange() async throws {
            let server = try await TestServer()
            for body in [
                #"{"prompt":"hi","logprobs":9223372036854775807}"#,
                #"{"prompt":"hi","prompt_logprobs":9223372036854775807}"#,
                #"{"prompt":"hi","logprobs":9223372036854775807,"echo":true,"stream":true}"#,
            ] {
                #expect(try await server.post("/v1/completions", body).status == 400, "\(body)")
            }
            let chat =
                #"{"messages":[{"role":"user","content":"a"}],"logprobs":true,"top_logprobs":9223372036854775807}"#
            let answer = try await server.post("/v1/chat/completions", chat)
            #expect(answer.status == 400 && answer.error?["param"] as? String == "top_logprobs")
            try await server.stop()
        }

        /// Texts of combining marks take long to hash and to compare; they are compared by their bytes, or not at all.
        @Test(.timeLimit(.minutes(1))) func runsOfMarksAreNotCompared() async throws {
            let server = try await TestServer()
            let start = ContinuousClock.now
            for body in [
                "{\"\(Self.marks)\":1}", "{\"prompt\":\"a\",\"model\":\"\(Self.marks)\"}",
                "{\"prompt\":\"a\",\"tool_choice\":\"\(Self.marks)\"}",
                "{\"prompt\":\"a\",\"stream_options\":{\"\(Self.marks)\":1}}",
            ] {
                #expect(try await server.post("/v1/completions", body).status >= 400)
            }
            for body in [
                "{\"messages\":[{\"role\":\"\(Self.marks)\",\"content\":\"a\"}]}",
                "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"\(Self.marks)\"}]}]}",
                "{\"messages\":[{\"role\":\"user\",\"content\":\"a\",\"name\":\"\(Self.marks)\"}]}",
            ] {
                #expect(try await server.post("/v1/chat/completions", body).status == 400)
            }
            #expect(ContinuousClock.now - start < .seconds(10))
            try await server.stop()
        }

        @Test func rawPromptsParseControlTokens() async throws {
            let server = try await TestServer()
            func count(_ body: String) async throws -> Int? {
                try await server.post("/tokenize", body).json?["count"] as? Int
            }
            let text = #""<|im_start|>a<|im_end|>""#
            #expect(try await count("{\"prompt\":\(text)}") == 3)
            let plain = try #require(try await count("{\"prompt\":\(text),\"parse_special\":false}"))
            #expect(plain > 10)
            // Messages are never parsed.
            let chat = try #require(try await count("{\"messages\":[{\"role\":\"user\",\"content\":\(text)}]}"))
            #expect(chat > plain)
            let answer = try await server.post("/v1/completions", "{\"prompt\":\(text),\"max_tokens\":1}")
            #expect((answer.json?["usage"] as? [String: Any])?["prompt_tokens"] as? Int == 3)
            try await server.stop()
            let strict = try await TestServer { configuration, _ in configuration.parsesSpecials = false }
            #expect(try await strict.post("/tokenize", "{\"prompt\":\(text)}").json?["count"] as? Int == plain)
            #expect(
                try await strict.post("/tokenize", "{\"prompt\":\(text),\"parse_special\":true}").json?["count"] as? Int
                    == 3)
            try await strict.stop()
        }

        /// An answer that the server gave can be sent back, whatever it spells.
        @Test func answersCanBeSentBack() async throws {
            let server = try await TestServer { _, options in
                options.chatTemplate =
                    "{% for m in messages %}{{ m.role }}:{% if m.role == 'assistant' %}{{ m.content.split('</think>')[-1].strip() }}{% else %}{{ m.content }}{% endif %}<|im_end|>{% endfor %}"
            }
            for answer in ["<think>x</think> y", "<|im_start|>a</think><|im_end|>", "</think>", ""] {
                let body =
                    #"{"max_tokens":1,"messages":[{"role":"user","content":"<|im_end|>"},{"role":"assistant","content":"\#(answer)"},{"role":"user","content":"b"}]}"#
                let result = try await server.post("/v1/chat/completions", body)
                #expect(result.status == 200, "\(result.body)")
            }
            try await server.stop()
        }

        @Test func stopStringsThatSpellControlTokensStop() async throws {
            let server = try await TestServer()
            let id = try #require(server.engine.model.tokenizer.encode("<|im_start|>", parsingSpecials: true).first)
            for (extra, text) in [("", ""), (#","include_stop_str_in_output":true"#, "<|im_start|>")] {
                let body =
                    #"{"prompt":"a","max_tokens":5,"logit_bias":{"\#(id)":100},"stop":["<|im_start|>"]\#(extra)}"#
                let choice = (try await server.post("/v1/completions", body).json?["choices"] as? [[String: Any]])?
                    .first
                #expect(
                    choice?["finish_reason"] as? String == "stop" && choice?["stop_reason"] as? String == "<|im_start|>"
                )
                #expect(choice?["text"] as? String == text)
            }
            // The tokens that a stop string spells take part in what min_tokens forbids.
            let most = #"{"prompt":"a","min_tokens":1,"max_tokens":2,"stop":["<|im_start|>"]}"#
            #expect(try await server.post("/v1/completions", most).status == 200)
            try await server.stop()
        }

        @Test func whatHasNoEffectIsRefusedByName() async throws {
            let server = try await TestServer()
            for (field, value) in [
                ("grammar", "\"root ::= x\""), ("json_schema", "{}"), ("return_token_ids", "true"), ("temprature", "1"),
                ("repeat_penalty", "1.3"), ("mirostat", "2"), ("n_probs", "3"),
            ] {
                let answer = try await server.post("/v1/completions", "{\"prompt\":\"a\",\"\(field)\":\(value)}")
                #expect(answer.status == 400 && answer.error?["param"] as? String == field, "\(field): \(answer.body)")
            }
            for field in ["store", "user", "metadata", "service_tier", "parallel_tool_calls"] {
                let answer = try await server.post(
                    "/v1/completions", "{\"prompt\":\"a\",\"max_tokens\":1,\"\(field)\":\"x\"}")
                #expect(answer.status == 200, "\(field): \(answer.body)")
            }
            for (path, body, field) in [
                ("/detokenize", #"{"tokens":[1],"skip_special_tokens":true}"#, "skip_special_tokens"),
                ("/tokenize", #"{"messages":[{"role":"user","content":"a"}],"parse_special":true}"#, "parse_special"),
                (
                    "/tokenize", #"{"messages":[{"role":"user","content":"a"}],"add_special_tokens":true}"#,
                    "add_special_tokens"
                ),
                (
                    "/v1/chat/completions",
                    #"{"messages":[{"role":"user","content":[{"type":"text","text":"a","image_url":"x"}]}]}"#,
                    "messages[0].content part's image_url"
                ),
                (
                    "/v1/completions", #"{"prompt":"a","stream":true,"stream_options":{"include_obfuscation":true}}"#,
                    "stream_options.include_obfuscation"
                ), ("/v1/completions", #"{"prompt":"a","logit_bias":{"0100":1}}"#, "logit_bias"),
                ("/v1/completions", #"{"prompt":"a","logit_bias":{"+1":1}}"#, "logit_bias"),
            ] {
                let answer = try await server.post(path, body)
                #expect(answer.status == 400 && answer.error?["param"] as? String == field, "\(body): \(answer.body)")
            }
            for (path, body) in [
                ("/detokenize", #"{"tokens":[1],"skip_special_tokens":false}"#),
                ("/tokenize", #"{"messages":[{"role":"user","content":"a"}],"add_special_tokens":false}"#),
                ("/v1/completions", #"{"prompt":"a","max_tokens":1,"best_of":1.0,"mirostat":0.0,"repeat_penalty":1}"#),
            ] { #expect(try await server.post(path, body).status == 200, "\(body)") }
            try await server.stop()
        }

        /// What was given, what is wrong, and what to do.
        @Test func messagesSayWhatToDo() async throws {
            let server = try await TestServer()
            for (body, words) in [
                (#"{"prompt":5}"#, ["prompt", "string", "not a number"]),
                (#"{"prompt":[1,"a"]}"#, ["prompt must hold an integer", "not a string"]),
                (#"{"prompt":"a","top_p":2}"#, ["top_p is 2.0", "at most 1"]),
                (#"{"prompt":"a","max_tokens":-2}"#, ["max_tokens is -2", "at least 1"]),
                (#"{"prompt":"a","repeat_penalty":1.1}"#, ["repeat_penalty is 1.1", "repetition_penalty"]),
                (#"{"prompt":"a","n_predict":1}"#, ["no field \"n_predict\"", "max_tokens"]),
                (#"{"prompt":"a","temprature":1}"#, ["no field \"temprature\"", "temperature"]),
                (#"{"prompt":"a","prompt":"b"}"#, ["the key \"prompt\" is there twice"]),
            ] {
                let message = try await server.post("/v1/completions", body).error?["message"] as? String ?? ""
                for word in words { #expect(message.contains(word), "\(body): \(message)") }
            }
            for (message, words) in [
                (#"{"content":"a"}"#, ["messages[0].role is missing"]),
                (#"{"role":"user"}"#, ["messages[0].content is missing"]),
                (#"{"role":"user","contents":"a"}"#, ["no field \"contents\"", "content"]),
                (#"{"role":"tool","content":"a"}"#, ["messages[0].role is \"tool\""]),
                (#"{"role":"bot","content":"a"}"#, ["messages[0].role is \"bot\"", "user"]),
            ] {
                let answer = try await server.post("/v1/chat/completions", "{\"messages\":[\(message)]}")
                let text = answer.error?["message"] as? String ?? ""
                #expect(answer.status == 400)
                for word in words { #expect(text.contains(word), "\(message): \(text)") }
            }
            let route = try await server.post("/v1/responses", "{}").error?["message"] as? String ?? ""
            #expect(route.contains("/v1/responses") && route.contains("/v1/chat/completions"))
            let many = Array(repeating: #"{"role":"user","content":""}"#, count: 1000).joined(separator: ",")
            let long = try await server.post("/v1/chat/completions", "{\"messages\":[\(many)]}")
            #expect(long.status == 400 && long.error?["code"] as? String == "context_length_exceeded")
            try await server.stop()
        }

        @Test func historiesThatAskForNothingAreTaken() async throws {
            let server = try await TestServer()
            for history in [
                #"{"role":"assistant","content":null}"#, #"{"role":"assistant"}"#,
                #"{"role":"assistant","content":"b","tool_calls":[]}"#,
                #"{"role":"assistant","content":[{"type":"refusal","refusal":"no"}]}"#,
                #"{"role":"assistant","content":"b","refusal":null,"audio":null}"#,
                #"{"role":"function","name":"f","content":"1"}"#, #"{"role":"developer","content":"b","name":"Ann"}"#,
                #"{"role":"assistant","content":"b","function_call":null,"annotations":[]}"#,
                #"{"role":"user","content":["a","b"]}"#,
            ] {
                let body =
                    #"{"max_tokens":1,"messages":[{"role":"user","content":"a"},\#(history),{"role":"user","content":"c"}]}"#
                let answer = try await server.post("/v1/chat/completions", body)
                #expect(answer.status == 200, "\(history): \(answer.body)")
            }
            for field in [
                #""top_p":0"#, #""max_tokens":-1"#, #""model":"""#, #""stream_options":{}"#,
                #""seed":18446744073709551615"#,
                #""seed":-9223372036854775808"#, #""seed":-1"#, #""stream_options":{"include_usage":false}"#,
            ] {
                let body = #"{"prompt":"a","stop":["e"],"ignore_eos":false,\#(field)}"#
                let answer = try await server.post("/v1/completions", body)
                #expect(answer.status == 200, "\(field): \(answer.body)")
            }
            try await server.stop()
            let any = try await TestServer { configuration, _ in configuration.acceptsAnyModelName = true }
            let answer = try await any.post("/v1/completions", #"{"prompt":"a","max_tokens":1,"model":"gpt-4o"}"#)
            #expect(answer.status == 200 && answer.json?["model"] as? String == "gpt-4o")
            try await any.stop()
        }

        @Test func usageIsNullBeforeTheLastPiece() async throws {
            let server = try await TestServer()
            let events = try await server.events(
                "/v1/completions",
                #"{"prompt":"a","max_tokens":3,"ignore_eos":true,"stream":true,"stream_options":{"include_usage":true}}"#
            )
            #expect(
                events.count > 1 && events.dropLast().allSatisfy { $0["usage"] is NSNull }
                    && events.last?["usage"] is [String: Any])
            let plain = try await server.events("/v1/completions", #"{"prompt":"a","max_tokens":3,"stream":true}"#)
            #expect(plain.allSatisfy { $0["usage"] == nil })
            try await server.stop()
        }

        /// Offsets are places in the text, whatever the tokens are called.
        @Test func offsetsAreOfTheText() async throws {
            let server = try await TestServer()
            let id = try #require(server.engine.model.tokenizer.encode("<|im_start|>", parsingSpecials: true).first)
            func offsets(_ extra: String) async throws -> [Int]? {
                let body =
                    #"{"prompt":"hé","max_tokens":3,"ignore_eos":true,"logprobs":1,"echo":true,"logit_bias":{"\#(id)":100}\#(extra)}"#
                let choice = (try await server.post("/v1/completions", body).json?["choices"] as? [[String: Any]])?
                    .first
                return (choice?["logprobs"] as? [String: Any])?["text_offset"] as? [Int]
            }
            let plain = try await offsets("")
            #expect(plain?.first == 0 && plain?.suffix(3) == [2, 2, 2])
            #expect(try await offsets(#","return_tokens_as_token_ids":true"#) == plain)
            try await server.stop()
        }

        /// Five candidates are five entries, though parts of characters look alike.
        @Test func likeliestTokensAreToldApart() async throws {
            let server = try await TestServer()
            let bytes = (0x80..<0x85).map { byte in
                server.engine.model.tokenizer.vocabulary.bytes.firstIndex(of: [UInt8(byte)]) ?? 0
            }
            let bias = bytes.map { "\"\($0)\":100" }.joined(separator: ",")
            let body =
                "{\"prompt\":\"a\",\"max_tokens\":1,\"logprobs\":5,\"logit_bias\":{\(bias)},\"allowed_token_ids\":\(bytes)}"
            let choice = (try await server.post("/v1/completions", body).json?["choices"] as? [[String: Any]])?.first
            let logprobs = choice?["logprobs"] as? [String: Any]
            let top = (logprobs?["top_logprobs"] as? [[String: Any]])?.first
            let name = (logprobs?["tokens"] as? [String])?.first
            #expect((top?.count ?? 0) >= 5, "\(top as Any)")
            #expect(
                name?.hasPrefix("bytes:\\x8") == true && name.map { top?[$0] != nil } == true,
                "\(name as Any) \(top as Any)")
            try await server.stop()
        }

        /// A lost device fails what is asked, takes readiness away, and ends the server with an error.
        @Test func aLostDeviceEndsTheServer() async throws {
            let device = LosableDevice(ReferenceDevice(), submissions: 20)
            let server = try await TestServer(context: 4096, device: device)
            #expect(try await server.get("/ready").status == 200)
            let client = try server.client()
            let body = #"{"prompt":"a","max_tokens":4000,"ignore_eos":true,"stream":true}"#
            try await client.send(RawClient.post("/v1/completions", body))
            let rest = try await client.receiveUntil("data: [DONE]\n\n\r\n0\r\n\r\n")
            #expect(rest.contains("device_lost") && rest.contains("fell off the bus"))
            let error = await #expect(throws: EngineError.self) { try await server.ended() }
            #expect(error?.code == .deviceLost && server.engine.health == .failed)
        }

        /// One conversation that takes long keeps no other waiting.
        @Test func aSlowTemplateHoldsUpNobody() async throws {
            let server = try await TestServer { configuration, options in
                configuration.limits.tokenizeSeconds = 3
                configuration.limits.templateSteps = 1 << 30
                options.chatTemplate =
                    "{% if 'slow' in messages[0].content %}{% set r = range(99999) %}{% for i in r %}{% for j in r %}{% endfor %}{% endfor %}{% endif %}ok"
            }
            let hasEnded = Atomic<Bool>(false)
            async let slow = {
                let answer = try await server.post(
                    "/v1/chat/completions", #"{"messages":[{"role":"user","content":"slow"}]}"#)
                hasEnded.store(true, ordering: .sequentiallyConsistent)
                return answer
            }()
            try await Task.sleep(for: .milliseconds(100))
            #expect(try await server.post("/tokenize", #"{"prompt":"a"}"#).status == 200)
            let hasWaited = hasEnded.load(ordering: .sequentiallyConsistent)
            #expect(!hasWaited)
            let answer = try await slow
            #expect(answer.status == 400 && answer.error?["code"] as? String == "template_timeout")
            try await server.stop()
        }

        @Test func aTemplateThatCannotBeReadDisablesConversationsAlone() async throws {
            var tiny = TinyModel()
            tiny.template = "{% block f %}{% endblock %}x"
            let file = try tiny.write()
            let engine = try await Engine.load(file.path)
            #expect(engine.model.chatTemplate == nil && engine.model.chatTemplateFault != nil)
            let error = #expect(throws: EngineError.self) { try engine.generate([.user("a")]) }
            #expect(error?.code == .noChatTemplate && error?.message.contains("block") == true)
            var sampling = SamplingParameters.greedy
            sampling.maxTokens = 1
            #expect(try await engine.generate("a", sampling: sampling).answers().count == 1)
            await engine.stop()
        }

        @Test func whatATemplateLacksIsNotBlamedOnMessages() async throws {
            let server = try await TestServer { _, options in options.chatTemplate = "{{ messages|nosuch }}" }
            let answer = try await server.post("/v1/chat/completions", #"{"messages":[{"role":"user","content":"a"}]}"#)
            #expect(answer.status == 400 && answer.error?["code"] as? String == "unsupported_chat_template")
            #expect(answer.error?["param"] is NSNull)
            try await server.stop()
        }

        /// Long answers are written piece by piece and hold part of a budget meanwhile.
        @Test func longAnswersAreBounded() async throws {
            let server = try await TestServer(context: 4096) { configuration, _ in
                configuration.limits.totalLogprobEntries = 60_000
            }
            let body = #"{"prompt":\#(Array(repeating: 72, count: 2000)),"max_tokens":1,"prompt_logprobs":20}"#
            let answer = try await server.post("/v1/completions", body)
            let choice = (answer.json?["choices"] as? [[String: Any]])?.first
            #expect(answer.status == 200 && (choice?["prompt_logprobs"] as? [Any])?.count == 2000)
            #expect(answer.headers.lowercased().contains("transfer-encoding: chunked"))
            // The same again: what the first one held was given back.
            #expect(try await server.post("/v1/completions", body).status == 200)
            let both = try [server.client(), server.client()]
            for client in both { try await client.send(RawClient.post("/v1/completions", body)) }
            let statuses = try await [both[0].answer().status, both[1].answer().status]
            #expect(Set(statuses) == [200, 503] || statuses == [200, 200], "\(statuses)")
            try await server.expectIdle()
            try await server.stop()
        }

        /// A reader that reads is never cut off, however much faster answers are made than written.
        @Test func readersThatReadAreNotCutOff() async throws {
            let server = try await TestServer(context: 8192) { configuration, options in
                configuration.limits.request.unreadBytes = 1 << 10
                options.maxNumSeqs = 32
            }
            let body = #"{"prompt":[72],"max_tokens":400,"ignore_eos":true,"n":32,"logprobs":20,"stream":true}"#
            let events = try await server.events("/v1/completions", body)
            #expect(events.allSatisfy { $0["error"] == nil })
            let finished = events.flatMap { $0["choices"] as? [[String: Any]] ?? [] }.filter {
                $0["finish_reason"] as? String == "length"
            }
            #expect(finished.count == 32)
            try await server.expectIdle()
            try await server.stop()
        }
    }
}
