// SPDX-License-Identifier: Apache-2.0

import DequeModule
import NIOCore
import NIOHTTP1

/// A handler is about to read a request's body, so a client that waits for leave to send it may.
struct BodyWanted: Sendable {}

/// Keeps a connection to HTTP's rules, and closes it if its client dawdles or is gone.
///
/// A header, and then a body, must have come whole within a time, however they are dripped; what is sent must be taken
/// within a time. A client that closes its side, even only for sending, is taken to be gone.
///
/// It stands where HTTP's version is still known: HTTP/1.0 gets answers without chunks, and a closed connection.
package final class ConnectionGuard: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    package let presence = ClientPresence()
    private let registry: ConnectionRegistry
    private let readTime: TimeAmount
    private let stallTime: TimeAmount
    private var reading: Scheduled<Void>?
    private var stall: Scheduled<Void>?
    /// Requests whose heads have come and whose answers haven't ended, in their order.
    private var exchanges = Deque<Exchange>()
    /// Whether a request's head has come and its end hasn't.
    private var isReading = false
    /// Whether the connection is one of the reserve, on which only probes are answered.
    private var isReserve = false
    private var isOpen = false
    private var isDraining = false

    private struct Exchange {
        let isHTTP10: Bool
        var keepsAlive: Bool
        /// Whether the client sends no body before it is told to.
        var awaitsContinue: Bool
    }

    package init(limits: ServerLimits, registry: ConnectionRegistry) {
        self.registry = registry
        readTime = .nanoseconds(Int64(limits.readSeconds * 1e9))
        stallTime = .nanoseconds(Int64(limits.stallSeconds * 1e9))
    }

    func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { begin(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        begin(context)
        context.fireChannelActive()
    }

    private func begin(_ context: ChannelHandlerContext) {
        guard !isOpen else { return }
        isOpen = true
        isReserve = !registry.open(context.channel)
        expectRequest(context)
    }

    // MARK: Requests

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            isReading = true
            if !isReserve { registry.setIdle(false, context.channel) }
            // While an answer is being made the next body is not read yet.
            if exchanges.isEmpty { limitReading(context) }
            context.fireChannelRead(wrapInboundOut(.head(admit(head))))
        case .body:
            // A client that sends its body all the same waits for nothing.
            if !exchanges.isEmpty { exchanges[exchanges.count - 1].awaitsContinue = false }
            context.fireChannelRead(data)
        case .end:
            isReading = false
            // A body without a byte is whole: its client waits for nothing.
            if !exchanges.isEmpty { exchanges[exchanges.count - 1].awaitsContinue = false }
            expectRequest(context)
            context.fireChannelRead(data)
        }
    }

    /// Notes a request, and marks it where it must be refused.
    private func admit(_ head: HTTPRequestHead) -> HTTPRequestHead {
        var head = head
        let isHTTP10 = head.version.minor == 0
        let refusal = RequestRefusal(head, isReserve: isReserve)
        RequestRefusal.mark(&head.headers, refusal)
        // The parser reads nothing behind an upgrade, whether or not it is granted.
        let stopsParsing = head.method == .CONNECT || head.headers.contains(name: "upgrade")
        let keepsAlive =
            !isHTTP10 && head.isKeepAlive && !stopsParsing && !isDraining && refusal?.closesConnection != true
        // Hummingbird's loop decides by this field whether it reads another request.
        if !keepsAlive { head.headers.replaceOrAdd(name: "connection", value: "close") }
        let expectations = head.headers[canonicalForm: "expect"].map { $0.lowercased() }
        exchanges.append(
            Exchange(
                isHTTP10: isHTTP10, keepsAlive: keepsAlive,
                awaitsContinue: !isHTTP10 && expectations == ["100-continue"]))
        return head
    }

    func triggerUserOutboundEvent(context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?) {
        guard event is BodyWanted else { return context.triggerUserOutboundEvent(event, promise: promise) }
        if exchanges.first?.awaitsContinue == true {
            exchanges[0].awaitsContinue = false
            let head = HTTPResponseHead(version: .http1_1, status: .continue)
            context.writeAndFlush(wrapOutboundOut(.head(head)), promise: nil)
        }
        promise?.succeed()
    }

    // MARK: Answers

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head(var head):
            settle(&head)
            context.write(wrapOutboundOut(.head(head)), promise: promise)
        case .body: context.write(data, promise: promise)
        case .end:
            let exchange = exchanges.popFirst()
            // An answer may come before its request is whole; the request's time goes on then.
            if !isReading { expectRequest(context) } else if !exchanges.isEmpty { limitReading(context) }
            // A connection that makes room is closed at once, so it is idle only once its answer is written.
            let written = promise ?? context.eventLoop.makePromise()
            written.futureResult.assumeIsolatedUnsafeUnchecked().whenComplete { [self] _ in
                if exchanges.isEmpty, isOpen, !isReserve { registry.setIdle(true, context.channel) }
            }
            context.write(data, promise: written)
            // The client may still send the body that it announced. It must not be read as a request, nor waited for.
            if let exchange, exchange.awaitsContinue || !exchange.keepsAlive, isReading || exchange.awaitsContinue {
                closeSoon(context)
            }
        }
    }

    /// Sends what is written and closes. What the client still sends meanwhile must not reset the connection before it
    /// has read the answer.
    private func closeSoon(_ context: ChannelHandlerContext) {
        context.flush()
        context.close(mode: .output, promise: nil)
        reading?.cancel()
        reading = schedule(context, in: min(readTime, .seconds(1))) { $0.close(promise: nil) }
    }

    /// Gives an answer the version that was asked for, and says what becomes of the connection.
    private func settle(_ head: inout HTTPResponseHead) {
        guard !exchanges.isEmpty, head.status.code >= 200 else { return }
        if exchanges[0].awaitsContinue || isDraining { exchanges[0].keepsAlive = false }
        if exchanges[0].isHTTP10 { head.version = .http1_0 }
        guard exchanges[0].keepsAlive else {
            return head.headers.replaceOrAdd(name: "connection", value: "close")
        }
        // A client that believes it leaves before we close.
        let seconds = max(1, Int(Double(readTime.nanoseconds) / 1e9) - 1)
        head.headers.replaceOrAdd(name: "keep-alive", value: "timeout=\(seconds)")
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        stall?.cancel()
        stall = nil
        if !context.channel.isWritable { watchStall(context) }
        context.fireChannelWritabilityChanged()
    }

    // MARK: Ends

    /// Answers bytes that are no HTTP request, where no other answer is under way. Nothing can be read behind them.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let fault = error as? HTTPParserError, exchanges.isEmpty, isOpen,
            ![.invalidEOFState, .closedConnection].contains(fault)
        else { return context.fireErrorCaught(error) }
        let failure = ServerError(fault)
        let body = failure.body.encoded
        let head = HTTPResponseHead(
            version: .http1_1, status: .init(statusCode: failure.status.code),
            headers: [
                "content-type": "application/json", "content-length": "\(body.count)", "connection": "close",
            ])
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: body)))), promise: nil)
        context.write(wrapOutboundOut(.end(nil)), promise: nil)
        closeSoon(context)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case ChannelEvent.inputClosed:
            presence.lose()
            if !exchanges.isEmpty { context.close(promise: nil) }
        case is CloseIfIdle:
            if exchanges.isEmpty { context.close(promise: nil) }
            return
        case is ChannelShouldQuiesceEvent: isDraining = true
        default: break
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        end(context)
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) { end(context) }

    private func end(_ context: ChannelHandlerContext) {
        reading?.cancel()
        stall?.cancel()
        presence.lose()
        guard isOpen else { return }
        isOpen = false
        registry.close(context.channel, isFull: !isReserve)
    }

    // MARK: Times

    /// The next request has its time, once all that came before are answered.
    private func expectRequest(_ context: ChannelHandlerContext) {
        reading?.cancel()
        reading = nil
        if exchanges.isEmpty { limitReading(context) }
    }

    private func limitReading(_ context: ChannelHandlerContext) {
        reading?.cancel()
        reading = schedule(context, in: readTime) { $0.close(promise: nil) }
    }

    /// Closes the connection if less is taken of what is to be sent than any client that reads would take.
    private func watchStall(_ context: ChannelHandlerContext) {
        let before = Self.bufferedBytes(context)
        stall = schedule(context, in: stallTime) { [self] context in
            if before - Self.bufferedBytes(context) >= min(before, 16 << 10) {
                watchStall(context)
            } else {
                context.close(promise: nil)
            }
        }
    }

    private static func bufferedBytes(_ context: ChannelHandlerContext) -> Int {
        (try? context.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
    }

    private func schedule(
        _ context: ChannelHandlerContext, in time: TimeAmount, _ action: @escaping (ChannelHandlerContext) -> Void
    ) -> Scheduled<Void> {
        context.eventLoop.assumeIsolatedUnsafeUnchecked().scheduleTask(in: time) { action(context) }
    }
}
