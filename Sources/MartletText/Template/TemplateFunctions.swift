// SPDX-License-Identifier: Apache-2.0

import Glibc
import OrderedCollections

/// Global functions.
enum TemplateFunctions {
    typealias Body = @Sendable (TemplateEvaluator, EvaluatedArguments) throws(TemplateError) -> TemplateValue

    /// Functions by name. Those of Jinja that aren't here are undefined names.
    static let all: [String: Body] = [
        "raise_exception": { (evaluator, arguments) throws(TemplateError) in
            let bound = try evaluator.bind(arguments, .init(["message"], required: 1), "raise_exception")
            let message = try evaluator.text(of: bound[0] ?? .none)
            throw evaluator.fault(.raised, message.string)
        },
        "range": { (evaluator, arguments) throws(TemplateError) in
            let signature = TemplateSignature(["start", "stop", "step"], required: 1, takesNames: false)
            return try evaluator.range(evaluator.bind(arguments, signature, "range"))
        },
        "namespace": { (evaluator, arguments) throws(TemplateError) in
            try evaluator.namespace(evaluator.entries(arguments, of: "namespace"))
        },
        "dict": { (evaluator, arguments) throws(TemplateError) in
            let entries = try evaluator.entries(arguments, of: "dict")
            return try evaluator.mapping(OrderedDictionary(entries.map { (.text($0.key), $0.value) }) { $1 })
        },
        "strftime_now": { (evaluator, arguments) throws(TemplateError) in
            let bound = try evaluator.bind(arguments, .init(["format"], required: 1), "strftime_now")
            return try evaluator.formatTime(bound.requiredText(0))
        },
    ]
}

extension TemplateEvaluator {
    func bind(
        _ arguments: EvaluatedArguments, _ signature: TemplateSignature, _ owner: String
    ) throws(TemplateError) -> BoundArguments {
        try BoundArguments(arguments, to: signature, of: owner, line: line)
    }

    func call(
        _ callee: TemplateExpression, _ arguments: TemplateArguments
    ) throws(TemplateError) -> TemplateValue {
        switch callee.kind {
        case .name(let name) where lookUp(name) == nil:
            guard let function = TemplateFunctions.all[name] else {
                throw fault(.unsupported, "the function \(name) is not supported")
            }
            let evaluated = try evaluate(arguments)
            line = callee.line
            return try function(self, evaluated)
        case .attribute(let base, let name):
            let value = try evaluate(base)
            let evaluated = try evaluate(arguments)
            line = callee.line
            if case .list(let items) = value, items.kind == .list, TemplateMethods.ofList.contains(name.string) {
                // The arguments may have changed the list that a name holds.
                guard case .list(let items) = base.isHolder ? try evaluate(base) : value else {
                    throw fault(.type, "\(name.string): there is no list any more")
                }
                return try change(items, by: name.string, evaluated, heldBy: base)
            }
            return try callMethod(name, of: value, evaluated)
        default:
            let value = try evaluate(callee)
            let evaluated = try evaluate(arguments)
            line = callee.line
            return try call(value, evaluated)
        }
    }

    /// Calls a value.
    func call(_ value: TemplateValue, _ arguments: EvaluatedArguments) throws(TemplateError) -> TemplateValue {
        switch value {
        case .undefined(let name): throw fault(.undefined, "\(name) is undefined and can't be called")
        case .macro(let index, _): return try callMacro(index, arguments)
        case .function(let name):
            guard let function = TemplateFunctions.all[name] else { break }
            return try function(self, arguments)
        default: break
        }
        throw fault(.type, "\(value.typeName) can't be called")
    }

    fileprivate func range(_ bound: BoundArguments) throws(TemplateError) -> TemplateValue {
        let first = try bound.integer(0) ?? 0
        let second = try bound.integer(1)
        let (start, end) = second.map { (first, $0) } ?? (0, first)
        let step = try bound.integer(2) ?? 1
        guard step != 0 else { throw fault(.type, "a range's step can't be 0") }
        let values = stride(from: start, to: end, by: step).prefix(budget.rangeLength + 1)
        let items = values.map { TemplateValue.integer($0) }
        guard items.count <= budget.rangeLength else {
            throw fault(.budgetExceeded, "a range of more than \(budget.rangeLength)")
        }
        return try list(items, kind: .range(start: start, end: end, step: step))
    }

    /// The entries that `dict` and `namespace` take: those of a mapping, and named arguments.
    fileprivate func entries(
        _ arguments: EvaluatedArguments, of owner: String
    ) throws(TemplateError) -> OrderedDictionary<PromptText, TemplateValue> {
        var entries: OrderedDictionary<PromptText, TemplateValue> = [:]
        guard arguments.positional.count <= 1 else { throw fault(.type, "\(owner) takes at most 1 argument") }
        if let first = arguments.positional.first {
            guard case .dictionary(let items) = first else {
                throw fault(.unsupported, "\(owner) of \(first.typeName) is not supported")
            }
            try read(items: items.count)
            for (key, value) in items {
                guard case .text(let key) = key else {
                    throw fault(.unsupported, "\(owner) of a mapping with keys that are no strings is not supported")
                }
                try read(bytes: key.count, by: .characters)
                entries[key] = value
            }
        }
        for (name, value) in arguments.named { entries[PromptText(name)] = value }
        return entries
    }

    /// What C writes of a time and Python doesn't: a naive time has no zone, and what is no directive stays as it is.
    private func pythonFormat(_ format: String) -> String {
        var (result, rest) = ("", Substring(format))
        while let character = rest.popFirst() {
            guard character == "%" else {
                result.append(character)
                continue
            }
            // Flags, a width and a variant, which the C library knows and Python hands on.
            var options = ""
            while let option = rest.first, "-_0^#123456789".contains(option) { options.append(rest.removeFirst()) }
            if let variant = rest.first, "EO".contains(variant) { options.append(rest.removeFirst()) }
            guard let directive = rest.popFirst() else { return result + "%%" + options }
            switch directive {
            case "Z" where options.isEmpty, "z" where options.isEmpty: break
            // The clock is read in seconds.
            case "f" where options.isEmpty: result += "000000"
            case _ where "aAbBcCdDeFgGhHIjklmMnpPrRsStTuUVwWxXyYzZ%".contains(directive):
                result += "%\(options)\(directive)"
            default: result += "%%\(options)\(directive)"
            }
        }
        return result
    }

    /// The local time, as Python's `strftime` writes it.
    fileprivate func formatTime(_ format: PromptText) throws(TemplateError) -> TemplateValue {
        guard format.count <= 1024, !format.bytes.contains(0) else {
            throw fault(.unsupported, "strftime_now takes a format of at most 1024 bytes without NUL")
        }
        guard !format.isEmpty else { return .string(format) }
        var seconds = time_t(now)
        var parts = tm()
        localtime_r(&seconds, &parts)
        try read(bytes: 1 << 16)
        // One more character tells an empty result from one that doesn't fit.
        var buffer = [CChar](repeating: 0, count: 1 << 16)
        let count = strftime(&buffer, buffer.count, pythonFormat(format.string) + "x", &parts)
        guard count > 0 else { throw fault(.type, "strftime_now: the format's result is too long") }
        let text = String(decoding: buffer.prefix(count - 1).map(UInt8.init(bitPattern:)), as: UTF8.self)
        return try string(format.userRanges.isEmpty ? PromptText(text) : PromptText(user: text))
    }
}
