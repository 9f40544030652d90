// SPDX-License-Identifier: Apache-2.0

import Foundation

/// What a process must have before anything else runs: the runtime's own threads and queues end it, or wait for ever,
/// where the system refuses them.
enum ProcessStart {
    private static let fewestFiles: rlim_t = 32
    private static let leastAddressSpace: rlim_t = 512 << 20

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
        var space = rlimit()
        if getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &space) == 0, space.rlim_cur < leastAddressSpace {
            end(
                "the system permits \(space.rlim_cur >> 10) KB of address space; at least \(leastAddressSpace >> 10) are needed: raise ulimit -v"
            )
        }
        var thread = pthread_t()
        // The status is the error number; `errno` isn't set.
        let status = pthread_create(&thread, nil, { _ in nil }, nil)
        guard status == 0 else {
            end("the system starts no thread (\(String(cString: strerror(status)))): raise ulimit -u")
        }
        pthread_join(thread, nil)
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
