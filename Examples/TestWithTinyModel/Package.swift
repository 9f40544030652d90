// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "TestWithTinyModel",
    dependencies: [
        // In a package of your own: .package(url: "https://example.com/martlet", .upToNextMinor(from: "0.1.0"), traits: [])
        .package(name: "martlet", path: "../..")
    ],
    targets: [
        .target(name: "Summaries", dependencies: [.product(name: "Martlet", package: "martlet")]),
        .testTarget(
            name: "SummariesTests", dependencies: ["Summaries", .product(name: "Martlet", package: "martlet")],
            resources: [.copy("Resources/config.json")]),
    ]
)
