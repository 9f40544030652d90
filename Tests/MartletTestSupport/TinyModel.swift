// SPDX-License-Identifier: Apache-2.0

package import MartletCompute

/// A small model with random weights, as a GGUF file: odd sizes on purpose.
package struct TinyModel: Sendable {
    package var architecture = "llama"
    package var layers = 2
    package var hiddenSize = 96
    package var feedForwardSize = 160
    package var queryHeads = 6
    package var keyValueHeads = 2
    package var headSize = 16
    package var contextLength = 256
    package var type = ElementType.q4_1
    package var embeddingType = ElementType.q8_0
    package var hasOutput = false
    package var hasBias = false
    package var seed: UInt64 = 1
    package var template = Self.chatTemplate
    /// GGUF's number of each token's kind.
    package var tokenTypes = Self.vocabulary.types

    package init() {}

    /// A model whose matrices are of a type, and whose rows are whole blocks of it.
    package init(of type: ElementType) {
        self.type = type
        guard type.blockLength > 32 else { return }
        hiddenSize = type.rowLength(atLeast: hiddenSize)
        feedForwardSize = type.rowLength(atLeast: feedForwardSize)
        queryHeads = hiddenSize / headSize
    }

    /// The 256 bytes in GPT-2's spelling, some merges, and ChatML's control tokens.
    package static let vocabulary: (tokens: [String], types: [Int32], merges: [String]) = {
        var spelling: [String] = []
        var next: UInt32 = 0x100
        for byte in UInt32(0)..<256 {
            switch byte {
            case 0x21...0x7e, 0xa1...0xac, 0xae...0xff: spelling.append(String(Character(Unicode.Scalar(byte)!)))
            default:
                spelling.append(String(Character(Unicode.Scalar(next)!)))
                next += 1
            }
        }
        let merges = ["t h", "th e", "Ġ the", "h e", "l l", "he ll", "hell o", "Ġ Ġ", "ĠĠ ĠĠ"]
        let merged = merges.map { $0.split(separator: " ").joined() }
        let control = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
        return (
            spelling + merged + control,
            Array(repeating: 1, count: spelling.count + merged.count) + Array(repeating: 3, count: control.count),
            merges
        )
    }()

    package static let chatTemplate = """
        {% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}\
        {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
        """

    package var vocabularySize: Int { Self.vocabulary.tokens.count }

    package var writer: GGUFWriter {
        var writer = GGUFWriter()
        writer.add("general.architecture", architecture)
        writer.add("general.name", "tiny")
        writer.add("\(architecture).block_count", UInt32(layers))
        writer.add("\(architecture).context_length", UInt32(contextLength))
        writer.add("\(architecture).embedding_length", UInt32(hiddenSize))
        writer.add("\(architecture).feed_forward_length", UInt32(feedForwardSize))
        writer.add("\(architecture).attention.head_count", UInt32(queryHeads))
        writer.add("\(architecture).attention.head_count_kv", UInt32(keyValueHeads))
        writer.add("\(architecture).attention.key_length", UInt32(headSize))
        writer.add("\(architecture).attention.layer_norm_rms_epsilon", Float(1e-5))
        writer.add("\(architecture).rope.freq_base", Float(10_000))
        Self.addTokenizer(to: &writer, types: tokenTypes)
        writer.add("tokenizer.chat_template", template)
        addTensors(to: &writer)
        return writer
    }

    /// - Parameter count: tokens; what is more than the vocabulary are tokens that no text has.
    static func addTokenizer(to writer: inout GGUFWriter, types: [Int32] = vocabulary.types, count: Int = 0) {
        let unused = max(0, count - vocabulary.tokens.count)
        writer.add("tokenizer.ggml.model", "gpt2")
        writer.add("tokenizer.ggml.pre", "gpt-2")
        writer.add("tokenizer.ggml.tokens", vocabulary.tokens + (0..<unused).map { "<unused \($0)>" })
        writer.add("tokenizer.ggml.token_type", types + Array(repeating: 5, count: unused))
        writer.add("tokenizer.ggml.merges", vocabulary.merges)
        writer.add("tokenizer.ggml.eos_token_id", UInt32(vocabulary.tokens.count - 1))
    }

    private func addTensors(to writer: inout GGUFWriter) {
        var random = SeededGenerator(seed)
        func matrix(_ name: String, _ rows: Int, _ columns: Int, _ type: ElementType, scale: Float) {
            writer.add(
                tensor: name, dimensions: [UInt64(columns), UInt64(rows)], type: type.ggufNumber,
                data: random.weights(type, rows: rows, columns: columns, scale: scale))
        }
        func vector(_ name: String, _ count: Int, around center: Float) {
            let values = random.normals(count, scale: 0.1).map { $0 + center }
            writer.add(
                tensor: name, dimensions: [UInt64(count)], type: 0,
                data: values.flatMap { GGUFWriter.bytes($0.bitPattern) })
        }
        let (queryColumns, keyColumns) = (queryHeads * headSize, keyValueHeads * headSize)
        matrix("token_embd.weight", vocabularySize, hiddenSize, embeddingType, scale: 0.5)
        vector("output_norm.weight", hiddenSize, around: 1)
        if hasOutput { matrix("output.weight", vocabularySize, hiddenSize, type, scale: 0.5) }
        for layer in 0..<layers {
            func name(_ part: String) -> String { "blk.\(layer).\(part)" }
            let scale = 1 / Float(hiddenSize).squareRoot()
            vector(name("attn_norm.weight"), hiddenSize, around: 1)
            matrix(name("attn_q.weight"), queryColumns, hiddenSize, type, scale: scale)
            matrix(name("attn_k.weight"), keyColumns, hiddenSize, type, scale: scale)
            matrix(name("attn_v.weight"), keyColumns, hiddenSize, type, scale: scale)
            matrix(name("attn_output.weight"), hiddenSize, queryColumns, type, scale: scale)
            vector(name("ffn_norm.weight"), hiddenSize, around: 1)
            matrix(name("ffn_gate.weight"), feedForwardSize, hiddenSize, type, scale: scale)
            matrix(name("ffn_up.weight"), feedForwardSize, hiddenSize, type, scale: scale)
            matrix(name("ffn_down.weight"), hiddenSize, feedForwardSize, type, scale: scale)
            if hasBias {
                vector(name("attn_q.bias"), queryColumns, around: 0)
                vector(name("attn_k.bias"), keyColumns, around: 0)
                vector(name("attn_v.bias"), keyColumns, around: 0)
            }
        }
    }

    package func write() throws -> TemporaryFile { try TemporaryFile(writer.file) }
}
