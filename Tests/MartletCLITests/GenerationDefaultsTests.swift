// SPDX-License-Identifier: Apache-2.0

import MartletCLI
import MartletTestSupport
import Testing

@Suite struct GenerationDefaultsTests {
    /// Hugging Face writes one token or a list of them.
    @Test(
        arguments: [
            (#"{"eos_token_id": 7}"#, [7]), (#"{"eos_token_id": [7, 8, 7]}"#, [7, 8, 7]), ("{}", []),
            (#"{"eos_token_id": null}"#, []), (#"{"eos_token_id": [-1, 2147483647]}"#, [-1, .max]),
        ] as [(String, [Int32])])
    func endsOfAnswersAreRead(_ text: String, _ expected: [Int32]) throws {
        let file = try TemporaryFile(Array(text.utf8), name: "generation_config.json")
        #expect(try GenerationDefaults.path(file.path).endTokens(model: "/nowhere/model.gguf") == expected)
    }

    @Test(arguments: [#"{"eos_token_id": "a"}"#, #"{"eos_token_id": 99999999999}"#, "[", #"{"eos_token_id": [1.5]}"#])
    func whatIsNoneIsRefused(_ text: String) throws {
        let file = try TemporaryFile(Array(text.utf8), name: "generation_config.json")
        #expect(throws: InputError.self) {
            try GenerationDefaults.path(file.path).endTokens(model: "/nowhere/model.gguf")
        }
    }
}
