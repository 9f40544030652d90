// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "StreamingRoute",
    dependencies: [
        // In a package of your own: .package(url: "https://example.com/martlet", .upToNextMinor(from: "0.1.0"), traits: [])
        .package(name: "martlet", path: "../.."),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0"),
    ],
    targets: [
        .executableTarget(
            name: "StreamingRoute",
            dependencies: [
                .product(name: "Martlet", package: "martlet"),
                .product(name: "Hummingbird", package: "hummingbird"),
            ])
    ]
)
