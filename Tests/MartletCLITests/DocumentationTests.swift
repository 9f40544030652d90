// SPDX-License-Identifier: Apache-2.0

import Foundation
import MartletCLI
import MartletServer
import Testing

@Suite struct DocumentationTests {
    /// `make docs` writes them anew.
    @Test func documentsAreWhatTheProgramSays() throws {
        let folder = URL(filePath: #filePath).appending(path: "../../../Docs").standardized
        for document in GenerateDocumentationCommand.documents {
            let text = try String(contentsOf: folder.appending(path: document.name), encoding: .utf8)
            #expect(text == document.text, "Docs/\(document.name) is out of date; run make docs")
        }
    }

    /// Flags.md has each of a command's options once: in the command's own list, or in a shared group that it names.
    @Test(arguments: ["run", "chat", "serve", "bench throughput", "bench latency"])
    func eachOptionIsInOneList(command: String) throws {
        let document = try #require(GenerateDocumentationCommand.documents.first { $0.name == "Flags.md" }).text
        func options(_ text: Substring) -> [Substring] {
            text.split(separator: "\n").filter { $0.hasPrefix("  -") }.map { $0.prefix { $0 != "<" } }
        }
        func section(_ heading: String) throws -> Substring {
            let start = try #require(document.range(of: "\n\(heading)\n")).upperBound
            let end = document[start...].range(of: "\n#")?.lowerBound ?? document.endIndex
            return document[start..<end]
        }
        let own = try section("## martlet \(command)")
        let links = own.matches(of: /\[([^\]]+)\]\(#/).map { String($0.1) }
        #expect(!links.isEmpty)
        let listed = try options(own) + links.flatMap { try options(section("### \($0)")) }
        let names = command.split(separator: " ").map(String.init)
        var help = try MartletCommand.parseAsRoot(names + ["--help"])
        let request = try #require(throws: (any Error).self) { try help.run() }
        let all = options(Substring(MartletCommand.fullMessage(for: request)))
        #expect(Set(listed).count == listed.count, "an option stands twice")
        #expect(Set(listed.map { $0.prefix(20) }) == Set(all.map { $0.prefix(20) }))
    }
}

@Suite struct ConfigFileTests {
    private func expand(_ yaml: String, _ rest: [String]) throws -> [String] {
        let file = FileManager.default.temporaryDirectory.appending(path: "\(UUID()).yaml")
        try Data(yaml.utf8).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        return try ConfigFile.expand(["serve"] + rest + ["--config", file.path])
    }

    @Test func itsFlagsComeFirst() throws {
        #expect(
            try expand("model: a.gguf\nmax-model-len: 512\nhost: 0.0.0.0\n", ["--max-model-len", "256"])
                == ["serve", "a.gguf", "--host=0.0.0.0", "--max-model-len", "256"])
        #expect(
            try expand(
                "served-model-name: [a, b]\napi-key: old\nuds:\n", ["m", "--api-key=new", "--served-model-name", "c"])
                == ["serve", "m", "--api-key=new", "--served-model-name", "c"])
        #expect(
            try expand("enforce-eager: false\nallow-long-max-model-len: no\nenable-log-requests: true\n", ["m"])
                == ["serve", "m", "--enable-log-requests"])
        #expect(try expand("model: a.gguf\n", ["b.gguf", "--port", "1"]) == ["serve", "b.gguf", "--port", "1"])
        #expect(
            try expand("enforce_eager: true\nenable-prefix-caching: false\napi-key: [a, b]\nseed: \"7\"\n", ["m"])
                == [
                    "serve", "m", "--enforce-eager", "--no-enable-prefix-caching", "--api-key=a", "--api-key=b",
                    "--seed=7",
                ])
        #expect(try expand("", ["m"]) == ["serve", "m"])
        #expect(try expand("model: a\n", ["--model", "b", "--port=1"]) == ["serve", "b", "--port=1"])
        #expect(try ConfigFile.expand(["run", "m", "--config", "x"]) == ["run", "m", "--config", "x"])
    }

    @Test func whatItCannotMeanIsSaid() throws {
        for yaml in ["- a\n", "a: {b: c}\n", "a: [[1]]\n", "a: [", "7"] {
            #expect(throws: (any Error).self, "\(yaml)") { try expand(yaml, ["m"]) }
        }
        // A key must not be lost, nor a value that YAML takes for another.
        for yaml in [
            "api-key:\n", "api-key: ~\n", "api-key: no\n", "api-key: []\n", "api-key: false\n", "max-n: no\n", "x: ~\n",
            "x: false\n", "port: [1, 2]\n", "config: x\n",
        ] { #expect(throws: (any Error).self, "\(yaml)") { try expand(yaml, ["m"]) } }
        #expect(try expand("\u{FEFF}parse-special: false\n", ["m"]) == ["serve", "m", "--no-parse-special"])
        #expect(throws: (any Error).self) { try ConfigFile.expand(["serve", "m", "--config", "/nowhere.yaml"]) }
    }

    @Test func scriptsForVLLMAreUnderstood() throws {
        let arguments = try ConfigFile.expand([
            "serve", "--host", "0.0.0.0", "--model", "m", "--max_model_len=32", "--compilation-config.cudagraph_mode",
            "FULL",
            "--gpu-memory-utilization", "0.9", "--dtype", "auto", "--trust-remote-code", "--tensor-parallel-size", "1",
            "--disable-log-requests", "--enable-chunked-prefill", "--swap-space", "4", "--quantization", "gguf",
        ])
        let serve = try #require(try MartletCommand.parseAsRoot(arguments) as? ServeCommand)
        #expect(serve.load.model.cache.maxModelLen == 32 && serve.load.model.model.name == "m")
        #expect(serve.vllm.notices.count == 3 && serve.listen.warnings.count == 1)
        for wrong in [
            ["--tensor-parallel-size", "2"], ["--tokenizer", "x"], ["--quantization", "awq"],
            ["--no-enable-chunked-prefill"],
        ] {
            #expect(throws: (any Error).self, "\(wrong)") { try MartletCommand.parseAsRoot(["serve", "m"] + wrong) }
        }
    }

    @Test func serveTakesThemAll() throws {
        #expect(try LimitOptions.parse([]).limits == .init())
        // Each limit has its flag, which sets it and nothing else.
        for limit in ServerLimit.all {
            let limits = try LimitOptions.parse(["--\(limit.name)", "7"]).limits
            var expected = ServerLimits()
            switch limit.value {
            case .count(let path, _): expected[keyPath: path] = 7
            case .seconds(let path, _): expected[keyPath: path] = 7
            case .optionalSeconds(let path, _): expected[keyPath: path] = 7
            }
            #expect(limits == expected && limits != ServerLimits(), "\(limit.name)")
        }
        let command = try MartletCommand.parseAsRoot([
            "serve", "m", "--host", "::1", "--port", "0", "--api-key", "a", "--api-key", "b", "--served-model-name",
            "x", "y",
            "--max-body-bytes", "10", "--log-format", "json", "--generation-config", "vllm", "--seed", "3",
        ])
        let serve = try #require(command as? ServeCommand)
        let configuration = serve.listen.configuration(model: "m")
        #expect(configuration.modelNames == ["x", "y"] && configuration.apiKeys == ["a", "b"])
        #expect(serve.limits.limits.bodyBytes == 10 && serve.generationConfig == .vllm)
        for wrong in [
            ["--port", "70000"], ["--ssl-keyfile", "k"], ["--max-json-depth", "0"], ["--read-timeout", "0"],
            ["--api-key", ""],
            ["--log-format", "xml"], ["--drain-timeout", "-1"],
        ] {
            #expect(throws: (any Error).self, "\(wrong)") { try MartletCommand.parseAsRoot(["serve", "m"] + wrong) }
        }
    }
}
