// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
import Glibc

/// What threads did when: spans of time by lane, one lane a thread, in memory that is set aside at the start. One device
/// records into it, so it is of one attempt to load an engine.
///
/// Unchecked because each lane's spans are written by its thread alone, and read once those threads are at rest.
public final class TraceRecorder: @unchecked Sendable {
    /// A kind of span.
    public struct Name: Hashable, Sendable {
        fileprivate let index: Int32
    }

    /// Numbers that a span carries, under the names that its kind gives them.
    public typealias Values = (Int32, Int32, Int32)

    private struct Span {
        var name: Name
        var start: UInt64
        var end: UInt64
        var values: Values
    }

    /// No two threads' counts are on one cache line, nor on two neighbouring ones, which come in pairs: to take it from each
    /// other would take longer than what is recorded.
    private final class Lane {
        private let before = InlineArray<16, UInt64>(repeating: 0)
        let name: String
        let spans: UnsafeMutablePointer<Span>
        var count = 0
        var dropped = 0
        private let after = InlineArray<16, UInt64>(repeating: 0)

        init(name: String, capacity: Int) {
            self.name = name
            spans = .allocate(capacity: capacity)
        }

        deinit { spans.deallocate() }
    }

    /// Spans that a lane holds; further ones are counted and dropped.
    public let capacity: Int
    private var lanes: [Lane] = []
    private var names: [(name: String, values: [String])] = []

    /// - Parameter capacity: spans of each thread, 40 bytes each where they are used.
    public init(capacity: Int = 1 << 21) { self.capacity = capacity }

    /// Makes the lanes; false where another device has. Before anything is recorded.
    public func addLanes(_ names: [String]) -> Bool {
        guard lanes.isEmpty else { return false }
        lanes = names.map { Lane(name: $0, capacity: capacity) }
        return true
    }

    /// A kind of span and what its values are called, up to three. Before anything is recorded.
    public func name(_ name: String, values: [String] = []) -> Name {
        if let known = names.firstIndex(where: { $0.name == name }) { return Name(index: Int32(known)) }
        names.append((name, values))
        return Name(index: Int32(names.count - 1))
    }

    /// Nanoseconds since some time in the past.
    public static func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    /// By the lane's own thread.
    public func record(_ name: Name, lane: Int, start: UInt64, end: UInt64, values: Values = (0, 0, 0)) {
        let lane = lanes[lane]
        guard lane.count < capacity else {
            lane.dropped += 1
            return
        }
        (lane.spans + lane.count).initialize(to: Span(name: name, start: start, end: end, values: values))
        lane.count += 1
    }

    /// Makes the lane's last span longer, if it began at `start` and is of that kind: parts of one piece of work.
    public func extend(_ name: Name, lane: Int, start: UInt64, end: UInt64, value: Int32) -> Bool {
        guard lanes[lane].count > 0 else { return false }
        let last = lanes[lane].spans + (lanes[lane].count - 1)
        guard last.pointee.name == name, last.pointee.start == start else { return false }
        last.pointee.end = end
        last.pointee.values.0 += value
        return true
    }

    public var droppedCount: Int { lanes.reduce(0) { $0 + $1.dropped } }

    /// Calls `body` with each span of a lane, in the order in which they ended. Once no thread records any more.
    public func forEachSpan(lane: Int, _ body: (_ name: String, _ time: Range<UInt64>, _ values: Values) -> Void) {
        guard lane < lanes.count else { return }
        for index in 0..<lanes[lane].count {
            let span = lanes[lane].spans[index]
            body(names[Int(span.name.index)].name, span.start..<max(span.start, span.end), span.values)
        }
    }

    /// Writes what Chrome's `about:tracing` and Perfetto read: complete events, in microseconds.
    ///
    /// Once no thread records any more.
    public func write(to path: String) throws {
        guard let file = fopen(path, "w") else { throw TraceError(path: path, code: errno) }
        let origin = lanes.compactMap { $0.count > 0 ? $0.spans[0].start : nil }.min() ?? 0
        func microseconds(_ time: UInt64) -> String {
            let nanoseconds = time < origin ? 0 : time - origin
            let fraction = String(nanoseconds % 1000)
            return "\(nanoseconds / 1000).\(String(repeating: "0", count: 3 - fraction.count))\(fraction)"
        }
        var isFirst = true
        func put(_ line: String) {
            fputs(isFirst ? "[\n\(line)" : ",\n\(line)", file)
            isFirst = false
        }
        for (number, lane) in lanes.enumerated() {
            put(#"{"name":"thread_name","ph":"M","pid":1,"tid":\#(number),"args":{"name":"\#(lane.name)"}}"#)
            for index in 0..<lane.count {
                let span = lane.spans[index]
                let (name, labels) = names[Int(span.name.index)]
                let values = [span.values.0, span.values.1, span.values.2]
                let arguments = zip(labels, values).map { "\"\($0)\":\($1)" }.joined(separator: ",")
                let duration = microseconds(origin + (span.end - span.start))
                put(
                    #"{"name":"\#(name)","ph":"X","pid":1,"tid":\#(number),"ts":\#(microseconds(span.start)),"#
                        + #""dur":\#(duration),"args":{\#(arguments)}}"#)
            }
        }
        fputs(isFirst ? "[]\n" : "\n]\n", file)
        let isWritten = ferror(file) == 0
        guard fclose(file) == 0, isWritten else { throw TraceError(path: path, code: errno) }
    }
}

/// A trace that could not be written.
public struct TraceError: Error, CustomStringConvertible {
    let path: String
    let code: Int32
    public var description: String { "can't write \(path): \(String(cString: strerror(code)))" }
}
