// SPDX-License-Identifier: Apache-2.0

import MartletCompute
import MartletReference
import MartletTestSupport
import Testing

/// The reference device with one kernel case computed wrongly: in one number, into another layer's cache, or for another
/// temperature.
final class MutantDevice: ForwardingDevice {
    let device: ReferenceDevice
    private let isWrong: @Sendable (Kernel) -> Bool

    init(where isWrong: @escaping @Sendable (Kernel) -> Bool) {
        device = ReferenceDevice()
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

    func compile(
        _ program: Program, bindings: ProgramBindings, mode: GraphRuntimeMode, extent: GraphExtent
    ) throws -> any ExecutionGraph {
        let kernels = program.kernels.map { kernel in
            guard isWrong(kernel), case .prepareHeads(var preparation) = kernel else { return kernel }
            preparation.cacheLayer = 0
            return .prepareHeads(preparation)
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
                if case .prepareHeads = kernel { continue }
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
        DeviceUnderTest(testDescription: "mutant") { MutantDevice(where: isWrong) }
    }

    @Test func everyCaseIsCaught() throws {
        let (kernels, heads) = (KernelConformanceTests(), HeadConformanceTests())
        let (experts, sampling) = (ExpertConformanceTests(), SamplingConformanceTests())
        let tests: [(name: String, run: (DeviceUnderTest) throws -> Void, isWrong: @Sendable (Kernel) -> Bool)] = [
            ("embed", { try kernels.embed($0, .float32) }, { if case .embed = $0 { true } else { false } }),
            (
                "rotaryAngles", { try kernels.rotaryAngles($0, 1) },
                { if case .rotaryAngles = $0 { true } else { false } }
            ),
            ("norm", { try kernels.norm($0, 3) }, { if case .norm = $0 { true } else { false } }),
            ("linear", { try kernels.linear($0, .q4_1) }, { if case .linear = $0 { true } else { false } }),
            ("activation", { try kernels.activation($0, .gelu) }, { if case .activation = $0 { true } else { false } }),
            (
                "gatedActivation", { try kernels.gatedActivation($0, .product(.silu)) },
                { if case .gatedActivation = $0 { true } else { false } }
            ), ("add", { try kernels.add($0, true) }, { if case .add = $0 { true } else { false } }),
            ("scale", { try kernels.scale($0, 30) }, { if case .scale = $0 { true } else { false } }),
            ("gatherRows", { try kernels.gatherRows($0) }, { if case .gatherRows = $0 { true } else { false } }),
            ("route", { try experts.route($0, .softmax) }, { if case .route = $0 { true } else { false } }),
            ("experts", { try experts.experts($0, .q8_0) }, { if case .experts = $0 { true } else { false } }),
            (
                "prepareHeads", { try heads.attention($0, .float(.float32)) },
                { if case .prepareHeads = $0 { true } else { false } }
            ),
            (
                "attention", { try heads.attention($0, .float(.float32)) },
                { if case .attention = $0 { true } else { false } }
            ), ("sample", { try sampling.sample($0) }, { if case .sample = $0 { true } else { false } }),
        ]
        for test in tests {
            #expect(try Conformance.disagreements { try test.run(mutant(test.isWrong)) } > 0, "\(test.name)")
            // It isn't caught for another reason.
            #expect(try Conformance.disagreements { try test.run(mutant { _ in false }) } == 0, "\(test.name)")
        }
    }
}
