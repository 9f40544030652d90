// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import MartletBench
import MartletCPU

struct CheckAttentionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "attention", abstract: "Attention's results, by one launch and by two.",
        discussion: """
            DIR holds manifest.json and a safetensors file of inputs and exact results for each case, with the errors \
            that the reference's own runs had. A case fails where an output is further from exact than 1.1 times the \
            best clean run's largest error and half a unit in the last place, where the RMS error is more than 1.1 \
            times (f32: 1.5 times) as large, or where an output is not finite.
            """)

    @OptionGroup var device: DeviceOptions

    @Option(help: "What the cache keeps; auto is the keys' and values' own type.")
    var kvCacheDtype = CacheDtype.auto

    @Argument(help: "A directory of cases.", completion: .directory)
    var directory: String

    func run() throws {
        FileFaults.exitCleanly()
        let device = try device.makeDevice()
        let check = try AttentionCheck(directory: URL(filePath: directory))
        guard !check.cases.isEmpty else { throw InputError("\(directory) has no case") }
        var table = Table()
        table.add("case", "unified max", "rms", "split max", "rms", "reference max", "rms", "verdict")
        table.legend = [
            "unified, split": "one launch for all rows; one for prefills and one for decodes",
            "reference": "the other implementation's own result",
            "max, rms": "largest and root mean square error, from the exact result",
        ]
        var failed = 0
        for (name, description) in check.cases {
            let outcome: AttentionCheck.Outcome
            do {
                outcome = try check.run(name, description, keptAs: kvCacheDtype.format, on: device)
            } catch {
                // The others can still be checked.
                failed += 1
                table.add(name, "", "", "", "", "", "", "FAILED: \(error)")
                continue
            }
            if !outcome.passes { failed += 1 }
            func format(_ value: Double?) -> String { value.map { String(format: "%.3e", $0) } ?? "none" }
            table.add(
                name, format(outcome.unified.largest), format(outcome.unified.rootMeanSquare),
                format(outcome.split.largest), format(outcome.split.rootMeanSquare),
                format(outcome.reference?.largest), format(outcome.reference?.rootMeanSquare), verdict(outcome))
        }
        Terminal.write(table.text)
        Terminal.write("\(check.cases.count - failed) of \(check.cases.count) cases pass\n")
        if failed > 0 { throw ExitCode.failure }
    }

    private func verdict(_ outcome: AttentionCheck.Outcome) -> String {
        var words = outcome.passes ? ["ok"] : ["FAILED: " + outcome.failures.joined(separator: "; ")]
        if !outcome.launchesAgree { words.append("(launches differ)") }
        if !outcome.unknownParameters.isEmpty {
            words.append("(unknown: \(outcome.unknownParameters.joined(separator: ", ")))")
        }
        return words.joined(separator: " ")
    }
}
