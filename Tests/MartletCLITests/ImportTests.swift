// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// What a target imports is what the manifest says that it depends on. SwiftPM sees modules that are built for others
/// too, so that nothing else keeps the arrows of Docs/Architecture.md.
@Suite struct ImportTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    /// Parts of the toolchain.
    private static let system: Set<String> = [
        "Dispatch", "Foundation", "FoundationEssentials", "Glibc", "PackageDescription", "Synchronization", "Testing",
    ]

    private struct Target {
        let name: String
        let folder: URL
        let dependencies: Set<String>
    }

    /// The targets of Package.swift, whose form is swift-format's.
    private static func targets() throws -> [Target] {
        let manifest = try String(contentsOf: root.appending(path: "Package.swift"), encoding: .utf8)
        let starts = manifest.matches(of: /\.(executableTarget|testTarget|target)\(\s*name: "(\w+)"/)
        return starts.indices.map { index in
            let (start, end) = (
                starts[index].range.upperBound,
                index + 1 < starts.count ? starts[index + 1].range.lowerBound : manifest.endIndex
            )
            let text = manifest[start..<end]
            let path = text.firstMatch(of: /path: "([^"]+)"/).map { String($0.1) }
            // Up to the bracket that closes the list; there are none inside.
            let list = text.firstRange(of: "dependencies: [").map { text[$0.upperBound...].prefix { $0 != "]" } } ?? ""
            let plain = list.replacing(/, package: "[^"]+"/) { _ in "" }.replacing(/(\.server\("\w+"), "[^"]+"/) {
                $0.1
            }
            let folder = starts[index].1 == "testTarget" ? "Tests" : "Sources"
            return Target(
                name: String(starts[index].2),
                folder: root.appending(path: path ?? "\(folder)/\(starts[index].2)"),
                dependencies: Set(plain.matches(of: /"(\w+)"/).map { String($0.1) }))
        }
    }

    private static func imports(of folder: URL) throws -> Set<String> {
        let files = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)
        var found: Set<String> = []
        for case let file as URL in files ?? .init() where file.pathExtension == "swift" {
            let text = try String(contentsOf: file, encoding: .utf8)
            for match in text.matches(
                of: /^(@_exported )?(?:public |package )?import (?:struct |func |class |enum )?(\w+)/
                    .anchorsMatchLineEndings())
            {
                found.insert(String(match.2))
            }
        }
        return found
    }

    @Test func everyImportIsDeclared() throws {
        let targets = try Self.targets()
        #expect(targets.count > 20)
        for target in targets where !["CMartletKernels", "AllocationCounter"].contains(target.name) {
            let imports = try Self.imports(of: target.folder).subtracting(Self.system).subtracting([target.name])
            #expect(!imports.isEmpty || target.dependencies.isEmpty, "\(target.name) has no sources")
            let undeclared = imports.subtracting(target.dependencies).sorted()
            #expect(undeclared.isEmpty, "\(target.name) imports \(undeclared) without a declared dependency")
            let unused = target.dependencies.subtracting(imports).sorted()
            #expect(unused.isEmpty, "\(target.name) declares \(unused) and imports none of them")
        }
    }
}
