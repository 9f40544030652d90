// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "Chat",
    dependencies: [
        // In a package of your own: .package(url: "https://example.com/martlet", .upToNextMinor(from: "0.1.0"), traits: [])
        .package(name: "martlet", path: "../..")
    ],
    targets: [
        .executableTarget(name: "Chat", dependencies: [.product(name: "Martlet", package: "martlet")])
    ]
)
