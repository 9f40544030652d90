// swift-tools-version: 6.2
import PackageDescription

// A package of its own: who uses Martlet needs no HTTP client.
let package = Package(
    name: "compare",
    dependencies: [
        .package(name: "martlet", path: "../.."),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.30.0"),
    ],
    targets: [
        .executableTarget(
            name: "compare",
            dependencies: [
                .product(name: "Martlet", package: "martlet"), .product(name: "MartletBench", package: "martlet"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
            ]),
        .testTarget(name: "CompareTests", dependencies: ["compare"]),
    ]
)
