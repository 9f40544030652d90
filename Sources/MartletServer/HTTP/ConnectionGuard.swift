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

    init(limits: ServerLimits) {
        readTime = .nanoseconds(Int64(limits.readSeconds * 1e9))
        stallTime = .nanoseconds(Int64(limits.stallSeconds * 1e9))
    }

    func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { closeUnlessRead(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        closeUnlessRead(context)
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head:
            openRequests += 1
            closeUnlessRead(context)
        case .body: break
        case .end:
            reading?.cancel()
            reading = nil
        }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if case .end = unwrapOutboundIn(data) {
            openRequests -= 1
            if reading == nil { closeUnlessRead(context) }
        }
        context.write(data, promise: promise)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        stall?.cancel()
        stall = context.channel.isWritable ? nil : close(context, in: stallTime)
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

    private func closeUnlessRead(_ context: ChannelHandlerContext) {
        reading?.cancel()
        reading = close(context, in: readTime)
    }

    private func close(_ context: ChannelHandlerContext, in time: TimeAmount) -> Scheduled<Void> {
        context.eventLoop.assumeIsolatedUnsafeUnchecked().scheduleTask(in: time) { context.close(promise: nil) }
    }
}
