// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A model file that someone cuts while it is mapped raises SIGBUS on the next read of the missing page.
enum FileFaults {
    /// Ends the program with a message instead of a crash report.
    static func exitCleanly() {
        signal(SIGBUS) { _ in
            // Only async-signal-safe calls here.
            let message: StaticString = "Error: the model file was cut or became unreadable while it was being read\n"
            _ = message.withUTF8Buffer { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
            _exit(74)
        }
    }
}
