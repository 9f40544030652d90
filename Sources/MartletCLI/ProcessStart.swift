// SPDX-License-Identifier: Apache-2.0

import Foundation
import MartletServer

/// What a process must have before anything else runs: the runtime's own threads and queues end it, or wait for ever,
/// where the system refuses them.
enum ProcessStart {
    private static let fewestFiles: rlim_t = 32
    private static let leastAddressSpace: rlim_t = 512 << 20
    private static let leastStack = 1 << 20

    /// Says what is missing and ends the process.
    static func check() {
        var files = rlimit()
        if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &files) == 0, files.rlim_cur < files.rlim_max {
            // As many as may be opened: connections are files.
            let asked = files.rlim_cur
            files.rlim_cur = min(files.rlim_max, 1 << 16)
            if files.rlim_cur < asked || setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &files) != 0 {
                files.rlim_cur = asked
            }
        }
        if files.rlim_cur < fewestFiles {
            end("the system permits \(files.rlim_cur) open files; at least \(fewestFiles) are needed: raise ulimit -n")
        }
        // Linux counts private memory against either.
        for (resource, flag) in [(RLIMIT_AS, "-v"), (RLIMIT_DATA, "-d")] {
            var space = rlimit()
            guard getrlimit(__rlimit_resource_t(resource.rawValue), &space) == 0, space.rlim_cur < leastAddressSpace
            else {
                continue
            }
            end(
                "the system permits \(space.rlim_cur >> 10) KB of memory; at least \(leastAddressSpace >> 10) are needed: raise ulimit \(flag)"
            )
        }
        setStackSize()
        checkThreads()
    }

    /// Threads that say nothing else get a stack of this size at least: by default they get what `ulimit -s` says.
    private static func setStackSize() {
        var (attributes, size) = (pthread_attr_t(), 0)
        guard pthread_attr_init(&attributes) == 0 else { return }
        defer { pthread_attr_destroy(&attributes) }
        guard pthread_attr_getstacksize(&attributes, &size) == 0, size < leastStack,
            pthread_attr_setstacksize(&attributes, leastStack) == 0
        else { return }
        // Swift doesn't import GNU's functions.
        typealias SetDefault = @convention(c) (UnsafePointer<pthread_attr_t>) -> Int32
        guard let function = dlsym(nil, "pthread_setattr_default_np") else { return }
        _ = unsafeBitCast(function, to: SetDefault.self)(&attributes)
    }

    /// Whether the system starts as many threads as the runtime and a server on this machine take: it is not prepared for
    /// one that can't be started.
    private static func checkThreads() {
        let count = 16 + 3 * sysconf(Int32(_SC_NPROCESSORS_ONLN))
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setstacksize(&attributes, 64 << 10)
        defer { pthread_attr_destroy(&attributes) }
        // Held by this thread until all have been started, so that they are there at a time.
        let gate = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
        defer { gate.deallocate() }
        pthread_mutex_init(gate, nil)
        pthread_mutex_lock(gate)
        var threads: [pthread_t] = []
        for _ in 0..<count {
            var thread = pthread_t()
            // The status is the error number; `errno` isn't set.
            let status = pthread_create(
                &thread, &attributes,
                { context in
                    guard let gate = context?.assumingMemoryBound(to: pthread_mutex_t.self) else { return nil }
                    pthread_mutex_lock(gate)
                    pthread_mutex_unlock(gate)
                    return nil
                }, gate)
            guard status == 0 else {
                let reason = String(cString: strerror(status))
                end(
                    "the system starts \(threads.count) threads; at least \(count) are needed (\(reason)): raise ulimit -u"
                )
            }
            threads.append(thread)
        }
        pthread_mutex_unlock(gate)
        for thread in threads { pthread_join(thread, nil) }
    }

    /// Files that a server opens besides its connections and the reserve for probes.
    private static let filesOfServer = 64

    /// How many connections the system has files for, where those are fewer.
    ///
    /// - Throws: where there are none.
    static func connections(ofAtMost count: Int) throws -> Int? {
        var files = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &files) == 0, files.rlim_cur < 1 << 30 else {
            return nil
        }
        let others = filesOfServer + MartletServer.reservedConnections
        let available = Int(files.rlim_cur) - others
        guard available > 0 else {
            throw InputError(
                "the system permits \(files.rlim_cur) open files; a server needs more than \(others): raise ulimit -n")
        }
        return available < count ? available : nil
    }

    private static func end(_ message: String) -> Never {
        let line = "Error: \(message)\n"
        _ = line.withCString { write(STDERR_FILENO, $0, strlen($0)) }
        _exit(71)
    }

    /// The command line without the command. Swift finds it in `/proc`, which some containers lack; the system also leaves
    /// it on the stack, before the environment.
    static var arguments: [String] {
        if !CommandLine.arguments.isEmpty { return Array(CommandLine.arguments.dropFirst()) }
        // argc, the arguments, a null, and then the environment.
        var found: [String] = []
        let last = environ - 2
        for count in 0..<(1 << 16) {
            guard let pointer = (last - count).pointee else { return [] }
            if Int(bitPattern: pointer) == count { return Array(found.reversed().dropFirst()) }
            found.append(String(cString: pointer))
        }
        return []
    }
}
