// SPDX-License-Identifier: Apache-2.0

/// Columns for people.
struct Table {
    var rows: [[String]] = []
    /// What the columns mean: pairs of a column's title and its meaning, written below the rows.
    var legend: KeyValuePairs<String, String> = [:]

    mutating func add(_ cells: String...) { rows.append(cells.map(\.escapingControlCharacters)) }

    var text: String {
        let widths = (0..<(rows.map(\.count).max() ?? 0)).map { column in
            rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
        }
        return rows.map { row in
            let cells = row.enumerated().map { index, cell in
                index == row.count - 1 ? cell : cell.padding(toLength: widths[index], withPad: " ", startingAt: 0)
            }
            return cells.joined(separator: "  ") + "\n"
        }.joined() + legend.map { "  \($0.key): \($0.value)\n" }.joined()
    }
}
