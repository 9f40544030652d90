// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import MartletFuzz
import MartletText

struct FuzzTemplates: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "templates", abstract: "Random templates.",
        discussion: """
            Writes a line of JSON for each: the template, and what it renders to or why it doesn't. \
            Tests/Fuzz/compare-with-jinja2 reads them. A template that takes more than a second is reported.
            """)

    @Option(help: "Templates.") var count = 10_000
    @Option(help: "The first template's seed; the next ones count up.") var seed: UInt64 = 0

    private struct Line: Encodable {
        let template: String
        var output: String?
        var error: String?
        var isUnsupported: Bool?
    }

    func run() throws {
        print(TemplateGenerator.jsonContext)
        let encoder = JSONEncoder()
        for index in 0..<UInt64(max(0, count)) {
            var generator = TemplateGenerator(seed: seed &+ index)
            var line = Line(template: generator.template())
            let start = ContinuousClock.now
            do throws(TemplateError) {
                line.output = try ChatTemplate(line.template).render(TemplateGenerator.context, now: 0).string
            } catch {
                line.error = "\(error)"
                line.isUnsupported =
                    error.code == .unsupported || error.code == .budgetExceeded
                    || error.message.contains("out of range")
            }
            if ContinuousClock.now - start > .seconds(1) { print("# slow: seed \(seed &+ index)") }
            print(String(decoding: try encoder.encode(line), as: UTF8.self))
        }
    }
}
