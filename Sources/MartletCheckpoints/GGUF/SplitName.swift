// SPDX-License-Identifier: Apache-2.0

/// The name of one of a split model's files, which ends as in `-00001-of-00003.gguf`.
struct SplitName {
    /// Whose file it is, from 0.
    let number: Int
    private let prefix: Substring
    private let count: Int

    private static let digits = 5

    /// - Parameter count: parts that the file's metadata names.
    init(path: String, count: Int) throws(CheckpointError) {
        let fields =
            path.hasSuffix(".gguf") ? path.dropLast(5).split(separator: "-", omittingEmptySubsequences: false) : []
        let end = fields.suffix(3)
        guard end.count == 3, end[end.startIndex + 1] == "of", let number = Self.number(end[end.startIndex]),
            number > 0,
            Self.number(end[end.startIndex + 2]) == count, number <= count
        else {
            throw CheckpointError(
                .unsupportedModel,
                "\(path) is a part of a model of \(count) files, whose names must end in -00001-of-\(Self.text(count)).gguf and so on; give them their own names, in one folder"
            )
        }
        self.number = number - 1
        self.count = count
        prefix = path.dropLast(5 + 2 * Self.digits + 5)
    }

    /// - Parameter number: from 0.
    func path(of number: Int) -> String { "\(prefix)-\(Self.text(number + 1))-of-\(Self.text(count)).gguf" }

    private static func number(_ text: Substring) -> Int? {
        text.count == digits && text.utf8.allSatisfy { (48...57).contains($0) } ? Int(text) : nil
    }

    private static func text(_ number: Int) -> String {
        let text = String(number)
        return String(repeating: "0", count: max(0, digits - text.count)) + text
    }
}
