// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A file that is written beside its name and appears under it once it is whole.
final class NewFile {
    private let path: String
    private let temporaryPath: String
    private var descriptor: Int32
    private(set) var byteCount = 0

    /// Checks that the file may be made, and begins it.
    ///
    /// - Parameters:
    ///   - path: where the file appears; of a link, where it leads.
    ///   - overwrite: whether a regular file that is there is replaced.
    ///   - sources: what is read while this file is written: it may not replace one of them.
    init(path named: String, overwrite: Bool, sources: [MappedFile]) throws(CheckpointError) {
        let path = Self.followingLinks(named)
        var status = stat()
        if lstat(path, &status) == 0 {
            guard status.st_mode & S_IFMT == S_IFREG else {
                throw CheckpointError(
                    .notARegularFile,
                    status.st_mode & S_IFMT == S_IFDIR
                        ? "\(named) is a folder; give the name of a file in it"
                        : "\(named) is not a regular file, and is left as it is; give another name")
            }
            guard !sources.contains(where: { $0.isFile(status) }) else {
                throw CheckpointError(.sameFile, "\(named) is the file that is read; give another name")
            }
            guard overwrite else { throw CheckpointError(.alreadyExists, "\(named) is there already") }
        }
        self.path = path
        temporaryPath = "\(path).\(getpid()).part"
        descriptor = open(temporaryPath, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else {
            let reason = errno
            guard !named.isEmpty else { throw CheckpointError(.notReadable, "an empty text is no file's name") }
            throw CheckpointError(
                .notReadable,
                reason == ENOENT || reason == ENOTDIR
                    ? "can't write \(named): there is no such folder"
                    : "can't write \(named): \(String(cString: strerror(reason)))")
        }
    }

    deinit {
        guard descriptor >= 0 else { return }
        close(descriptor)
        unlink(temporaryPath)
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws(CheckpointError) {
        var rest = bytes
        while let base = rest.baseAddress, !rest.isEmpty {
            let written = Glibc.write(descriptor, base, rest.count)
            if written < 0, errno == EINTR { continue }
            guard written > 0 else { throw failure(errno) }
            rest = UnsafeRawBufferPointer(rebasing: rest[written...])
        }
        byteCount += bytes.count
    }

    /// Gives the file its name.
    func finish() throws(CheckpointError) {
        guard fsync(descriptor) == 0, rename(temporaryPath, path) == 0 else { throw failure(errno) }
        close(descriptor)
        descriptor = -1
    }

    private func failure(_ reason: Int32) -> CheckpointError {
        CheckpointError(.notReadable, "can't write \(path): \(String(cString: strerror(reason)))")
    }

    /// Where a link leads. A link to nothing, and what is no link, stays as it is.
    private static func followingLinks(_ path: String) -> String {
        var status = stat()
        guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFLNK, let real = realpath(path, nil) else {
            return path
        }
        defer { free(real) }
        return String(cString: real)
    }
}
