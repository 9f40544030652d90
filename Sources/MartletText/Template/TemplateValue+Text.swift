// SPDX-License-Identifier: Apache-2.0

extension TemplateValue {
    /// As Python's `str` shows it; nil where that takes more than `limit` bytes.
    ///
    /// The limit matters: a value whose parts are shared can be small and its text astronomically long.
    func text(limit: Int) -> PromptText? {
        switch self {
        case .undefined: return PromptText()
        case .string(let value), .markup(let value): return value.count <= limit ? value : nil
        default:
            var result = PromptText()
            return represent(into: &result, limit: limit) ? result : nil
        }
    }

    /// Appends what Python's `repr` shows; false once the limit is passed.
    private func represent(into result: inout PromptText, limit: Int) -> Bool {
        func enclose(_ items: some Sequence<TemplateValue>, _ open: String, _ close: String) -> Bool {
            result.append(open)
            for (index, item) in items.enumerated() {
                if index > 0 { result.append(", ") }
                guard item.represent(into: &result, limit: limit) else { return false }
            }
            result.append(close)
            return true
        }
        switch self {
        case .undefined: result.append("Undefined")
        case .none: result.append("None")
        case .bool(let value): result.append(value ? "True" : "False")
        case .integer(let value): result.append(String(value))
        case .float(let value): result.append(PythonNumber.text(of: value))
        case .string(let value), .markup(let value): Self.appendQuoted(value, to: &result)
        case .namespace: result.append("<Namespace>")
        case .iterator: result.append("<generator>")
        case .loop(let loop): result.append("<LoopContext \(loop.index + 1)/\(loop.count)>")
        case .function(let name): result.append("<function \(name)>")
        case .macro(_, let name): result.append(name.map { "<Macro '\($0)'>" } ?? "<Macro anonymous>")
        case .list(let items):
            switch items.kind {
            case .list: guard enclose(items, "[", "]") else { return false }
            case .tuple: guard enclose(items, "(", items.count == 1 ? ",)" : ")") else { return false }
            case .view(let name): guard enclose(items, "\(name)([", "])") else { return false }
            case .range(let start, let end, let step):
                result.append("range(\(start), \(end)\(step == 1 ? "" : ", \(step)"))")
            }
        case .dictionary(let items):
            result.append("{")
            for (index, item) in items.enumerated() {
                if index > 0 { result.append(", ") }
                switch item.key {
                case .text(let key): Self.appendQuoted(key, to: &result)
                case .integer(let key): result.append(String(key))
                }
                result.append(": ")
                guard item.value.represent(into: &result, limit: limit) else { return false }
            }
            result.append("}")
        }
        return result.count <= limit
    }

    private static func appendQuoted(_ text: PromptText, to result: inout PromptText) {
        let hasSingle = text.bytes.contains(UInt8(ascii: "'"))
        let quote: Unicode.Scalar = hasSingle && !text.bytes.contains(UInt8(ascii: "\"")) ? "\"" : "'"
        result.append(quote, isUser: false)
        text.forEachScalar { element in
            let escaped: String? =
                switch element.scalar {
                case "\\": "\\\\"
                case "\n": "\\n"
                case "\r": "\\r"
                case "\t": "\\t"
                case quote: "\\\(quote)"
                default: element.scalar.isPythonPrintable ? nil : element.scalar.pythonEscape
                }
            if let escaped {
                result.append(escaped.utf8, isUser: element.isUser)
            } else {
                result.append(element.scalar, isUser: element.isUser)
            }
        }
        result.append(quote, isUser: false)
    }
}

extension Unicode.Scalar {
    /// Whether Python's `repr` shows the character itself.
    fileprivate var isPythonPrintable: Bool {
        if isASCII { return value >= 0x20 && value != 0x7f }
        switch properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator,
            .spaceSeparator:
            return false
        default: return true
        }
    }

    fileprivate var pythonEscape: String {
        let hex = String(value, radix: 16)
        let (letter, width) = value < 0x100 ? ("x", 2) : value < 0x10000 ? ("u", 4) : ("U", 8)
        return "\\\(letter)\(String(repeating: "0", count: width - hex.utf8.count))\(hex)"
    }
}
