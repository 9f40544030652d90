// SPDX-License-Identifier: Apache-2.0

extension String {
    /// The name among some that may be meant by this one: at most two characters put in, taken out, changed or swapped
    /// with a neighbour turn one into the other (Damerau's distance).
    ///
    /// - Complexity: O(n) in the names; of each text the first 32 bytes count.
    package func nearest(of names: some Sequence<String>) -> String? {
        let distances = names.map { (name: $0, distance: distance(to: $0)) }
        guard let nearest = distances.min(by: { ($0.distance, $0.name) < ($1.distance, $1.name) }) else { return nil }
        // A short name is near to many.
        return nearest.distance <= min(2, utf8.count / 2) ? nearest.name : nil
    }

    private func distance(to other: String) -> Int {
        let (a, b) = (Array(utf8.prefix(32)), Array(other.utf8.prefix(32)))
        var rows = [Array(0...b.count)]
        for i in a.indices {
            var row = [i + 1]
            for j in b.indices {
                var least = Swift.min(rows[i][j] + (a[i] == b[j] ? 0 : 1), rows[i][j + 1] + 1, row[j] + 1)
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { least = Swift.min(least, rows[i - 1][j - 1] + 1) }
                row.append(least)
            }
            rows.append(row)
        }
        return rows[a.count][b.count]
    }
}
