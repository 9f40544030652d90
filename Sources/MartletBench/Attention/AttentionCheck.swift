// SPDX-License-Identifier: Apache-2.0

package import Foundation
import MartletAttention
import MartletCheckpoints
package import MartletCompute

/// Holds attention against a directory of cases that another implementation computed.
///
/// `manifest.json` names each case's file, parameters and runs with their errors against `ref64`, the exact result;
/// the file holds the inputs. A case passes where no output is further from exact than the best run that has no known
/// defect, with a tenth to spare.
package struct AttentionCheck {
    /// The errors of one implementation of a case.
    package struct Errors: Equatable, Sendable {
        package var largest = 0.0
        package var rootMeanSquare = 0.0
        package var notFinite = 0
    }

    package struct Outcome: Sendable {
        package let name: String
        /// By launch.
        package let unified: Errors
        package let split: Errors
        /// The smallest of each among the reference's clean runs; nil where it has none.
        package let reference: Errors?
        /// Why it fails; empty where it passes.
        package let failures: [String]
        /// Parameters that this check doesn't know.
        package let unknownParameters: [String]
        package let launchesAgree: Bool

        package var passes: Bool { failures.isEmpty }
    }

    package let directory: URL
    /// By name.
    package let cases: [(name: String, description: AttentionCaseDescription)]

    /// - Throws: where the manifest can't be read.
    package init(directory: URL) throws {
        self.directory = directory
        let manifest = directory.appending(path: "manifest.json")
        guard let data = FileManager.default.contents(atPath: manifest.path) else {
            throw CheckpointError(.notReadable, "can't read \(manifest.path)")
        }
        struct Manifest: Decodable { let cases: [String: AttentionCaseDescription] }
        let decoder = JSONDecoder()
        decoder.allowsJSON5 = true  // NaN and Infinity, which some writers leave bare
        do {
            cases = try decoder.decode(Manifest.self, from: data).cases.sorted { $0.key < $1.key }
                .map { (name: $0.key, description: $0.value) }
        } catch {
            let reason = (error as? DecodingError)?.explanation ?? "\(error)"
            throw CheckpointError(.invalidMetadata, "\(manifest.path) is not a manifest of attention cases: \(reason)")
        }
    }

    /// Computes one case with one launch for all, then with one for prefills and one for decodes.
    ///
    /// - Parameter format: what the cache keeps of the case's keys and values; nil for their own.
    package func run(
        _ name: String, _ description: AttentionCaseDescription, keptAs format: CacheFormat? = nil,
        on device: any ComputeDevice
    ) throws -> Outcome {
        guard !description.file.contains("/") else {
            throw CheckpointError(.invalidMetadata, "\(name): \(description.file) is not a file beside the manifest")
        }
        let path = directory.appending(path: description.file).path
        let inputs = try AttentionCaseInputs(
            SafetensorsFile(path: path), description.parameters, name: name, keptAs: format, for: device)
        let attention = try inputs.makeAttention(on: device)
        func compute(splits: Bool) throws -> [Float] {
            try attention.poisonOutputs()
            try attention.setQueries(inputs.queries)
            try attention.run(attention.planner(splits: splits))
            return try attention.outputs()
        }
        let (unified, split) = (try compute(splits: false), try compute(splits: true))
        let reference = description.cleanErrors
        var failures: [String] = []
        for (launch, output) in [("unified", unified), ("split", split)] {
            failures += Self.failures(output, inputs, against: reference, description).map { "\(launch): \($0)" }
        }
        return Outcome(
            name: name, unified: Self.errors(unified, inputs.exact), split: Self.errors(split, inputs.exact),
            reference: reference, failures: failures, unknownParameters: description.parameters.unknown,
            launchesAgree: unified.map(\.bitPattern) == split.map(\.bitPattern))
    }

    private static func errors(_ output: [Float], _ exact: [Double]) -> Errors {
        var errors = Errors()
        var squares = 0.0
        for (value, exact) in zip(output, exact) {
            guard value.isFinite else {
                errors.notFinite += 1
                continue
            }
            let error = abs(Double(value) - exact)
            errors.largest = max(errors.largest, error)
            squares += error * error
        }
        errors.rootMeanSquare = (squares / Double(max(exact.count, 1))).squareRoot()
        return errors
    }

    private static func failures(
        _ output: [Float], _ inputs: AttentionCaseInputs, against reference: Errors?,
        _ description: AttentionCaseDescription
    ) -> [String] {
        let found = errors(output, inputs.exact)
        var failures: [String] = []
        if found.notFinite > 0 { failures.append("\(found.notFinite) outputs are not finite") }
        guard let reference else {
            // Without a clean run the case's own tolerance is all there is.
            let (absolute, relative) = (description.absoluteTolerance, description.relativeTolerance)
            let tooFar = zip(output, inputs.exact).filter { !(abs(Double($0) - $1) <= absolute + relative * abs($1)) }
            return failures + (tooFar.isEmpty ? [] : ["\(tooFar.count) outputs are out of tolerance"])
        }
        let format = inputs.outputFormat
        let tooFar = zip(output, inputs.exact).filter { value, exact in
            !(abs(Double(value) - exact) <= 1.1 * reference.largest + format.ulp(at: exact) / 2)
        }
        if !tooFar.isEmpty { failures.append("\(tooFar.count) outputs are too far from exact") }
        let factor = format == .float32 ? 1.5 : 1.1
        if !(found.rootMeanSquare <= factor * reference.rootMeanSquare) {
            failures.append("the RMS error is too large")
        }
        return failures
    }
}
