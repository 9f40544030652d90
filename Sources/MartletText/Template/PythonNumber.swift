// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Python's numbers: how they are read, shown and divided.
enum PythonNumber {
    // MARK: Reading

    /// `int(text, base)`; nil where Python raises ValueError, or where the number has more than 64 bits.
    static func integer(_ text: PromptText, base: Int) -> Int? {
        // Python reads no more than 4300 digits.
        var digits = Array(text.stripped(.both).string.unicodeScalars.map(asciiDigit))
        guard digits.count <= 4300 else { return nil }
        var isNegative = false
        if let sign = digits.first, sign == "-" || sign == "+" {
            isNegative = sign == "-"
            digits.removeFirst()
        }
        var base = base
        if digits.count >= 2, digits[0] == "0", case let prefix = radix(of: digits[1]), prefix != 0 {
            if base == 0 || base == prefix {
                base = prefix
                digits.removeFirst(2)
                // One underscore may stand between the prefix and the digits.
                if digits.first == "_" { digits.removeFirst() }
            }
        }
        if base == 0 {
            base = 10
            // Base 0 takes 0 and 000, and no other number that begins with 0.
            if digits.first == "0", digits.contains(where: { $0 != "0" && $0 != "_" }) { return nil }
        }
        guard let plain = withoutSeparators(digits), !plain.isEmpty, plain.allSatisfy({ $0.isASCII }) else {
            return nil
        }
        let number = String(String.UnicodeScalarView(plain))
        guard number.utf8.first.map({ $0 != UInt8(ascii: "-") && $0 != UInt8(ascii: "+") }) ?? false else { return nil }
        return Int((isNegative ? "-" : "") + number, radix: base)
    }

    private static func radix(of letter: Unicode.Scalar) -> Int {
        switch letter {
        case "x", "X": 16
        case "o", "O": 8
        case "b", "B": 2
        default: 0
        }
    }

    /// `float(text)`; nil where Python raises ValueError.
    static func float(_ text: PromptText) -> Double? {
        guard let plain = withoutSeparators(text.stripped(.both).string.unicodeScalars.map(asciiDigit)) else {
            return nil
        }
        // Numbers are ASCII by now, and short: other texts take long to compare.
        guard plain.count <= 4096, plain.allSatisfy(\.isASCII) else { return nil }
        let number = String(String.UnicodeScalarView(plain))
        let unsigned = number.hasPrefix("-") || number.hasPrefix("+") ? String(number.dropFirst()) : number
        switch unsigned.lowercased() {
        case "inf", "infinity": return number.hasPrefix("-") ? -.infinity : .infinity
        case "nan": return .nan
        default: break
        }
        // Swift reads hexadecimal numbers too, and names with payloads.
        guard unsigned.utf8.allSatisfy({ "0123456789.eE+-".utf8.contains($0) }),
            unsigned.utf8.first.map({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") }) ?? false
        else { return nil }
        // Python takes "1." and ".5", too.
        var spelling = unsigned
        if spelling.hasPrefix(".") { spelling = "0" + spelling }
        if let point = spelling.firstIndex(of: "."), case let after = spelling.index(after: point),
            after == spelling.endIndex || spelling[after] == "e" || spelling[after] == "E"
        {
            guard point > spelling.startIndex, unsigned.utf8.first != UInt8(ascii: ".") else { return nil }
            spelling.insert("0", at: after)
        }
        return Double(spelling).map { number.hasPrefix("-") ? -$0 : $0 }
    }

    /// Digits of all scripts count.
    private static func asciiDigit(_ scalar: Unicode.Scalar) -> Unicode.Scalar {
        guard !scalar.isASCII, scalar.properties.numericType == .decimal, let value = scalar.properties.numericValue,
            let digit = UInt8(exactly: value)
        else { return scalar }
        return Unicode.Scalar(UInt8(ascii: "0") + digit)
    }

    /// Digits without the single underscores between them; nil where one stands elsewhere.
    private static func withoutSeparators(_ digits: [Unicode.Scalar]) -> [Unicode.Scalar]? {
        var result: [Unicode.Scalar] = []
        for (index, digit) in digits.enumerated() {
            guard digit == "_" else {
                result.append(digit)
                continue
            }
            let isBetween =
                index > 0 && index + 1 < digits.count && digits[index - 1].properties.isASCIIHexDigit
                && digits[index + 1].properties.isASCIIHexDigit
            guard isBetween else { return nil }
        }
        return result
    }

    // MARK: Showing

    /// `repr(value)`.
    static func text(of value: Double) -> String {
        if value.isNaN { return "nan" }
        if value.isInfinite { return value < 0 ? "-inf" : "inf" }
        let text = "\(value)"
        // Both languages show the fewest digits that mean the number. Swift begins to use exponents earlier or later.
        let magnitude = abs(value)
        let sign = value < 0 ? "-" : ""
        if magnitude >= 1e16, !text.contains("e") {
            let digits = text.prefix { $0 != "." }.drop { $0 == "-" }
            var fraction = String(digits.dropFirst())
            while fraction.hasSuffix("0") { fraction.removeLast() }
            return sign + digits.prefix(1) + (fraction.isEmpty ? "" : "." + fraction) + "e+\(digits.count - 1)"
        }
        if magnitude < 1e16, magnitude >= 1, let end = text.firstIndex(of: "e"),
            let exponent = Int(text[end...].dropFirst(2))
        {
            let digits = text[..<end].filter { $0 != "." && $0 != "-" }
            return sign + digits + String(repeating: "0", count: max(0, exponent + 1 - digits.count)) + ".0"
        }
        return text
    }

    // MARK: Dividing

    /// `divmod(a, b)` of floats. `b` must not be 0.
    static func divided(_ a: Double, by b: Double) -> (quotient: Double, remainder: Double) {
        var remainder = fmod(a, b)
        var quotient = (a - remainder) / b
        if remainder != 0 {
            if (b < 0) != (remainder < 0) {
                remainder += b
                quotient -= 1
            }
        } else {
            remainder = Double(signOf: b, magnitudeOf: 0)
        }
        guard quotient != 0 else { return (Double(signOf: a / b, magnitudeOf: 0), remainder) }
        let floor = quotient.rounded(.down)
        return (quotient - floor > 0.5 ? floor + 1 : floor, remainder)
    }

    /// Whether an integer equals, precedes or follows a float, exactly: -1, 0, 1; nil for NaN.
    static func compare(_ a: Int, _ b: Double) -> Int? {
        if b.isNaN { return nil }
        if b >= 0x1p63 { return -1 }
        if b < -0x1p63 { return 1 }
        let whole = b.rounded(.towardZero)
        guard let integer = Int(exactly: whole) else { return nil }
        if a != integer { return a < integer ? -1 : 1 }
        return whole == b ? 0 : whole < b ? -1 : 1
    }

    /// The same of two numbers.
    static func compare(_ a: TemplateValue, _ b: TemplateValue) -> Int?? {
        if let x = a.integer, let y = b.integer { return x < y ? -1 : x == y ? 0 : 1 }
        if let x = a.integer, case .float(let y) = b { return .some(compare(x, y)) }
        if case .float(let x) = a, let y = b.integer { return .some(compare(y, x).map { -$0 }) }
        guard case .float(let x) = a, case .float(let y) = b else { return nil }
        return .some(x.isNaN || y.isNaN ? nil : x < y ? -1 : x == y ? 0 : 1)
    }
}
