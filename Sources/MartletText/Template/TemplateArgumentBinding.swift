// SPDX-License-Identifier: Apache-2.0

/// What a filter, test, function or method takes: the names of its parameters, in order.
///
/// An argument that isn't one of them is an error that names it; none is dropped.
struct TemplateSignature: Sendable {
    /// All of them, by the names that Python and Jinja give them.
    let parameters: [String]
    /// How many of them must be there.
    let required: Int
    /// Whether they may be given by name.
    let takesNames: Bool
    /// Parameters that Python has and this interpreter doesn't.
    let unsupported: [String]

    init(_ parameters: [String] = [], required: Int = 0, takesNames: Bool = true, unsupported: [String] = []) {
        self.parameters = parameters
        self.required = required
        self.takesNames = takesNames
        self.unsupported = unsupported
    }
}

/// Arguments of a call, a filter or a test, as they were given.
struct EvaluatedArguments {
    var positional: [TemplateValue] = []
    var named: [(name: String, value: TemplateValue)] = []

    /// Without the first `count` positional arguments.
    func dropping(_ count: Int) -> EvaluatedArguments {
        EvaluatedArguments(positional: Array(positional.dropFirst(count)), named: named)
    }
}

/// Arguments by the parameters that they are for.
struct BoundArguments {
    private let values: [TemplateValue?]
    private let parameters: [String]
    private let owner: String
    private let line: Int

    /// - Parameter owner: what is called, for error messages.
    init(
        _ arguments: EvaluatedArguments, to signature: TemplateSignature, of owner: String, line: Int
    ) throws(TemplateError) {
        var values = [TemplateValue?](repeating: nil, count: signature.parameters.count)
        guard arguments.positional.count <= values.count else {
            if arguments.positional.count <= values.count + signature.unsupported.count {
                let names = signature.unsupported.joined(separator: ", ")
                throw TemplateError(.unsupported, "\(owner): the argument \(names) is not supported", line: line)
            }
            throw TemplateError(
                .type, "\(owner) takes at most \(values.count) arguments, not \(arguments.positional.count)", line: line
            )
        }
        for (index, value) in arguments.positional.enumerated() { values[index] = value }
        for (name, value) in arguments.named {
            if signature.unsupported.contains(name) {
                throw TemplateError(.unsupported, "\(owner): the argument \(name) is not supported", line: line)
            }
            guard signature.takesNames, let index = signature.parameters.firstIndex(of: name) else {
                throw TemplateError(.type, "\(owner) has no argument \(name)", line: line)
            }
            guard values[index] == nil else {
                throw TemplateError(.type, "\(owner): the argument \(name) is given twice", line: line)
            }
            values[index] = value
        }
        for index in 0..<signature.required where values[index] == nil {
            throw TemplateError(.type, "\(owner) needs the argument \(signature.parameters[index])", line: line)
        }
        self.values = values
        self.owner = owner
        self.line = line
        parameters = signature.parameters
    }

    /// nil where it isn't given.
    subscript(index: Int) -> TemplateValue? { values[index] }

    private func fault(_ index: Int, _ expectation: String, _ value: TemplateValue) -> TemplateError {
        TemplateError(
            .type, "\(owner): \(parameters[index]) must be \(expectation), not \(value.typeName)", line: line)
    }

    /// A string.
    func text(_ index: Int) throws(TemplateError) -> PromptText? {
        guard let value = values[index] else { return nil }
        guard case .string(let text) = value else { throw fault(index, "a string", value) }
        return text
    }

    /// A string, or none for a default.
    func optionalText(_ index: Int) throws(TemplateError) -> PromptText? {
        if case .none? = values[index] { return nil }
        return try text(index)
    }

    func requiredText(_ index: Int) throws(TemplateError) -> PromptText {
        guard let text = try text(index) else { throw fault(index, "a string", .none) }
        return text
    }

    func integer(_ index: Int) throws(TemplateError) -> Int? {
        guard let value = values[index] else { return nil }
        guard let integer = value.integer else { throw fault(index, "an integer", value) }
        return integer
    }

    /// A most number of times; negative numbers mean no bound, as in Python.
    func limit(_ index: Int) throws(TemplateError) -> Int {
        guard let limit = try integer(index), limit >= 0 else { return .max }
        return limit
    }

    func isTrue(_ index: Int) -> Bool { values[index]?.isTrue ?? false }
}
