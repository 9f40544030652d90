// SPDX-License-Identifier: Apache-2.0

import Glibc
public import Logging
public import Martlet
import NIOCore
package import NIOSSL

/// How a server is reached and what it allows.
public struct ServerConfiguration: Sendable {
    /// Where a server listens.
    public enum Address: Sendable, Equatable {
        /// Port 0 takes any that is free.
        case tcp(host: String, port: Int)
        /// The path of a Unix domain socket.
        case unix(String)

        /// Whether programs on this machine alone reach it.
        public var isLoopback: Bool {
            guard case .tcp(let host, _) = self else { return true }
            let name = host.lowercased()
            return ["localhost", "::1", "[::1]", "0:0:0:0:0:0:0:1"].contains(name) || name.hasPrefix("127.")
        }
    }

    /// Paths of PEM files.
    public struct TLS: Sendable, Equatable {
        public var certificate: String
        public var key: String

        /// - Parameters:
        ///   - certificate: the chain, its own certificate first.
        ///   - key: of that certificate.
        public init(certificate: String, key: String) {
            self.certificate = certificate
            self.key = key
        }
    }

    /// Loopback's port 8000 by default: other machines are not answered.
    public var address = Address.tcp(host: "127.0.0.1", port: 8000)
    /// nil for plain HTTP.
    public var tls: TLS?
    /// Names beside this machine's own that requests may call a server on loopback without keys by; `*` permits all.
    public var allowedHosts: [String] = []
    /// Any of these lets a client in; empty lets all in.
    public var apiKeys: [String] = []
    /// The names that requests may call the model by; the first is what answers call it.
    public var modelNames: [String]
    /// Whether a request may call the model by any name.
    public var acceptsAnyModelName = false
    /// Whether control tokens that plain prompts spell, such as `<|im_end|>`, become those tokens, where a request doesn't
    /// say. Messages of chats never do.
    public var parsesSpecials = true
    /// What clients may ask for.
    public var limits = ServerLimits()
    /// How answers are drawn where a request doesn't say.
    public var defaultSampling = SamplingParameters()
    /// Where requests without a seed begin: the n-th of them draws with `seed + n`. nil draws at random.
    public var seed: UInt64?
    /// Whether prompts and parameters are logged.
    public var logsRequests = false
    /// Whether each request is logged when it has been answered.
    public var logsAccess = true
    /// What `/version` says.
    public var version = MartletVersion.current
    /// Where the server says what it does.
    public var logger = Logger(label: "martlet.server")

    /// - Parameter modelNames: must not be empty.
    public init(modelNames: [String]) {
        precondition(!modelNames.isEmpty)
        self.modelNames = modelNames
    }
}

/// A server can't be what it was asked to be.
public struct ConfigurationError: Error, CustomStringConvertible {
    public let description: String
}

extension ServerConfiguration.TLS {
    /// For NIOSSL: TLS 1.2 and later.
    package func configuration() throws -> TLSConfiguration {
        func check(_ path: String, _ what: String) throws(ConfigurationError) {
            guard access(path, R_OK) == 0 else {
                throw ConfigurationError(
                    description: "can't read the \(what) \(path): \(String(cString: strerror(errno)))")
            }
        }
        try check(certificate, "certificate")
        try check(key, "certificate's key")
        let chain: [NIOSSLCertificate]
        do { chain = try NIOSSLCertificate.fromPEMFile(certificate) } catch {
            throw ConfigurationError(description: "\(certificate) holds no certificate in PEM form")
        }
        let privateKey: NIOSSLPrivateKey
        do { privateKey = try NIOSSLPrivateKey(file: key, format: .pem) } catch {
            throw ConfigurationError(description: "\(key) holds no private key in PEM form, or one with a passphrase")
        }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(privateKey))
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["http/1.1"]
        // Both are read together only here.
        do { _ = try NIOSSLContext(configuration: configuration) } catch {
            throw ConfigurationError(
                description: "the private key \(key) does not belong to the certificate \(certificate)")
        }
        return configuration
    }
}

extension ConfigurationError {
    /// For a name that has no address.
    init(cannotResolve address: ServerConfiguration.Address) {
        switch address {
        case .tcp(let host, let port):
            self.init(description: "can't listen at \(host):\(port): there is no address of the name \(host)")
        case .unix(let path): self.init(description: "can't listen at \(path): it is no path for a socket")
        }
    }

    init(cannotListenAt address: ServerConfiguration.Address, _ error: IOError) {
        let (endpoint, other) =
            switch address {
            case .tcp(let host, let port): ("\(host):\(port)", "port")
            case .unix(let path): (path, "path")
            }
        let reason =
            switch error.errnoCode {
            case EADDRINUSE: "it is in use by another program; stop that one or choose another \(other)"
            case EADDRNOTAVAIL: "this machine has no such address; 0.0.0.0 listens at all of its own"
            case EACCES, EPERM: "this user may not; choose another \(other)"
            default: "\(error)"
            }
        self.init(description: "can't listen at \(endpoint): \(reason)")
    }
}
