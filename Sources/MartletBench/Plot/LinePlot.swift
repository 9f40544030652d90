// SPDX-License-Identifier: Apache-2.0

/// Lines over lengths, as an SVG: panels side by side, one legend for all.
package struct LinePlot: Sendable {
    /// A median, and the range around it.
    package struct Point: Sendable {
        package var x: Double
        package var y: Double
        package var range: ClosedRange<Double>

        package init(x: Double, y: Double, range: ClosedRange<Double>) {
            self.x = x
            self.y = y
            self.range = range
        }
    }

    /// A line.
    package struct Series: Sendable {
        package var name: String
        package var points: [Point]

        package init(name: String, points: [Point]) {
            self.name = name
            self.points = points
        }
    }

    /// Lines with axes of their own.
    package struct Panel: Sendable {
        package var title: String
        /// In the order of the legend; a series keeps its colour through all panels.
        package var series: [Series]

        package init(title: String, series: [Series]) {
            self.title = title
            self.series = series
        }
    }

    package var title: String
    package var xLabel: String
    package var yLabel: String
    package var panels: [Panel]

    package init(title: String, xLabel: String, yLabel: String, panels: [Panel]) {
        self.title = title
        self.xLabel = xLabel
        self.yLabel = yLabel
        self.panels = panels
    }

    // Told apart also by those who see few colours (Okabe and Ito 2008), and by their marks.
    private static let colours = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
    private static let (panelWidth, plotHeight, left, right, bottom) = (440.0, 264.0, 64.0, 16.0, 52.0)
    private static let (titleHeight, legendRowHeight, panelTitleHeight) = (34.0, 20.0, 30.0)

    private var width: Double { Self.panelWidth * Double(max(1, panels.count)) }
    private var top: Double {
        Self.titleHeight + Double(legendRows.count) * Self.legendRowHeight + Self.panelTitleHeight
    }
    private var height: Double { top + Self.plotHeight + Self.bottom }

    private var names: [String] {
        panels.flatMap(\.series).reduce(into: []) { names, series in
            if !names.contains(series.name) { names.append(series.name) }
        }
    }

    /// The whole picture, white behind it.
    package var svg: String {
        var body = Self.text(title, at: (width / 2, 22), size: 15, anchor: "middle", weight: "bold")
        body += legend
        for (index, panel) in panels.enumerated() {
            body += #"<g transform="translate(\#(Self.number(Double(index) * Self.panelWidth)) 0)">\#n"#
            body += draw(panel) + "</g>\n"
        }
        return """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Self.number(width)) \(Self.number(height))" \
            width="\(Self.number(width))" height="\(Self.number(height))" font-family="sans-serif">
            <rect width="100%" height="100%" fill="white"/>
            \(body)</svg>

            """
    }

    /// About what a name takes, with a mark before it and room behind.
    private static func legendWidth(_ name: String) -> Double { Double(name.count) * 7 + 46 }

    /// Indices of the names that stand side by side.
    private var legendRows: [Range<Int>] {
        var rows: [Range<Int>] = []
        var used = Double.infinity
        for (index, name) in names.enumerated() {
            used += Self.legendWidth(name)
            if used > width {
                rows.append(index..<index)
                used = Self.legendWidth(name)
            }
            rows[rows.count - 1] = rows[rows.count - 1].lowerBound..<index + 1
        }
        return rows
    }

    private var legend: String {
        let names = names
        var result = ""
        for (number, row) in legendRows.enumerated() {
            let y = Self.titleHeight + (Double(number) + 0.5) * Self.legendRowHeight
            var x = max(8, (width - row.reduce(0) { $0 + Self.legendWidth(names[$1]) }) / 2)
            for index in row {
                result += Self.line((x, y), (x + 24, y), Self.colours[index % Self.colours.count], width: 2)
                result += Self.mark(index, at: (x + 12, y))
                result += Self.text(names[index], at: (x + 30, y + 4), size: 12)
                x += Self.legendWidth(names[index])
            }
        }
        return result
    }

    private func draw(_ panel: Panel) -> String {
        let points = panel.series.flatMap(\.points)
        guard let least = points.map(\.x).min(), let most = points.map(\.x).max() else { return "" }
        let ticks = Self.ticks(upTo: points.map(\.range.upperBound).max() ?? 1)
        let (lowX, highX) = (min(0, least), max(most, least + 1))
        let highY = ticks.last ?? 1
        let plotWidth = Self.panelWidth - Self.left - Self.right
        let (plotHeight, top, height) = (Self.plotHeight, top, height)
        func position(_ x: Double, _ y: Double) -> (Double, Double) {
            (
                Self.left + (x - lowX) / (highX - lowX) * plotWidth,
                height - Self.bottom - y / highY * plotHeight
            )
        }
        var result = ""
        for tick in ticks {
            let (x, y) = position(lowX, tick)
            result += Self.line((x, y), (x + plotWidth, y), "#dddddd", width: 1)
            result += Self.text(Self.label(tick), at: (x - 6, y + 4), size: 11, anchor: "end")
        }
        var lastLabel = -Double.infinity
        for x in Set(points.map(\.x)).sorted() {
            let at = position(x, 0)
            result += Self.line(at, (at.0, at.1 + 4), "#444444", width: 1)
            guard at.0 - lastLabel >= 34 else { continue }
            result += Self.text(Self.lengthLabel(x), at: (at.0, at.1 + 17), size: 11, anchor: "middle")
            lastLabel = at.0
        }
        result += Self.line(position(lowX, 0), position(highX, 0), "#444444", width: 1)
        let middle = Self.left + plotWidth / 2
        result += Self.text(panel.title, at: (middle, top - 12), size: 13, anchor: "middle")
        result += Self.text(xLabel, at: (middle, height - 12), size: 12, anchor: "middle")
        let centre = top + plotHeight / 2
        result += #"<g transform="rotate(-90 16 \#(Self.number(centre)))">"#
        result += Self.text(yLabel, at: (16, centre), size: 12, anchor: "middle") + "</g>\n"
        for series in panel.series {
            let index = names.firstIndex(of: series.name) ?? 0
            let colour = Self.colours[index % Self.colours.count]
            let path = series.points.map { point in
                let (x, y) = position(point.x, point.y)
                return "\(Self.number(x)),\(Self.number(y))"
            }
            result += #"<polyline points="\#(path.joined(separator: " "))" fill="none" stroke="\#(colour)" "#
            result += "stroke-width=\"2\"/>\n"
            for point in series.points {
                result += Self.line(
                    position(point.x, point.range.lowerBound), position(point.x, point.range.upperBound), colour,
                    width: 1)
                result += Self.mark(index, at: position(point.x, point.y))
            }
        }
        return result
    }

    /// Round numbers from 0 to the first that isn't below `most`, four to eight of them.
    package static func ticks(upTo most: Double) -> [Double] {
        guard most >= .leastNormalMagnitude, most.isFinite else { return [0, 1] }
        var magnitude = 1.0
        while magnitude > most { magnitude /= 10 }
        while magnitude * 10 <= most { magnitude *= 10 }
        let step = [0.2, 0.5, 1, 2].map { $0 * magnitude }.first { most / $0 <= 7 } ?? 2 * magnitude
        return (0...Int((most / step).rounded(.up))).map { Double($0) * step }
    }

    private static func mark(_ index: Int, at position: (Double, Double)) -> String {
        let (x, y) = position
        let shape =
            switch index % 4 {
            case 0: #"<circle cx="\#(number(x))" cy="\#(number(y))" r="4""#
            case 1: #"<rect x="\#(number(x - 3.5))" y="\#(number(y - 3.5))" width="7" height="7""#
            case 2: polygon([(x, y - 5), (x + 5, y + 4), (x - 5, y + 4)])
            default: polygon([(x, y - 5), (x + 5, y), (x, y + 5), (x - 5, y)])
            }
        return shape + " fill=\"\(colours[index % colours.count])\"/>\n"
    }

    private static func polygon(_ corners: [(Double, Double)]) -> String {
        let points = corners.map { "\(number($0.0)),\(number($0.1))" }.joined(separator: " ")
        return "<polygon points=\"\(points)\""
    }

    private static func line(
        _ start: (Double, Double), _ end: (Double, Double), _ colour: String, width: Double
    ) -> String {
        #"<line x1="\#(number(start.0))" y1="\#(number(start.1))" x2="\#(number(end.0))" y2="\#(number(end.1))" "#
            + "stroke=\"\(colour)\" stroke-width=\"\(number(width))\"/>\n"
    }

    private static func text(
        _ text: String, at position: (Double, Double), size: Double, anchor: String = "start", weight: String = "normal"
    ) -> String {
        let escaped = text.reduce(into: "") { result, character in
            switch character {
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "&": result += "&amp;"
            default: result.append(character)
            }
        }
        return #"<text x="\#(number(position.0))" y="\#(number(position.1))" font-size="\#(number(size))" "#
            + "text-anchor=\"\(anchor)\" font-weight=\"\(weight)\" fill=\"#222222\">\(escaped)</text>\n"
    }

    /// With one decimal, and none where it is 0.
    private static func number(_ value: Double) -> String { label((value * 10).rounded() / 10) }

    private static func label(_ value: Double) -> String {
        let rounded = (value * 1e6).rounded() / 1e6
        return rounded == rounded.rounded() && abs(rounded) < 1e15 ? "\(Int(rounded))" : "\(rounded)"
    }

    private static func lengthLabel(_ length: Double) -> String {
        length >= 1024 && length.truncatingRemainder(dividingBy: 1024) == 0
            ? "\(label(length / 1024))K" : label(length)
    }
}
