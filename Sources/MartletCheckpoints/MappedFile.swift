// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A regular file, mapped read-only and private for as long as this lives.
///
/// The descriptor stays open, so `checkUnchanged()` can tell whether someone replaced or cut the file under the map.
/// Reading a page past a cut raises SIGBUS, which no library can turn into an error.
package final class MappedFile {
    package let path: String
    package let bytes: UnsafeRawBufferPointer
    private let descriptor: Int32
    private let size: off_t
    private let modified: timespec
    private let identity: (device: dev_t, inode: ino_t)

    package init(path: String) throws(CheckpointError) {
        // Non-blocking: opening a FIFO must not wait for its writer.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw CheckpointError(.notReadable, "can't open \(path): \(Self.reason(errno))")
        }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            let reason = Self.reason(errno)
            close(descriptor)
            throw CheckpointError(.notReadable, "can't read \(path): \(reason)")
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw CheckpointError(.notARegularFile, "\(path) is not a regular file; give the path of a model file")
        }
        var mapped: UnsafeMutableRawPointer?
        if status.st_size > 0 {
            mapped = mmap(nil, Int(status.st_size), PROT_READ, MAP_PRIVATE, descriptor, 0)
            guard mapped != MAP_FAILED else {
                let reason = Self.reason(errno)
                close(descriptor)
                throw CheckpointError(.notReadable, "can't map \(path): \(reason)")
            }
        }
        self.path = path
        self.descriptor = descriptor
        self.size = status.st_size
        self.modified = status.st_mtim
        self.identity = (status.st_dev, status.st_ino)
        self.bytes = UnsafeRawBufferPointer(start: mapped, count: Int(status.st_size))
    }

    deinit {
        if let base = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: base), bytes.count) }
        close(descriptor)
    }

    /// Whether this is the file of that status, by whatever name.
    func isFile(_ status: stat) -> Bool { identity == (status.st_dev, status.st_ino) }

    /// Throws if the file's size or time changed since it was opened: what was read of it may be a mixture.
    package func checkUnchanged() throws(CheckpointError) {
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_size == size,
            status.st_mtim.tv_sec == modified.tv_sec, status.st_mtim.tv_nsec == modified.tv_nsec
        else {
            throw CheckpointError(.changedWhileReading, "\(path) changed while it was being read; load it again")
        }
    }

    /// Reads ahead in the background.
    package func willNeed() {
        if let base = bytes.baseAddress {
            madvise(UnsafeMutableRawPointer(mutating: base), bytes.count, MADV_WILLNEED)
        }
    }

    /// Takes whole pages of a part out of this process's memory. They are read from the file again if need be.
    ///
    /// - Parameter range: offsets in the file.
    package func release(_ range: Range<Int>) {
        guard let base = bytes.baseAddress else { return }
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let (first, end) = (
            (range.lowerBound + page - 1) / page * page, min(range.upperBound, bytes.count) / page * page
        )
        guard first < end else { return }
        madvise(UnsafeMutableRawPointer(mutating: base + first), end - first, MADV_DONTNEED)
    }

    private static func reason(_ code: Int32) -> String { String(cString: strerror(code)) }
}
