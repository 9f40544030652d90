// swift-tools-version: 6.2
import PackageDescription

// Arrows point only downward; see Docs/Architecture.md.
let package = Package(
    name: "martlet",
    products: [
        .library(name: "Martlet", targets: ["Martlet"]),
        .library(name: "MartletBench", targets: ["MartletBench"]),
        .executable(name: "martlet", targets: ["MartletCLI"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.2.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
    ],
    targets: [
        // Debug builds optimise the C too: its tests would take minutes otherwise.
        .target(name: "CMartletKernels", cSettings: [.unsafeFlags(["-O3"], .when(configuration: .debug))]),
        .target(name: "MartletCompute"),
        .target(name: "MartletAttention", dependencies: ["MartletCompute"]),
        .target(name: "MartletCPU", dependencies: ["CMartletKernels", "MartletCompute", "MartletAttention"]),
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
                "MartletCompute", "MartletAttention", "MartletCPU", "MartletCheckpoints", "MartletText",
                "MartletModels", .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "Logging", package: "swift-log"),
            ]),
        .target(
            name: "MartletBench",
            dependencies: ["Martlet", "MartletCompute", "MartletAttention", "MartletCPU", "MartletCheckpoints"]),
        .executableTarget(
            name: "MartletCLI",
            dependencies: [
                "Martlet", "MartletBench", .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "OrderedCollections", package: "swift-collections"),
            ]),
        .executableTarget(name: "GenerateExample", dependencies: ["Martlet"], path: "Examples/Generate"),
        .executableTarget(name: "BatchExample", dependencies: ["Martlet"], path: "Examples/Batch"),

        .target(
            name: "MartletTestSupport", dependencies: ["MartletCheckpoints", "MartletCompute"],
            path: "Tests/MartletTestSupport"),
        .testTarget(name: "MartletCPUTests", dependencies: ["MartletCPU", "MartletTestSupport"]),
        .testTarget(name: "MartletAttentionTests", dependencies: ["MartletAttention", "MartletTestSupport"]),
        .testTarget(
            name: "MartletBenchTests", dependencies: ["Martlet", "MartletBench", "MartletCPU", "MartletTestSupport"],
            resources: [.copy("Fixtures")]),
        .testTarget(name: "MartletCheckpointsTests", dependencies: ["MartletCheckpoints", "MartletTestSupport"]),
        .testTarget(
            name: "MartletTextTests", dependencies: ["MartletText", "MartletTestSupport"],
            resources: [.copy("Fixtures")]),
        .testTarget(name: "MartletModelsTests", dependencies: ["MartletModels", "MartletTestSupport"]),
        .testTarget(
            name: "MartletCLITests",
            dependencies: [
                "MartletCLI", "Martlet", "MartletBench",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
        .target(name: "AllocationCounter", path: "Tests/AllocationCounter"),
        .testTarget(
            name: "MartletTests",
            dependencies: [
                "Martlet", "MartletTestSupport", "AllocationCounter", .product(name: "Logging", package: "swift-log"),
            ],
            resources: [.copy("Fixtures")]),
    ]
)
