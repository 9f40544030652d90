// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Bytes that this process can still use without anything being swapped out: the machine's, and its control group's where
/// that is less.
package enum FreeMemory {
    /// nil where the system doesn't say.
    package static var byteCount: Int? {
        ([available(meminfo: read("/proc/meminfo") ?? "")] + groups).compactMap { $0 }.min()
    }

    /// What `/proc/meminfo` says is available.
    package static func available(meminfo: String) -> Int? {
        guard let number = value(of: "MemAvailable:", in: meminfo) else { return nil }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: 1024)
        return overflow ? nil : bytes
    }

    /// The group at the root of what is mounted, as a container sees its own, and the process's by name.
    private static var groups: [Int?] {
        let name = groupName(read("/proc/self/cgroup") ?? "")
        let first = "/sys/fs/cgroup/memory"
        return Set(["", name]).flatMap { name in
            [
                free(in: "/sys/fs/cgroup\(name)", limit: "memory.max", used: "memory.current"),
                free(in: first + name, limit: "memory.limit_in_bytes", used: "memory.usage_in_bytes"),
            ]
        }
    }

    /// The path behind the last colon of `0::/system.slice/x.service`.
    package static func groupName(_ cgroup: String) -> String {
        let line = cgroup.split(separator: "\n").first { $0.hasPrefix("0::") || $0.contains(":memory:") } ?? ""
        let name =
            line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false).last.map(String.init) ?? ""
        return name == "/" ? "" : name
    }

    /// A group without a limit says `max`, or a number beyond any machine. What it counts as used holds files that are
    /// only cached, such as the model's own.
    private static func free(in folder: String, limit: String, used: String) -> Int? {
        func number(_ file: String) -> Int? {
            read("\(folder)/\(file)").flatMap { Int($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
        }
        guard let limit = number(limit), let used = number(used), limit < 1 << 60 else { return nil }
        let statistics = read("\(folder)/memory.stat") ?? ""
        // The first version names those of the groups below it apart.
        let cached = ["active_file", "inactive_file"].reduce(0) { sum, label in
            sum + (value(of: "total_" + label, in: statistics) ?? value(of: label, in: statistics) ?? 0)
        }
        return max(0, limit - max(0, used - cached))
    }

    /// The number behind a label at the start of a line.
    private static func value(of label: String, in text: String) -> Int? {
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            if words.count > 1, words[0] == label { return Int(words[1]).flatMap { $0 >= 0 ? $0 : nil } }
        }
        return nil
    }

    /// Sizes of such files are not known before they are read.
    private static func read(_ path: String) -> String? {
        guard let file = FileHandle(forReadingAtPath: path) else { return nil }
        return (try? file.readToEnd()).map { String(decoding: $0, as: UTF8.self) }
    }
}
