// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Runs recursive work where the stack is known to be large enough for the depth that budgets allow.
///
/// A thread's stack is whatever its creator, or `ulimit -s`, made it; overflowing it ends the process.
package enum KnownStack {
    /// Bytes of the stack of a thread that recursive work runs on: what the deepest recursion within the budgets takes,
    /// several times over. Pages are touched only as they are used.
    package static let threadStackBytes = 16 << 20

    /// Set on threads that are known to have such a stack.
    private static let key: pthread_key_t? = {
        var key = pthread_key_t()
        return pthread_key_create(&key, nil) == 0 ? key : nil
    }()

    /// Runs `body` on this thread if its stack is known, otherwise on a thread of its own that this one waits for.
    ///
    /// - Returns: nil if no thread could be started.
    package static func run<Result>(_ body: () -> Result) -> Result? {
        if let key, pthread_getspecific(key) != nil { return body() }
        return withoutActuallyEscaping(body) { body in
            var result: Result?
            return withUnsafeMutablePointer(to: &result) { pointer in
                let slot = UnsafeMutableRawPointer(pointer)
                guard let thread = thread({ slot.assumingMemoryBound(to: Result?.self).pointee = body() }) else {
                    return nil
                }
                return pthread_join(thread, nil) == 0 ? pointer.pointee : nil
            }
        }
    }

    /// Starts a detached thread of such a stack.
    ///
    /// - Returns: whether the system started it.
    package static func startThread(_ body: @escaping @Sendable () -> Void) -> Bool {
        guard let thread = thread(body) else { return false }
        return pthread_detach(thread) == 0
    }

    private final class Work {
        let body: () -> Void

        init(_ body: @escaping () -> Void) { self.body = body }
    }

    /// A new thread that runs `body`; nil if none could be started.
    private static func thread(_ body: @escaping () -> Void) -> pthread_t? {
        var attributes = pthread_attr_t()
        guard pthread_attr_init(&attributes) == 0 else { return nil }
        defer { pthread_attr_destroy(&attributes) }
        guard pthread_attr_setstacksize(&attributes, threadStackBytes) == 0 else { return nil }
        var thread = pthread_t()
        let work = Unmanaged.passRetained(Work(body))
        let status = pthread_create(
            &thread, &attributes,
            { context in
                if let key = KnownStack.key { pthread_setspecific(key, UnsafeRawPointer(bitPattern: 1)) }
                if let context { Unmanaged<Work>.fromOpaque(context).takeRetainedValue().body() }
                return nil
            }, work.toOpaque())
        guard status == 0 else {
            work.release()
            return nil
        }
        return thread
    }
}
