// SPDX-License-Identifier: Apache-2.0

import Foundation
import MartletJSON
import MartletText
import Testing

private let cases = ProcessInfo.processInfo.environment["MARTLET_TEMPLATE_CASES"]
private let folder = ProcessInfo.processInfo.environment["MARTLET_TEMPLATES"] ?? "."

/// Published chat templates, which their licences keep out of this repository, against what Jinja2 rendered of them.
///
/// `MARTLET_TEMPLATE_CASES` names a JSON file: a list of objects of `template` (a file's name), `case`, `context`, and
/// `expected` or `error`. `MARTLET_TEMPLATES` names the folder of the templates. The local time is 2026-11-29 12:00.
@Suite struct PublishedTemplateTests {

    /// What Jinja2's sandbox alone refuses: changing a list, and a generator as JSON.
    private static let sandboxFaults = ["is unsafe", "type generator is not JSON"]

    @Test(.enabled(if: cases != nil)) func theyRenderAsJinja2() throws {
        let data = try Data(contentsOf: URL(filePath: try #require(cases)))
        guard case .array(let rows) = try JSONParser.parse(Array(data), maximumDepth: 64) else { return }
        let noon = try #require(
            Calendar(identifier: .gregorian).date(
                from: DateComponents(timeZone: .current, year: 2026, month: 11, day: 29, hour: 12)))
        var (rendered, refused) = (0, 0)
        for row in rows {
            guard case .object(let row) = row, case .string(let file)? = row["template"],
                case .string(let name)? = row["case"], case .object(let context)? = row["context"]
            else { continue }
            let source = try String(contentsOfFile: "\(folder)/\(file)", encoding: .utf8)
            var values: [String: TemplateValue] = [:]
            for member in context.members { values[member.key] = TemplateValue(user: member.value) }
            let result = Result {
                try ChatTemplate(source).render(values, now: Int(noon.timeIntervalSince1970)).string
            }
            switch (row["expected"], result) {
            case (.string(let expected)?, .success(let text)):
                #expect(text == expected, "\(file), \(name)")
                rendered += 1
            case (.string?, .failure(let error)): Issue.record("\(file), \(name): \(error)")
            case (_, .success):
                guard case .string(let error)? = row["error"] else { continue }
                #expect(Self.sandboxFaults.contains { error.contains($0) }, "\(file), \(name): \(error)")
                rendered += 1
            case (_, .failure): refused += 1
            }
        }
        #expect(rendered > 0)
        print("published templates: \(rendered) cases rendered, \(refused) refused as Jinja2 refuses them")
    }
}
