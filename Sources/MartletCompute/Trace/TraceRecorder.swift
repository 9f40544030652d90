// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
import Glibc

/// What threads did when: spans of time in lanes. An engine and its device take a lane for each of their threads.
///
/// Unchecked because lanes and names are behind a lock, and a lane's spans are written by its thread alone and read once
/// that is at rest.
public final class TraceRecorder: @unchecked Sendable {
    /// A kind of span.
    package struct Name: Hashable, Sendable {
        fileprivate let index: Int32
    }

    /// Numbers that a span carries, under the names that its kind gives them.
    package typealias Values = (Int32, Int32, Int32)

    /// A span as it is read.
    package struct Span {
        package let name: String
        package let time: Range<UInt64>
        package let values: Values
    }

    fileprivate struct Record {
        var name: Name
        var start: UInt64
        var end: UInt64
        var values: Values
    }

    /// The spans of one thread, in memory that is set aside at the start.
    ///
    /// No two threads' counts are on one cache line, nor on two neighbouring ones, which come in pairs: to take it from each
    /// other would take longer than what is recorded. Unchecked as the recorder is.
    package final class Lane: @unchecked Sendable {
        private let before = InlineArray<16, UInt64>(repeating: 0)
        package let name: String
        fileprivate let spans: UnsafeMutablePointer<Record>
        private let capacity: Int
        fileprivate private(set) var count = 0
        fileprivate private(set) var dropped = 0
        private let after = InlineArray<16, UInt64>(repeating: 0)

        fileprivate init(name: String, capacity: Int) {
            self.name = name
            self.capacity = capacity
            spans = .allocate(capacity: capacity)
        }

        deinit { spans.deallocate() }

        /// By the lane's own thread. Times are `TraceRecorder.now()`; they may be learned later than they passed.
        package func record(_ name: Name, start: UInt64, end: UInt64, values: Values = (0, 0, 0)) {
            guard count < capacity else {
                dropped += 1
                return
            }
            (spans + count).initialize(to: Record(name: name, start: start, end: end, values: values))
            count += 1
        }

        /// Makes the last span longer, if it began at `start` and is of that kind: several pieces of one work.
        package func extend(_ name: Name, start: UInt64, end: UInt64, value: Int32) -> Bool {
            guard count > 0 else { return false }
            let last = spans + (count - 1)
            guard last.pointee.name == name, last.pointee.start == start else { return false }
            last.pointee.end = end
            last.pointee.values.0 += value
            return true
        }
    }

    /// Spans that a lane holds; further ones are counted and dropped.
    package let capacity: Int
    private struct Contents {
        var lanes: [Lane] = []
        var names: [(name: String, values: [String])] = []
    }
    private let contents = Lock(Contents())

    /// - Parameter capacity: spans of each thread, 40 bytes each where they are used.
    public init(capacity: Int = 1 << 21) { self.capacity = capacity }

    /// A new lane, for one thread.
    package func lane(named name: String) -> Lane {
        let lane = Lane(name: name, capacity: capacity)
        contents.withLock { $0.lanes.append(lane) }
        return lane
    }

    /// A kind of span and what its values are called, up to three.
    package func name(_ name: String, values: [String] = []) -> Name {
        contents.withLock { contents in
            if let known = contents.names.firstIndex(where: { $0.name == name }) { return Name(index: Int32(known)) }
            contents.names.append((name, values))
            return Name(index: Int32(contents.names.count - 1))
        }
    }

    /// Nanoseconds since some time in the past.
    package static func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    /// Spans that no lane had room for.
    public var droppedCount: Int { contents.withLock { $0.lanes.reduce(0) { $0 + $1.dropped } } }

    /// The spans of the lanes of a name, in the order in which they ended. Once no thread records any more.
    package func spans(ofLanes name: String) -> [Span] {
        contents.withLock { contents in
            contents.lanes.filter { $0.name == name }.flatMap { lane in
                (0..<lane.count).map { index in
                    let span = lane.spans[index]
                    return Span(
                        name: contents.names[Int(span.name.index)].name, time: span.start..<max(span.start, span.end),
                        values: span.values)
                }
            }
        }
    }

    /// Writes what Chrome's `about:tracing` and Perfetto read: complete events, in microseconds.
    ///
    /// Once no thread records any more.
    public func write(to path: String) throws {
        let (lanes, names) = contents.withLock { ($0.lanes, $0.names) }
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
    /// Which file, and why.
    public var description: String { "can't write \(path): \(String(cString: strerror(code)))" }
}
