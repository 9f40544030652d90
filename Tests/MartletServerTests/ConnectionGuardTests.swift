// SPDX-License-Identifier: Apache-2.0

import MartletServer
import NIOCore
import NIOEmbedded
import NIOHTTP1
import Testing

/// The guard's times, on a clock that only the test advances.
@Suite struct ConnectionGuardTests {
    /// A connection on which a request must come whole within 10 seconds.
    private struct Connection {
        let channel: EmbeddedChannel
        let guarding: ConnectionGuard

        init(limit: Int = 8, registry: ConnectionRegistry? = nil) throws {
            var limits = ServerLimits()
            limits.readSeconds = 10
            guarding = ConnectionGuard(limits: limits, registry: registry ?? ConnectionRegistry(limit: limit))
            channel = EmbeddedChannel(handler: guarding)
            try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        }

        var isOpen: Bool { channel.isActive }

        func wait(_ seconds: Double) { channel.embeddedEventLoop.advanceTime(by: .nanoseconds(Int64(seconds * 1e9))) }

        /// It is open a tenth of a second before that time, and closed a tenth after it.
        func expectEnd(after seconds: Double, sourceLocation: SourceLocation = #_sourceLocation) {
            wait(seconds - 0.1)
            #expect(isOpen, sourceLocation: sourceLocation)
            wait(0.2)
            #expect(!isOpen, sourceLocation: sourceLocation)
        }

        func sendHead(_ method: HTTPMethod = .GET, headers: HTTPHeaders = ["host": "localhost"]) throws {
            let head = HTTPRequestHead(version: .http1_1, method: method, uri: "/", headers: headers)
            try channel.writeInbound(HTTPServerRequestPart.head(head))
        }

        func sendBody() throws { try channel.writeInbound(HTTPServerRequestPart.body(ByteBuffer(string: "x"))) }

        func sendEnd() throws { try channel.writeInbound(HTTPServerRequestPart.end(nil)) }

        func answer() throws {
            let head = HTTPResponseHead(version: .http1_1, status: .ok, headers: ["content-length": "0"])
            try channel.writeOutbound(HTTPServerResponsePart.head(head))
            try channel.writeOutbound(HTTPServerResponsePart.end(nil))
        }

        /// The head of the next answer that was written.
        func writtenHead() throws -> HTTPResponseHead? {
            while let part = try channel.readOutbound(as: HTTPServerResponsePart.self) {
                if case .head(let head) = part { return head }
            }
            return nil
        }
    }

    @Test func silenceIsCutOff() throws {
        let connection = try Connection()
        connection.expectEnd(after: 10)
        #expect(connection.guarding.presence.isGone)
    }

    /// What counts is the time of the whole body, however it is dripped.
    @Test func drippingGainsNoTime() throws {
        let connection = try Connection()
        connection.wait(8)
        try connection.sendHead(.POST, headers: ["host": "localhost", "content-length": "100"])
        for _ in 0..<9 {
            connection.wait(1)
            try connection.sendBody()
        }
        #expect(connection.isOpen)
        connection.wait(1.1)
        #expect(!connection.isOpen)
    }

    /// An answer takes what it takes; the next request has its time from the answer's end.
    @Test func answersHaveTime() throws {
        let connection = try Connection()
        for _ in 0..<3 {
            connection.wait(9)
            try connection.sendHead()
            try connection.sendEnd()
            connection.wait(1000)
            #expect(connection.isOpen)
            try connection.answer()
            #expect(try connection.writtenHead()?.headers["keep-alive"] == ["timeout=9"])
        }
        connection.wait(10.1)
        #expect(!connection.isOpen)
    }

    /// A request that is answered before it has come whole still has to come.
    @Test func earlyAnswersDontEndTheRequestsTime() throws {
        let connection = try Connection()
        try connection.sendHead(.POST, headers: ["host": "localhost", "content-length": "100"])
        connection.wait(5)
        try connection.answer()
        connection.expectEnd(after: 5)
    }

    /// While an answer is made, a request behind it waits unread and loses no time.
    @Test func pipelinedRequestsWaitForTheirTurn() throws {
        let connection = try Connection()
        try connection.sendHead()
        try connection.sendEnd()
        try connection.sendHead(.POST, headers: ["host": "localhost", "content-length": "100"])
        connection.wait(1000)
        #expect(connection.isOpen)
        try connection.answer()
        connection.expectEnd(after: 10)
    }

    /// A client that was never told to send its body is not waited for, beyond a second in which it reads the answer.
    @Test func refusedBodiesArentAwaited() throws {
        let connection = try Connection()
        try connection.sendHead(
            .POST, headers: ["host": "localhost", "content-length": "100", "expect": "100-continue"])
        try connection.answer()
        #expect(try connection.writtenHead()?.headers["connection"] == ["close"])
        connection.wait(1.1)
        #expect(!connection.isOpen)
    }

    /// Of idle connections the one that has been so longest makes room.
    @Test func theLongestIdleMakesRoom() throws {
        let registry = ConnectionRegistry(limit: 2)
        let (first, second) = (try Connection(registry: registry), try Connection(registry: registry))
        try first.sendHead()
        try first.sendEnd()
        try first.answer()
        let third = try Connection(registry: registry)
        for connection in [first, second, third] { connection.channel.embeddedEventLoop.run() }
        #expect(first.isOpen && !second.isOpen && third.isOpen)
    }
}
