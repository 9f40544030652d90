// SPDX-License-Identifier: Apache-2.0

import Foundation
import MartletTestSupport
import Testing

/// What people get wrong, and what they are told: what was given, what is wrong, what to do.
@Suite struct MistakeTests {
    private struct Mistake {
        let arguments: [String]
        /// What the message must hold.
        let words: [String]
        /// Exit code: 64 where the command line is wrong, 1 where what it names is.
        var status: Int32 = 64
    }

    /// The command that was built beside these tests.
    private static let command: String? = {
        var folder = URL(filePath: CommandLine.arguments.first ?? "").deletingLastPathComponent()
        for _ in 0..<4 {
            let file = folder.appending(path: "martlet").path
            if FileManager.default.isExecutableFile(atPath: file) { return file }
            folder = folder.deletingLastPathComponent()
        }
        return nil
    }()

    private static func run(_ arguments: [String], environment: [String: String] = [:]) throws -> (
        status: Int32, text: String
    ) {
        let process = Process()
        process.executableURL = URL(filePath: try #require(command))
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        let pipe = Pipe()
        process.standardError = pipe
        process.standardOutput = FileHandle.nullDevice
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let text = String(decoding: try pipe.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        process.waitUntilExit()
        return (process.terminationStatus, text)
    }

    @Test func mistakesAreExplained() throws {
        let tiny = try TinyModel().write()
        let model = tiny.path
        let text = try TemporaryFile(Array("nonsense".utf8), name: "notes.txt")
        let yaml = try TemporaryFile(Array("max-model-len: &a [1]\n".utf8), name: "a.yaml")
        let unknown = try TemporaryFile(Array("foo: 1\n".utf8), name: "flags.yaml")
        let folder = URL(filePath: text.path).deletingLastPathComponent().path
        func run(_ rest: String...) -> [String] { ["run", model, "hi"] + rest }
        func serve(_ rest: String...) -> [String] { ["serve", model, "--port", "0"] + rest }
        let mistakes = [
            Mistake(arguments: ["rnu", "smollm2", "hi"], words: ["no command \"rnu\"", "do you mean run?"]),
            Mistake(arguments: ["srve"], words: ["do you mean serve?"]),
            Mistake(arguments: ["bench", "latensy"], words: ["do you mean latency?"]),
            Mistake(arguments: ["xyzzy"], words: ["no command \"xyzzy\"", "run, chat, serve"]),
            Mistake(arguments: ["check", "txet"], words: ["do you mean text?"]),
            Mistake(arguments: ["evaluate", "perplexty", "a"], words: ["do you mean perplexity?"]),
            Mistake(arguments: run("--temperature", "-1"), words: ["--temperature", "between 0 and 100"]),
            Mistake(arguments: run("--temperature", "hot"), words: ["'hot'", "--temperature"]),
            Mistake(arguments: run("--top-p", "2"), words: ["--top-p", "at most 1"]),
            Mistake(arguments: run("--top-p", "-1"), words: ["--top-p"]),
            Mistake(arguments: run("--top-k", "-5"), words: ["--top-k"]),
            Mistake(arguments: run("--min-p", "7"), words: ["--min-p", "between 0 and 1"]),
            Mistake(arguments: run("--max-tokens", "0"), words: ["--max-tokens", "at least 1"]),
            Mistake(arguments: run("--max-tokens", "-3"), words: ["--max-tokens"]),
            Mistake(arguments: run("--min-tokens", "-1"), words: ["--min-tokens"]),
            Mistake(arguments: run("--repetition-penalty", "0"), words: ["--repetition-penalty"]),
            Mistake(arguments: run("--presence-penalty", "3"), words: ["--presence-penalty", "-2 and 2"]),
            Mistake(arguments: run("--frequency-penalty", "-3"), words: ["--frequency-penalty"]),
            Mistake(arguments: run("--stop", ""), words: ["--stop", "1 to 256 bytes"]),
            Mistake(arguments: run("--bad-words", " "), words: ["--bad-words must not be blank"]),
            Mistake(arguments: run("--threads", "-1"), words: ["--threads is", "must be 1 to 1024"]),
            Mistake(arguments: run("--threads", "0"), words: ["--threads is", "must be 1 to 1024"]),
            Mistake(arguments: run("--threads", "many"), words: ["'many'", "--threads"]),
            Mistake(arguments: run("--nosuch", "1"), words: ["Unknown option '--nosuch'"]),
            Mistake(arguments: run("--seed", "-1"), words: ["--seed"]),
            Mistake(arguments: run("--kv-cache-dtype", "int3"), words: ["'int3'", "--kv-cache-dtype"]),
            Mistake(arguments: run("--graph-mode", "some"), words: ["'some'", "--graph-mode"]),
            Mistake(arguments: run("--raw", "--system", "x"), words: ["--raw has no place for a --system message"]),
            Mistake(arguments: ["run", model], words: ["<prompt>"]), Mistake(arguments: ["run"], words: ["<model>"]),
            Mistake(arguments: ["run", model, " "], words: ["the prompt is empty"], status: 1),
            Mistake(
                arguments: run("--kv-cache-memory-bytes", "100T"), words: ["109951162777600", "bytes are free"],
                status: 1),
            Mistake(arguments: run("--kv-cache-memory-bytes", "5"), words: ["less than a block"], status: 1),
            Mistake(arguments: run("--kv-cache-memory-bytes", "much"), words: ["'much'", "--kv-cache-memory-bytes"]),
            Mistake(arguments: run("--max-model-len", "1"), words: ["--max-model-len is 1"], status: 1),
            Mistake(arguments: run("--max-model-len", "999999"), words: ["--allow-long-max-model-len"], status: 1),
            Mistake(arguments: run("--block-size", "7"), words: ["--block-size is 7", "multiple of 16"], status: 1),
            Mistake(arguments: run("--max-num-seqs", "0"), words: ["--max-num-seqs is 0"], status: 1),
            Mistake(
                arguments: run("--max-num-batched-tokens", "-4"), words: ["--max-num-batched-tokens is -4"], status: 1),
            Mistake(arguments: run("--prefill-share", "2"), words: ["--prefill-share is 2"], status: 1),
            Mistake(arguments: run("--trace", "/nowhere/x"), words: ["/nowhere"], status: 1),
            Mistake(
                arguments: run("--chat-template", "/no.jinja"), words: ["--chat-template", "no file /no.jinja"],
                status: 1),
            Mistake(
                arguments: run("--chat-template", "{% block f %}{% endblock %}"), words: ["block", "not supported"],
                status: 1),
            Mistake(arguments: ["run", "/no.gguf", "hi"], words: ["there is no file /no.gguf", "smollm2"], status: 1),
            Mistake(arguments: ["run", "org/name", "hi"], words: ["models are not downloaded", "GGUF"], status: 1),
            Mistake(arguments: ["run", folder, "hi"], words: ["is a folder", "GGUF"], status: 1),
            Mistake(arguments: ["run", text.path, "hi"], words: ["not a GGUF file"], status: 1),
            Mistake(arguments: ["inspect", text.path], words: ["not a GGUF file"], status: 1),
            Mistake(arguments: ["inspect", model, "--threads", "2"], words: ["for --program"]),
            Mistake(
                arguments: ["evaluate", "perplexity", model, "/no.txt"], words: ["there is no file /no.txt"], status: 1),
            Mistake(arguments: ["evaluate", "perplexity", model, folder], words: ["is a folder"], status: 1),
            Mistake(
                arguments: ["evaluate", "loglikelihood", model, text.path],
                words: ["line 1", "not a JSON object", "continuation"], status: 1),
            Mistake(arguments: ["check", "text", model, "/nowhere"], words: ["/nowhere"], status: 1),
            Mistake(arguments: serve("--port", "99999"), words: ["--port is 99999", "must be 0 to 65535"]),
            Mistake(
                arguments: serve("--host", "nosuch.invalid"), words: ["no address of the name nosuch.invalid"],
                status: 1),
            Mistake(
                arguments: serve("--ssl-certfile", "/no.pem", "--ssl-keyfile", "/no.pem"),
                words: ["can't read the certificate /no.pem", "No such file"], status: 1),
            Mistake(
                arguments: serve("--ssl-certfile", text.path, "--ssl-keyfile", text.path),
                words: ["holds no certificate in PEM form"], status: 1),
            Mistake(
                arguments: serve("--ssl-certfile", "/no.pem"), words: ["--ssl-certfile and --ssl-keyfile go together"]),
            Mistake(
                arguments: serve("--uds", "/nowhere/x.sock"), words: ["/nowhere/x.sock", "No such file"], status: 1),
            Mistake(arguments: serve("--uds", text.path), words: ["no socket"], status: 1),
            Mistake(
                arguments: serve("--uds", "/" + String(repeating: "x", count: 200)), words: ["1 to 107 bytes"],
                status: 1),
            Mistake(arguments: serve("--config", "/no.yaml"), words: ["--config", "no file /no.yaml"], status: 1),
            Mistake(arguments: serve("--config", yaml.path), words: ["anchors or aliases"]),
            Mistake(arguments: serve("--config", text.path), words: ["must hold lines like"]),
            Mistake(arguments: serve("--config", folder), words: ["--config", "is a folder"], status: 1),
            Mistake(
                arguments: serve("--config", unknown.path),
                words: ["--config", unknown.path, "Unknown option '--foo'", "martlet serve --help"]),
            Mistake(arguments: serve("--max-n", "0"), words: ["--max-n is 0", "between 1 and 4096"]),
            Mistake(
                arguments: ["bench", "latency", model, "--input-len", "9000"],
                words: ["the longest request has 9128 tokens", "256"], status: 1),
            Mistake(
                arguments: ["bench", "serve", model, "--base-url", "127.0.0.1:9"], words: ["127.0.0.1:9", "http://"]),
            Mistake(arguments: ["bench", "foo"], words: ["no command \"bench foo\"", "martlet bench --help"]),
            Mistake(arguments: ["help", "foo"], words: ["no command \"foo\""]),
            Mistake(arguments: ["check", "text", model, text.path], words: ["is a file"], status: 1),
            Mistake(arguments: serve("--api-key", ""), words: ["--api-key"]),
            Mistake(arguments: serve("--read-timeout", "0"), words: ["--read-timeout is 0.0", "must be 0.01 seconds"]),
            Mistake(arguments: serve("--max-json-depth", "-1"), words: ["--max-json-depth"]),
            Mistake(
                arguments: serve("--generation-config", "/no.json"), words: ["--generation-config", "/no.json"],
                status: 1), Mistake(arguments: serve("--tensor-parallel-size", "2"), words: ["there is one device"]),
            Mistake(
                arguments: ["bench", "throughput", model, "--n=-9223372036854775808"],
                words: ["--n is -9223372036854775808", "must be 1 to 4096"]),
            Mistake(
                arguments: ["bench", "throughput", model, "--num-prompts", "1024", "--input-len", "4194304"],
                words: ["more than an engine takes"]),
            Mistake(
                arguments: ["bench", "serve", model, "--port", "1", "--ready-check-timeout-sec", "0"],
                words: ["is it running there?"], status: 1),
        ]
        #expect(mistakes.count >= 60)
        for mistake in mistakes {
            let (status, text) = try Self.run(mistake.arguments)
            #expect(status == mistake.status, "\(mistake.arguments): exit \(status), \(text)")
            for word in mistake.words { #expect(text.contains(word), "\(mistake.arguments): \(text)") }
        }
        let (status, message) = try Self.run(serve(), environment: ["MARTLET_API_KEY": ""])
        #expect(status == 64 && message.contains("MARTLET_API_KEY is set and empty"))
        withExtendedLifetime((tiny, text, yaml, unknown)) {}
    }

    /// Without the threads, files or memory that the runtime needs there is a message, and neither a trap nor a hang.
    @Test func smallLimitsAreExplained() throws {
        let command = try #require(Self.command)
        for (limit, word) in [
            ("-n 4", "ulimit -n"), ("-n 15", "ulimit -n"), ("-v 100000", "ulimit -v"), ("-d 100000", "ulimit -d"),
        ] {
            let process = Process()
            process.executableURL = URL(filePath: "/bin/sh")
            process.arguments = ["-c", "ulimit \(limit); exec '\(command)' --version"]
            let pipe = Pipe()
            process.standardError = pipe
            process.standardOutput = FileHandle.nullDevice
            try process.run()
            let text = String(decoding: try pipe.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
            process.waitUntilExit()
            #expect(
                process.terminationStatus == 71 && text.contains(word), "\(limit): \(process.terminationStatus) \(text)"
            )
        }
    }

    /// Threads have stacks of their own size, whatever `ulimit -s` says.
    @Test func smallStacksAreEnough() throws {
        let command = try #require(Self.command)
        let tiny = try TinyModel().write()
        for size in [96, 128, 256] {
            let process = Process()
            process.executableURL = URL(filePath: "/bin/sh")
            process.arguments = [
                "-c",
                "ulimit -s \(size); exec '\(command)' run '\(tiny.path)' hello --max-tokens 4 --temperature 0 --threads 2",
            ]
            process.standardError = FileHandle.nullDevice
            process.standardOutput = FileHandle.nullDevice
            try process.run()
            process.waitUntilExit()
            #expect(process.terminationStatus == 0 && process.terminationReason == .exit, "\(size)")
        }
        withExtendedLifetime(tiny) {}
    }
}
