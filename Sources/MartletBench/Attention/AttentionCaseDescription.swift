// SPDX-License-Identifier: Apache-2.0

/// What a manifest says of a case.
package struct AttentionCaseDescription: Decodable, Sendable {
    package let file: String
    package let parameters: Parameters
    /// Errors of the reference's runs, by the run's name.
    package let runs: [String: Run]
    /// What is wrong with some runs, by words of their names.
    package let knownDefects: [String: String]
    package let absoluteTolerance: Double
    package let relativeTolerance: Double

    /// The errors of one of the reference's runs.
    package struct Run: Decodable, Sendable {
        package let largest: Double
        package let rootMeanSquare: Double

        private enum CodingKeys: String, CodingKey {
            case largest = "max_abs"
            case rootMeanSquare = "rms"
        }
    }

    private enum CodingKeys: String, CodingKey {
        case file, runs
        case parameters = "params"
        case knownDefects = "known_defect"
        case absoluteTolerance = "atol"
        case relativeTolerance = "rtol"
    }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        file = try container.decode(String.self, forKey: .file)
        parameters = try container.decode(Parameters.self, forKey: .parameters)
        runs = try container.decodeIfPresent([String: Run].self, forKey: .runs) ?? [:]
        knownDefects = try container.decodeIfPresent([String: String].self, forKey: .knownDefects) ?? [:]
        absoluteTolerance = try container.decodeIfPresent(Double.self, forKey: .absoluteTolerance) ?? 1.5e-2
        relativeTolerance = try container.decodeIfPresent(Double.self, forKey: .relativeTolerance) ?? 1e-2
    }

    /// The smallest errors of the runs without a known defect. A defect concerns each run whose name has all its
    /// words: `pr_tip_split` is `out_pr_tip_2d_split`, and `v013` every run of that version.
    var cleanErrors: AttentionCheck.Errors? {
        func words(_ name: String) -> Set<Substring> { Set(name.split(separator: "_")) }
        let clean = runs.filter { name, run in
            run.largest.isFinite && run.rootMeanSquare.isFinite
                && !knownDefects.keys.contains { words($0).isSubset(of: words(name)) }
        }.values
        guard let largest = clean.map(\.largest).min(), let rms = clean.map(\.rootMeanSquare).min() else { return nil }
        return AttentionCheck.Errors(largest: largest, rootMeanSquare: rms)
    }

    /// The case's parameters that its tensors don't show.
    package struct Parameters: Decodable, Sendable {
        package let scale: Float
        package let softcap: Float?
        /// Keys that a query sees, itself included; with `chunkLookback`, the keys of all chunks it may see.
        package let window: Int?
        package let chunkLookback: Int?
        package let usesSquareRootALiBi: Bool
        package let isCausal: Bool
        package let outputType: String?
        /// Names that mean nothing here: if they matter, the errors will say so.
        package let unknown: [String]

        private struct Name: CodingKey {
            let stringValue: String
            var intValue: Int? { nil }
            init(stringValue: String) { self.stringValue = stringValue }
            init?(intValue: Int) { nil }
        }

        /// What the tensors say themselves, or how they were drawn.
        private static let redundant: Set = [
            "seq_lens", "query_lens", "kv_lens", "heads", "hs", "bs", "num_blocks", "dtype", "kv_dtype", "q_dtype",
            "seed", "alibi", "sinks", "sink_scale", "qq_bias", "mm_prefix", "output_scale", "k_scale", "v_scale",
            "q_scale",
        ]

        package init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: Name.self)
            var used: Set<String> = []
            func value<Value: Decodable>(_ names: String..., as type: Value.Type) throws -> Value? {
                used.formUnion(names)
                for name in names {
                    if let found = try container.decodeIfPresent(type, forKey: Name(stringValue: name)) { return found }
                }
                return nil
            }
            scale = try value("scale", as: Float.self) ?? 0
            softcap = try value("softcap", "soft_cap", as: Float.self)
            window = try value("window", "sliding_window", as: Int.self)
            chunkLookback = try value("chunk_lookback", as: Int.self)
            usesSquareRootALiBi = try value("alibi_sqrt", "use_alibi_sqrt", as: Bool.self) ?? false
            isCausal = try value("causal", as: Bool.self) ?? true
            outputType = try value("out_dtype", as: String.self)
            unknown = container.allKeys.map(\.stringValue).filter { !used.contains($0) && !Self.redundant.contains($0) }
                .sorted()
        }
    }
}
