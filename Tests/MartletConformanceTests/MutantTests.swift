// SPDX-License-Identifier: Apache-2.0

import MartletCompute
import MartletReference
import Testing

/// The reference device with one kernel case computed wrongly: in one number, into another layer's cache, or for another
/// temperature.
final class MutantDevice: ComputeDevice {
    private let device: ReferenceDevice
    private let isWrong: @Sendable (Kernel) -> Bool

    init(where isWrong: @escaping @Sendable (Kernel) -> Bool) throws {
        device = try ReferenceDevice()
        self.isWrong = isWrong
    }

    private final class Graph: ExecutionGraph {
        let graph: any ExecutionGraph
        let wrong: [Kernel]
        let workspace: any Workspace

        init(_ graph: any ExecutionGraph, wrong: [Kernel], workspace: any Workspace) {
            self.graph = graph
            self.wrong = wrong
            self.workspace = workspace
        }
    }

    var name: String { "mutant" }
    var freeMemory: Int? { device.freeMemory }
    func pack(_ tensor: HostTensor) throws -> any DeviceWeight { try device.pack(tensor) }
    func upload(_ values: [Float]) throws -> any DeviceWeight { try device.upload(values) }
    var defaultCacheFormat: CacheFormat { device.defaultCacheFormat }
    func byteCount(of layout: CacheLayout) throws -> Int { try device.byteCount(of: layout) }
    func allocateCache(_ layout: CacheLayout) throws -> any KeyValueCache { try device.allocateCache(layout) }
    func populate(_ cache: any KeyValueCache, blocks: Range<Int>) {}
    func makeWorkspace(_ capacity: BatchCapacity) throws -> any Workspace { try device.makeWorkspace(capacity) }
    func attentionGeometry(for heads: AttentionHeads) -> AttentionGeometry { device.attentionGeometry(for: heads) }
    var attentionGraphSupport: AttentionGraphSupport { .always }
    var capturesBySize: Bool { false }

    func compile(
        _ program: Program, bindings: ProgramBindings, mode: GraphRuntimeMode, extent: BatchDescriptor
    ) throws -> any ExecutionGraph {
        let kernels = program.kernels.map { kernel in
            guard isWrong(kernel), case .rotaryAndCacheWrite(let queryKeyValue, let angles, let parameters, _) = kernel
            else { return kernel }
            return .rotaryAndCacheWrite(
                queryKeyValue: queryKeyValue, angles: angles, parameters: parameters, layer: 0)
        }
        let graph = try device.compile(
            Program(name: program.name, kernels: kernels), bindings: bindings, mode: mode, extent: extent)
        return Graph(graph, wrong: program.kernels.filter(isWrong), workspace: bindings.workspace)
    }

    func submit(_ graphs: [any ExecutionGraph], batch: BatchBuffers) throws -> Completion {
        for case let graph as Graph in graphs {
            for case .sample in graph.wrong {
                for row in 0..<batch.logitRowCount { batch.sampling[row].temperature *= 1.5 }
            }
            try device.submit([graph.graph], batch: batch).wait()
            for kernel in graph.wrong {
                if case .rotaryAndCacheWrite = kernel { continue }
                guard let output = kernel.output else { continue }
                let rows = output.rows == .tokens ? batch.tokenCount : batch.logitRowCount
                var numbers = try graph.workspace.read(output, rows: rows)
                numbers[numbers.count - 1] += 0.05 * (numbers.map(\.magnitude).max() ?? 0)
                try graph.workspace.write(numbers, to: output)
            }
        }
        return .finished
    }
}

/// The suite catches a device that computes one kernel case wrongly.
@Suite struct MutantTests {
    private func mutant(_ isWrong: @escaping @Sendable (Kernel) -> Bool) -> DeviceUnderTest {
        DeviceUnderTest(testDescription: "mutant") { try MutantDevice(where: isWrong) }
    }

    @Test func everyCaseIsCaught() throws {
        let kernels = try KernelConformanceTests()
        withKnownIssue {
            try kernels.embed(mutant { if case .embed = $0 { true } else { false } }, .float32)
        }
        withKnownIssue { try kernels.rotaryAngles(mutant { if case .rotaryAngles = $0 { true } else { false } }) }
        withKnownIssue { try kernels.norm(mutant { if case .norm = $0 { true } else { false } }, 3) }
        withKnownIssue { try kernels.linear(mutant { if case .linear = $0 { true } else { false } }, .q4_1) }
        withKnownIssue {
            try kernels.gatedActivation(mutant { if case .gatedActivation = $0 { true } else { false } }, 5)
        }
        withKnownIssue { try kernels.gatherRows(mutant { if case .gatherRows = $0 { true } else { false } }) }
        let heads = HeadConformanceTests()
        withKnownIssue {
            try heads.attention(
                mutant { if case .rotaryAndCacheWrite = $0 { true } else { false } }, .float(.float32))
        }
        withKnownIssue {
            try heads.attention(mutant { if case .attention = $0 { true } else { false } }, .float(.float32))
        }
        withKnownIssue {
            try SamplingConformanceTests().sample(mutant { if case .sample = $0 { true } else { false } })
        }
        // None of them is caught for another reason.
        try kernels.norm(mutant { _ in false }, 3)
        try heads.attention(mutant { _ in false }, .int16)
        try SamplingConformanceTests().sample(mutant { _ in false })
    }
}
