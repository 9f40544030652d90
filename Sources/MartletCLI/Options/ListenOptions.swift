// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Martlet
package import MartletServer

/// Where a server listens, whom it lets in, and what it calls its model.
package struct ListenOptions: ParsableArguments {
    package init() {}

    @Option(help: "The address to listen on; 0.0.0.0 is all of them.")
    var host = "127.0.0.1"

    @Option(parsing: .unconditional, help: "The port to listen on; 0 takes any that is free.")
    var port = 8000

    @Option(help: ArgumentHelp("A Unix domain socket to listen on, instead of a port.", valueName: "path"))
    var uds: String?

    @Option(
        help: ArgumentHelp(
            "Lets in only who knows it; may be given several times. The environment's MARTLET_API_KEY or VLLM_API_KEY is one too.",
            valueName: "key"))
    var apiKey: [String] = []

    @Option(help: ArgumentHelp("A certificate chain, PEM, for HTTPS.", valueName: "file"), completion: .file())
    var sslCertfile: String?

    @Option(help: ArgumentHelp("The certificate's key, PEM.", valueName: "file"), completion: .file())
    var sslKeyfile: String?

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp(
            "What requests call the model; several names are all the same. Its own name or short name by default.",
            valueName: "name"))
    var servedModelName: [String] = []

    @Flag(help: "Lets requests call the model by any name.")
    var acceptAnyModelName = false

    @Flag(
        inversion: .prefixedNo,
        help:
            "Whether control tokens that plain prompts spell, such as <|im_end|>, become those tokens; messages of chats never do."
    )
    var parseSpecial = true

    @Option(
        help: ArgumentHelp(
            "A name beside this machine's own that requests may call a server on loopback without keys by; may be given several times, * permits all.",
            valueName: "name"))
    var allowedHost: [String] = []

    func validate() throws {
        for name in Self.keyNames where ProcessInfo.processInfo.environment[name] == "" {
            throw ValidationError("the environment's \(name) is set and empty: give it a key, or unset it")
        }
        let isSendable = { (key: String) in key.utf8.allSatisfy { (0x21...0x7E).contains($0) } }
        guard (apiKey + environmentKeys).allSatisfy(isSendable) else {
            throw ValidationError(
                "a key of --api-key, MARTLET_API_KEY or VLLM_API_KEY has a space, a line feed or another character that no client can send"
            )
        }
        try require("--port", port, in: 0...65535)
        guard (sslCertfile == nil) == (sslKeyfile == nil) else {
            throw ValidationError("--ssl-certfile and --ssl-keyfile go together")
        }
        guard (apiKey + servedModelName).allSatisfy({ !$0.isEmpty }) else {
            throw ValidationError("--api-key and --served-model-name must not be empty")
        }
    }

    private static let keyNames = ["MARTLET_API_KEY", "VLLM_API_KEY"]

    private var environmentKeys: [String] {
        Self.keyNames.compactMap { ProcessInfo.processInfo.environment[$0] }
    }

    /// What an operator should know.
    package var warnings: [String] {
        let isOpen = uds == nil && !ServerConfiguration.Address.tcp(host: host, port: port).isLoopback
        return isOpen && apiKey.isEmpty && environmentKeys.isEmpty
            ? ["--host \(host) without an API key: everybody who can reach this machine may use the model"] : []
    }

    /// - Parameter model: its name where no other is given.
    package func configuration(model: String) -> ServerConfiguration {
        var configuration = ServerConfiguration(modelNames: servedModelName.isEmpty ? [model] : servedModelName)
        configuration.address = uds.map { .unix($0) } ?? .tcp(host: host, port: port)
        configuration.apiKeys = apiKey
        configuration.apiKeys += environmentKeys
        configuration.acceptsAnyModelName = acceptAnyModelName
        configuration.parsesSpecials = parseSpecial
        configuration.allowedHosts = allowedHost
        if let sslCertfile, let sslKeyfile {
            configuration.tls = ServerConfiguration.TLS(certificate: sslCertfile, key: sslKeyfile)
        }
        return configuration
    }
}
