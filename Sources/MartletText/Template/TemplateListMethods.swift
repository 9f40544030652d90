// SPDX-License-Identifier: Apache-2.0

extension TemplateEvaluator {
    /// Calls a method that changes a list: what holds the list gets the changed one. Another variable that was assigned the
    /// same list doesn't see the change, unlike in Python.
    ///
    /// - Parameter holder: the expression that names the list.
    func change(
        _ list: TemplateList, by method: String, _ arguments: EvaluatedArguments, heldBy holder: TemplateExpression
    ) throws(TemplateError) -> TemplateValue {
        var items = list.items
        var result = TemplateValue.none
        switch method {
        case "append":
            let bound = try bind(arguments, TemplateSignature(["object"], required: 1, takesNames: false), method)
            items.append(bound[0] ?? .none)
        case "extend":
            let bound = try bind(arguments, TemplateSignature(["iterable"], required: 1, takesNames: false), method)
            items += try iterate(bound[0] ?? .none)
        case "insert":
            let signature = TemplateSignature(["index", "object"], required: 2, takesNames: false)
            let bound = try bind(arguments, signature, method)
            let index = try bound.integer(0) ?? 0
            let (sum, _) = index.addingReportingOverflow(index < 0 ? items.count : 0)
            items.insert(bound[1] ?? .none, at: min(max(sum, 0), items.count))
        default:
            let bound = try bind(arguments, TemplateSignature(["index"], takesNames: false), method)
            let index = try bound.integer(0) ?? -1
            let (at, _) = index.addingReportingOverflow(index < 0 ? items.count : 0)
            guard items.indices.contains(at) else { throw fault(.type, "pop from a list that has no such item") }
            result = items.remove(at: at)
        }
        // The list is copied, which its length is charged for as reading; what is added takes memory.
        try read(items: items.count)
        try spend(max(0, items.count - list.count), times: 16)
        try store(admitted(.list(TemplateList(items))), in: holder)
        return result
    }

    private func store(_ value: TemplateValue, in holder: TemplateExpression) throws(TemplateError) {
        switch holder.kind {
        case .name(let name):
            guard let scope = scopes.last(where: { $0.values[name] != nil }) else { break }
            return try assign(name, value, in: scope)
        case .attribute(let base, let attribute):
            guard case .name(let name) = base.kind, case .namespace(let index)? = lookUp(name) else { break }
            namespaces[index][attribute] = value
            return
        default: break
        }
        throw fault(.unsupported, "changing a list that no variable holds is not supported")
    }

    /// `str.format` with fields that are empty, numbers or names.
    func format(_ text: PromptText, _ arguments: EvaluatedArguments) throws(TemplateError) -> TemplateValue {
        try read(bytes: text.count, by: .properties)
        var result = PromptText()
        var position = 0
        // Fields are all without a number, or all with one.
        var isNumbered: Bool?
        var at = 0
        func piece(_ value: TemplateValue) throws(TemplateError) -> PromptText {
            let piece = try self.text(of: value)
            try spend(piece.count)
            return piece
        }
        while at < text.count {
            let rest = text.bytes[at...]
            guard let brace = rest.firstIndex(where: { $0 == UInt8(ascii: "{") || $0 == UInt8(ascii: "}") }) else {
                result.append(text.slice(at..<text.count))
                break
            }
            result.append(text.slice(at..<brace))
            if brace + 1 < text.count, text.bytes[brace + 1] == text.bytes[brace] {
                result.append(text.slice(brace..<brace + 1))
                at = brace + 2
                continue
            }
            guard text.bytes[brace] == UInt8(ascii: "{"),
                let end = text.bytes[brace...].firstIndex(of: UInt8(ascii: "}"))
            else { throw fault(.type, "format: a brace without its other one") }
            let field = text.slice(brace + 1..<end)
            at = end + 1
            guard field.bytes.allSatisfy({ $0 == UInt8(ascii: "_") || $0 >= 0x80 || Self.isAlphanumeric($0) }) else {
                throw fault(.unsupported, "format: the field \(field.abbreviated) is not supported")
            }
            if field.isEmpty || field.bytes.allSatisfy({ (0x30...0x39).contains($0) }) {
                guard isNumbered == nil || isNumbered == !field.isEmpty else {
                    throw fault(.type, "format: fields with and without a number")
                }
                isNumbered = !field.isEmpty
                let index = field.isEmpty ? position : Int(field.string) ?? .max
                position += 1
                guard arguments.positional.indices.contains(index) else {
                    throw fault(.type, "format: there is no argument \(index)")
                }
                result.append(try piece(arguments.positional[index]))
            } else {
                guard let value = arguments.named.first(where: { PromptText($0.name) == field })?.value else {
                    throw fault(.type, "format: there is no argument \(field.abbreviated)")
                }
                result.append(try piece(value))
            }
        }
        return try string(result)
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte | 0x20)
    }
}

extension TemplateExpression {
    /// Whether it names a variable, or an attribute of one: evaluating it changes nothing.
    var isHolder: Bool {
        switch kind {
        case .name: true
        case .attribute(let base, _): if case .name = base.kind { true } else { false }
        default: false
        }
    }
}
