// SPDX-License-Identifier: Apache-2.0

/// The version of the library, the command and the server.
public enum MartletVersion {
    /// As SemVer means it.
    public static let current = "0.1.0"
}
