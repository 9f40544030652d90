// SPDX-License-Identifier: Apache-2.0

import MartletCheckpoints
import MartletCompute
import MartletModels
import MartletTestSupport
import Testing

/// Tensors as the hub stores them, laid out as programs read them.
@Suite struct HubTensorsTests {
    private typealias Tensor = HubFolder.Tensor

    /// Each number of a stored tensor is its place, times a thousand by the tensor's.
    private func tensors(
        _ stored: [Tensor], _ names: HubNames = HubNames()
    ) throws -> (tensors: HubTensors, folder: TemporaryFolder) {
        let folder = try TemporaryFolder()
        var number = 0
        let bytes = HubFolder.safetensors(stored) { tensor in
            number += 1
            return (0..<tensor.shape.reduce(1, *)).flatMap { place -> [UInt8] in
                let value = Float(1000 * (number - 1) + place)
                return tensor.type != "BF16"
                    ? GGUFWriter.bytes(value.bitPattern) : GGUFWriter.bytes(UInt16(value.bitPattern >> 16))
            }
        }
        try folder.write(bytes, to: "model.safetensors")
        return (try HubTensors(SafetensorsFolder(path: folder.path), names), folder)
    }

    private func values(_ tensors: HubTensors, _ name: String) throws -> [[Float]] {
        try tensors.withTensor(named: name) { tensor in (0..<tensor.totalRows).map { tensor.dequantizedRow($0) } }
    }

    @Test func namesLoseWhatStandsBeforeThem() throws {
        for prefix in ["", "model.", "language_model.model.", "model.language_model."] {
            let (tensors, folder) = try tensors([Tensor("\(prefix)layers.12.self_attn.q_proj.weight", "F32", [2, 3])])
            defer { withExtendedLifetime(folder) {} }
            #expect(tensors.tensor(named: "blk.12.attn_q.weight")?.dimensions == [3, 2])
        }
        let (tensors, folder) = try tensors([
            Tensor("lm_head.weight", "F32", [2, 3]), Tensor("vision_tower.layers.0.mlp.up_proj.weight", "F32", [2, 3]),
            Tensor("model.layers.0.self_attn.rotary_emb.inv_freq", "F32", [2]), Tensor("model.unheard.of", "F32", [1]),
            Tensor("h.0.attn.bias", "F32", [1]), Tensor("transformer.h.11.attn.masked_bias", "F32", [1]),
            Tensor("model.layers.0.mlp.strange", "I32", [1]),
        ])
        defer { withExtendedLifetime(folder) {} }
        #expect(tensors.tensors.map(\.name) == ["model.unheard.of", "output.weight"])
        #expect(tensors.unsupportedTensors == ["I32": ["model.layers.0.mlp.strange"]])
    }

    @Test func expertsAreJoined() throws {
        let experts = (0..<3).reversed().map {
            Tensor("model.layers.1.mlp.experts.\($0).gate_proj.weight", "F32", [2, 2])
        }
        let (tensors, folder) = try tensors(experts)
        defer { withExtendedLifetime(folder) {} }
        #expect(tensors.tensor(named: "blk.1.ffn_gate_exps.weight")?.dimensions == [2, 2, 3])
        // They are stored from the last one on.
        let first = try values(tensors, "blk.1.ffn_gate_exps.weight").map { $0[0] }
        #expect(first == [2000, 2002, 1000, 1002, 0, 2])
        #expect(throws: CheckpointError.self) { try self.tensors([experts[0], experts[2]]) }
        #expect(throws: CheckpointError.self) {
            try self.tensors([experts[1], Tensor("model.layers.1.mlp.experts.0.gate_proj.weight", "F32", [2, 3])])
        }
    }

    @Test func rowsAreChosen() throws {
        var names = HubNames()
        names.inner["half"] = [.init("a", rows: .part(0, of: 2)), .init("b", rows: .part(1, of: 2))]
        names.inner["turns"] = [.init("c", rows: .every(2, from: 0)), .init("d", rows: .every(2, from: 1))]
        names.inner["heads"] = [.init("e", rows: .byPart(3, heads: 2))]
        names.inner["other"] = [.init("f.weight", rows: .every(2, from: 1), isTransposed: true)]
        names.inner["column"] = [.init("g.bias", rows: .every(2, from: 1))]
        let (tensors, folder) = try tensors(
            [
                Tensor("layers.0.half.weight", "F32", [4, 1]), Tensor("layers.0.turns.weight", "BF16", [4, 1]),
                Tensor("layers.0.heads.weight", "F32", [12, 1]), Tensor("layers.0.heads.bias", "F32", [12]),
                Tensor("layers.0.other", "BF16", [2, 3, 4]), Tensor("layers.0.column", "F32", [2, 4]),
            ], names)
        defer { withExtendedLifetime(folder) {} }
        func first(_ name: String) throws -> [Float] { try values(tensors, "blk.0.\(name)").flatMap { $0 } }
        #expect(try first("a.weight") == [0, 1])
        #expect(try first("b.weight") == [2, 3])
        #expect(try first("c.weight") == [Float(1000), 1002].map { $0.rounded(to: 8) })
        #expect(try first("d.weight") == [Float(1001), 1003].map { $0.rounded(to: 8) })
        // Two heads of q, k and v of two rows each.
        #expect(try first("e.weight") == [0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11].map { $0 + 2000 })
        #expect(try first("e.bias") == [0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11].map { $0 + 3000 })
        #expect(tensors.tensor(named: "blk.0.f.weight")?.dimensions == [3, 2, 2])
        let transposed: [Float] = [1, 5, 9, 3, 7, 11, 13, 17, 21, 15, 19, 23]
        #expect(try first("f.weight") == transposed.map { ($0 + 4000).rounded(to: 8) })
        #expect(tensors.tensor(named: "blk.0.g.bias")?.dimensions == [2, 2])
        #expect(try first("g.bias") == [5001, 5003, 5005, 5007])
        names.inner["half"] = [.init("a", rows: .part(0, of: 3))]
        #expect(throws: CheckpointError.self) {
            try self.tensors([Tensor("layers.0.half.weight", "F32", [4, 1])], names)
        }
    }

    @Test func normsHaveTheirOneAdded() throws {
        var names = HubNames()
        names.normOffset = 1
        let (tensors, folder) = try tensors(
            [Tensor("norm.weight", "BF16", [3]), Tensor("layers.0.self_attn.q_proj.weight", "F32", [1, 1])], names)
        defer { withExtendedLifetime(folder) {} }
        #expect(tensors.tensor(named: "output_norm.weight")?.elementType == .float32)
        #expect(try values(tensors, "output_norm.weight") == [[1, 2, 3]])
        #expect(try values(tensors, "blk.0.attn_q.weight") == [[1000]])
    }

    @Test func eightBitsAreExact() throws {
        let folder = try TemporaryFolder()
        let codes: [UInt8] = [0x00, 0x38, 0xb8, 0x7e, 0x01, 0x08]
        let stored = Tensor("layers.0.mlp.up_proj.weight", "F8_E4M3", [2, 3])
        try folder.write(HubFolder.safetensors([stored]) { _ in codes }, to: "model.safetensors")
        let tensors = try HubTensors(SafetensorsFolder(path: folder.path), HubNames())
        #expect(try values(tensors, "blk.0.ffn_up.weight") == [[0, 1, -1], [448, 0x1p-9, 0x1p-6]])
    }

    // MARK: Files of a folder

    private func index(_ map: String) -> [UInt8] { Array(#"{"metadata":{},"weight_map":{\#(map)}}"#.utf8) }

    @Test func shardsAreFoundByTheirIndex() throws {
        let folder = try TemporaryFolder()
        try folder.write(
            HubFolder.safetensors([Tensor("norm.weight", "F32", [1])]), to: "model-00001-of-00002.safetensors")
        try folder.write(
            HubFolder.safetensors([Tensor("lm_head.weight", "F32", [1]), Tensor("unlisted", "F32", [1])]),
            to: "model-00002-of-00002.safetensors")
        let name = "model.safetensors.index.json"
        let both =
            #""norm.weight":"model-00001-of-00002.safetensors","lm_head.weight":"model-00002-of-00002.safetensors""#
        try folder.write(index(both), to: name)
        let tensors = try HubTensors(SafetensorsFolder(path: folder.path), HubNames())
        #expect(tensors.tensors.map(\.name) == ["output.weight", "output_norm.weight"])
        for map in [
            #""norm.weight":"../x.safetensors""#, #""norm.weight":"/etc/passwd""#, #""norm.weight":"""#,
            #""norm.weight":".""#, #""norm.weight":1"#, #""norm.weight":"missing.safetensors""#,
            #""other":"model-00001-of-00002.safetensors""#, #""norm.weight":"a\u0000b""#,
        ] {
            try folder.write(index(map), to: name)
            #expect(throws: CheckpointError.self, "\(map)") { try SafetensorsFolder(path: folder.path) }
        }
        for text in ["", "{", "[]", "{}", #"{"weight_map":[]}"#, String(repeating: "[", count: 100_000)] {
            try folder.write(Array(text.utf8), to: name)
            #expect(throws: CheckpointError.self, "\(text.prefix(20))") { try SafetensorsFolder(path: folder.path) }
        }
    }

    @Test func missingWeightsAreNamed() throws {
        let folder = try TemporaryFolder()
        func message() -> String {
            do { _ = try SafetensorsFolder(path: folder.path) } catch { return "\(error)" }
            return ""
        }
        #expect(message().contains("no safetensors file"))
        try folder.write([0], to: "pytorch_model.bin")
        #expect(message().contains("pickled"))
        try folder.write([0], to: "model-Q4_0.gguf")
        #expect(message().contains("model-Q4_0.gguf"))
        for name in ["a.safetensors", "b.safetensors"] {
            try folder.write(HubFolder.safetensors([Tensor("norm.weight", "F32", [1])]), to: name)
        }
        #expect(message().contains("model.safetensors.index.json"))
        try folder.remove("b.safetensors")
        #expect(message() == "")
    }
}

extension Float {
    /// The number whose significand has as many bits, the rest cut off: as bf16 has it.
    fileprivate func rounded(to bits: Int) -> Float { Float(bitPattern: bitPattern & ~((1 << (24 - bits)) - 1)) }
}
