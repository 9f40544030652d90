// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOHTTPTypes
import Synchronization

/// Whether the client of a connection is still there, for the request that is being answered on it.
final class ClientPresence: Sendable {
    private struct State {
        var isGone = false
        var onLoss: (@Sendable () -> Void)?
    }

    private let state = Mutex(State())

    /// Runs an operation; `loss` is called, once, if the client goes before it returns, or has gone already.
    func watched<Result>(onLoss loss: @escaping @Sendable () -> Void, _ operation: () async throws -> Result)
        async rethrows
        -> Result
    {
        let isGone = state.withLock { state in
            state.onLoss = loss
            return state.isGone
        }
        if isGone { loss() }
        defer { state.withLock { $0.onLoss = nil } }
        return try await operation()
    }

    var isGone: Bool { state.withLock { $0.isGone } }

    func lose() {
        let loss = state.withLock { state in
            state.isGone = true
            defer { state.onLoss = nil }
            return state.onLoss
        }
        loss?()
    }
}

/// Closes connections whose clients dawdle or are gone.
///
/// A header, and then a body, must have come whole within a time, however they are dripped; what is sent must be taken
/// within a time. A client that closes its side, even only for sending, is taken to be gone.
final class ConnectionGuard: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    let presence = ClientPresence()
    private let readTime: TimeAmount
    private let stallTime: TimeAmount
    private var reading: Scheduled<Void>?
    private var stall: Scheduled<Void>?
    /// Requests whose heads have come and whose answers haven't ended.
    private var openRequests = 0
    /// Whether a request's head has come and its end hasn't.
    private var isReading = false

    init(limits: ServerLimits) {
        readTime = .nanoseconds(Int64(limits.readSeconds * 1e9))
        stallTime = .nanoseconds(Int64(limits.stallSeconds * 1e9))
    }

    func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { expectRequest(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        expectRequest(context)
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head:
            openRequests += 1
            isReading = true
            limitReading(context)
        case .body: break
        case .end:
            isReading = false
            expectRequest(context)
        }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if case .end = unwrapOutboundIn(data) {
            openRequests -= 1
            // An answer may come before its request is whole; the request's time goes on then.
            if !isReading { expectRequest(context) }
        }
        context.write(data, promise: promise)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        stall?.cancel()
        stall = nil
        if !context.channel.isWritable { watchStall(context) }
        context.fireChannelWritabilityChanged()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed = event {
            presence.lose()
            if openRequests > 0 { context.close(promise: nil) }
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        end()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) { end() }

    private func end() {
        reading?.cancel()
        stall?.cancel()
        presence.lose()
    }

    /// The next request has its time, once all that came before are answered.
    private func expectRequest(_ context: ChannelHandlerContext) {
        reading?.cancel()
        reading = nil
        if openRequests == 0 { limitReading(context) }
    }

    private func limitReading(_ context: ChannelHandlerContext) {
        reading?.cancel()
        reading = schedule(context, in: readTime) { $0.close(promise: nil) }
    }

    /// Closes the connection if nothing at all is taken of what is to be sent.
    private func watchStall(_ context: ChannelHandlerContext) {
        let before = Self.bufferedBytes(context)
        stall = schedule(context, in: stallTime) { [self] context in
            if Self.bufferedBytes(context) < before {
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
