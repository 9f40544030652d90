// SPDX-License-Identifier: Apache-2.0

package import MartletCheckpoints
package import MartletCompute

/// The tensors of a folder of safetensors files, as programs name and lay them out.
package struct HubTensors: TensorListing {
    private let folder: SafetensorsFolder
    private let recipes: [String: TensorRecipe]
    /// Names of tensors by types that no program reads.
    package let unsupportedTensors: [String: [String]]

    /// - Parameter leavesOut: whether a tensor, by the name that programs know it by, is left out.
    package init(
        _ folder: SafetensorsFolder, _ names: HubNames, leavingOut leavesOut: (String) -> Bool = { _ in false }
    ) throws(CheckpointError) {
        self.folder = folder
        var (parts, unsupported): ([String: [TensorRecipe.Part]], [String: [String]]) = ([:], [:])
        for (stored, location) in folder.tensors where !HubNames.isLeftOut(stored) {
            guard let type = Self.types[location.tensor.type] else {
                unsupported[location.tensor.type, default: []].append(stored)
                continue
            }
            let match = names.find(stored)
            // What isn't known keeps its name, and is refused by it.
            for target in match?.targets ?? [HubNames.Target(stored)] {
                let name = match?.name(of: target) ?? stored
                if leavesOut(name) { continue }
                let part = TensorRecipe.Part(
                    stored: stored, location: location, type: type, target: target, index: match?.index ?? 0)
                parts[name, default: []].append(part)
            }
        }
        var recipes: [String: TensorRecipe] = [:]
        for (name, parts) in parts {
            recipes[name] = try TensorRecipe(
                name, parts.sorted { $0.index < $1.index },
                offset: name.contains("norm") && name.hasSuffix(".weight") ? names.normOffset : 0)
        }
        self.recipes = recipes
        unsupportedTensors = unsupported.mapValues { $0.sorted() }
    }

    /// What numbers become; those of 8 bits are exact in bf16.
    private static let types: [String: ElementType] = [
        "F32": .float32, "F16": .float16, "BF16": .bfloat16, "F8_E4M3": .bfloat16,
    ]

    package func tensor(named name: String) -> StoredTensor? { recipes[name]?.tensor }

    /// All of them, sorted by name.
    package var tensors: [StoredTensor] { recipes.values.map(\.tensor).sorted { $0.name < $1.name } }

    /// Lends a tensor's bytes: the file's own, or made for the time of the call.
    package func withTensor<Result>(
        named name: String, _ body: (HostTensor) throws -> Result
    ) throws -> Result {
        guard let recipe = recipes[name] else {
            throw CheckpointError(.missingTensor, "the checkpoint lacks the tensor \(name)")
        }
        let tensor = recipe.tensor
        if recipe.isStored, recipe.sources[0].tensor.type != "F8_E4M3" {
            return try body(host(tensor, folder.bytes(of: recipe.sources[0])))
        }
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: tensor.byteCount, alignment: 64)
        defer { bytes.deallocate() }
        recipe.make(into: bytes, of: folder)
        return try body(host(tensor, UnsafeRawBufferPointer(bytes)))
    }

    /// The numbers of a small tensor in f32.
    func values(of tensor: StoredTensor) throws(CheckpointError) -> [Float] {
        do {
            return try withTensor(named: tensor.name) { $0.dequantized() }
        } catch { throw CheckpointError(.notReadable, "\(tensor.name) can't be read: \(error)") }
    }

    private func host(_ tensor: StoredTensor, _ bytes: UnsafeRawBufferPointer) -> HostTensor {
        HostTensor(
            elementType: tensor.elementType, count: tensor.count, rows: tensor.rows, columns: tensor.columns,
            bytes: bytes)
    }

    /// Takes what a tensor is made of out of this process's memory.
    package func release(_ name: String) { for source in recipes[name]?.sources ?? [] { folder.release(source) } }

    package func willNeed() { folder.willNeed() }

    package func checkUnchanged() throws(CheckpointError) { try folder.checkUnchanged() }
}
