// SPDX-License-Identifier: Apache-2.0

/// Lines of a listing in which layers repeat each other.
package struct RepeatedLines {
    /// A stretch of lines, and how often more the same follow.
    package struct Stretch: Equatable {
        var lines: Range<Int>
        var repeats: Int

        package init(lines: Range<Int>, repeats: Int) {
            self.lines = lines
            self.repeats = repeats
        }
    }

    /// The longest period that is looked for.
    private static let longestPeriod = 64

    /// Cuts lines into stretches: those that follow themselves at least twice stand once.
    ///
    /// - Parameter keys: of each line what makes it the same as another.
    package static func stretches(of keys: [String]) -> [Stretch] {
        var stretches: [Stretch] = []
        var index = 0
        while index < keys.count {
            var best = Stretch(lines: index..<index + 1, repeats: 0)
            for period in 1...longestPeriod where index + 3 * period <= keys.count {
                var repeats = 0
                while index + (repeats + 2) * period <= keys.count,
                    keys[index..<index + period].elementsEqual(
                        keys[index + (repeats + 1) * period..<index + (repeats + 2) * period])
                { repeats += 1 }
                if repeats >= 2, period * repeats > best.lines.count * best.repeats {
                    best = Stretch(lines: index..<index + period, repeats: repeats)
                }
            }
            stretches.append(best)
            index += best.lines.count * (best.repeats + 1)
        }
        return stretches
    }

    /// A line without the number of its layer.
    package static func key(_ line: String) -> String {
        var key = ""
        var rest = line[...]
        while let found = ["blk.", "layer "].compactMap({ rest.firstRange(of: $0) }).min(by: {
            $0.lowerBound < $1.lowerBound
        }) {
            key += rest[..<found.upperBound]
            rest = rest[found.upperBound...].drop(while: \.isNumber)
        }
        return key + rest
    }
}
