// SPDX-License-Identifier: Apache-2.0

import Foundation

enum Terminal {
    /// Shows a text at once: `print` waits for the end of the line.
    static func write(_ text: String) { FileHandle.standardOutput.write(Data(text.utf8)) }
}
