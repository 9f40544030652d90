// SPDX-License-Identifier: Apache-2.0

import OrderedCollections

extension TemplateEvaluator {
    /// A macro as a value. It sees the variables around it, as they are when it is called.
    func define(_ macro: TemplateMacro) throws(TemplateError) -> TemplateValue {
        let inner = Array(scopes.dropFirst())
        try spend(64 + inner.count * 8)
        for scope in inner where !scope.isKept {
            try spend(scope.values.count, times: Self.bytesOfName)
            scope.isKept = true
        }
        macros.append((macro, inner))
        return .macro(macros.count - 1, name: macro.name)
    }

    /// Binds arguments as Jinja does, and runs the body.
    func callMacro(_ index: Int, _ arguments: EvaluatedArguments) throws(TemplateError) -> TemplateValue {
        let (macro, defined) = macros[index]
        let callLine = line
        let owner = TemplateValue.macro(index, name: macro.name).typeName
        let given = arguments.positional.prefix(macro.parameters.count)
        let surplus = arguments.positional.dropFirst(macro.parameters.count)
        var named = OrderedDictionary(arguments.named.map { ($0.name, $0.value) }) { $1 }
        var bound: [String: TemplateValue] = [:]
        for (parameter, value) in zip(macro.parameters, given) { bound[parameter.name] = value }
        for parameter in macro.parameters.dropFirst(given.count) {
            bound[parameter.name] = named.removeValue(forKey: parameter.name)
        }
        if macro.reads.contains("caller"), bound["caller"] == nil {
            bound["caller"] = named.removeValue(forKey: "caller") ?? .undefined("caller")
        }
        if macro.reads.contains("kwargs") {
            bound["kwargs"] = try mapping(
                OrderedDictionary(named.map { (.text(PromptText($0.key)), $0.value) }) { $1 })
        } else if let name = named.keys.first {
            throw fault(.type, "\(owner) has no argument \(name)")
        }
        if macro.reads.contains("varargs") {
            bound["varargs"] = try list(Array(surplus), kind: .tuple)
        } else if !surplus.isEmpty {
            throw fault(.type, "\(owner) takes at most \(macro.parameters.count) arguments")
        }
        try step(macro.parameters.count)
        let own = TemplateScope(bound)
        let text = try written(by: macro, in: [scopes[0]] + defined + [own]) { () throws(TemplateError) in
            // A default may read the parameters before it.
            for parameter in macro.parameters where bound[parameter.name] == nil {
                let value = try parameter.fallback.map { (fallback) throws(TemplateError) in try evaluate(fallback) }
                try assign(parameter.name, value ?? .undefined(parameter.name), in: own)
            }
        }
        line = callLine
        return text
    }

    func macroAttribute(_ name: PromptText, of index: Int) -> TemplateValue {
        let macro = macros[index].macro
        return switch name.string {
        case "name": macro.name.map { .string(PromptText($0)) } ?? .none
        case "arguments":
            .list(TemplateList(macro.parameters.map { .string(PromptText($0.name)) }, kind: .tuple))
        case "catch_kwargs": .bool(macro.reads.contains("kwargs"))
        case "catch_varargs": .bool(macro.reads.contains("varargs"))
        case "caller": .bool(macro.reads.contains("caller"))
        default: .undefined(name.abbreviated)
        }
    }
}
