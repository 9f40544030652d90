// SPDX-License-Identifier: Apache-2.0

public import ArgumentParser
public import Martlet
public import MartletAttention
public import MartletBench
public import MartletCPU
public import MartletCompute

extension InstructionSet: ExpressibleByArgument {
    public init?(argument: String) {
        guard let match = Self.allCases.first(where: { $0.rawValue.lowercased() == argument.lowercased() }) else {
            return nil
        }
        self = match
    }
}

extension ParsableArguments {
    /// Says so where a flag's value is out of its range.
    func require<Value: Comparable>(_ flag: String, _ value: Value?, in range: ClosedRange<Value>) throws {
        guard let value, !range.contains(value) else { return }
        throw ValidationError("\(flag) is \(value); it must be \(range.lowerBound) to \(range.upperBound)")
    }
}

extension ActivationPrecision: ExpressibleByArgument {}
extension AttentionLaunch: ExpressibleByArgument {}

/// What floats become while they are loaded; `gguf`, as scripts for vLLM have it, is what the file is.
struct LoadQuantization: ExpressibleByArgument {
    /// nil to keep them.
    let quantization: WeightQuantization?

    init?(argument: String) {
        quantization = WeightQuantization(rawValue: argument.lowercased())
        guard quantization != nil || argument == "gguf" else { return nil }
    }

    static let allValueStrings = WeightQuantization.allCases.map(\.rawValue)
}

/// What a cache keeps, in vLLM's spellings for `--kv-cache-dtype`.
struct CacheDtype: ExpressibleByArgument {
    /// nil for the device's choice.
    let format: CacheFormat?

    static let auto = CacheDtype(format: nil)

    init(format: CacheFormat?) { self.format = format }

    init?(argument: String) {
        switch argument.lowercased() {
        case "auto": self = .auto
        case "bf16": self.init(format: .float(.bfloat16))
        case "half": self.init(format: .float(.float16))
        case "float": self.init(format: .float(.float32))
        case "fp8": self.init(format: .float(.float8E4M3))
        case let other:
            guard let format = CacheFormat(rawValue: other) else { return nil }
            self.init(format: format)
        }
    }

    static let allValueStrings = ["auto"] + CacheFormat.allCases.map(\.rawValue)
    var defaultValueDescription: String { format?.rawValue ?? "auto" }
}

extension DeviceKind: ExpressibleByArgument {}
extension SchedulingPolicy: ExpressibleByArgument {}
extension LoadFormat: ExpressibleByArgument {}
extension PrefixState: ExpressibleByArgument {}

extension GraphMode: ExpressibleByArgument {
    /// In any case, as vLLM reads it.
    public init?(argument: String) { self.init(rawValue: argument.uppercased()) }
}

/// A number of bytes as vLLM reads it: `4g` is four thousand million, `4G` is 4 * 2^30.
struct ByteCount: ExpressibleByArgument {
    let value: Int

    init?(argument: String) {
        let units: [Character: Double] = [
            "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "K": 0x1p10, "M": 0x1p20, "G": 0x1p30, "T": 0x1p40,
        ]
        let unit = argument.last.flatMap { units[$0] }
        guard let number = Double(unit == nil ? argument : String(argument.dropLast())),
            let value = Int(exactly: (number * (unit ?? 1)).rounded()), value >= 0
        else { return nil }
        self.value = value
    }
}

/// A number of tokens as vLLM reads it: `8k` is 8000, `8K` is 8192, `auto` and -1 are the model's own.
struct ModelLength: ExpressibleByArgument {
    /// nil for the model's own.
    let tokens: Int?

    init?(argument: String) {
        if argument == "auto" || argument == "-1" {
            tokens = nil
        } else if let count = Int(argument) ?? ByteCount(argument: argument)?.value {
            tokens = count
        } else {
            return nil
        }
    }
}

/// A list of positive numbers.
struct Numbers: ExpressibleByArgument {
    let values: [Int]
    init(_ values: [Int]) { self.values = values }
    init?(argument: String) {
        let parts = argument.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
        values = parts.compactMap(\.self)
        guard !values.isEmpty, values.count == parts.count, values.allSatisfy({ (1...(1 << 22)).contains($0) })
        else {
            return nil
        }
    }
    var defaultValueDescription: String { values.map(String.init).joined(separator: ",") }
}

/// Values with commas between them.
struct ArgumentList<Element: ExpressibleByArgument & Sendable>: ExpressibleByArgument {
    let values: [Element]

    init(_ values: [Element]) { self.values = values }

    init?(argument: String) {
        let parts = argument.split(separator: ",", omittingEmptySubsequences: false).map {
            Element(argument: String($0))
        }
        values = parts.compactMap(\.self)
        guard !values.isEmpty, values.count == parts.count, values.count <= 64 else { return nil }
    }

    var defaultValueDescription: String { values.map(\.defaultValueDescription).joined(separator: ",") }
}

/// A list of token ids.
struct TokenIDs: ExpressibleByArgument {
    let values: [Int32]

    init?(argument: String) {
        let parts = argument.split(separator: ",", omittingEmptySubsequences: false).map { Int32($0) }
        values = parts.compactMap(\.self)
        guard !values.isEmpty, values.count == parts.count else { return nil }
    }
}
