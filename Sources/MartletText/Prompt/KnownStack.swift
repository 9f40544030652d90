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

    /// Says that the calling thread was made with `threadStackBytes`.
    package static func markThread() {
        if let key { pthread_setspecific(key, UnsafeRawPointer(bitPattern: 1)) }
    }

    /// Runs `body` on this thread if its stack is known, otherwise on a thread of its own that this one waits for.
    ///
    /// - Returns: nil if no thread could be started.
    package static func run<Result>(_ body: () -> Result) -> Result? {
        if let key, pthread_getspecific(key) != nil { return body() }
        return withoutActuallyEscaping(body) { body in
            var result: Result?
            return withUnsafeMutablePointer(to: &result) { pointer in
                let slot = UnsafeMutableRawPointer(pointer)
                let work = Work { slot.assumingMemoryBound(to: Result?.self).pointee = body() }
                return work.runOnThread() ? pointer.pointee : nil
            }
        }
    }

    private final class Work {
        private let body: () -> Void

        init(_ body: @escaping () -> Void) { self.body = body }

        /// Whether a thread could be started; returns when it has ended.
        func runOnThread() -> Bool {
            var attributes = pthread_attr_t()
            guard pthread_attr_init(&attributes) == 0 else { return false }
            defer { pthread_attr_destroy(&attributes) }
            guard pthread_attr_setstacksize(&attributes, KnownStack.threadStackBytes) == 0 else { return false }
            var thread = pthread_t()
            let context = Unmanaged.passUnretained(self).toOpaque()
            let status = pthread_create(
                &thread, &attributes,
                { context in
                    KnownStack.markThread()
                    if let context { Unmanaged<Work>.fromOpaque(context).takeUnretainedValue().body() }
                    return nil
                }, context)
            return status == 0 && pthread_join(thread, nil) == 0
        }
    }
}
