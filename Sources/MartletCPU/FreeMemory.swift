// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Bytes that this process can still use without anything being swapped out: the machine's, and its control group's where
/// that is less.
enum FreeMemory {
    /// nil where nobody says.
    static var byteCount: Int? {
        [
            machine, group(limit: "/sys/fs/cgroup/memory.max", used: "/sys/fs/cgroup/memory.current"),
            group(
                limit: "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                used: "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
        ].compactMap { $0 }.min()
    }

    private static var machine: Int? { read("/proc/meminfo").flatMap(available) }

    /// What `/proc/meminfo` says is available.
    static func available(meminfo: String) -> Int? {
        guard let line = meminfo.split(separator: "\n").first(where: { $0.hasPrefix("MemAvailable:") }),
            let number = line.split(separator: " ").dropFirst().first.flatMap({ Int($0) })
        else { return nil }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: 1024)
        return overflow ? nil : bytes
    }

    /// A group without a limit says `max`, or a number beyond any machine.
    private static func group(limit: String, used: String) -> Int? {
        func number(_ path: String) -> Int? {
            read(path).flatMap { Int($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
        }
        guard let limit = number(limit), let used = number(used), limit < 1 << 60 else { return nil }
        return max(0, limit - used)
    }

    /// Sizes of such files are not known before they are read.
    private static func read(_ path: String) -> String? {
        guard let file = FileHandle(forReadingAtPath: path) else { return nil }
        return (try? file.readToEnd()).map { String(decoding: $0, as: UTF8.self) }
    }
}
