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
    traits: [
        .default(enabledTraits: ["Server"]),
        .trait(
            name: "Server",
            description:
                "The server and the command. Without it the library needs swift-collections and swift-log alone."),
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
        .target(name: "MartletCheckpoints", dependencies: ["MartletCompute", "MartletJSON"]),
        .target(name: "MartletJSON"),
        .target(
            name: "MartletText",
            dependencies: [
                "MartletJSON",
                .product(name: "HeapModule", package: "swift-collections"),
                .product(name: "OrderedCollections", package: "swift-collections"),
            ]),
        .target(name: "MartletModels", dependencies: ["MartletCompute", "MartletCheckpoints", "MartletJSON"]),
        .target(
            name: "Martlet",
            dependencies: [
                "MartletCompute", "MartletAttention", "MartletCPU", "MartletReference", "MartletCheckpoints",
                "MartletJSON", "MartletText", "MartletModels",
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "Logging", package: "swift-log"),
            ]),
        .target(
            name: "MartletServer",
            dependencies: [
                "Martlet", "MartletCompute", "MartletJSON", "MartletText", .server("Hummingbird", "hummingbird"),
                .server("HummingbirdCore", "hummingbird"),
                .server("HummingbirdTLS", "hummingbird"),
                .server("HTTPTypes", "swift-http-types"),
                .product(name: "Logging", package: "swift-log"), .server("NIOCore", "swift-nio"),
                .server("NIOHTTP1", "swift-nio"),
                .server("NIOHTTPTypes", "swift-nio-extras"),
                .server("NIOHTTPTypesHTTP1", "swift-nio-extras"),
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "OrderedCollections", package: "swift-collections"),
                .server("NIOSSL", "swift-nio-ssl"),
                .server("AsyncAlgorithms", "swift-async-algorithms"),
                .server("ServiceLifecycle", "swift-service-lifecycle"),
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
                .server("AsyncHTTPClient", "async-http-client"),
                .server("NIOCore", "swift-nio"),
            ]),
        .executableTarget(
            name: "MartletCLI",
            dependencies: [
                "Martlet", "MartletAttention", "MartletBench", "MartletCPU", "MartletCheckpoints", "MartletClient",
                "MartletCompute", "MartletServer", "MartletText",
                .server("ArgumentParser", "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "OrderedCollections", package: "swift-collections"),
                .server("Yams", "Yams"),
            ]),
        .executableTarget(
            name: "compare",
            dependencies: [
                "Martlet", "MartletBench", "MartletClient",
                .server("ArgumentParser", "swift-argument-parser"),
            ], path: "Benchmarks/compare", exclude: ["README.md"]),
        .target(
            name: "MartletTestSupport", dependencies: ["MartletCompute"],
            path: "Tests/MartletTestSupport", resources: [.copy("Fixtures")]),
        .testTarget(
            name: "MartletComputeTests", dependencies: ["MartletCompute", "MartletTestSupport"],
            resources: [.copy("Fixtures")]),
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
            name: "MartletTextTests",
            dependencies: ["MartletJSON", "MartletText", "MartletTestSupport", "MartletFuzz"],
            resources: [.copy("Fixtures")]),
        .testTarget(
            name: "MartletModelsTests",
            dependencies: ["MartletModels", "MartletCheckpoints", "MartletCompute", "MartletTestSupport"]),
        .testTarget(
            name: "MartletCLITests",
            dependencies: [
                "MartletCLI", "Martlet", "MartletAttention", "MartletBench", "MartletCompute", "MartletServer",
                "MartletTestSupport",
                .server("ArgumentParser", "swift-argument-parser"),
            ]),
        .testTarget(name: "CompareTests", dependencies: ["compare"]),
        .testTarget(name: "MartletClientTests", dependencies: ["MartletClient"]),
        .testTarget(
            name: "MartletServerTests",
            dependencies: [
                "MartletServer", "Martlet", "MartletCompute", "MartletJSON", "MartletReference", "MartletTestSupport",
                .product(name: "Logging", package: "swift-log"), .server("NIOCore", "swift-nio"),
                .server("NIOEmbedded", "swift-nio"),
                .server("NIOHTTP1", "swift-nio"),
            ]),
        .target(name: "MartletFuzz", dependencies: ["MartletText", "MartletTestSupport"], path: "Tests/Fuzz/Sources"),
        .executableTarget(
            name: "fuzz",
            dependencies: [
                "MartletFuzz", "Martlet", "MartletText", "MartletCheckpoints", "MartletTestSupport",
                .server("ArgumentParser", "swift-argument-parser"),
            ], path: "Tests/Fuzz/Command"),
        .target(name: "AllocationCounter", path: "Tests/AllocationCounter"),
        .testTarget(
            name: "MartletTests",
            dependencies: [
                "Martlet", "MartletAttention", "MartletCPU", "MartletCheckpoints", "MartletCompute", "MartletJSON",
                "MartletModels", "MartletReference", "MartletText", "MartletTestSupport", "AllocationCounter",
                .product(name: "Logging", package: "swift-log"),
            ],
            resources: [.copy("Fixtures")]),
    ]
)

extension Target.Dependency {
    /// A product that the trait `Server` brings.
    static func server(_ product: String, _ package: String) -> Target.Dependency {
        .product(name: product, package: package, condition: .when(traits: ["Server"]))
    }
}

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

// An import is visible in the file alone unless it says more.
for target in package.targets {
    target.swiftSettings = (target.swiftSettings ?? []) + [.enableUpcomingFeature("InternalImportsByDefault")]
}

// Set where the project is checked: another compiler may warn of more, and then the package still has to build.
if Context.environment["MARTLET_WARNINGS_AS_ERRORS"] != nil {
    for target in package.targets {
        target.swiftSettings = (target.swiftSettings ?? []) + [.treatAllWarnings(as: .error)]
    }
}
