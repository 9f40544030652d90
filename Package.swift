// swift-tools-version: 6.2
import PackageDescription

// Arrows point only downward; see Docs/Architecture.md.
let package = Package(
    name: "martlet",
    products: [
        .library(name: "Martlet", targets: ["Martlet"]),
        .library(name: "MartletServer", targets: ["MartletServer"]),
        .executable(name: "martlet", targets: ["MartletCLI"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.2.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-async-algorithms", from: "1.1.0"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.0.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.34.1"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.2"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.0"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: [
        // Debug builds optimise the C too: its tests would take minutes otherwise.
        .target(name: "CMartletKernels", cSettings: [.unsafeFlags(["-O3"], .when(configuration: .debug))]),
        .target(name: "MartletCompute"),
        .target(name: "MartletAttention", dependencies: ["MartletCompute"]),
        .target(name: "MartletReference", dependencies: ["MartletCompute"]),
        .target(name: "MartletCPU", dependencies: ["CMartletKernels", "MartletCompute"]),
        .target(name: "MartletCheckpoints", dependencies: ["MartletCompute"]),
        .target(
            name: "MartletText",
            dependencies: [
                .product(name: "HeapModule", package: "swift-collections"),
                .product(name: "OrderedCollections", package: "swift-collections"),
            ]),
        .target(name: "MartletModels", dependencies: ["MartletCompute", "MartletCheckpoints"]),
        .target(
            name: "Martlet",
            dependencies: [
                "MartletCompute", "MartletAttention", "MartletCPU", "MartletReference", "MartletCheckpoints",
                "MartletText",
                "MartletModels", .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "Logging", package: "swift-log"),
            ]),
        .target(
            name: "MartletServer",
            dependencies: [
                "Martlet", "MartletCompute", "MartletText", .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "HummingbirdTLS", package: "hummingbird"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Logging", package: "swift-log"), .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "NIOHTTPTypesHTTP1", package: "swift-nio-extras"),
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "OrderedCollections", package: "swift-collections"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "AsyncAlgorithms", package: "swift-async-algorithms"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            resources: [.embedInCode("Page/index.html")]),
        .target(
            name: "MartletBench",
            dependencies: [
                "Martlet", "MartletCompute", "MartletAttention", "MartletCPU", "MartletCheckpoints", "MartletModels",
                "MartletText",
            ]),
        .target(
            name: "MartletClient",
            dependencies: [
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOCore", package: "swift-nio"),
            ]),
        .executableTarget(
            name: "MartletCLI",
            dependencies: [
                "Martlet", "MartletAttention", "MartletBench", "MartletCPU", "MartletCheckpoints", "MartletClient",
                "MartletCompute", "MartletServer", "MartletText",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "OrderedCollections", package: "swift-collections"),
                .product(name: "Yams", package: "Yams"),
            ]),
        .executableTarget(
            name: "compare",
            dependencies: [
                "Martlet", "MartletBench", "MartletClient",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ], path: "Benchmarks/compare", exclude: ["README.md"]),
        .executableTarget(name: "GenerateExample", dependencies: ["Martlet"], path: "Examples/Generate"),
        .executableTarget(name: "BatchExample", dependencies: ["Martlet"], path: "Examples/Batch"),

        .target(
            name: "MartletTestSupport", dependencies: ["MartletCompute"],
            path: "Tests/MartletTestSupport"),
        .testTarget(
            name: "MartletComputeTests", dependencies: ["MartletCompute", "MartletTestSupport"]),
        .testTarget(
            name: "MartletCPUTests",
            dependencies: [
                "CMartletKernels", "MartletAttention", "MartletCPU", "MartletCheckpoints", "MartletCompute",
                "MartletReference", "MartletTestSupport",
            ]),
        .testTarget(
            name: "MartletConformanceTests",
            dependencies: [
                "MartletCompute", "MartletAttention", "MartletCPU", "MartletModels", "MartletReference",
                "MartletTestSupport",
            ]),
        .testTarget(
            name: "MartletAttentionTests", dependencies: ["MartletAttention", "MartletCompute", "MartletTestSupport"]),
        .testTarget(
            name: "MartletBenchTests",
            dependencies: [
                "Martlet", "MartletAttention", "MartletBench", "MartletCPU", "MartletCheckpoints",
                "MartletCompute", "MartletReference", "MartletTestSupport",
            ],
            resources: [.copy("Fixtures")]),
        .testTarget(
            name: "MartletCheckpointsTests",
            dependencies: ["MartletCheckpoints", "MartletCompute", "MartletTestSupport"]),
        .testTarget(
            name: "MartletTextTests", dependencies: ["MartletText", "MartletTestSupport", "MartletFuzz"],
            resources: [.copy("Fixtures")]),
        .testTarget(
            name: "MartletModelsTests",
            dependencies: ["MartletModels", "MartletCheckpoints", "MartletCompute", "MartletTestSupport"]),
        .testTarget(
            name: "MartletCLITests",
            dependencies: [
                "MartletCLI", "Martlet", "MartletAttention", "MartletBench", "MartletCompute", "MartletServer",
                "MartletTestSupport",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
        .testTarget(name: "CompareTests", dependencies: ["compare"]),
        .testTarget(name: "MartletClientTests", dependencies: ["MartletClient"]),
        .testTarget(
            name: "MartletServerTests",
            dependencies: [
                "MartletServer", "Martlet", "MartletCompute", "MartletReference", "MartletTestSupport",
                .product(name: "Logging", package: "swift-log"), .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
            ]),
        .target(name: "MartletFuzz", dependencies: ["MartletText", "MartletTestSupport"], path: "Tests/Fuzz/Sources"),
        .executableTarget(
            name: "fuzz",
            dependencies: [
                "MartletFuzz", "Martlet", "MartletText", "MartletCheckpoints", "MartletTestSupport",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ], path: "Tests/Fuzz/Command"),
        .target(name: "AllocationCounter", path: "Tests/AllocationCounter"),
        .testTarget(
            name: "MartletTests",
            dependencies: [
                "Martlet", "MartletAttention", "MartletCPU", "MartletCheckpoints", "MartletCompute", "MartletModels",
                "MartletReference", "MartletText", "MartletTestSupport", "AllocationCounter",
                .product(name: "Logging", package: "swift-log"),
            ],
            resources: [.copy("Fixtures")]),
    ]
)

// The network's packages take minutes to compile. What is built with a sanitizer is our own memory's handling: without
// them, and without what needs them.
if Context.environment["MARTLET_WITHOUT_NETWORK"] != nil {
    let networked = [
        "MartletServer", "MartletClient", "MartletCLI", "compare", "MartletServerTests", "MartletClientTests",
        "MartletCLITests",
        "CompareTests",
    ]
    package.targets.removeAll { networked.contains($0.name) }
    package.products.removeAll { ["MartletServer", "martlet"].contains($0.name) }
}

// Set where the project is checked: another compiler may warn of more, and then the package still has to build.
if Context.environment["MARTLET_WARNINGS_AS_ERRORS"] != nil {
    for target in package.targets {
        target.swiftSettings = (target.swiftSettings ?? []) + [.treatAllWarnings(as: .error)]
    }
}
