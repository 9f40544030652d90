// SPDX-License-Identifier: Apache-2.0

#if MARTLET_THREAD_SANITIZER
    import Glibc

    /// A lock that the thread sanitizer sees: it knows pthread's, and not the futex of `Synchronization.Mutex`.
    ///
    /// Unchecked because the value is read and written behind the lock alone.
    package final class Lock<Value>: @unchecked Sendable {
        private var value: Value
        private let mutex: UnsafeMutablePointer<pthread_mutex_t>

        package init(_ value: sending Value) {
            self.value = value
            mutex = .allocate(capacity: 1)
            pthread_mutex_init(mutex, nil)
        }

        deinit {
            pthread_mutex_destroy(mutex)
            mutex.deallocate()
        }

        package func withLock<Result, Failure: Error>(
            _ body: (inout Value) throws(Failure) -> Result
        ) throws(Failure) -> Result {
            pthread_mutex_lock(mutex)
            defer { pthread_mutex_unlock(mutex) }
            return try body(&value)
        }
    }
#else
    package import Synchronization

    /// A lock around a value.
    package typealias Lock<Value: ~Copyable> = Mutex<Value>
#endif
